"""The listening socket: how it is bound, and how it is left without resetting anybody's connection.

Closing a listener resets whoever the kernel has let in and the program has not accepted yet. So before the end the
kernel is told to drop the first packet of every new connection; who is already in gets accepted and answered; then
nobody is left to be reset. A client whose first packet was dropped sends it again a second later and is refused.
"""

from __future__ import annotations

import ctypes
import math
import socket
import struct
from contextlib import suppress
from typing import Final

BACKLOG: Final = 1024
_SO_ATTACH_FILTER: Final = 26  # Linux, socket(7); Python has no name for it
_SYN: Final = 0x02


def bind(host: str, port: int, shared: bool) -> socket.socket:
    """Bind an address, alone or to be shared with other sockets of ours. Raise OSError if it can't be had."""
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
    """Bind an address and listen. A client that takes nothing of an answer for `patience` s is cut off. Raise OSError."""
    listener = bind(host, port, shared)
    try:
        if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux; connections inherit it
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, math.ceil(write_timeout * 1000))
        listener.listen(BACKLOG)  # only here another's exclusive listener is met
    except OSError:
        listener.close()
        raise
    listener.setblocking(False)
    return listener


def drop_new_connections(listener: socket.socket) -> None:
    """Let no new connection begin. Those that have begun can still be accepted. Does nothing where it can't be done."""
    # A classic BPF program over the TCP header: load the flags, and drop the packet if it opens a connection.
    instructions = ((0x30, 0, 0, 13), (0x45, 0, 1, _SYN), (0x06, 0, 0, 0), (0x06, 0, 0, 0xFFFFFFFF))
    program = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in instructions))
    with suppress(OSError):  # an emulated kernel may not have it
        listener.setsockopt(
            socket.SOL_SOCKET, _SO_ATTACH_FILTER, struct.pack("HP", len(instructions), ctypes.addressof(program))
        )


def address(listener: socket.socket) -> str:
    """Give the address as a URL."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
