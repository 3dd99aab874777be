"""Imports aiohttp without the certificate authorities. To be imported before anything that imports aiohttp.

aiohttp makes a TLS context for its client as soon as it is imported, and OpenSSL then reads every authority that the
system trusts: a sixth of this server's start, for a client that it never is. So OpenSSL is shown an empty file
meanwhile (`SSL_CERT_FILE`: OpenSSL's SSL_CTX_load_verify_locations(3)).
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
