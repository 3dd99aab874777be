"""The engine: one model in libxgboost. Takes rows of 32-bit floats and returns the library's own floats.

Predictions pass a preallocated buffer to the library, without a copy on its side and without numpy. Predictions that
would then differ from `Booster.predict` in any bit (dart, contributions) use a DMatrix.
The engine knows no names, JSON or HTTP; the signature defines the meaning of values.
"""

from __future__ import annotations

import ctypes
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from ctypes import POINTER, byref, c_char_p, c_float, c_uint64, c_void_p
from typing import Any, Final

from inference_server import _capi
from inference_server.errors import StartupError

FLOAT: Final = 4  # bytes
# Rows per call. A larger buffer would only cost memory: the library works in blocks of 64 rows.
CAPACITY: Final = 1024

# UBJSON sorts keys, so `version` is the last: a typed array of three small integers.
_VERSION: Final = re.compile(rb"version\[#L\x00{7}\x03i(.)i(.)i(.)\}?", re.DOTALL)


def _predict_config(kind: int) -> bytes:
    return (
        f'{{"type":{kind},"training":false,"iteration_begin":0,"iteration_end":0,"strict_shape":true,'
        f'"missing":NaN,"cache_id":0}}'
    ).encode()


# The prediction types of c_api.h.
_VALUE, _MARGIN, _CONTRIBUTIONS = _predict_config(0), _predict_config(1), _predict_config(2)


class _Workspace(threading.local):
    """The prediction buffers of one thread, created at its first prediction: input buffer, proxy, output pointers."""

    def __init__(self, library: _capi.Library, width: int) -> None:
        self.buffer = (c_float * (CAPACITY * width))()
        self.address = ctypes.addressof(self.buffer)
        self.width = width
        self.shape, self.dimensions, self.floats = _capi.Shape(), c_uint64(), _capi.Floats()
        self.output = byref(self.shape), byref(self.dimensions), byref(self.floats)
        self.proxy = c_void_p()
        library.check(library.dll.XGProxyDMatrixCreate(byref(self.proxy)))
        self._interfaces: dict[int, bytes] = {}

    def interface(self, rows: int) -> bytes:
        """Describe the first `rows` rows of the buffer in the format of NumPy's array interface."""
        text = self._interfaces.get(rows)
        if text is None:
            shape = f"[{rows},{self.width}]"
            text = f'{{"data":[{self.address},true],"shape":{shape},"typestr":"<f4","version":3}}'.encode()
            self._interfaces[rows] = text
        return text


