"""The push webhook: a hint that the source has changed. The signature of a delivery is verified, its content dropped.

The signature is GitHub's: `X-Hub-Signature-256: sha256=HEX`, HMAC-SHA256 over the raw body. GitLab and Bitbucket send
other signatures or none; a proxy can add this one.
"""

from __future__ import annotations

import hashlib
import hmac
from collections import OrderedDict
from enum import Enum

# Larger bodies are rejected: a push of many commits has a few hundred KB.
MAX_BODY_BYTES = 2**20
_MAX_REMEMBERED = 10_000


class DeliveryResult(Enum):
    """The result of a delivery, with its HTTP status."""

    ACCEPTED = 202
    FORGED = 401
    REPLAYED = 409


class Webhook:
    """Verifies deliveries with a shared secret. The same body is accepted once: a replay has no effect."""

    def __init__(self, secret: str) -> None:
        self._secret = secret.encode()
        self._known: OrderedDict[bytes, None] = OrderedDict()

    def check_delivery(self, body: bytes, signature: str) -> DeliveryResult:
        """Verify a delivery's signature, in constant time for forged ones."""
        right = hmac.new(self._secret, body, hashlib.sha256).digest()
        if not hmac.compare_digest(f"sha256={right.hex()}".encode(), signature.encode("utf-8", "replace")):
            return DeliveryResult.FORGED
        if right in self._known:
            return DeliveryResult.REPLAYED
        self._known[right] = None
        while len(self._known) > _MAX_REMEMBERED:
            self._known.popitem(last=False)
        return DeliveryResult.ACCEPTED
