"""The server as a process of its own: start, refusal to start, drain, exit codes."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import certifi
import pytest

from .server_process import BODY, MARK, MARKED, ROOT, RepeatingClient, get, send, until


def test_starts_and_stops_with_one_log_line_each(housing_bundle: Any, start_process: Any) -> None:
    """One line at start with what is served, ready at once; after SIGTERM it says that it drains and stops, exit 0."""
    process = start_process(housing_bundle.directory, DRAIN_DELAY="0")
    port = process.wait_until_started()
    assert get(port, "/readyz") == 200
    process.process.send_signal(signal.SIGTERM)
    code, log, err = process.wait_for_exit()
    assert (code, [line["event"] for line in log], err) == (0, ["draining", "stopped"], "")


def test_second_signal_skips_the_drain_delay(housing_bundle: Any, start_process: Any) -> None:
    """SIGINT is as good, and a second signal cuts the drain delay short."""
    process = start_process(housing_bundle.directory, "--drain-delay", "3600")
    process.wait_until_started()
    process.process.send_signal(signal.SIGINT)
    assert process.read_line()["event"] == "draining"
    process.process.send_signal(signal.SIGINT)
    assert process.wait_for_exit()[0] == 0


@pytest.mark.parametrize("workers", [1, 2])
def test_no_request_fails_while_draining(housing_bundle: Any, start_process: Any, workers: int) -> None:
    """Clients that never pause, on kept and on new connections, see only 200s until new connections are refused."""
    process = start_process(housing_bundle.directory, "--workers", str(workers), DRAIN_DELAY="1")
    port = {process.wait_until_started() for _ in range(workers)}.pop()
    clients = [RepeatingClient(port, keep_alive) for keep_alive in (False, True, False, True)]
    until(lambda: all(client.count >= 20 for client in clients))
    process.process.send_signal(signal.SIGTERM)
    assert [process.read_line()["event"] for _ in range(workers)] == ["draining"] * workers
    assert get(port, "/readyz") == 503
    at_signal = [client.count for client in clients]
    for client in clients:
        client.join(30)
    assert process.wait_for_exit()[0] == 0
    assert [client.failures for client in clients] == [[]] * 4
    assert all(client.count > before for client, before in zip(clients, at_signal, strict=True))


def test_request_in_progress_is_finished_on_sigterm(housing_bundle: Any, start_process: Any) -> None:
    """A request whose body arrives only after SIGTERM, past the drain delay, still gets its answer."""
    process = start_process(housing_bundle.directory, DRAIN_DELAY="0")
    port = process.wait_until_started()
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.putrequest("POST", "/predict")
    connection.putheader("Content-Length", str(len(BODY)))
    connection.endheaders()
    assert get(port, "/livez") == 200  # by now the head has been read, too
    process.process.send_signal(signal.SIGTERM)
    assert process.read_line()["event"] == "draining"
    connection.send(BODY.encode())
    assert connection.getresponse().status == 200
    connection.close()
    assert process.wait_for_exit()[0] == 0


def test_damaged_model_stops_startup(housing_bundle: Any, start_process: Any, tmp_path: Path) -> None:
    """One byte changed: it logs why and exits non-zero, before it listens."""
    raw = bytearray(housing_bundle.booster.save_raw("ubj"))
    raw[len(raw) // 2] ^= 1
    code, log, err = start_process(housing_bundle.write(tmp_path, model=bytes(raw))).wait_for_exit()
    assert (code, err, [line["event"] for line in log]) == (1, "", ["can't serve"])
    assert "is not the file that the manifest describes" in log[0]["reason"]


def test_missing_bundle_and_taken_port_stop_startup(housing_bundle: Any, start_process: Any, tmp_path: Path) -> None:
    """Both end the start with 1 and one line that says what is missing or taken."""
    code, log, err = start_process(tmp_path / "nothing").wait_for_exit()
    assert (code, err) == (1, "")
    assert "manifest.json: No such file" in log[0]["reason"]
    port = start_process(housing_bundle.directory).wait_until_started()
    code, log, err = start_process(housing_bundle.directory, "--port", str(port)).wait_for_exit()
    assert (code, log[0]["event"], err) == (1, "can't listen", "")


@pytest.mark.parametrize("arguments", [["--threads", "0"], ["--port", "70000"], ["--keepalive", "long"], ["--colour"]])
def test_invalid_options_are_usage_errors(housing_bundle: Any, start_process: Any, arguments: list[str]) -> None:
    """Exit 2, with the option named on stderr and nothing on stdout."""
    code, log, err = start_process(housing_bundle.directory, *arguments).wait_for_exit()
    assert (code, log) == (2, [])
    assert arguments[0] in err


def test_options_are_read_from_the_environment(housing_bundle: Any, start_process: Any) -> None:
    """Each option has a variable; the command line wins; nonsense there is a usage error too."""
    process = start_process(housing_bundle.directory, "--max-rows", "1", MAX_ROWS="5", MAX_BODY="200")
    connection = http.client.HTTPConnection("127.0.0.1", process.wait_until_started(), timeout=10)
    statuses = []
    for body in (BODY, BODY.replace("]]", "], [1,2,3,4,5,6,7,8]]"), BODY + " " * 200):
        connection.request("POST", "/predict", body)
        response = connection.getresponse()
        statuses.append((response.status, json.loads(response.read()).get("error", {}).get("code")))
    connection.close()
    assert statuses == [(200, None), (422, "too_many_rows"), (413, "body_too_large")]
    code, _, err = start_process(housing_bundle.directory, DRAIN_DELAY="soon").wait_for_exit()
    assert code == 2
    assert "--drain-delay" in err


def run_health_check(url: str) -> tuple[int, str]:
    command = [sys.executable, "-m", "inference_server.health", "--url", url]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=30, check=False)
    return done.returncode, done.stderr


def test_health_check_exit_codes(housing_bundle: Any, start_process: Any) -> None:
    """0 for a 200; 1 with the reason for another status, or where nobody listens; 2 for wrong usage."""
    process = start_process(housing_bundle.directory, DRAIN_DELAY="0")
    base = f"http://127.0.0.1:{process.wait_until_started()}"
    assert run_health_check(f"{base}/livez") == (0, "")
    assert run_health_check(f"{base}/nothing") == (1, f"{base}/nothing: answered 404 Not Found\n")
    process.process.send_signal(signal.SIGTERM)
    process.wait_for_exit()
    code, err = run_health_check(f"{base}/livez")
    assert code == 1
    assert "ConnectionRefusedError" in err
    assert run_health_check("https://example.com/")[0] == 1
    command = [sys.executable, "-m", "inference_server.health"]
    assert subprocess.run(command, cwd=ROOT, capture_output=True, check=False).returncode == 2


def test_no_row_is_ever_logged(housing_bundle: Any, start_process: Any) -> None:
    """Neither right nor wrong rows leave a trace in the log."""
    process = start_process(housing_bundle.directory, DRAIN_DELAY="0", LOG_LEVEL="debug")
    connection = http.client.HTTPConnection("127.0.0.1", process.wait_until_started(), timeout=10)
    for body in (BODY.replace("880.0", MARK), BODY.replace("880.0", '"secret-cell"'), "not json secret-cell", MARK):
        connection.request("POST", "/predict", body)
        connection.getresponse().read()
    connection.close()
    process.process.send_signal(signal.SIGTERM)
    out, err = process.process.communicate(timeout=30)
    assert b"secret-cell" not in out + err
    assert MARKED.encode() not in out + err


def test_workers_share_a_port_and_metrics(housing_bundle: Any, start_process: Any) -> None:
    """Three workers on one free port: all are ready, any of them reports the requests of all, SIGTERM ends
    all with 0.
    """
    process = start_process(housing_bundle.directory, "--workers", "3", DRAIN_DELAY="0")
    ports = [process.wait_until_started() for _ in range(3)]
    assert len(set(ports)) == 1
    for _ in range(30):
        assert b"predictions" in send(ports[0], "/predict", BODY)
    for _ in range(5):
        lines = send(ports[0], "/metrics").decode().splitlines()
        assert 'moorage_requests_total{route="predict",status="200"} 30.0' in lines
        assert "moorage_workers_ready 3.0" in lines
    process.process.send_signal(signal.SIGTERM)
    code, log, err = process.wait_for_exit()
    assert (code, err) == (0, "")
    assert sorted(line["event"] for line in log) == ["draining"] * 3 + ["stopped"] * 3


def test_killed_worker_stops_the_server(housing_bundle: Any, start_process: Any) -> None:
    """A worker that is killed takes the server down with 1, so that ECS sees it; nobody is left behind."""
    process = start_process(housing_bundle.directory, "--workers", "2", DRAIN_DELAY="0")
    port = process.wait_until_started()
    process.wait_until_started()
    children = Path(f"/proc/{process.process.pid}/task/{process.process.pid}/children").read_text().split()
    os.kill(int(children[0]), signal.SIGKILL)
    code, log, _ = process.wait_for_exit()
    assert code == 1
    assert next(line for line in log if line["event"] == "worker ended")["exit_code"] == -signal.SIGKILL
    with pytest.raises(ConnectionRefusedError):
        send(port, "/livez")


def test_failing_workers_stop_startup(housing_bundle: Any, start_process: Any, tmp_path: Path) -> None:
    """A bundle that one process refuses, several refuse as well."""
    code, log, _ = start_process(tmp_path, "--workers", "2").wait_for_exit()
    assert code == 1
    assert {line["event"] for line in log} == {"can't serve", "worker ended"}


def test_sigterm_during_loading_exits_with_0(start_process: Any, tmp_path: Path) -> None:
    """A server that is told to stop before it has begun ends with 0, at once, as PID 1 too."""
    os.mkfifo(tmp_path / "manifest.json")  # reading it waits for a writer: a start that takes its time
    process = start_process(tmp_path)
    with (tmp_path / "manifest.json").open("wb"):
        process.process.send_signal(signal.SIGTERM)
        assert process.wait_for_exit()[0] == 0


def test_startup_skips_ca_certificates_and_prometheus() -> None:
    """The server's program has aiohttp without the system's authorities, and Prometheus' library not at all.

    Others have them.
    """
    authorities = "from aiohttp import connector; print(connector._SSL_CONTEXT_VERIFIED.cert_store_stats()['x509_ca'])"
    environment = {**os.environ, "SSL_CERT_FILE": certifi.where()}

    def run(program: str) -> list[str]:
        argv = [
            sys.executable,
            "-c",
            f"{program}; {authorities}; import sys; print('prometheus_client' in sys.modules)",
        ]
        return subprocess.run(
            argv, env=environment, cwd=ROOT, check=True, capture_output=True, text=True
        ).stdout.split()

    assert run("import inference_server.__main__, os; assert os.environ['SSL_CERT_FILE']") == ["0", "False"]
    assert int(run("import aiohttp")[0]) > 0
