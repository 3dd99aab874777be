"""The kernel alone: libxgboost's C API on the same rows, one thread, nothing around it. A program of its own.

One call predicts all rows from a buffer that is there already; its answer stays where the library put it. Beside it,
how long orjson takes to parse those rows as JSON. Both are CPU time per call, the median of batches.
"""

from __future__ import annotations

import ctypes
import json
import statistics
import struct
import sys
import time
from collections.abc import Callable
from ctypes import byref, c_uint64, c_void_p
from pathlib import Path

import orjson

from inference_server import _capi

_PREDICT_CONFIG = (
    b'{"type":0,"training":false,"iteration_begin":0,"iteration_end":0,"strict_shape":true,"missing":NaN,"cache_id":0}'
)


def main(model: Path, body: Path, seconds: float) -> None:
    """Time both. `body` is the JSON of a request; the last line on stdout is the result."""
    text = body.read_bytes()
    rows = orjson.loads(text)["instances"]
    predict, read = _prepare(model.read_bytes(), rows)
    library_time, parse = _median(predict, seconds), _median(lambda: orjson.loads(text), seconds)
    print(json.dumps({"library": library_time, "parse": parse, "first": read()}))


def _prepare(raw: bytes, rows: list[list[float]]) -> tuple[Callable[[], object], Callable[[], float]]:
    library = _capi.load()
    booster, proxy = c_void_p(), c_void_p()
    library.check(library.dll.XGBoosterCreate(None, 0, byref(booster)))
    library.check(library.dll.XGBoosterLoadModelFromBuffer(booster, raw, len(raw)))
    library.check(library.dll.XGBoosterSetParam(booster, b"nthread", b"1"))
    library.check(library.dll.XGProxyDMatrixCreate(byref(proxy)))
    values = [value for row in rows for value in row]
    buffer = ctypes.create_string_buffer(struct.pack(f"<{len(values)}f", *values))
    address, shape = ctypes.addressof(buffer), [len(rows), len(rows[0])]
    array = json.dumps({"data": [address, True], "shape": shape, "typestr": "<f4", "version": 3}).encode()
    shape_out, dimensions, floats = _capi.Shape(), c_uint64(), _capi.Floats()
    output = byref(shape_out), byref(dimensions), byref(floats)

    def predict(_keep_alive: object = buffer) -> None:
        library.check(library.dll.XGBoosterPredictFromDense(booster, array, _PREDICT_CONFIG, proxy, *output))

    predict()
    return predict, lambda: float(floats[0])


def _median(work: Callable[[], object], seconds: float) -> float:
    """Repeat for some seconds in batches of about 20 ms, and give the median CPU time per call."""
    start = time.process_time()
    work()
    calls = max(1, round(0.02 / max(time.process_time() - start, 1e-7)))
    found, deadline = [], time.monotonic() + seconds
    while time.monotonic() < deadline or len(found) < 3:
        start = time.process_time()
        for _ in range(calls):
            work()
        found.append((time.process_time() - start) / calls)
    return statistics.median(found)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), float(sys.argv[3]))
