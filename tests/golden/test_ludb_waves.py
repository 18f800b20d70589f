"""Waves of LUDB against the marks of cardiologists, on patients that the network that measures them has not seen."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
LIMITS_MS = {
    "i": {"p_ms": 14.0, "pr_ms": 14.5, "qrs_ms": 13.5, "qt_ms": 25.0},
    "ii": {"p_ms": 10.0, "pr_ms": 8.0, "qrs_ms": 12.5, "qt_ms": 18.0},
    "v5": {"p_ms": 12.5, "pr_ms": 10.5, "qrs_ms": 10.5, "qt_ms": 20.0},
}
"""Standard deviation of the error, ms, a little above what docs/waves.md states."""
MIN_COVERAGE = 0.93


@pytest.fixture(scope="module")
def bench(data_dir, monkeypatch_module):
    pytest.importorskip("wfdb", reason="wfdb is not installed (the extra convert brings it)")
    folder = data_dir / "ludb" / "data"
    if not folder.exists():
        pytest.skip(f"{folder} is not available")
    monkeypatch_module.syspath_prepend(str(BENCHMARKS))
    sys.modules.pop("ludb", None)
    import bench_waves

    return bench_waves, folder


@pytest.fixture(scope="module")
def monkeypatch_module():
    with pytest.MonkeyPatch.context() as patch:
        yield patch


@pytest.mark.parametrize("lead", LIMITS_MS)
def test_intervals_agree_with_the_marks(bench, lead):
    module, folder = bench
    found = module.judge(module.kit(), module.load(folder, [lead], module.records(folder)), lead)
    for name, limit in LIMITS_MS[lead].items():
        errors = np.array([error for error, _record in found["errors"][name]])
        assert np.std(errors) <= limit, name
        assert abs(np.mean(errors)) <= 6.0, name
        assert len(errors) >= MIN_COVERAGE * found["known"][name], name
    assert len(found["no_p_af"]) >= 8
    assert np.mean(found["no_p_af"]) >= module.MIN_NO_P
    assert np.mean(found["no_p"]) >= 0.9
