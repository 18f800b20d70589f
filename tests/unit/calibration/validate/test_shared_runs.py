"""Runs that share processes and a rate tracker have the results of runs alone."""

from __future__ import annotations

import numpy as np
import pytest

from calibration.validate import shards
from calibration.validate.disturb import DISTURBANCES
from calibration.validate.observe import Observed
from calibration.validate.shards import RunPlan, run_all, run_each
from convert.datasets.pairs import Recording, find_recordings
from convert.simulate.write import CohortPlan, write_cohort
from edge.bundle.reader import demo_bundle_path

HOP_S = 5.0
CHOSEN = [d for d in DISTURBANCES if (d.kind, d.size) in {("none", 0.0), ("loss", 0.05), ("rate without clock", 0.01)}]
RATES = {"rate_bpm", "est_rate_bpm"}


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[int, Recording]]:
    folder = tmp_path_factory.mktemp("cohort")
    write_cohort(CohortPlan(patients=5, seed=2, seconds=40.0, dirt=True), folder)
    return list(enumerate(find_recordings(folder)))[:5]


def plans(jobs: int, *, rates: bool) -> list[tuple[RunPlan, str]]:
    return [
        (RunPlan(demo_bundle_path(), HOP_S, jobs, d, rates=rates), f"run-{i}-{rates}-{jobs}")
        for i, d in enumerate(CHOSEN)
    ]


def differing(a: Observed, b: Observed) -> set[str]:
    """Names of the arrays that are not bit-identical."""
    pairs = [(name, x, b.arrays()[name]) for name, x in a.arrays().items()]
    return {name for name, x, y in pairs if x.dtype != y.dtype or x.shape != y.shape or x.tobytes() != y.tobytes()}


def test_without_rates_and_together_all_but_the_rates_is_bit_identical(recordings, tmp_path) -> None:
    alone = [run_all(plan, recordings, tmp_path / "alone", key, None) for plan, key in plans(1, rates=True)]
    together = run_each(plans(1, rates=False), recordings, tmp_path / "together", None)
    assert len(alone[0].recording) > 10
    assert np.isfinite(alone[0].rate_bpm).any()
    assert [differing(a, b) for a, b in zip(alone, together, strict=True)] == [RATES] * len(CHOSEN)
    for a, b in zip(alone, together, strict=True):
        kept = np.isfinite(b.rate_bpm)  # recordings too short for the tracker have a rate of their own
        assert np.array_equal(a.rate_bpm[kept], b.rate_bpm[kept])
        assert kept.sum() < np.isfinite(a.rate_bpm).sum()
    assert differing(alone[0], alone[1])


def test_several_processes_and_resumed_runs_are_bit_identical(recordings, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(shards, "SHARD_RECORDINGS", 2)
    first = run_each(plans(1, rates=False), recordings, tmp_path / "one", None)
    monkeypatch.setattr(shards, "WORTHWHILE", 1)
    again = run_each(plans(2, rates=False), recordings, tmp_path / "two", None)
    files = sorted((tmp_path / "two").rglob("*.npz"))
    assert len(files) == 3 * len(CHOSEN)
    files[1].unlink()
    files[4].write_bytes(b"damaged")
    monkeypatch.setattr(shards, "WORTHWHILE", 100)
    resumed = run_each(plans(2, rates=False), recordings, tmp_path / "two", None)
    assert [differing(a, b) | differing(a, c) for a, b, c in zip(first, again, resumed, strict=True)] == [set()] * 3
