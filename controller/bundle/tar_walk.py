"""Walks through somebody's tar stream, member by member, and reads the beginning of the files that are asked for.

Layers of images are written by many programs, so longer names (POSIX's and GNU's) are understood; what is sparse, or
otherwise isn't what its header says, ends the walk. Nothing is written, no link is followed, and memory holds one file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from controller.bundle.tar import BLOCK, PLAIN, Stream, TarError, exactly, header

_LARGEST_NOTE = 2**20
_MOST_NOTES = 8
_PAX, _GLOBAL, _LONG_NAME, _LONG_LINK = b"x", b"g", b"L", b"K"
# What has no content behind its header, whatever size that says: links, devices, directories, pipes.
_EMPTY = (b"1", b"2", b"3", b"4", b"5", b"6")
_PIECE = 2**20


def walk(stream: Stream, wanted: Callable[[str], int]) -> Iterator[tuple[str, bytes]]:
    """Yield the path of each plain file, without a leading `/` or `./`, and as much of it as `wanted` says (bytes).

    Raise TarError for what can't be understood.
    """
    while (member := _member(stream)) is not None:
        path, kind, size = member
        if kind in _EMPTY:
            continue
        taken = min(size, wanted(path)) if kind in PLAIN else 0
        content = exactly(stream, taken)
        _skip(stream, size + -size % BLOCK - taken)
        if kind in PLAIN:
            yield path, content


def _member(stream: Stream) -> tuple[str, bytes, int] | None:
    """Return path, type and size of the next member; None at the end."""
    told: dict[bytes, bytes] = {}
    for _ in range(_MOST_NOTES + 1):
        found = header(stream)
        if found is None:
            return None
        name, kind, size = found
        if kind in (_PAX, _GLOBAL, _LONG_NAME, _LONG_LINK):
            note = _note(stream, size)
            told |= _records(note) if kind == _PAX else {b"path": note.rstrip(b"\0")} if kind == _LONG_NAME else {}
            continue
        if kind == b"S" or any(key.startswith(b"GNU.sparse") for key in told):
            raise TarError("a member is sparse")
        path = told.get(b"path", name).decode("utf-8", "replace")
        return path.removeprefix("./").lstrip("/"), kind, _size(told, size)
    raise TarError("it has too many headers for one member")


def _size(told: dict[bytes, bytes], size: int) -> int:
    given = told.get(b"size")
    if given is None:
        return size
    if not given.isdigit() or len(given) > 15:
        raise TarError("a pax header holds a number that is none")
    return int(given)


def _note(stream: Stream, size: int) -> bytes:
    if size > _LARGEST_NOTE:
        raise TarError("a header is too long")
    content = exactly(stream, size)
    exactly(stream, -size % BLOCK)
    return content


def _records(note: bytes) -> dict[bytes, bytes]:
    """Read a pax header's records: `LENGTH KEY=VALUE` and a line's end, each."""
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


def _skip(stream: Stream, size: int) -> None:
    while size > 0:
        size -= len(exactly(stream, min(size, _PIECE)))
