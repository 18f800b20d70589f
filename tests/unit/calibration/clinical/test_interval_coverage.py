"""Every kind of interval in a report contains the truth in 93 to 97 % of simulated data sets."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from convert.stats.metrics import Score

sys.path.append(str(Path(__file__).resolve().parents[4] / "benchmarks"))

import bench_coverage as bench  # from the folder of the line above


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("setting", bench.SETTINGS, ids=lambda s: f"{s.positives}+{s.negatives}x{s.rows}")
def test_no_interval_is_shown_to_be_outside(setting: bench.Setting) -> None:
    found = bench.coverage(setting, 300)
    assert {name: one for name, one in found.items() if bench.outside(*one)} == {}
    assert min(given for _, given in found.values()) > 200


def test_intervals_that_are_too_narrow_or_too_wide_are_noticed() -> None:
    def off(rng: np.random.Generator, s: bench.Setting, _seed: int) -> Iterator[tuple[str, Score, float]]:
        mean = float(rng.standard_normal(s.patients).mean())
        for name, z in (("narrow", 1.5), ("right", 1.96), ("wide", 2.8)):
            half = z / np.sqrt(s.patients)
            yield name, Score(mean, mean - half, mean + half), 0.0

    found = bench.coverage(bench.SETTINGS[0], 1500, (off,))
    assert {name for name, one in found.items() if bench.outside(*one)} == {"narrow", "wide"}


def test_no_interval_of_a_share_is_inside_for_every_share() -> None:
    """Few patients give few possible counts: the coverage jumps with the true share. Wilson's is inside most often."""
    true = np.linspace(0.05, 0.95, 901)
    for n in (20, 40):
        inside = {}
        for name, ends in bench.ends_of(n).items():
            found = bench.exact(n, true, ends)
            inside[name] = float(((found >= bench.LOW) & (found <= bench.HIGH)).mean())
        assert max(inside.values()) == inside["Wilson"] < 1.0


def test_the_exact_coverage_is_that_of_counting() -> None:
    """Of two patients with a share of one half: the intervals of 0 and 2 hits miss it, that of 1 contains it."""
    ends = np.array([0.0, 0.2, 0.6]), np.array([0.4, 0.8, 1.0])
    assert bench.exact(2, np.array([0.5]), ends) == pytest.approx([0.5])
    assert bench.exact(2, np.array([0.3]), ends) == pytest.approx([0.49 + 0.42])
