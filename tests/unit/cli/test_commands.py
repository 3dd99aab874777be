"""The commands as a shell sees them: exit codes, data on stdout, everything else on stderr."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import xgboost
import yaml

from controller.cli import failure, run
from controller.cli.predict import curl
from controller.core.status import Condition, Event, Status
from controller.core.values import Key
from controller.environments.backend import open_local_backend
from controller.errors import MoorageError, SpecError
from controller.spec.load import load_specs

ROOT = Path(__file__).resolve().parents[3]
SPECS = str(ROOT / "specs")
MODEL = Key("default", "ModelService", "housing-model")


def moorage(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command in its own process."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("MOORAGE", "AWS"))}
    return subprocess.run(
        [sys.executable, "-c", "from controller.cli import main; main()", *arguments],
        cwd=ROOT,
        env={**kept, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_invalid_spec_exits_2_without_a_traceback(tmp_path: Path) -> None:
    """The errors appear on stderr in a compiler's format, and stdout is empty."""
    (tmp_path / "a.yaml").write_text("kind: Modelservice\n")
    done = moorage("validate", "-f", str(tmp_path))
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        f"{tmp_path}/a.yaml:1:7: error: unknown kind 'Modelservice'\n"
        " 1 | kind: Modelservice\n"
        "   |       ^^^^^^^^^^^^  did you mean 'ModelService'?\n"
    )
    assert "Traceback" in moorage("validate", "-f", str(tmp_path), MOORAGE_DEBUG="1").stderr