class Engine:
    """One loaded model. Any thread may call it at any time.

    Tree prediction is thread-safe since xgboost 1.4 (its prediction guide, "Thread Safety"), and each thread has its
    own buffers.

    `width` is the number of features, `outputs` the number of values per prediction. `objective`, `booster` and
    `version` (of the library that wrote the model, None if unknown) come from the model; so do `feature_names` and
    `feature_types`, which are empty if the model has none. Raises StartupError when the model can't be served.
    """

    def __init__(self, raw: bytes, threads: int = 1) -> None:
        self.library = _capi.load()
        self.version = _model_version(raw)
        self._booster = self._load(raw, threads)
        self._threads = threads
        learner = self._config()["learner"]
        self.objective = str(learner["objective"]["name"])
        self.booster = str(learner["gradient_booster"]["name"])
        if self.booster not in {"gbtree", "dart"}:
            raise StartupError(
                f"model.ubj: booster {self.booster!r} is not supported; only tree boosters (gbtree, dart) are"
            )
        self.width = int(learner["learner_model_param"]["num_feature"])
        self.feature_names = self._feature_info(b"feature_name")
        self.feature_types = self._feature_info(b"feature_type")
        self._workspace = _Workspace(self.library, self.width)
        # In-place prediction sums dart's trees in another order, which can change the last bit.
        self._value = self._predict_in_place if self.booster == "gbtree" else self._predict_with_matrix
        empty = bytes(FLOAT * self.width)
        self.outputs = len(self._predict_with_matrix(empty, 1))
        self.predict(empty, 1)  # the first call configures the library, which must not happen in two threads
        try:
            self.contributions(empty, 1)
        except _capi.LibraryError as error:
            raise StartupError(
                "model.ubj: multi_strategy=multi_output_tree is not supported, because the library can't explain "
                f"such models ({error})"
            ) from None

    def predict(self, data: bytes | memoryview, rows: int) -> list[float]:
        """Predict `rows` rows of little-endian 32-bit floats, row by row, NaN for missing.

        Return `rows * outputs` values.
        """
        if rows <= CAPACITY:
            return self._value(data, rows)
        result: list[float] = []
        step = CAPACITY * self.width * FLOAT
        for start in range(0, len(data), step):
            chunk = data[start : start + step]
            result += self._value(chunk, len(chunk) // (self.width * FLOAT))
        return result

    def margin(self, data: bytes, rows: int) -> list[float]:
        """Predict before the objective's final transformation: the sums of the contributions."""
        return self._predict_with_matrix(data, rows, _MARGIN)

    def contributions(self, data: bytes, rows: int) -> list[float]:
        """Return each feature's SHAP contribution and the bias, which sum to the margin.

        The list has `rows * groups * (width + 1)` values.
        """
        return self._predict_with_matrix(data, rows, _CONTRIBUTIONS)

    def _predict_in_place(self, data: bytes | memoryview, rows: int) -> list[float]:
        work = self._workspace
        ctypes.memmove(work.address, bytes(data), len(data))
        code = self.library.dll.XGBoosterPredictFromDense(
            self._booster, work.interface(rows), _VALUE, work.proxy, *work.output
        )
        if code:
            self.library.check(code)
        return work.floats[: rows * self.outputs]

    def _predict_with_matrix(self, data: bytes | memoryview, rows: int, config: bytes = _VALUE) -> list[float]:
        buffer = (c_float * (rows * self.width)).from_buffer_copy(data)
        address = ctypes.addressof(buffer)
        interface = f'{{"data":[{address},true],"shape":[{rows},{self.width}],"typestr":"<f4","version":3}}'
        shape, dimensions, floats = _capi.Shape(), c_uint64(), _capi.Floats()
        with self._matrix(interface.encode()) as matrix:
            self.library.check(
                self.library.dll.XGBoosterPredictFromDMatrix(
                    self._booster, matrix, config, byref(shape), byref(dimensions), byref(floats)
                )
            )
            size = 1
            for length in shape[: dimensions.value]:
                size *= length
            return floats[:size]

    @contextmanager
    def _matrix(self, interface: bytes) -> Iterator[c_void_p]:
        handle = c_void_p()
        config = f'{{"missing":NaN,"nthread":{self._threads}}}'.encode()
        self.library.check(self.library.dll.XGDMatrixCreateFromDense(interface, config, byref(handle)))
        try:
            yield handle
        finally:
            self.library.dll.XGDMatrixFree(handle)

    def _load(self, raw: bytes, threads: int) -> c_void_p:
        library, handle = self.library, c_void_p()
        if self.version and self.version > library.version:
            raise StartupError(f"model.ubj: {_newer_trainer_message(self.version, library.version)}")
        # Containers with a CPU quota see all cores of the host, and threads beyond the quota compete. The booster's
        # own setting covers prediction only: loading would still start one lasting thread per core.
        library.check(library.dll.XGBSetGlobalConfig(f'{{"nthread":{threads}}}'.encode()))
        library.check(library.dll.XGBoosterCreate(None, 0, byref(handle)))
        try:
            library.check(library.dll.XGBoosterLoadModelFromBuffer(handle, raw, len(raw)))
        except _capi.LibraryError as error:
            raise StartupError(f"model.ubj: libxgboost can't read it: {error}") from None
        library.check(library.dll.XGBoosterSetParam(handle, b"nthread", str(threads).encode()))
        return handle

    def _config(self) -> dict[str, Any]:
        length, text = c_uint64(), c_char_p()
        self.library.check(self.library.dll.XGBoosterSaveJsonConfig(self._booster, byref(length), byref(text)))
        config: dict[str, Any] = json.loads(text.value or b"{}")
        return config

    def _feature_info(self, field: bytes) -> tuple[str, ...]:
        length, texts = c_uint64(), POINTER(c_char_p)()
        self.library.check(
            self.library.dll.XGBoosterGetStrFeatureInfo(self._booster, field, byref(length), byref(texts))
        )
        return tuple((text or b"").decode() for text in texts[: length.value])


def check_version(trained: str) -> None:
    """Raise StartupError for a newer trainer: an older library may misread its model without an error."""
    version = tuple(map(int, trained.split(".")))
    if version > (library := _capi.load().version):
        raise StartupError(f"manifest.json: {_newer_trainer_message(version, library)}")


def _newer_trainer_message(trained: tuple[int, ...], library: tuple[int, ...]) -> str:
    return (
        f"trained by xgboost {'.'.join(map(str, trained))}, newer than this server's {'.'.join(map(str, library))}, "
        "which could misread it without an error; use a newer server image"
    )


def _model_version(raw: bytes) -> tuple[int, int, int] | None:
    match = _VERSION.search(raw, max(0, len(raw) - 64))
    return (match[1][0], match[2][0], match[3][0]) if match else None
