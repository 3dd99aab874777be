"""The binding to libxgboost's C API: locating the library, function signatures, error conversion.

The `xgboost` package only provides the library's location. It is never imported: numpy, scipy and most of a second of
start-up would come with it. This module knows neither models nor rows. Source of the signatures: xgboost's
`include/xgboost/c_api.h`.
"""

from __future__ import annotations

import ctypes
from ctypes import POINTER, byref, c_char_p, c_float, c_int, c_uint64, c_void_p
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from inference_server.errors import StartupError

Shape = POINTER(c_uint64)
Floats = POINTER(c_float)

# name → argument types. Every function returns 0, or -1 with the reason in XGBGetLastError.
_OUTPUT: Final = (POINTER(Shape), POINTER(c_uint64), POINTER(Floats))
_FUNCTIONS: Final = {
    "XGBSetGlobalConfig": (c_char_p,),
    "XGBoosterCreate": (c_void_p, c_uint64, POINTER(c_void_p)),
    "XGBoosterFree": (c_void_p,),
    "XGBoosterSetParam": (c_void_p, c_char_p, c_char_p),
    "XGBoosterLoadModelFromBuffer": (c_void_p, c_void_p, c_uint64),
    "XGBoosterSaveJsonConfig": (c_void_p, POINTER(c_uint64), POINTER(c_char_p)),
    "XGBoosterGetStrFeatureInfo": (c_void_p, c_char_p, POINTER(c_uint64), POINTER(POINTER(c_char_p))),
    "XGBoosterPredictFromDense": (c_void_p, c_char_p, c_char_p, c_void_p, *_OUTPUT),
    "XGBoosterPredictFromDMatrix": (c_void_p, c_void_p, c_char_p, *_OUTPUT),
    "XGProxyDMatrixCreate": (POINTER(c_void_p),),
    "XGDMatrixCreateFromDense": (c_char_p, c_char_p, POINTER(c_void_p)),
    "XGDMatrixFree": (c_void_p,),
}


class LibraryError(Exception):
    """A call that the library rejected; the message is the library's own, without its stack trace."""


class Library:
    """The loaded library.

    `dll` has its functions with their argument types set; `check` turns a return code of -1 into LibraryError.
    """

    def __init__(self, path: Path) -> None:
        try:
            self.dll = ctypes.CDLL(str(path))
        except OSError as error:
            raise StartupError(f"{path}: can't be loaded: {error}; reinstall xgboost-cpu") from None
        self.dll.XGBGetLastError.restype = c_char_p
        for name, arguments in _FUNCTIONS.items():
            getattr(self.dll, name).argtypes = arguments
        # By default the library writes warnings to stderr, some of them once per prediction.
        self.check(self.dll.XGBSetGlobalConfig(b'{"verbosity":0}'))

    def check(self, code: int) -> None:
        """Raise LibraryError with the library's own message unless `code` is 0."""
        if code:
            text = self.dll.XGBGetLastError().decode(errors="replace")
            raise LibraryError(text.partition("Stack trace:")[0].strip())

    @property
    def version(self) -> tuple[int, int, int]:
        """Version of the library itself."""
        major, minor, patch = c_int(), c_int(), c_int()
        self.dll.XGBoostVersion(byref(major), byref(minor), byref(patch))
        return major.value, minor.value, patch.value


@cache
def load() -> Library:
    """Load the library of the installed `xgboost` package, once per process. Raise StartupError if it is missing."""
    spec = find_spec("xgboost")  # finds a top-level package without importing it
    if spec is None or not spec.submodule_search_locations:
        raise StartupError("libxgboost is missing: the package 'xgboost' is not installed; install xgboost-cpu")
    directory = Path(spec.submodule_search_locations[0]) / "lib"
    for name in ("libxgboost.so", "libxgboost.dylib"):
        if (directory / name).is_file():
            return Library(directory / name)
    raise StartupError(f"{directory}: contains no libxgboost; reinstall xgboost-cpu")
