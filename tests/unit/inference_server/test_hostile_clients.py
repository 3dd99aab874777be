"""Hostile clients: smuggled, truncated, slow and oversized requests, bombs, and clients that hold on or never read."""

from __future__ import annotations

import gzip
import json
import os
import re
import socket
import struct
import subprocess
import sys
import zlib
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from .server_process import BODY, ROOT, ServerProcess, get, send, until
from .server_thread import ThreadedServer

ROW = BODY.encode()
SIZE = len(ROW)
HEAD = b"POST /predict HTTP/1.1\r\nHost: x\r\n"
CHUNKS = b"%x\r\n%s\r\n0\r\n\r\n" % (SIZE, ROW)
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n"
# Stands behind each request below. Who answers it has read another end of the request than a stricter reader would.
SECOND_REQUEST = b"GET /smuggled HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"


def lengths(*values: bytes) -> list[bytes]:
    return [HEAD + b"Content-Length: " + value + b"\r\n\r\n" + ROW for value in values]


def codings(*values: bytes) -> list[bytes]:
    return [HEAD + b"Transfer-Encoding:" + value + b"\r\n\r\n" + CHUNKS for value in values]


def chunks(*values: bytes) -> list[bytes]:
    return [CHUNKED + b"\r\n" + value.replace(b"BODY", ROW) for value in values]


def heads(*values: bytes) -> list[bytes]:
    return [value.replace(b"LENGTH", b"Content-Length: %d" % SIZE) + b"\r\n\r\n" + ROW for value in values]