def test_version_imports_no_command() -> None:
    """Commands are imported when they are called, so `--version` imports no botocore, pydantic or YAML."""
    code = (
        "import sys; from controller.cli import run; run(['--version']);"
        "imported = {m.split('.')[0] for m in sys.modules};"
        "print(sorted(imported & {'boto3', 'botocore', 'pydantic', 'yaml', 'aiohttp', 'moto'}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines()[1] == "[]"


def test_closed_pipe_is_no_error() -> None:
    """`moorage schema | head -1` exits without an error message."""
    done = subprocess.run(
        [
            "bash",
            "-c",
            f"set -o pipefail; {sys.executable} -c 'from controller.cli import main; main()' schema | head -c 1",
        ],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "{", "")


class MishapError(MoorageError):
    """An error with its own exit code."""

    exit_code: ClassVar[int] = 8


def _raise(error: BaseException) -> Any:
    raise error


@pytest.mark.parametrize(
    ("error", "code", "expected"),
    [
        (
            MishapError("held", where="default", why="by another", hint="wait"),
            8,
            "error: default: held: by another (wait)\n",
        ),
        (
            KeyboardInterrupt(),
            130,
            "error: interrupted; work that AWS has started continues, and the next run resumes\n",
        ),
        (
            ZeroDivisionError("oh"),
            1,
            "error: unexpected ZeroDivisionError: oh (this is a bug in Moorage; MOORAGE_DEBUG=1 shows the traceback)\n",
        ),
        (MishapError("key AKIAIOSFODNN7EXAMPLE is wrong"), 8, "error: key [redacted] is wrong\n"),
    ],
)
def test_each_error_has_a_message_and_an_exit_code(
    error: BaseException, code: int, expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A MoorageError has its own exit code, an interrupt 130, a bug 1; none shows a traceback or a secret."""
    assert failure.run_guarded(lambda: _raise(error)) == code
    assert capsys.readouterr() == ("", expected)


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["nonsense"], 2),
        (["validate", "--nope"], 2),
        (["validate", "-f", "does/not/exist"], 2),
        (["validate", "-o", "xml", "-f", SPECS], 2),
        (["explain", "modelservice.spec.nope"], 6),
        (["reconcile", "-f", SPECS, "--listen", "nowhere"], 2),
        (["reconcile", "-f", SPECS, "--interval", "often"], 2),
        (["reconcile", "--once", "--timeout", "30", "-f", SPECS, "--events", "/does/not/exist"], 2),
        (["validate", "-f", SPECS], 0),
        (["--version"], 0),
        (["--help"], 0),
        (["plan", "--help"], 0),
    ],
)
def test_exit_codes_of_usage(arguments: list[str], code: int) -> None:
    """Invalid usage exits 2, an unknown field 6."""
    assert run(arguments) == code


def test_diff_of_an_unknown_name_says_which_there_are(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A name that no spec has is an error before the first call to AWS, and differs from no difference."""
    assert run(["diff", "no-such-model", "-f", SPECS, "--home", str(tmp_path)]) == 6
    assert "the specs declare: housing-model" in capsys.readouterr().err


def test_diff_and_plan_exit_codes(tmp_path: Path) -> None:
    """`diff` reserves 1 for a difference; `plan --detailed-exitcode` exits 1 on every error."""
    (tmp_path / "a.yaml").write_text("kind: X\n")
    assert run(["plan", "-f", str(tmp_path), "--home", str(tmp_path)]) == 2
    assert run(["plan", "-f", str(tmp_path), "--home", str(tmp_path), "--detailed-exitcode"]) == 1
    assert run(["diff", "-f", str(tmp_path), "--home", str(tmp_path)]) == 2
    assert failure.run_guarded(lambda: _raise(ZeroDivisionError()), lambda code: max(code, 2)) == 2


def test_validate_lists_what_it_read(capsys: pytest.CaptureFixture[str]) -> None:
    """The table lists documents, files and rows; JSON has the specs themselves, as loaded."""
    assert run(["validate", "-f", SPECS]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["KIND", "NAME", "FILE", "DATA"]
    assert "8 features; rows: 14,824 train, 1,682 validation, 4,134 test" in lines[2]
    assert run(["validate", "-f", SPECS, "-o", "name"]) == 0
    assert capsys.readouterr().out == "environment/default\nmodelservice/housing-model\n"
    assert run(["validate", "-f", SPECS, "-o", "json"]) == 0
    service = json.loads(capsys.readouterr().out)[1]
    assert service == load_specs([Path(SPECS)]).services["housing-model"].model.model_dump(
        mode="json", by_alias=True, exclude_none=True
    )


def test_unusable_data_is_reported_at_the_spec_field(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A missing data file exits 2 with the position of the field that names it."""
    text = (ROOT / "specs/housing-model.yaml").read_text().replace("../data/california_housing.csv", "nowhere.csv")
    (tmp_path / "a.yaml").write_text(text)
    assert run(["validate", "-f", str(tmp_path)]) == 2
    assert capsys.readouterr().err.startswith(
        f"{tmp_path}/a.yaml:7:13: error: {tmp_path}/nowhere.csv: the file can't be read"
    )


def test_explain_points_to_the_nearest_field(capsys: pytest.CaptureFixture[str]) -> None:
    """A mistyped path gets a hint, whichever part is wrong; without a path, `explain` lists the kinds."""
    assert run(["explain"]) == 0
    assert capsys.readouterr().out.startswith("environment ")
    for path, hint in {
        "modelservice.spec.servise.cpu": "did you mean 'service'?",
        "modelservise": "did you mean 'modelservice'?",
        "modelservice.spec.zzzz": "moorage explain modelservice.spec",
        "zzzz": "moorage explain",
    }.items():
        assert run(["explain", path]) == 6
        assert f"({hint})" in capsys.readouterr().err


@pytest.fixture
def state_directory(embedded_aws: Any) -> Iterator[Path]:
    """The state directory of an embedded AWS, with the status of one model."""
    store = open_local_backend(embedded_aws.home).store
    ready = Condition("Ready", "True", "Reconciled", "", "2026-11-23T08:00:00Z", 1)
    store.save_status(Status(MODEL, 1, "", (ready,), {"model": {"version": 2}}))
    store.emit(Event("2026-11-23T08:00:00Z", MODEL, "Normal", "Created", "cpu"))
    yield embedded_aws.home
    store.delete_status(MODEL)
    store.close()


@pytest.mark.parametrize("command", ["get", "describe", "events"])
def test_stored_state_is_shown(command: str, state_directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`get`, `describe` and `events` print the stored state in every format; JSON and YAML hold the same data."""
    known = ["--local", "--home", str(state_directory), "-f", SPECS]
    shown = {}
    for form in ("table", "wide", "name", "json", "yaml"):
        assert run([command, "housing-model", "-o", form, *known]) == 0
        shown[form] = capsys.readouterr().out
    assert "housing-model" in shown["table"]
    assert json.loads(shown["json"]) == yaml.safe_load(shown["yaml"])
    if command == "get":
        assert shown["name"] == "modelservice/housing-model\n"
        assert json.loads(shown["json"])["status"]["model"] == {"version": 2}
        assert json.loads(shown["json"])["spec"]["service"]["cpu"] == 256


def test_get_without_a_name_lists_all(state_directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A list has `items`; if the specs can't be read, each item has only its status."""
    assert run(["get", "-o", "json", "--local", "--home", str(state_directory), "-f", "nowhere"]) == 0
    items = json.loads(capsys.readouterr().out)["items"]
    assert [item["metadata"]["name"] for item in items] == ["housing-model"]
    assert "spec" not in items[0]


def test_unknown_name_exits_6(state_directory: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A wrong name gets a suggestion; without an embedded AWS, `--local` finds nothing."""
    assert run(["get", "housing-modle", "--local", "--home", str(state_directory)]) == 6
    assert "did you mean 'housing-model'?" in capsys.readouterr().err
    assert run(["predict", "housing-model", "a=1", "--local", "--home", str(state_directory)]) == 6
    assert run(["get", "--local", "--home", str(tmp_path)]) == 6


class FakeModelServer(BaseHTTPRequestHandler):
    """Answers like the server: with the body, or with 422."""

    def do_POST(self) -> None:
        """Answer one request."""
        body = self.rfile.read(int(self.headers["content-length"]))
        code = 422 if b"wrong" in body else 200
        answer = json.dumps({"path": self.path, "got": json.loads(body)}).encode()
        self.send_response(code)
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: object) -> None:
        """Write no log."""


@pytest.fixture
def endpoint() -> Iterator[str]:
    """An API on loopback."""
    with HTTPServer(("127.0.0.1", 0), FakeModelServer) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/api"
        server.shutdown()
        thread.join()


def test_predict_asks_through_the_api(
    state_directory: Path, endpoint: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`predict` posts the row to /predict; stdout has the answer, stderr the same request as a curl command."""
    store = open_local_backend(state_directory).store
    store.save_status(Status(MODEL, 1, "", (), {"endpoint": f"{endpoint}/"}))
    store.close()
    assert run(["predict", "housing-model", "a=1.5", "b=", "c=41", "--local", "--home", str(state_directory)]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out) == {"path": "/api/predict", "got": {"instances": [{"a": 1.5, "b": None, "c": 41}]}}
    assert err.strip() == curl(f"{endpoint}/predict", b'{"instances": [{"a": 1.5, "b": null, "c": 41}]}')
    (tmp_path / "body.json").write_text('{"instances": [[1]]}')
    assert (
        run(
            [
                "predict",
                "housing-model",
                "--data",
                str(tmp_path / "body.json"),
                "--local",
                "--home",
                str(state_directory),
            ]
        )
        == 0
    )
    assert json.loads(capsys.readouterr().out)["got"] == {"instances": [[1]]}
    for wrong in (
        ["wrong=1"],
        ["a"],
        ["=1"],
        ["a=x"],
        [],
        ["--data", "/does/not/exist"],
        ["--data", str(ROOT / "LICENSE")],
    ):
        assert run(["predict", "housing-model", *wrong, "--local", "--home", str(state_directory)]) == 2


def test_unreachable_api_exits_4(state_directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A missing answer is a failure of the service (4), not of the request (2)."""
    store = open_local_backend(state_directory).store
    store.save_status(Status(MODEL, 1, "", (), {"endpoint": "http://127.0.0.1:1"}))
    store.close()
    assert run(["predict", "housing-model", "a=1", "--local", "--home", str(state_directory)]) == 4
    assert "the API doesn't answer" in capsys.readouterr().err


def test_spec_error_has_its_exit_code() -> None:
    """The error's class decides the exit code: a SpecError is 2 wherever it is raised."""
    assert failure.run_guarded(lambda: _raise(SpecError(()))) == 2


def test_a_bundle_is_made_of_a_model_trained_elsewhere(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`bundle` writes both files with the given names; feature names that don't fit the model exit 4."""
    rows = xgboost.DMatrix(np.arange(12.0).reshape(6, 2), np.arange(6.0))
    xgboost.train({"max_depth": 2}, rows, 2).save_model(tmp_path / "houses.ubj")
    model = str(tmp_path / "houses.ubj")
    assert run(["bundle", model, "--features", "rooms, age", "-o", str(tmp_path / "out")]) == 0
    manifest = json.loads((tmp_path / "out/manifest.json").read_text())
    assert (manifest["name"], [feature["name"] for feature in manifest["features"]]) == ("houses", ["rooms", "age"])
    assert (tmp_path / "out/model.ubj").is_file()
    assert run(["bundle", model, "--features", "rooms", "-o", str(tmp_path / "other")]) == 4
    assert "it has 2 features, and 1 names are given" in capsys.readouterr().err
