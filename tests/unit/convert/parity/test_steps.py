"""Interpreters may differ by one step, in few windows by up to three, and never by more."""

from __future__ import annotations

import numpy as np
import pytest

from convert.parity.limits import default_limits
from convert.parity.steps import StepLimit, exactly, judge_steps

LITERT = StepLimit(1, 3, 0.05)


def differences(windows: int, **beyond: int) -> np.ndarray:
    """Return differences of one step with ``three`` windows of three steps and ``four`` of four."""
    out = np.ones((windows, 3))
    out[: beyond.get("three", 0), 1] = -3.0
    out[: beyond.get("four", 0), 2] = 4.0
    return out


@pytest.mark.parametrize(
    ("given", "limit", "holds", "words"),
    [
        (differences(200), LITERT, True, "1 LSB (3 in 10 of 200 windows)"),
        (differences(200, three=10), LITERT, True, "1 LSB (3 in 10 of 200 windows)"),
        (differences(200, three=11), LITERT, False, "1 LSB (3 in 10 of 200 windows)"),
        (differences(200, four=1), LITERT, False, "1 LSB (3 in 10 of 200 windows)"),
        (differences(8, three=1), LITERT, True, "1 LSB (3 in 1 of 8 windows)"),
        (differences(8, three=2), LITERT, False, "1 LSB (3 in 1 of 8 windows)"),
        (differences(200), exactly(1), True, "1 LSB"),
        (differences(200, three=1), exactly(1), False, "1 LSB"),
    ],
)
def test_a_small_share_of_the_windows_may_differ_by_more(given, limit, holds, words):
    found = judge_steps(given, limit)
    assert (found.holds, found.limit) == (holds, words)
    assert found.largest == np.abs(given).max()


def test_where_no_difference_is_allowed_no_window_may_have_one():
    one = np.zeros((200, 3))
    assert judge_steps(one, exactly(0)).holds
    one[7, 2] = 1.0
    assert not judge_steps(one, exactly(0)).holds


def test_nan_is_not_within_a_limit():
    one = np.zeros((200, 3))
    one[7, 2] = np.nan
    assert not judge_steps(one, LITERT).holds


def test_the_conversion_and_the_validation_have_the_same_limits():
    from calibration.validate.gate import load_limits

    conversion, validation = default_limits()["parity"], load_limits()["links"]
    for name in ("lsb", "most_lsb", "few"):
        assert conversion[f"xnnpack_reference_{name}"] == validation[f"litert_reference_{name}"]
