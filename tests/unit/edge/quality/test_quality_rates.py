"""The gate on a grid of 500 Hz: that of 250 Hz, on the means of pairs."""

from __future__ import annotations

import numpy as np
import pytest

from edge.quality.gate import QualityGate
from helpers.ecg_shapes import ecg

X, TIMES = ecg(np.full(16, 0.8), noise=0.01)
WINDOW = X[:1250]
BEATS = np.round(TIMES[TIMES < 9.9] * 125.0).astype(int)


def raw(kind: str, seconds: float) -> np.ndarray:
    made = np.interp(np.arange(5000) / 500.0, np.arange(1250) / 125.0, WINDOW)
    n = round(seconds * 500)
    if kind == "flat":
        made[1000 : 1000 + n] = made[1000]
    elif kind == "clipped":
        made[1000 : 1000 + n] = made.max() + 1.0
    elif kind == "wander":
        made += 20.0 * np.sin(2 * np.pi * np.arange(5000) / 500.0 * seconds)
    return made


@pytest.mark.parametrize(
    ("kind", "seconds", "reason"),
    [
        ("clean", 0.0, None),
        ("flat", 2.4, "any"),
        ("flat", 2.6, "flat"),
        ("clipped", 0.18, "any"),
        ("clipped", 0.24, "saturated"),
        ("wander", 0.2, "any"),
    ],
)
def test_twice_the_rate_is_judged_as_pairs(kind: str, seconds: float, reason: str | None) -> None:
    fast = raw(kind, seconds)
    found = QualityGate().assess(WINDOW, fast, 500.0, BEATS, scale_known=True)
    pairs = (fast[::2] + fast[1::2]) / 2
    assert found == QualityGate().assess(WINDOW, pairs, 250.0, BEATS, scale_known=True)
    assert found == QualityGate().assess(WINDOW, np.append(fast, 99.0), 500.0, BEATS, scale_known=True)
    if reason == "any":
        assert found.reason not in {"flat", "saturated"}
    else:
        assert found.reason == reason


def test_a_window_that_is_too_low_for_an_ecg_has_the_score_0() -> None:
    found = QualityGate().assess(0.01 * WINDOW, 0.01 * raw("clean", 0.0), 500.0, BEATS, scale_known=True)
    assert (found.score, found.flags, found.reason) == (0.0, ("low_amplitude",), "flat")
