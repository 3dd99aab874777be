"""How long and how often: the full run and the quick one, which proves that everything works and no figure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from benchmarks.serving import peers
from benchmarks.serving.served_model import Model
from benchmarks.serving.servers import Server


@dataclass(frozen=True)
class RunSettings:
    """`seconds` per point; `rounds` of alternation; `starts` of each kind; `overload` seconds beyond capacity."""

    seconds: int
    rounds: int
    starts: int
    overload: int
    peers: Sequence[Callable[[Model], Server]]


FULL = RunSettings(seconds=6, rounds=5, starts=11, overload=60, peers=peers.ALL)
QUICK = RunSettings(seconds=1, rounds=2, starts=2, overload=3, peers=(peers.seed, peers.fastapi))
