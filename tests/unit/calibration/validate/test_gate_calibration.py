"""The gate: a calibration error fails if it is clearly larger than the limit."""

from __future__ import annotations

from typing import Any

import pytest

from calibration.validate.gate import _calibration

LIMITS = {"ece_excess_max": 0.05, "events_min": 20}
FINE = "not clearly more than 0.05 above perfect probabilities"
OFF = "above perfect probabilities, more than 0.05"


def head(key: str, excess: float, sd: float, positives: int = 40) -> Any:
    return {
        "key": key, "kind": "probability", "n": 150, "positives": positives,
        "calibration": {"ece": 0.08 + excess, "ece_perfect": {"mean": 0.08, "sd": sd}},
    }  # fmt: skip


@pytest.mark.parametrize(
    ("heads", "found"),
    [
        ([head("a", 0.08, 0.005)], f"a 0.080 {OFF}"),
        ([head("a", 0.08, 0.020)], f"1 heads {FINE}"),  # 1.5 standard deviations: chance
        ([head("a", 0.04, 0.001)], f"1 heads {FINE}"),  # clear, and small
        ([head("a", 0.09, 0.022)], f"a 0.090 {OFF}"),
        ([head("a", 0.09, 0.022), head("b", 0.0, 0.02)], f"2 heads {FINE}"),  # one of two
        ([head("a", 0.09, 0.005), head("b", 0.08, 0.005)], f"a 0.090; b 0.080 {OFF}"),
        ([head("a", 0.06, 0.0)], f"a 0.060 {OFF}"),
    ],
)
def test_only_a_clear_excess_fails(heads, found):
    (check,) = _calibration(heads, LIMITS)
    assert check.found == found
    assert check.ok == found.endswith(FINE)


def test_a_head_with_few_events_is_not_judged():
    assert _calibration([head("a", 0.5, 0.001, positives=19)], LIMITS) == []
