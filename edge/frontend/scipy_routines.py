"""Two compiled routines of scipy, loaded without their packages, which would take 70 MiB and half a second.

``scipy.signal.lfilter`` and the one-dimensional rank filter of ``scipy.ndimage`` are one compiled function each, in
extension modules that can be loaded alone. They are private to scipy, so each is tested on a known answer first; if it
is missing or differs, the public function is used. The results are the same; only memory and start-up time differ
(``anyecg bench`` on a foundation bundle).
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib import import_module
from importlib.machinery import PathFinder
from importlib.util import find_spec, module_from_spec
from types import ModuleType
from typing import cast

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.float64]
LinearFilter = Callable[[Samples, Samples, Samples, Samples], tuple[Samples, Samples]]
"""Takes numerator, denominator, input and initial state; returns output and final state."""
MedianFilter = Callable[[Samples, int], Samples]
"""Takes input and odd length; returns the running median with zeros beyond the ends (``scipy.signal.medfilt``)."""

_CONSTANT = 4
"""Code of the mode ``constant`` in scipy's ndimage C sources (ni_support.h)."""


def load_linear_filter() -> LinearFilter:
    """Return the compiled IIR filter.

    Raises:
        ImportError: scipy is not installed.
    """
    try:
        found = _private_linear_filter()
        if _filters(found):
            return found
    except Exception:  # noqa: BLE001, S110  # any failure in another version of scipy leads to the public function
        pass
    return _public_linear_filter()


def load_median_filter() -> MedianFilter:
    """Return the compiled running median.

    Raises:
        ImportError: scipy is not installed.
    """
    try:
        found = _private_median_filter()
        if _takes_medians(found):
            return found
    except Exception:  # noqa: BLE001, S110  # as above; scipy before 1.14 does not have the routine
        pass
    return _public_median_filter()


def _extension(package: str, name: str) -> ModuleType:
    loaded = sys.modules.get(f"{package}.{name}")
    if loaded is not None:
        return loaded
    found = find_spec(package)  # imports scipy itself, which is light, but not the package
    folders = list(found.submodule_search_locations or ()) if found else []
    spec = PathFinder.find_spec(name, folders)
    if spec is None or spec.loader is None:
        raise ImportError(name)
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _private_linear_filter() -> LinearFilter:
    routine = _extension("scipy.signal", "_sigtools")._linear_filter  # noqa: SLF001  # the purpose of this module
    return lambda b, a, x, zi: cast("tuple[Samples, Samples]", routine(b, a, x, -1, zi))


def _public_linear_filter() -> LinearFilter:
    lfilter = import_module("scipy.signal").lfilter
    return lambda b, a, x, zi: cast("tuple[Samples, Samples]", lfilter(b, a, x, zi=zi))


def _private_median_filter() -> MedianFilter:
    routine = _extension("scipy.ndimage", "_rank_filter_1d").rank_filter

    def median_filter(x: Samples, size: int) -> Samples:
        x, out = np.ascontiguousarray(x), np.empty(len(x))
        if len(x) < size:
            raise ValueError("the routine fails on inputs shorter than the filter (scipy issue 23293)")
        routine(x, size // 2, size, out, _CONSTANT, 0.0, 0)
        return out

    return median_filter


def _public_median_filter() -> MedianFilter:
    median_filter = import_module("scipy.ndimage").median_filter
    return lambda x, size: cast("Samples", median_filter(x, size=size, mode="constant"))


def _filters(routine: LinearFilter) -> bool:
    """Return whether y[n] = x[n] + 2 x[n-1] + y[n-1] / 2 is exact for 1, 0, 4 from the state 8 (exact in binary)."""
    y, state = routine(np.array([1.0, 2.0]), np.array([1.0, -0.5]), np.array([1.0, 0.0, 4.0]), np.array([8.0]))
    return bool(np.array_equal(y, [9.0, 6.5, 7.25]) and np.array_equal(state, [11.625]))


def _takes_medians(routine: MedianFilter) -> bool:
    y = routine(np.array([3.0, -1.0, 7.0, 5.0, 5.0, -2.0, -9.0]), 5)
    return bool(np.array_equal(y, [0.0, 3.0, 5.0, 5.0, 5.0, 0.0, 0.0])) and y.dtype == np.float64