S = b"%d" % SIZE
X = b"%x" % SIZE
AMBIGUOUS_REQUESTS = [
    # two ends of one body
    CHUNKED + b"Content-Length: " + S + b"\r\n\r\n" + CHUNKS,
    HEAD + b"Content-Length: " + S + b"\r\nTransfer-Encoding: chunked\r\n\r\n" + CHUNKS,
    HEAD + b"Content-Length: " + S + b"\r\nContent-Length: 5\r\n\r\n" + ROW,
    HEAD + b"Content-Length: " + S + b"\r\nContent-Length: " + S + b"\r\n\r\n" + ROW,
    *lengths(b"+" + S, b"-1", b"0x20", S + b"," + S, S + b" " + S, b"3_3", b"9" * 30, b"", b"abc", S + b".0"),
    *lengths(b"\xd9\xa3\xd9\xa3", S + b"\x00", b"\x0b" + S, b"1e2", b"'5'"),
    *codings(
        b"chunked, chunked", b"xchunked", b"\x0bchunked", b"identity", b"gzip", b"gzip, chunked", b"chunked, gzip"
    ),
    *codings(
        b"chunked;q=1", b'"chunked"', b"chunked\x00", b"", b"chunked, identity", b"chunked\r\nTransfer-Encoding: x"
    ),
    *codings(b"\r\n chunked", b" chunked\r\nTransfer-Encoding: chunked"),
    HEAD + b"Transfer-Encoding : chunked\r\n\r\n" + CHUNKS,
    HEAD + b"Transfer_Encoding : chunked\r\n\r\n" + CHUNKS,
    HEAD.replace(b"1.1", b"1.0") + b"Transfer-Encoding: chunked\r\n\r\n" + CHUNKS,
    # chunks that are none
    *chunks(b"0x" + X + b"\r\nBODY\r\n0\r\n\r\n", b"-1\r\nBODY\r\n0\r\n\r\n", b"+" + X + b"\r\nBODY\r\n0\r\n\r\n"),
    *chunks(b"2_1\r\nBODY\r\n0\r\n\r\n", b"f" * 20 + b"\r\nBODY", b" " + X + b"\r\nBODY\r\n0\r\n\r\n", b"g\r\n"),
    *chunks(
        X + b" \r\nBODY\r\n0\r\n\r\n", X + b"\nBODY\r\n0\r\n\r\n", X + b"\r\nBODY0\r\n\r\n", b"\r\nBODY\r\n0\r\n\r\n"
    ),
    *chunks(X + b"\r\nBODY\n0\r\n\r\n", b"1\r\nBODY\r\n0\r\n\r\n", X + b";a=\nb\r\nBODY\r\n0\r\n\r\n"),
    *chunks(X + b";a=\rb\r\nBODY\r\n0\r\n\r\n", X + b"\r\r\nBODY\r\n0\r\n\r\n", X + b"\r\nBODY\r\n0\n\n"),
    *chunks(X + b"\r\nBODY\r\n0\r\nContent-Length: 5\r\n\r\n"),
    # heads whose lines end elsewhere for others
    (HEAD + b"Content-Length: " + S + b"\r\n\r\n").replace(b"\r\n", b"\n") + ROW,
    *heads(HEAD + b"X: a\x00b\r\nLENGTH", HEAD + b"X: a\rb\r\nLENGTH", HEAD + b"X: a\rContent-Length: 0\r\nLENGTH"),
    *heads(HEAD + b"X: a\nContent-Length: 0\r\nLENGTH", HEAD + b"X: a\r\n b\r\nLENGTH", HEAD + b" X: a\r\nLENGTH"),
    *heads(HEAD + b"X Y: a\r\nLENGTH", HEAD + b": a\r\nLENGTH", HEAD + b"Xabc\r\nLENGTH", HEAD + b"X\x01: a\r\nLENGTH"),
    *heads(
        b"POST /predict HTTP/1.1\r\n Host: x\r\nLENGTH",
        b"POST /predict HTTP/1.1\r\nLENGTH",
        HEAD + b"Host: y\r\nLENGTH",
    ),
    # request lines
    *heads(*(line + b"\r\nHost: x\r\nLENGTH" for line in (b"POST /predict HTTP/1.2", b"POST /predict http/1.1"))),
    *heads(
        *(
            line + b"\r\nHost: x\r\nLENGTH"
            for line in (b"POST /predict", b"POST\t/predict\tHTTP/1.1", b"P\x01T / HTTP/1.1")
        )
    ),
    *heads(*(line + b"\r\nHost: x\r\nLENGTH" for line in (b"POST /pre\x00dict HTTP/1.1", b"POST /\xc3\xa9 HTTP/1.1"))),
    *heads(
        *(
            line + b"\r\nHost: x\r\nLENGTH"
            for line in (b"POST http://[::1 HTTP/1.1", b"XYZ / HTTP/1.1", b"POST / HTTP/1.1 x")
        )
    ),
    *heads(
        *(
            line + b"\r\nHost: x\r\nLENGTH"
            for line in (b"", b"\x00", b"POST", b"POST / HTTP/", b"POST / HTTP/1", b"POST / FTP/1.1")
        )
    ),
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"PROXY TCP4 192.0.2.1 192.0.2.2 5 6\r\nGET /livez HTTP/1.1\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200),
]
# Odd, and yet everybody reads the same end: answered, as is what stands behind them.
UNAMBIGUOUS_REQUESTS = [
    *codings(b" CHUNKED"),
    *chunks(X + b";a=b\r\nBODY\r\n0\r\n\r\n", X + b"\r\nBODY\r\n0\r\nX: y\r\n\r\n", X + b"\r\nBODY\r\n00000\r\n\r\n"),
    *heads(HEAD.replace(b"/predict", b"/predict?a=%00%ff") + b"LENGTH"),
    *heads(HEAD.replace(b"/predict", b"http://other/predict") + b"LENGTH"),
]


def short_timeouts(start_server: Any, housing_bundle: Any) -> ThreadedServer:
    return start_server(housing_bundle, keepalive=0.3, head_timeout=0.3, body_timeout=0.3)


def statuses(answer: bytes) -> list[int]:
    return [int(status) for status in re.findall(rb"HTTP/1\.[01] (\d{3}) ", answer)]


def test_ambiguous_requests_are_rejected_and_close_the_connection(housing_bundle: Any, start_server: Any) -> None:
    """Whatever two readers could read differently is 400, once, and what stands behind it is never read as
    a request.
    """
    server = short_timeouts(start_server, housing_bundle)
    assert len(AMBIGUOUS_REQUESTS) > 70
    for sent in AMBIGUOUS_REQUESTS:
        assert statuses(server.send_raw(sent + SECOND_REQUEST)) == [400], sent
    assert server.log_events == []


def test_unusual_but_unambiguous_requests_are_answered(housing_bundle: Any, start_server: Any) -> None:
    """The check above can tell: after these the second request is read."""
    for sent in UNAMBIGUOUS_REQUESTS:
        assert statuses(short_timeouts(start_server, housing_bundle).send_raw(sent + SECOND_REQUEST)) == [200, 404], (
            sent
        )


