"""Sanity of the reasons: planted parts rank first on simulated patients, and shuffled weights give no reasons."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from edge.bundle.reader import load_bundle

pytestmark = pytest.mark.slow


@pytest.fixture
def bench(monkeypatch):
    pytest.importorskip("tensorflow", reason="tensorflow is not installed (the extra convert brings it)")
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "benchmarks"))
    import bench_reasons

    yield bench_reasons
    sys.modules.pop("bench_reasons")


def test_planted_parts_rank_first(bench):
    assert bench.hits(load_bundle("demo"), 120)


@pytest.mark.parametrize("seed", range(2))
def test_shuffled_weights_have_no_reasons(bench, seed):
    from edge.explain.reasons import Explainer
    from edge.model import load_model

    bundle = bench.shuffled(load_bundle("demo"), seed)
    explainer = Explainer(bundle, load_model(bundle))
    patients = [bench.simulate_patient(778, i, 14.0, fs_hz=bench.FS_HZ) for i in range(12)]
    found = [one for patient in patients for one in bench.reasons_of(explainer, patient.ecg_mv)]
    assert len(found) > 80
    assert not any(one.told for one in found)
