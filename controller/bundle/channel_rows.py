"""Rows that somebody else put together: checked before a model is measured on them. Pure.

What Moorage deals itself is right by construction; what a job of a stranger's has read may have a header, other columns,
or be no CSV at all, and XGBoost would take much of that without a word.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from controller.errors import BundleError

# More than a model needs to be measured, and not more than the controller can hold, in bytes.
MAX_CHANNEL_BYTES = 256 * 2**20
_HINT = "correct spec.data: channels are CSV without a header, the label first, then spec.data.features"


def join_channel(channel: str, parts: Iterable[bytes], features: Sequence[str]) -> bytes:
    """The objects of a channel as one. Raises BundleError for what is too large, empty, or no rows of so many numbers."""
    found, size = [], 0
    for part in parts:
        size += len(part)
        if size > MAX_CHANNEL_BYTES:
            why, hint = (
                f"it has more than {MAX_CHANNEL_BYTES // 2**20} MiB",
                "name a smaller prefix under spec.data.channels",
            )
            raise BundleError(f"the model can't be measured on the channel {channel}", why=why, hint=hint)
        found += _split_lines(channel, part)
    if not found:
        raise BundleError(f"there are no rows below the prefix of the channel {channel}", hint=_HINT)
    for number, line in enumerate(found, 1):
        _check_row(f"row {number} of the channel {channel}", line, len(features))
    return "".join(f"{line}\n" for line in found).encode()


def _split_lines(channel: str, part: bytes) -> list[str]:
    try:
        return [line for line in part.decode().splitlines() if line.strip()]
    except UnicodeDecodeError as error:
        raise BundleError(f"the channel {channel} is no text, as CSV is", hint=_HINT) from error


def _check_row(where: str, line: str, features: int) -> None:
    cells = line.split(",")
    if len(cells) != features + 1:
        why = f"it has {len(cells)} columns; a label and {features} features make {features + 1}"
        raise BundleError(f"{where} doesn't fit", why=why, hint=_HINT)
    try:
        numbers = [float(cell or "nan") for cell in cells]
    except ValueError as error:
        raise BundleError(f"{where} has something else than numbers", why=str(error), hint=_HINT) from error
    if numbers[0] != numbers[0]:
        raise BundleError(f"{where} has no label", hint=_HINT)
