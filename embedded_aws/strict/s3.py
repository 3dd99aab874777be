"""S3 verifies what it is told about a body: Content-MD5, x-amz-checksum-*, x-amz-content-sha256.

moto stores a body whatever its checksums say. Conditional writes, versions and ranges are moto's own and right.
CRC32C and CRC64NVME need a native library and are taken unverified.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import zlib
from collections.abc import Callable, Mapping

from embedded_aws.call import Answer, Call, Refused
from embedded_aws.world import World

_DIGESTS: Mapping[str, Callable[[bytes], bytes]] = {
    "crc32": lambda body: zlib.crc32(body).to_bytes(4, "big"),
    "sha1": lambda body: hashlib.sha1(body, usedforsecurity=False).digest(),
    "sha256": lambda body: hashlib.sha256(body).digest(),
}


def install(world: World) -> None:
    """Register the operations that take a body."""
    world.handle("s3", "PutObject", verified)
    world.handle("s3", "UploadPart", verified)


def verified(call: Call) -> Answer:
    """Store a body whose checksums are right.

    https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity-upload.html and, for the codes,
    https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html.
    """
    body, trailers = _decoded(call)
    _check_md5(call.header("content-md5"), body)
    _check_signed(call.header("x-amz-content-sha256"), body)
    for name, digest in _DIGESTS.items():
        header = f"x-amz-checksum-{name}"
        given = call.header(header) or trailers.get(header, "")
        if not given:
            continue
        if given != base64.b64encode(digest(body)).decode():
            raise Refused(
                "BadDigest", f"The {name.upper()} you specified did not match the calculated checksum.", status=400
            )
        if not call.header("x-amz-sdk-checksum-algorithm"):
            # Without this header, which the SDK leaves out when the caller gave the checksum, moto forgets it.
            call.headers.append(("x-amz-sdk-checksum-algorithm", name.upper()))
    return call.forward()


def _check_md5(given: str, body: bytes) -> None:
    if not given:
        return
    try:
        digest = base64.b64decode(given, validate=True)
    except binascii.Error:
        digest = b""
    if len(digest) != 16:
        raise Refused("InvalidDigest", "The Content-MD5 you specified is not valid.", status=400)
    if digest != hashlib.md5(body, usedforsecurity=False).digest():
        raise Refused("BadDigest", "The Content-MD5 you specified did not match what we received.", status=400)


def _check_signed(given: str, body: bytes) -> None:
    """Check the body's hash in the signature; UNSIGNED-PAYLOAD and STREAMING-... are no hashes."""
    if len(given) == 64 and given != hashlib.sha256(body).hexdigest():
        message = "The provided 'x-amz-content-sha256' header does not match what was computed."
        raise Refused("XAmzContentSHA256Mismatch", message, status=400)


def _decoded(call: Call) -> tuple[bytes, dict[str, str]]:
    """Return the body without aws-chunked framing, and the trailing headers.

    https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-streaming.html
    """
    if "aws-chunked" not in call.header("content-encoding"):
        return call.body, {}
    rest, body = call.body, b""
    while True:
        line, _, rest = rest.partition(b"\r\n")
        size = int(line.partition(b";")[0], 16)
        if size == 0:
            lines = rest.decode("latin-1").split("\r\n")
            return body, {
                name.strip().lower(): value.strip() for name, _, value in (text.partition(":") for text in lines)
            }
        body, rest = body + rest[:size], rest[size + 2 :]
