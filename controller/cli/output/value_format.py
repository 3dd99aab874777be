"""Values of fields as people read them, whole or cut so that what differs is still seen. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import takewhile
from textwrap import wrap
from typing import Any

from rich.text import Text

from controller.planning.plan_document import NOT_KNOWN, NOT_THERE

# What is left to be seen before the first difference of two long values.
_BEFORE = 12
# What one value may take of a terminal; `-o wide` shows all of it.
_LINES = 6


def format_value(value: Any, room: int | None = None) -> Text:
    """A value as JSON, in at most `room` characters."""
    if value in (NOT_KNOWN, NOT_THERE):
        return Text(value, "italic dim")
    return Text(_cut(plain_text(value), room))


def plain_text(value: Any) -> str:
    """A value as JSON on one line; content that is known by its digest, by the beginning of that."""
    if isinstance(value, dict) and value.keys() == {"sha256", "size"}:
        return f"sha256:{value['sha256'][:12]} ({value['size']:,} bytes)"
    return _visible(json.dumps(value, ensure_ascii=False))


def format_change(old: Any, new: Any, room: int | None = None) -> Iterator[tuple[str, Text]]:
    """What goes (`-`) and what comes (`+`): of two lists, only the elements that differ; of long texts, from where they do."""
    if isinstance(old, list) and isinstance(new, list):
        gone, come = [one for one in old if one not in new], [one for one in new if one not in old]
        if gone or come:
            yield from (("-", format_value(one, room)) for one in gone)
            yield from (("+", format_value(one, room)) for one in come)
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
    """The end of a value, which is what tells one ARN from another."""
    text = plain_text(value)
    return (
        format_value(value)
        if len(text) <= room or value in (NOT_KNOWN, NOT_THERE)
        else Text(f"…{text[len(text) - room + 1 :]}")
    )


def format_lines(value: Any, room: int | None) -> Iterator[Text]:
    """A value on as many lines as it needs, each of at most `room` characters; what is very long ends in `…`."""
    text = plain_text(value)
    if room is None or len(text) <= room:
        yield format_value(value)
        return
    lines = wrap(text, room, break_on_hyphens=False, max_lines=_LINES, placeholder=" …")
    yield from map(Text, lines)


def _cut(text: str, room: int | None) -> str:
    return text if room is None or len(text) <= room else f"{text[: room - 1]}…"


def _visible(text: str) -> str:
    """Characters that turn or hide what follows, and those that end lines elsewhere than here, by their numbers."""
    return "".join(one if one.isprintable() else f"\\u{ord(one):04x}" for one in text)
