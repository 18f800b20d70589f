"""scipy's compiled filters without its packages: the same bits, and the public functions as a fallback."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import cast

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage, signal

from edge.frontend import scipy_routines
from edge.frontend.ecgfounder import BAND, NOTCH, EcgFounderFrontEnd, Stage
from edge.frontend.scipy_routines import load_linear_filter, load_median_filter

ROUTES = ["private", "public"]


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("stage", [NOTCH, BAND], ids=["notch", "band"])
def test_either_route_is_lfilter_to_the_bit(stage: Stage, route: str) -> None:
    routine = load_linear_filter() if route == "private" else scipy_routines._public_linear_filter()
    x = np.random.default_rng(3).standard_normal(5000)
    y, state = routine(stage.b, stage.a, x, stage.zi * x[0])
    expected, expected_state = signal.lfilter(stage.b, stage.a, x, zi=stage.zi * x[0])
    assert np.array_equal(y, expected)
    assert np.array_equal(state, expected_state)


@pytest.mark.parametrize("route", ROUTES)
@given(seed=st.integers(0, 2**32 - 1), length=st.integers(201, 6000), ties=st.booleans())
def test_either_route_is_the_running_median(route: str, seed: int, length: int, *, ties: bool) -> None:
    routine = load_median_filter() if route == "private" else scipy_routines._public_median_filter()
    x = np.random.default_rng(seed).standard_normal(length)
    x = np.rint(2.0 * x) if ties else x
    assert np.array_equal(routine(x, 201), ndimage.median_filter(x, size=201, mode="constant"))


def _nothing(*_arguments: object) -> object:
    raise RuntimeError("another version")


def _wrong(*_arguments: object) -> object:
    return np.zeros(3), np.zeros(1)


@pytest.mark.parametrize("routine", [None, _nothing, _wrong], ids=["missing", "raises", "computes otherwise"])
def test_another_scipy_is_served_by_the_public_functions(routine: object, monkeypatch: pytest.MonkeyPatch) -> None:
    class Extension:
        pass

    for name in ("_linear_filter", "rank_filter") if routine is not None else ():
        setattr(Extension, name, staticmethod(cast("Callable[..., object]", routine)))
    monkeypatch.setattr(scipy_routines, "_extension", lambda _package, _name: Extension)
    y, _ = load_linear_filter()(np.array([1.0, 2.0]), np.array([1.0, -0.5]), np.array([1.0, 0.0, 4.0]), np.array([8.0]))
    assert y.tolist() == [9.0, 6.5, 7.25]
    assert load_median_filter()(np.array([1.0, 9.0, 2.0, 8.0]), 3).tolist() == [1.0, 2.0, 8.0, 2.0]


def test_an_input_shorter_than_the_median_is_refused_by_the_fast_route() -> None:
    with pytest.raises(ValueError, match="shorter"):
        scipy_routines._private_median_filter()(np.zeros(5), 201)


def test_the_front_end_does_not_load_scipy_signal() -> None:
    code = """
import sys, numpy as np
from edge.frontend.ecgfounder import EcgFounderFrontEnd
z = EcgFounderFrontEnd()(np.random.default_rng(0).standard_normal(5000))
print("scipy.signal" in sys.modules, "scipy.ndimage" in sys.modules, repr(float(z[2500])))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    here = EcgFounderFrontEnd()(np.random.default_rng(0).standard_normal(5000))
    assert done.stdout.split() == ["False", "False", repr(float(here[2500]))]


@pytest.mark.parametrize("load", [load_linear_filter, load_median_filter], ids=["linear", "median"])
def test_this_scipy_is_served_by_its_private_routines(
    load: Callable[[], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    def public() -> object:
        raise AssertionError("the public function was asked for")

    monkeypatch.setattr(scipy_routines, "_public_linear_filter", public)
    monkeypatch.setattr(scipy_routines, "_public_median_filter", public)
    assert callable(load())


@pytest.mark.parametrize(
    ("right", "state", "taken"),
    [([9.0, 6.5, 7.25], [11.625], True), ([9.0, 6.5, 7.5], [11.625], False), ([9.0, 6.5, 7.25], [11.5], False)],
)
def test_a_filter_is_taken_for_its_whole_answer(right: list[float], state: list[float], taken: bool) -> None:
    asked: list[tuple[list[float], ...]] = []

    def routine(*arguments: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        asked.append(tuple(a.tolist() for a in arguments))
        return np.array(right), np.array(state)

    assert scipy_routines._filters(routine) is taken
    assert asked == [([1.0, 2.0], [1.0, -0.5], [1.0, 0.0, 4.0], [8.0])]


@pytest.mark.parametrize(
    ("answer", "taken"),
    [
        (np.array([0.0, 3.0, 5.0, 5.0, 5.0, 0.0, 0.0]), True),
        (np.array([0.0, 3.0, 5.0, 5.0, 5.0, 0.0, -2.0]), False),
        (np.array([0.0, 3.0, 5.0, 5.0, 5.0, 0.0, 0.0], dtype=np.float32), False),
    ],
    ids=["right", "wrong", "of another type"],
)
def test_a_median_is_taken_for_its_whole_answer(answer: np.ndarray, taken: bool) -> None:
    asked: list[tuple[list[float], int]] = []

    def routine(x: np.ndarray, size: int) -> np.ndarray:
        asked.append((x.tolist(), size))
        return answer

    assert scipy_routines._takes_medians(routine) is taken
    assert asked == [([3.0, -1.0, 7.0, 5.0, 5.0, -2.0, -9.0], 5)]


def test_an_extension_is_loaded_by_itself_and_one_that_is_loaded_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = scipy_routines._extension("scipy.ndimage", "_rank_filter_1d")
    assert loaded is sys.modules["scipy.ndimage._rank_filter_1d"]
    monkeypatch.delitem(sys.modules, "scipy.ndimage._rank_filter_1d")
    alone = scipy_routines._extension("scipy.ndimage", "_rank_filter_1d")
    assert callable(alone.rank_filter)
    for package, name in (("scipy.ndimage", "_no_such_module"), ("scipy.no_such_package", "_rank_filter_1d")):
        with pytest.raises(ImportError, match=name):
            scipy_routines._extension(package, name)


@pytest.mark.parametrize(("size", "lengths"), [(3, [3, 4]), (5, [5, 6, 9])])
def test_the_fast_median_by_definition(size: int, lengths: list[int]) -> None:
    for length in lengths:
        x = np.random.default_rng(length).permutation(length) + 1.0
        padded = np.pad(x, size // 2)
        slow = [float(np.median(padded[i : i + size])) for i in range(length)]
        assert scipy_routines._private_median_filter()(x, size).tolist() == slow
        assert scipy_routines._private_median_filter()(np.repeat(x, 2)[::2], size).tolist() == slow
