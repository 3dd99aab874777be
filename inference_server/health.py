"""Container health check: `python -m inference_server.health --url URL` exits 0 if the URL answers 200, else 1.

It replaces curl. ECS starts it repeatedly beside the server, so it imports little and waits briefly. It reads one
status line and needs no HTTP library.
"""

from __future__ import annotations

import socket
import sys

_SECONDS = 4.0  # below the 5 s that ECS allows a health check by default


def check(url: str) -> str:
    """Send one GET to `http://HOST[:PORT]/PATH`. Return the problem, or an empty string."""
    scheme, _, rest = url.partition("://")
    address, _, path = rest.partition("/")
    host, _, port = address.partition(":")
    if scheme != "http" or not host or not (port or "80").isdecimal():
        return f"{url}: not supported; use http://HOST[:PORT]/PATH"
    request = f"GET /{path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"
    try:
        with socket.create_connection((host, int(port or 80)), _SECONDS) as connection:
            connection.sendall(request.encode())
            words = connection.makefile("rb").readline(1000).split()
    except OSError as error:
        return f"{url}: {type(error).__name__}: {error}"
    if len(words) < 2 or words[1] != b"200":
        return f"{url}: answered {b' '.join(words[1:]).decode(errors='replace') or 'nothing'}"
    return ""


def main(arguments: list[str]) -> int:
    """Run the check; write a problem to stderr."""
    if len(arguments) != 2 or arguments[0] != "--url":
        sys.stderr.write("usage: python -m inference_server.health --url URL\n")
        return 2
    if problem := check(arguments[1]):
        sys.stderr.write(f"{problem}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