def test_body_of_a_get_is_not_parsed_as_a_request(housing_bundle: Any, start_server: Any) -> None:
    """A GET with a body is answered once: the body is read as one."""
    sent = b"GET /livez HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(SECOND_REQUEST)
    assert statuses(short_timeouts(start_server, housing_bundle).send_raw(sent + SECOND_REQUEST)) == [200]


def test_truncated_requests_leave_no_trace(housing_bundle: Any, start_server: Any) -> None:
    """A request cut off after any byte, by an end or by a reset, leaves no trace; the next is answered."""
    server = short_timeouts(start_server, housing_bundle)
    whole = CHUNKED + b"Content-Type: application/json\r\n\r\n" + CHUNKS
    for end in range(len(whole)):
        with server.connect() as connection:
            connection.sendall(whole[:end])
            if end % 2:  # closing then resets
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    assert server.send("POST", "/predict", ROW).status == 200
    assert server.log_events == []
    assert b'status="500"' not in server.send("GET", "/metrics").body


def test_single_byte_writes_form_one_request(housing_bundle: Any, start_server: Any) -> None:
    """A request whose bytes come one at a time is a request like any other."""
    with start_server(housing_bundle).connect() as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in CHUNKED + b"Connection: close\r\n\r\n" + CHUNKS:
            connection.sendall(bytes([byte]))
        assert b"".join(iter(lambda: connection.recv(65536), b"")).startswith(b"HTTP/1.1 200 ")


def test_too_many_headers_are_rejected(housing_bundle: Any, start_server: Any) -> None:
    """Five thousand small headers are refused as one large is."""
    many = b"".join(b"X-%d: a\r\n" % number for number in range(5000))
    assert statuses(start_server(housing_bundle).send_raw(HEAD + many + b"\r\n"))[0] in {400, 431}


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    edits=st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 3), st.binary(max_size=4)), min_size=1, max_size=4),
    chunked=st.booleans(),
)
def test_corrupted_requests_never_cause_a_server_error(
    housing_bundle: Any, start_server: Any, edits: list[tuple[int, int, bytes]], chunked: bool
) -> None:
    """A request with any bytes inserted, replaced or removed anywhere: an answer below 500 or none.

    Nothing is logged.
    """
    server = short_timeouts(start_server, housing_bundle)
    sent = bytearray(CHUNKED + b"\r\n" + CHUNKS if chunked else HEAD + b"Content-Length: " + S + b"\r\n\r\n" + ROW)
    for place, removed, inserted in edits:
        at = place % len(sent)
        sent[at : at + removed] = inserted
    with server.connect() as connection, suppress(ConnectionError):
        connection.sendall(bytes(sent) + SECOND_REQUEST)
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
        assert all(status < 500 for status in statuses(answer))
        assert answer == b"" or answer.startswith(b"HTTP/1.")
    assert server.log_events == []


# --- against a process of its own: memory, file system, privileges ---


def memory_bytes(process: ServerProcess, what: str = "VmRSS") -> int:
    """Give the process' memory in bytes; VmHWM is the most that it ever had."""
    status = Path(f"/proc/{process.process.pid}/status").read_text()
    return 1024 * int(re.search(rf"^{what}:\s+(\d+) kB", status, re.MULTILINE)[1])  # type: ignore[index]


