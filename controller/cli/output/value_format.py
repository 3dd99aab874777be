"""Format field values for people, in full or truncated so that the difference stays visible. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import takewhile
from textwrap import wrap
from typing import Any

from rich.text import Text

from controller.planning.plan_document import NOT_KNOWN, NOT_THERE

# Characters to keep before the first difference of two long values.
_BEFORE = 12
# Maximum lines of one value on a terminal; `-o wide` shows all of it.
_LINES = 6


def format_value(value: Any, room: int | None = None) -> Text:
    """Format a value as JSON, in at most `room` characters."""
    if value in (NOT_KNOWN, NOT_THERE):
        return Text(value, "italic dim")
    return Text(_cut(plain_text(value), room))


def plain_text(value: Any) -> str:
    """Format a value as JSON on one line; content that has a digest by the first 12 digits and its size."""
    if isinstance(value, dict) and value.keys() == {"sha256", "size"}:
        return f"sha256:{value['sha256'][:12]} ({value['size']:,} bytes)"
    return _visible(json.dumps(value, ensure_ascii=False))


def format_change(old: Any, new: Any, room: int | None = None) -> Iterator[tuple[str, Text]]:
    """Yield the old (`-`) and the new value (`+`).

    Of two lists, yield only the elements that differ. Long texts begin at their first difference.
    """
    if isinstance(old, list) and isinstance(new, list):
        removed, added = [one for one in old if one not in new], [one for one in new if one not in old]
        if removed or added:
            yield from (("-", format_value(one, room)) for one in removed)
            yield from (("+", format_value(one, room)) for one in added)
            return
    if NOT_KNOWN in (old, new) or NOT_THERE in (old, new):
        yield "-", format_value(old, room)
        yield "+", format_value(new, room)
        return
    before, after = plain_text(old), plain_text(new)
    same = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(before, after, strict=False))) - _BEFORE
    if room is not None and same > 0 and max(len(before), len(after)) > room:
        before, after = f"…{before[same:]}", f"…{after[same:]}"
    yield "-", Text(_cut(before, room))
    yield "+", Text(_cut(after, room))


def format_tail(value: Any, room: int) -> Text:
    """Format the last `room` characters of a value: ARNs differ at their end."""
    text = plain_text(value)
    return (
        format_value(value)
        if len(text) <= room or value in (NOT_KNOWN, NOT_THERE)
        else Text(f"…{text[len(text) - room + 1 :]}")
    )


def format_lines(value: Any, room: int | None) -> Iterator[Text]:
    """Yield a value on up to six lines of at most `room` characters; a longer value ends in `…`."""
    text = plain_text(value)
    if room is None or len(text) <= room:
        yield format_value(value)
        return
    lines = wrap(text, room, break_on_hyphens=False, max_lines=_LINES, placeholder=" …")
    yield from map(Text, lines)


def _cut(text: str, room: int | None) -> str:
    return text if room is None or len(text) <= room else f"{text[: room - 1]}…"


def _visible(text: str) -> str:
    r"""Replace invisible characters, text-direction controls and foreign line ends by `\\uXXXX`."""
    return "".join(one if one.isprintable() else f"\\u{ord(one):04x}" for one in text)
