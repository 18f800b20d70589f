"""Budgets of the runtime: memory as absolute figures, speed as ratios to a reference measured in the same run."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import pytest

from edge.bench import run as bench
from edge.engine import Engine
from edge.frontend.ecgfounder import EcgFounderFrontEnd
from edge.frontend.stream import StreamFilter
from edge.process import budget
from edge.session import load
from helpers.published import published

pytestmark = pytest.mark.alone


def ratio(ours: Callable[[], object], peer: Callable[[], object], rounds: int = 12, repeat: int = 10) -> float:
    """Best processor time of ``ours`` divided by that of ``peer``, measured alternately on the same machine."""
    best = [float("inf"), float("inf")]
    for _ in range(rounds):
        for i, function in enumerate((ours, peer)):
            started = time.process_time()
            for _ in range(repeat):
                function()
            best[i] = min(best[i], time.process_time() - started)
    return best[0] / best[1]


def test_ecgfounder_takes_at_most_0_6_of_the_published_function() -> None:
    x = np.random.default_rng(0).standard_normal(5000)
    front_end = EcgFounderFrontEnd()
    assert ratio(lambda: front_end.filter(x), lambda: published(x)) <= 0.6


def test_stream_filter_costs_a_fraction_of_the_published_function() -> None:
    """One second of stream/1 against one window of the published preprocessing."""
    x = np.random.default_rng(0).standard_normal(250)
    stream = StreamFilter(250)
    assert ratio(lambda: stream.push(x), lambda: published(np.tile(x, 20))) <= 0.3


def test_the_whole_chain_is_cheap_against_the_published_preparation() -> None:
    """One second of signal (decode to estimate, hop 1 s) costs less than eight runs of the published preprocessing."""
    loaded = load("demo")
    engine = Engine(loaded.bundle, loaded.model, bench.plain_session())
    ecg = bench.ecg_minute()
    items = list(bench.blocks(ecg, 60.0))
    for item in items:
        engine.push(item)
    at = 0

    def second() -> None:
        nonlocal at
        for item in items[at : at + 10]:
            engine.push(item)
        at = (at + 10) % len(items)

    x = np.tile(ecg[:2500].astype(np.float64), 2)
    assert ratio(second, lambda: published(x)) <= 8.0


@pytest.mark.parametrize("options", [("--reasons",), pytest.param((), marks=pytest.mark.slow)])
def test_memory_of_the_micro_tier_with_both_radios_loaded(options: tuple[str, ...]) -> None:
    memory = bench._memory("demo", 0.25, *options)
    assert memory["peak_mib"] <= budget.MICRO_RSS_MIB
    assert memory["growth_mib"] < budget.RSS_GROWTH_MIB_24H


def test_cold_start() -> None:
    """Start to first sample, compared with a bare interpreter that loads numpy and LiteRT."""
    import subprocess
    import sys

    def bare() -> float:
        started = time.monotonic()
        subprocess.run([sys.executable, "-c", "import numpy, asyncio, ai_edge_litert.interpreter"], check=True)
        return time.monotonic() - started

    peer = min(bare() for _ in range(3))
    assert bench._cold_start_s("demo") <= 4.0 * peer


def test_latency_meter_percentiles() -> None:
    meter = budget.LatencyMeter()
    values = np.random.default_rng(0).lognormal(0.0, 1.0, 5000)
    for v in values:
        meter.add(float(v))
    for percent in (50, 95, 99):
        assert meter.percentile(percent) == pytest.approx(np.percentile(values, percent), rel=0.07)
    assert meter.stats().max == values.max()
    assert budget.LatencyMeter().percentile(99) == 0.0


def test_exceeded_budgets_are_reported(capsys: pytest.CaptureFixture[str], monkeypatch) -> None:
    from edge.cli.main import main
    from edge.records import BudgetLine

    lines = [BudgetLine("fine", 1.0, 2.0, ok=True), BudgetLine("too much", 3.0, 2.0, ok=False)]
    monkeypatch.setattr("edge.cli.bench.measure", lambda _bundle, _hours, **_options: lines)
    assert main(["bench"]) == 1
    out = capsys.readouterr().out
    assert "too much" in out
    assert out.count("EXCEEDED") == 1
