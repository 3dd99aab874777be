"""S3 verifies the checksums of a body: Content-MD5, x-amz-checksum-*, x-amz-content-sha256.

moto stores a body whatever its checksums. moto's own conditional writes, versions and ranges are right. CRC32C and
CRC64NVME need a native library, so they stay unverified.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import zlib
from collections.abc import Callable, Mapping

from embedded_aws.api_call import ApiCall, ApiError, ApiResponse
from embedded_aws.emulator import Emulator

_DIGESTS: Mapping[str, Callable[[bytes], bytes]] = {
    "crc32": lambda body: zlib.crc32(body).to_bytes(4, "big"),
    "sha1": lambda body: hashlib.sha1(body, usedforsecurity=False).digest(),
    "sha256": lambda body: hashlib.sha256(body).digest(),
}


def install(emulator: Emulator) -> None:
    """Register the operations that take a body."""
    emulator.register_handler("s3", "PutObject", put_verified_body)
    emulator.register_handler("s3", "UploadPart", put_verified_body)


def put_verified_body(call: ApiCall) -> ApiResponse:
    """Store a body whose checksums are right.

    https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity-upload.html and, for the codes,
    https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html.
    """
    body, trailers = _decode_body(call)
    _check_md5(call.get_header("content-md5"), body)
    _check_payload_hash(call.get_header("x-amz-content-sha256"), body)
    for name, digest in _DIGESTS.items():
        header = f"x-amz-checksum-{name}"
        given = call.get_header(header) or trailers.get(header, "")
        if not given:
            continue
        if given != base64.b64encode(digest(body)).decode():
            raise ApiError(
                "BadDigest", f"The {name.upper()} you specified did not match the calculated checksum.", status=400
            )
        if not call.get_header("x-amz-sdk-checksum-algorithm"):
            # moto drops the checksum without this header. The SDK omits it when the caller gave the checksum.
            call.headers.append(("x-amz-sdk-checksum-algorithm", name.upper()))
    return call.forward_to_moto()


def _check_md5(given: str, body: bytes) -> None:
    if not given:
        return
    try:
        digest = base64.b64decode(given, validate=True)
    except binascii.Error:
        digest = b""
    if len(digest) != 16:
        raise ApiError("InvalidDigest", "The Content-MD5 you specified is not valid.", status=400)
    if digest != hashlib.md5(body, usedforsecurity=False).digest():
        raise ApiError("BadDigest", "The Content-MD5 you specified did not match what we received.", status=400)


def _check_payload_hash(given: str, body: bytes) -> None:
    """Check the body's hash in the signature. UNSIGNED-PAYLOAD and STREAMING-… are no hashes."""
    if len(given) == 64 and given != hashlib.sha256(body).hexdigest():
        message = "The provided 'x-amz-content-sha256' header does not match what was computed."
        raise ApiError("XAmzContentSHA256Mismatch", message, status=400)


def _decode_body(call: ApiCall) -> tuple[bytes, dict[str, str]]:
    """Return the body without aws-chunked framing, and the trailing headers.

    https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-streaming.html
    """
    if "aws-chunked" not in call.get_header("content-encoding"):
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
