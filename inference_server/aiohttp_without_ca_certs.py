"""Import aiohttp without loading certificate authorities. Import this module before any module that imports aiohttp.

aiohttp creates a TLS context for its client at import, and OpenSSL then reads every authority that the system trusts.
That takes a sixth of this server's start, for a client that the server never uses. So OpenSSL gets an empty file during
the import (`SSL_CERT_FILE`: OpenSSL's SSL_CTX_load_verify_locations(3)).
"""

from __future__ import annotations

import os

_before = os.environ.get("SSL_CERT_FILE")
os.environ["SSL_CERT_FILE"] = os.devnull
try:
    import aiohttp  # noqa: F401 - for its side effects
finally:
    if _before is None:
        del os.environ["SSL_CERT_FILE"]
    else:
        os.environ["SSL_CERT_FILE"] = _before
