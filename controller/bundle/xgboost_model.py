"""Identify a model file by its first and last bytes, before any library reads it.

SageMaker's XGBoost has written three formats: a pickle up to 1.2, its own binary up to 1.7, and UBJSON since 3.x.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Literal

from controller.errors import BundleError

XgboostVersion = tuple[int, int, int]

# Keys are sorted, so `version` ends the document, as a typed array of three small integers.
_UBJSON_VERSION = re.compile(rb"L\x00{7}\x07version\[#L\x00{7}\x03i(.)i(.)i(.)\}\Z", re.DOTALL)
# After the opening brace: the length of the first key, for which UBJSON has these marks, or JSON's own quotation mark.
_UBJSON_START = re.compile(rb"\{[LliIU]")
_JSON_START = re.compile(rb"\{\s*\"")
_PICKLE_START = re.compile(rb"\x80[\x01-\x05]|\(|c[\w.]+\n")

_RESAVE = "save it again with XGBoost 3.x: Booster.save_model('model.ubj')"


@dataclass(frozen=True)
class XgboostModel:
    """A model's bytes, its format, and the XGBoost version that wrote it."""

    content: bytes = field(repr=False)
    format: Literal["ubj", "json"]
    version: XgboostVersion


def identify_model(content: bytes) -> XgboostModel:
    """Identify UBJSON and JSON models. Raises BundleError for other formats, naming pickles and the old binary."""
    if _UBJSON_START.match(content):
        tail = _UBJSON_VERSION.search(content, max(0, len(content) - 64))
        if not tail:
            raise BundleError("the model is truncated or not XGBoost's UBJSON", why="it does not end with a version")
        return XgboostModel(content, "ubj", (tail[1][0], tail[2][0], tail[3][0]))
    if _JSON_START.match(content):
        return XgboostModel(content, "json", _parse_json_version(content))
    if content.startswith(b"binf"):
        raise BundleError(
            "the model has XGBoost's old binary format",
            why="SageMaker's XGBoost 1.3 to 1.7 writes it, and 3.x can't read it",
            hint='train with algorithm version "3.2-0", or load it with XGBoost 1.7 and save it as JSON',
        )
    if _PICKLE_START.match(content):
        raise BundleError(
            "the model is a Python pickle, which may run any code when it is read, so it is not read",
            why="SageMaker's XGBoost up to 1.2 writes such models",
            hint=f"train with a newer algorithm version, or {_RESAVE}",
        )
    raise BundleError("the file isn't an XGBoost model", why=f"it starts with {content[:8]!r}", hint=_RESAVE)


def _parse_json_version(content: bytes) -> XgboostVersion:
    try:
        version = json.loads(content)["version"]
        major, minor, patch = map(int, version)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise BundleError("the model is not XGBoost's JSON", why=str(error) or type(error).__name__) from error
    return major, minor, patch