def decompression_bomb(size: int, kind: int) -> bytes:
    """Compress zeros: 31 is gzip, 15 zlib, -15 raw deflate."""
    packer = zlib.compressobj(9, zlib.DEFLATED, kind)
    return b"".join(packer.compress(bytes(2**20)) for _ in range(size // 2**20)) + packer.flush()


def test_decompression_bombs_are_rejected_in_bounded_memory(housing_bundle: Any, start_process: Any) -> None:
    """64 MiB of zeros in 64 KiB are 413, four at once, gzip and deflate, announced or chunked.

    Memory stays as it was.
    """
    process = start_process(housing_bundle.directory, DRAIN_DELAY="0")
    port = process.wait_until_started()
    send(port, "/predict", BODY)
    before = memory_bytes(process, "VmHWM")
    for kind, name in ((31, b"gzip"), (15, b"deflate"), (-15, b"deflate")):
        packed = decompression_bomb(2**26, kind)
        assert len(packed) < 2**17
        for framed in (
            b"Content-Length: %d\r\n\r\n%s" % (len(packed), packed),
            b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n" % (len(packed), packed),
        ):
            with ExitStack() as open_ones:
                connections = [
                    open_ones.enter_context(socket.create_connection(("127.0.0.1", port), 30)) for _ in range(4)
                ]
                for connection in connections:
                    with suppress(ConnectionError):  # refused before it was all sent
                        connection.sendall(HEAD + b"Content-Encoding: " + name + b"\r\n" + framed)
                for connection in connections:
                    with suppress(ConnectionError):
                        assert statuses(connection.recv(65536)) == [413]
    assert memory_bytes(process, "VmHWM") - before < 80 * 2**20
    twice = gzip.compress(gzip.compress(ROW))
    with socket.create_connection(("127.0.0.1", port), 30) as connection:
        connection.sendall(HEAD + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n%s" % (len(twice), twice))
        assert statuses(connection.recv(65536)) == [400]


def test_idle_connections_are_cheap_and_closed(housing_bundle: Any, start_process: Any) -> None:
    """They cost a few MB, keep nobody from being answered, and are closed after the idle time."""
    process = start_process(housing_bundle.directory, "--keepalive", "2", DRAIN_DELAY="0")
    port = process.wait_until_started()
    send(port, "/predict", BODY)
    before = memory_bytes(process)
    with ExitStack() as open_ones:
        idle = [open_ones.enter_context(socket.create_connection(("127.0.0.1", port), 60)) for _ in range(200)]
        for connection in idle[:100]:
            connection.sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
        assert json.loads(send(port, "/predict", BODY))["predictions"]
        assert memory_bytes(process) - before < 16 * 2**20
        for number, connection in enumerate(idle):
            answer = b"".join(iter(lambda connection=connection: connection.recv(4096), b""))
            assert statuses(answer) == ([200] if number < 100 else [])


@pytest.mark.parametrize(
    "sent",
    [
        b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n",
        HEAD + b"Content-Length: " + S + b"\r\n\r\n" + ROW,
        HEAD + b"Content-Length: 1\r\n\r\n{",
    ],
)
def test_client_that_never_reads_is_cut_off(housing_bundle: Any, start_process: Any, sent: bytes) -> None:
    """Its answers fill no memory, others are answered, and after its time it is cut off."""
    process = start_process(housing_bundle.directory, "--write-timeout", "1", DRAIN_DELAY="0")
    port = process.wait_until_started()
    send(port, "/openapi.json")
    before = memory_bytes(process)
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect(("127.0.0.1", port))
        client.settimeout(0.5)
        with suppress(TimeoutError, ConnectionError):  # the server reads no more, or has cut it off already
            for _ in range(20_000):
                client.sendall(sent * 10)
        assert memory_bytes(process) - before < 16 * 2**20
        assert get(port, "/livez") == 200

        def cut_off() -> bool:
            try:
                client.send(b"x")
            except TimeoutError:
                return False
            except OSError:
                return True
            return False

        until(cut_off)
    process.process.terminate()
    assert process.wait_for_exit()[0] == 0


READ_ONLY = ["unshare", "--mount", "sh", "-c"]
UNPRIVILEGED = 'mount -o remount,ro,bind / && exec setpriv --bounding-set=-all --inh-caps=-all --no-new-privs "$0" "$@"'


def test_runs_with_a_read_only_root_and_no_privileges(housing_bundle: Any, start_process: Any) -> None:
    """Where not one file of the root can be written, and without any capability, it starts, predicts and
    ends with 0.
    """
    probe = ["python3", "-c", "open('planted', 'w')"]
    probed = subprocess.run([*READ_ONLY, UNPRIVILEGED, *probe], cwd=ROOT, capture_output=True, text=True, check=False)
    if "Read-only file system" not in probed.stderr:
        pytest.skip(f"this machine lets nobody mount read-only: {probed.stderr.strip()[-80:]}")
    user = ["setpriv", "--reuid=65532", "--clear-groups"] if _readable_by_all() else []
    process = start_process(housing_bundle.directory, under=[*READ_ONLY, UNPRIVILEGED, *user], DRAIN_DELAY="0")
    port = process.wait_until_started()
    assert json.loads(send(port, "/predict", BODY))["predictions"]
    assert b"moorage_rows_total 1.0" in send(port, "/metrics")
    process.process.terminate()
    assert process.wait_for_exit()[0] == 0


def _readable_by_all() -> bool:
    """Tell whether another user could run this interpreter with this code at all."""
    paths = [Path(os.path.realpath(sys.executable)), Path(sys.executable), ROOT]
    return all(parent.stat().st_mode & 0o005 == 0o005 for path in paths for parent in path.parents)
