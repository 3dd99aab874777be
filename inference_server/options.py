"""What the operator can set: each option on the command line or, with the same name in capitals, in the environment."""

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
            raise argparse.ArgumentTypeError(f"{text!r} is no number") from None
        if not (low <= value < math.inf):
            raise argparse.ArgumentTypeError(f"{text} is not {low} or more")
        return value

    return read


def _fraction(text: str) -> float:
    value = _number(0, float)(text)
    if value > 1:
        raise argparse.ArgumentTypeError(f"{text} is no share; it must be from 0 to 1")
    return value


def _option(default: Any, read: Callable[[str], Any], text: str) -> Any:
    return field(default=default, metadata={"read": read, "help": text})


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Times are in seconds, sizes in bytes."""

    model_dir: Path = field(metadata={"read": Path, "help": "directory with model.ubj and manifest.json"})
    host: str = _option("127.0.0.1", str, "address to listen on")
    port: int = _option(8080, _number(0, int), "port to listen on; 0 takes a free one and logs it")
    workers: int = _option(1, _number(1, int), "processes that share the port")
    threads: int = _option(1, _number(1, int), "threads that libxgboost uses per prediction")
    max_body: int = _option(8 * 2**20, _number(1, int), "largest body; above it 413")
    max_bodies: int = _option(64 * 2**20, _number(1, int), "bytes of all large bodies held at once; above it 503")
    max_rows: int = _option(10_000, _number(1, int), "most rows per request; above it 422")
    max_explained: int = _option(1000, _number(1, int), "most rows that one request may have explained; above it 422")
    max_pending: int = _option(256, _number(1, int), "most requests that may wait for a prediction; above it 503")
    request_timeout: float = _option(30.0, _number(0, float), "how long a large request may take; after it 504")
    head_timeout: float = _option(
        10.0, _number(0, float), "how long a head may take to arrive; after it the connection closes"
    )
    body_timeout: float = _option(30.0, _number(0, float), "how long a body may take to arrive; after it 408")
    write_timeout: float = _option(
        30.0, _number(0.001, float), "how long a client may take nothing of its answer; after it, it is cut off"
    )
    keepalive: float = _option(75.0, _number(0, float), "idle time before a connection closes; load balancers wait 60")
    drain_delay: float = _option(5.0, _number(0, float), "after SIGTERM: how long new connections are still answered")
    stop_timeout: float = _option(
        20.0, _number(0, float), "after the drain delay: how long requests may take to finish"
    )
    drift_window: int = _option(5000, _number(10, int), "rows, per worker, that drift is told of")
    capture: str = _option("", str, "file to which a sample of rows and predictions is appended; none without it")
    capture_share: float = _option(0.01, _fraction, "share of rows that is captured")
    emf_interval: float = _option(0.0, _number(0, float), "how often CloudWatch metrics are logged; 0 is never")
    log_level: str = _option("info", str.lower, "debug, info, warning or error")


def parse(arguments: Sequence[str], environment: Mapping[str, str]) -> Options:
    """Read the command line, then the environment, then defaults. Exit with 2 and a message on stderr if unusable."""
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
        parser.error(f"argument --port: {options.port} is no port")
    return options
