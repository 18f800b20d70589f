"""A bundle has enough golden windows for its self-test, however few windows the recordings gave."""

from __future__ import annotations

import numpy as np
import pytest

from convert.bundle.golden_windows import GOLDEN_WINDOWS, golden_inputs
from convert.distil.assemble import _golden
from edge.self_test import MIN_WINDOWS


@pytest.mark.parametrize("own", [0, 1, 2, GOLDEN_WINDOWS, GOLDEN_WINDOWS + 3])
@pytest.mark.parametrize(("front_end", "samples"), [("stream/1", 1250), ("ecgfounder/1", 5000)])
def test_simulated_windows_fill_up_those_of_recordings(front_end, samples, own) -> None:
    windows = np.random.default_rng(1).normal(size=(own, samples)).astype(np.float32)
    golden = golden_inputs(windows, front_end, 8.0)
    assert golden.shape == (GOLDEN_WINDOWS, samples)
    assert GOLDEN_WINDOWS >= MIN_WINDOWS
    np.testing.assert_array_equal(golden[:own], windows[:GOLDEN_WINDOWS])
    assert len({row.tobytes() for row in golden}) == GOLDEN_WINDOWS
    assert np.abs(golden[own:]).max(initial=0.0) <= 8.0


@pytest.mark.parametrize("own", [1, 2, GOLDEN_WINDOWS, 40])
def test_a_student_of_a_small_cohort_has_enough(own) -> None:
    windows = np.random.default_rng(1).integers(-99, 99, (own, 1, 1250, 1)).astype(np.int8)
    golden = _golden(windows)
    assert golden.shape == (GOLDEN_WINDOWS, 1, 1250, 1)
    assert golden.dtype == np.int8
    assert len({row.tobytes() for row in golden}) == GOLDEN_WINDOWS
