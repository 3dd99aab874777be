"""The server's options: each on the command line or, under the same name in capitals, in the environment."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any


def _number(low: float, kind: type[int | float]) -> Callable[[str], float]:
    def read(text: str) -> float:
        try:
            value = kind(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r} is not a number") from None
        if not (low <= value < math.inf):
            raise argparse.ArgumentTypeError(f"{text} is not {low} or more")
        return value

    return read


def _fraction(text: str) -> float:
    value = _number(0, float)(text)
    if value > 1:
        raise argparse.ArgumentTypeError(f"{text} is not a share; it must be between 0 and 1")
    return value


def _option(default: Any, read: Callable[[str], Any], text: str) -> Any:
    return field(default=default, metadata={"read": read, "help": text})


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The options. Times are in seconds, sizes in bytes."""

    model_dir: Path = field(metadata={"read": Path, "help": "directory with model.ubj and manifest.json"})
    host: str = _option("127.0.0.1", str, "address to listen on")
    port: int = _option(8080, _number(0, int), "port to listen on; 0 selects a free port and logs it")
    workers: int = _option(1, _number(1, int), "processes that share the port")
    threads: int = _option(1, _number(1, int), "threads that libxgboost uses per prediction")
    max_body: int = _option(8 * 2**20, _number(1, int), "largest body; beyond it 413")
    max_bodies: int = _option(64 * 2**20, _number(1, int), "total bytes of large bodies in memory; beyond it 503")
    max_rows: int = _option(10_000, _number(1, int), "most rows per request; beyond it 422")
    max_explained: int = _option(1000, _number(1, int), "most rows per request to explain; beyond it 422")
    max_pending: int = _option(256, _number(1, int), "most requests waiting for a prediction; beyond it 503")
    request_timeout: float = _option(30.0, _number(0, float), "time limit of a large request; beyond it 504")
    head_timeout: float = _option(
        10.0, _number(0, float), "time limit for a request head to arrive; beyond it the connection closes"
    )
    body_timeout: float = _option(30.0, _number(0, float), "time limit for a body to arrive; beyond it 408")
    write_timeout: float = _option(
        30.0,
        _number(0.001, float),
        "time that a client may read nothing of its response; beyond it the connection closes",
    )
    keepalive: float = _option(
        75.0, _number(0, float), "idle time before a connection closes; load balancers wait 60 s"
    )
    drain_delay: float = _option(
        5.0, _number(0, float), "after SIGTERM: time in which new connections are still answered"
    )
    stop_timeout: float = _option(20.0, _number(0, float), "after the drain delay: time limit for requests to finish")
    drift_window: int = _option(5000, _number(10, int), "rows per worker in the drift window")
    capture: str = _option("", str, "file to append a sample of rows and predictions to; empty disables capture")
    capture_share: float = _option(0.01, _fraction, "share of rows to capture")
    emf_interval: float = _option(0.0, _number(0, float), "interval of CloudWatch metrics in the log; 0 disables them")
    log_level: str = _option("info", str.lower, "debug, info, warning or error")


def parse(arguments: Sequence[str], environment: Mapping[str, str]) -> Options:
    """Read the command line, then the environment, then defaults. Exit with 2 and a message on stderr if invalid."""
    parser = argparse.ArgumentParser(
        prog="python -m inference_server",
        description="Serve one XGBoost model bundle over HTTP.",
        epilog="Each option can also be set in the environment, e.g. DRAIN_DELAY=10.",
    )
    for option in fields(Options):
        name, variable = option.name.replace("_", "-"), option.name.upper()
        default = environment.get(variable, None if option.name == "model_dir" else str(option.default))
        parser.add_argument(
            f"--{name}",
            type=option.metadata["read"],
            default=default,
            required=default is None,
            metavar=name.rpartition("-")[2].upper(),
            help=option.metadata["help"] + ("" if option.name == "model_dir" else " (%(default)s)"),
            choices=("debug", "info", "warning", "error") if option.name == "log_level" else None,
        )
    options = Options(**vars(parser.parse_args(arguments)))
    if options.port > 65535:
        parser.error(f"argument --port: {options.port} is not a port")
    return options
