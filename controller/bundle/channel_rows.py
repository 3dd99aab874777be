"""Check channels that Moorage didn't split itself, before a model is measured on them. Pure.

Moorage's own channels are correct by construction. A channel of an adopted job may have a header, other columns, or no
CSV at all, and XGBoost would accept much of that silently.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from controller.errors import BundleError

# The limit in bytes: more than measuring a model needs, and no more than the controller's memory can hold.
MAX_CHANNEL_BYTES = 256 * 2**20
_HINT = "correct spec.data: channels are CSV without a header, the label first, then spec.data.features"


def join_channel(channel: str, parts: Iterable[bytes], features: Sequence[str]) -> bytes:
    """Join the objects of a channel.

    Raises BundleError if it is too large, empty, or doesn't consist of rows of numbers.
    """
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
        raise BundleError(f"the channel {channel} isn't text, as CSV has to be", hint=_HINT) from error


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
