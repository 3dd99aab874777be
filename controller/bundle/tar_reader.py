"""Read a tar stream that holds one plain file, and nothing else.

The standard library's reader supports every dialect, and each has been exploited: header chains that recurse, sizes
that loop, patterns that take forever on a long header, sparse files, links. Trainers write none of that, so this reader
expects one name and refuses everything else. Format: POSIX.1-2017, pax, "ustar Interchange Format".
"""

from __future__ import annotations

from typing import Protocol

BLOCK_SIZE = 512
REGULAR_FILE = b"0", b"\0"
# Other programs write fractional times and user names there: all of it is ignored.
PAX_HEADERS = b"x", b"g"
_MAX_PAX_HEADER = 2**16
_MAX_PAX_HEADERS = 8


class TarError(Exception):
    """Raised if the stream isn't the expected one; the message says why."""


class ByteReader(Protocol):
    """A source of bytes."""

    def read(self, size: int, /) -> bytes:
        """Return `size` bytes, or fewer at the end."""


def read_only_member(stream: ByteReader, name: str, max_size: int) -> bytes:
    """Return the content of the only member, which must be a plain file called `name` of at most `max_size` bytes.

    Reads up to the first block after it; the caller checks what follows the archive's end. Raises TarError.
    """
    content = read_first_member(stream, name, max_size)
    read_exactly(stream, -len(content) % BLOCK_SIZE)
    if (more := read_header(stream)) is not None:
        raise TarError(f"it has more than one member: {_quote_name(more[0])} follows")
    return content


def read_first_member(stream: ByteReader, name: str, max_size: int) -> bytes:
    """Return the content of the first member under the same conditions; nothing after it is read. Raises TarError."""
    member = _read_member_header(stream)
    if member is None:
        raise TarError("it is empty")
    found, kind, size = member
    if found != name.encode():
        raise TarError(f"its member is named {_quote_name(found)}, not {name!r}")
    if kind not in REGULAR_FILE:
        raise TarError(f"its member {name!r} is not a plain file")
    if size > max_size:
        raise TarError(f"its member {name!r} has {size:,} bytes; at most {max_size:,} are read")
    return read_exactly(stream, size)


def _read_member_header(stream: ByteReader) -> tuple[bytes, bytes, int] | None:
    """Return the first header that isn't a pax header."""
    for _ in range(_MAX_PAX_HEADERS + 1):
        found = read_header(stream)
        if found is None or found[1] not in PAX_HEADERS:
            return found
        _, _, size = found
        if size > _MAX_PAX_HEADER:
            raise TarError("its pax header is too long")
        _check_pax_records(read_exactly(stream, size))
        read_exactly(stream, -size % BLOCK_SIZE)
    raise TarError("it has too many pax headers")


def read_header(stream: ByteReader) -> tuple[bytes, bytes, int] | None:
    """Return name, type and size from a header block; None for the block of zeros that ends an archive."""
    block = read_exactly(stream, BLOCK_SIZE)
    if not any(block):
        return None
    if _parse_octal(block[148:156]) != sum(block[:148]) + 8 * 0x20 + sum(block[156:]):
        raise TarError("a header's checksum is wrong")
    name, prefix = (block[start:end].partition(b"\0")[0] for start, end in ((0, 100), (345, 500)))
    # Only POSIX's own dialect has the prefix; GNU's uses the space differently.
    if block[257:263] == b"ustar\0" and prefix:
        name = prefix + b"/" + name
    return name, block[156:157], _parse_octal(block[124:136])


def _check_pax_records(note: bytes) -> None:
    """Refuse records that would give the next member another name, size or type than its header says."""
    while note:
        length, _, rest = note.partition(b" ")
        counted = int(length) if length.isdigit() and len(length) < 6 else 0
        record = rest[: max(0, counted - len(length) - 1)]
        if not record.endswith(b"\n") or len(length) + 1 + len(record) != counted:
            raise TarError("its pax header is damaged")
        key = record.partition(b"=")[0]
        if key in (b"path", b"linkpath", b"size") or key.startswith(b"GNU.sparse"):
            raise TarError(f"its pax header sets {_quote_name(key)}")
        note = note[counted:]


def _parse_octal(field: bytes) -> int:
    digits = field.strip(b" \0")
    # Not int() alone, which accepts signs and underscores; nor GNU's binary numbers, for sizes beyond 8 GiB.
    if not digits or digits.strip(b"01234567"):
        raise TarError("a header has an invalid number")
    return int(digits, 8)


def read_exactly(stream: ByteReader, size: int) -> bytes:
    """Read so many bytes. Raises TarError if there are fewer."""
    parts = []
    while size > 0:
        data = stream.read(size)
        if not data:
            raise TarError("it ends too early")
        parts.append(data)
        size -= len(data)
    return b"".join(parts)


def _quote_name(name: bytes) -> str:
    text = name.decode(errors="backslashreplace")
    return repr(text if len(text) <= 80 else text[:80] + "…")
