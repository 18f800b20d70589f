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
    assert bench.hits(load_bundle("demo"), 120, (777,))


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


def test_shuffled_weights_have_no_reasons_in_a_run_either(bench):
    from edge.bench.ecg import plain_session
    from edge.engine import Engine
    from edge.model import load_model
    from edge.session import live_reasons
    from firmware_bridge.samples import SampleBlock

    bundle = bench.shuffled(load_bundle("demo"), 0)
    model, hops = load_model(bundle), 0
    for index in range(4):
        engine = Engine(bundle, model, plain_session(), reasons=live_reasons(bundle, model, 1.0))
        ecg_mv = bench.simulate_patient(778, index, 40.0, fs_hz=bench.FS_HZ).ecg_mv.astype("f4")
        for e in engine.push(SampleBlock(ecg_mv, "mV", None, bench.FS_HZ, None, 0)).estimates:
            hops += "reasons" in e.latency_ms
            assert not any(lab.reasons.shares for lab in e.labs if lab.reasons is not None)
    assert hops > 60
