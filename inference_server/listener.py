"""The listening socket: binding it, and closing it without resetting connections.

Closing a listener resets every connection that the kernel has completed and the program hasn't accepted. So before the
end, a socket filter drops the first packet of every new connection. The server accepts and answers the connections that
are complete; then no connection remains to be reset. A client whose first packet was dropped resends it a second later
and is refused.
"""

from __future__ import annotations

import ctypes
import math
import socket
import struct
from contextlib import suppress
from typing import Final

BACKLOG: Final = 1024
_SO_ATTACH_FILTER: Final = 26  # Linux, socket(7); Python defines no constant
_SYN: Final = 0x02


def bind(host: str, port: int, shared: bool) -> socket.socket:
    """Bind an address, exclusively or shared with the other workers' sockets. Raise OSError if it can't be bound."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listener.bind((host, port))
    except OSError:
        listener.close()
        raise
    return listener


def listen(host: str, port: int, shared: bool, write_timeout: float) -> socket.socket:
    """Bind an address and listen. Raise OSError.

    A client that takes nothing of a response for `write_timeout` seconds is disconnected.
    """
    listener = bind(host, port, shared)
    try:
        if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux only; connections inherit it
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, math.ceil(write_timeout * 1000))
        listener.listen(BACKLOG)  # fails here if another process listens exclusively
    except OSError:
        listener.close()
        raise
    listener.setblocking(False)
    return listener


def drop_new_connections(listener: socket.socket) -> None:
    """Drop new connections; those in the backlog can still be accepted. Do nothing where the filter isn't supported."""
    # A classic BPF program on the TCP header: load the flags, drop the packet if SYN is set.
    instructions = ((0x30, 0, 0, 13), (0x45, 0, 1, _SYN), (0x06, 0, 0, 0), (0x06, 0, 0, 0xFFFFFFFF))
    program = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in instructions))
    with suppress(OSError):  # an emulated kernel may not support it
        listener.setsockopt(
            socket.SOL_SOCKET, _SO_ATTACH_FILTER, struct.pack("HP", len(instructions), ctypes.addressof(program))
        )


def address(listener: socket.socket) -> str:
    """Return the socket's address as a URL."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
