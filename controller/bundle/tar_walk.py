"""Walk through an untrusted tar stream, member by member, and read the beginning of the requested files.

Many programs write layers of images, so longer names (POSIX's and GNU's) are supported. A sparse file, or a header that
contradicts its content, ends the walk. Nothing is written, no link is followed, and memory holds one file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from controller.bundle.tar_reader import BLOCK_SIZE, REGULAR_FILE, ByteReader, TarError, read_exactly, read_header

_MAX_EXTENSION = 2**20
_MAX_EXTENSIONS = 8
_PAX_HEADER, _PAX_GLOBAL_HEADER, _LONG_NAME, _LONG_LINK = b"x", b"g", b"L", b"K"
# Members without content after their header, whatever size it names: links, devices, directories, pipes.
_TYPES_WITHOUT_CONTENT = (b"1", b"2", b"3", b"4", b"5", b"6")
_CHUNK_SIZE = 2**20


def walk_files(stream: ByteReader, bytes_to_read: Callable[[str], int]) -> Iterator[tuple[str, bytes]]:
    """Yield the path and the first bytes of each plain file.

    Paths have no leading `/` or `./`; `bytes_to_read` returns how many bytes of a path to read. Raises TarError if the
    stream isn't valid.
    """
    while (member := _read_member_header(stream)) is not None:
        path, kind, size = member
        if kind in _TYPES_WITHOUT_CONTENT:
            continue
        taken = min(size, bytes_to_read(path)) if kind in REGULAR_FILE else 0
        content = read_exactly(stream, taken)
        _skip(stream, size + -size % BLOCK_SIZE - taken)
        if kind in REGULAR_FILE:
            yield path, content


def _read_member_header(stream: ByteReader) -> tuple[str, bytes, int] | None:
    """Return path, type and size of the next member; None at the end."""
    reported: dict[bytes, bytes] = {}
    for _ in range(_MAX_EXTENSIONS + 1):
        found = read_header(stream)
        if found is None:
            return None
        name, kind, size = found
        if kind in (_PAX_HEADER, _PAX_GLOBAL_HEADER, _LONG_NAME, _LONG_LINK):
            note = _read_extension(stream, size)
            if kind == _PAX_HEADER:
                reported |= _parse_pax_records(note)
            elif kind == _LONG_NAME:
                reported[b"path"] = note.rstrip(b"\0")
            continue
        if kind == b"S" or any(key.startswith(b"GNU.sparse") for key in reported):
            raise TarError("a member is sparse")
        path = reported.get(b"path", name).decode("utf-8", "replace")
        return path.removeprefix("./").lstrip("/"), kind, _member_size(reported, size)
    raise TarError("it has too many headers for one member")


def _member_size(pax_records: dict[bytes, bytes], size: int) -> int:
    given = pax_records.get(b"size")
    if given is None:
        return size
    if not given.isdigit() or len(given) > 15:
        raise TarError("a pax header has an invalid number")
    return int(given)


def _read_extension(stream: ByteReader, size: int) -> bytes:
    if size > _MAX_EXTENSION:
        raise TarError("a header is too long")
    content = read_exactly(stream, size)
    read_exactly(stream, -size % BLOCK_SIZE)
    return content


def _parse_pax_records(note: bytes) -> dict[bytes, bytes]:
    """Parse a pax header's records: `LENGTH KEY=VALUE` and a line end, each."""
    found = {}
    while note:
        length, _, rest = note.partition(b" ")
        counted = int(length) if length.isdigit() and len(length) < 8 else 0
        record = rest[: max(0, counted - len(length) - 1)]
        if not record.endswith(b"\n") or len(length) + 1 + len(record) != counted:
            raise TarError("a pax header is damaged")
        key, _, value = record[:-1].partition(b"=")
        found[key] = value
        note = note[counted:]
    return found


def _skip(stream: ByteReader, size: int) -> None:
    while size > 0:
        size -= len(read_exactly(stream, min(size, _CHUNK_SIZE)))
