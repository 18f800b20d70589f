"""Measure the budgets of the design on this machine. Memory and start-up are measured in separate processes."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from edge.bench.ecg import blocks, plain_session
from edge.engine import Engine
from edge.process import budget
from edge.records import BudgetLine
from edge.session import Loaded, live_reasons, load
from edge.stats import median
from firmware_bridge.child import module_environment
from firmware_bridge.errors import AnyEcgError

FLASH_LIMIT_BYTES = 128 * 1024
ARENA_LIMIT_BYTES = 48 * 1024
CHILD_TIMEOUT_S = 600.0
LOOP_S = 60.0
DELAY_RUN_S = 20.0
WARM_UP_S = 30.0


def ecg_minute(fs_hz: float = 250.0) -> NDArray[np.int32]:
    """Return one simulated minute in microvolts."""
    from firmware_bridge.synth.ecgsyn import EcgParams, EcgSynth

    return (EcgSynth(EcgParams(), 1).generate(round(LOOP_S * fs_hz), fs_hz) * 1000.0).astype(np.int32)


def measure(bundle: str, hours: float, *, reasons: bool = False) -> list[BudgetLine]:
    """Measure every budget that applies to a bundle.

    Args:
        bundle: Folder, zip or ``demo``.
        hours: Hours of signal for the growth of memory.
        reasons: Whether estimates say what they rest on.

    Returns:
        One line per budget.
    """
    loaded, option = load(bundle), ["--reasons"] if reasons else []
    tier = loaded.bundle.manifest.tier
    lines = _chain(loaded, reasons=reasons) + (_added(loaded) if tier == "foundation" else [])
    memory = _memory(bundle, hours, *option)
    limit_mib = budget.MICRO_RSS_MIB if tier == "micro" else budget.FOUNDATION_RSS_MIB
    lines.append(_line(f"peak RSS, {tier} tier, BLE and serial loaded, MiB", memory["peak_mib"], limit_mib))
    lines.append(
        _line(f"growth of RSS over {hours:g} h of signal, MiB", memory["growth_mib"], budget.RSS_GROWTH_MIB_24H)
    )
    lines.append(_line("cold start to first sample read, s", _cold_start_s(bundle, *option), budget.COLD_START_S))
    delay = _child("delay", bundle, str(DELAY_RUN_S), *option)
    lines.append(_line("last sample to estimate written, p99, ms", delay["p99_ms"], budget.WRITTEN_P99_MS))
    if tier == "micro":
        lines.append(_line("model, bytes of flash", float(len(loaded.bundle.model)), FLASH_LIMIT_BYTES))
        arena = loaded.bundle.manifest.budgets.get("arena_bytes")
        if arena is not None:
            lines.append(_line("tensor arena in TFLM, bytes (as the bundle states)", arena, ARENA_LIMIT_BYTES))
    return lines


def run_seconds(engine: Engine, seconds: float) -> float:
    """Push ``seconds`` of signal and return the processor time that it took, in seconds."""
    items = list(blocks(ecg_minute(), seconds))
    started = time.process_time()
    for item in items:
        engine.push(item)
    return time.process_time() - started


def _line(name: str, value: float, limit: float) -> BudgetLine:
    return BudgetLine(name, value, limit, value <= limit)


def _chain(loaded: Loaded, *, reasons: bool) -> list[BudgetLine]:
    live = live_reasons(loaded.bundle, loaded.model, 1.0) if reasons else None
    engine = Engine(loaded.bundle, loaded.model, plain_session(), reasons=live)
    run_seconds(engine, WARM_UP_S)
    best = min(run_seconds(engine, LOOP_S) for _ in range(3))
    limit = budget.CHAIN_MS_PER_S
    if loaded.bundle.manifest.tier == "foundation":
        return [_line("whole chain per second of signal, ms (hop 1 s)", best / LOOP_S * 1e3, 1000.0)]
    return [_line("whole chain per second of signal, ms", best / LOOP_S * 1e3, limit)]


def _added(loaded: Loaded) -> list[BudgetLine]:
    """Measure what the runtime adds to ``invoke()``: everything from a complete window to its estimate but the model.

    The stream filter and the R-peak detector work on every sample as it arrives, not on windows; they count in the line
    of the whole chain.
    """
    engine = Engine(loaded.bundle, loaded.model, plain_session())
    shares = []
    for item in blocks(ecg_minute(), WARM_UP_S + LOOP_S):
        for e in engine.push(item).estimates:
            stages = e.latency_ms
            if "inference" in stages:
                around_ms = stages["quality"] + stages["prepare"] + stages["estimate"]
                shares.append(around_ms / stages["inference"])
    return [_line("runtime around invoke per window, share of invoke", median(shares), budget.ADDED_SHARE)]


def _memory(bundle: str, hours: float, *option: str) -> dict[str, float]:
    # The signal comes from a file: creating it would load numpy.random, which a device does not need.
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "ecg.npy"
        np.save(path, ecg_minute())
        return _child("memory", bundle, str(hours), str(path), *option)


def _cold_start_s(bundle: str, *option: str) -> float:
    best = float("inf")
    for _ in range(3):
        started = time.clock_gettime(time.CLOCK_MONOTONIC)
        best = min(best, _child("cold", bundle, *option)["first_sample_monotonic_s"] - started)
    return best


def _child(mode: str, *arguments: str) -> dict[str, float]:
    """Run a measurement in a fresh interpreter and return what it printed.

    Raises:
        AnyEcgError: The measurement failed or took too long.
    """
    command = [sys.executable, "-m", "edge.bench.child", mode, *arguments]
    try:
        done = subprocess.run(  # noqa: S603  # this interpreter and a module of the kit
            command, capture_output=True, text=True, timeout=CHILD_TIMEOUT_S, check=False, env=module_environment()
        )
    except subprocess.TimeoutExpired:
        raise AnyEcgError(
            f"the measurement '{mode}' did not end within {CHILD_TIMEOUT_S:g} s", "stop other programs and try again"
        ) from None
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise AnyEcgError(f"the measurement '{mode}' failed: {last}", "anyecg doctor checks this machine")
    parsed: Any = json.loads(done.stdout.strip().splitlines()[-1])
    return cast("dict[str, float]", parsed)
