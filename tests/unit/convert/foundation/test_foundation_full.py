"""The full-size teacher: conversion within its memory and size, and a bundle that runs."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

import numpy as np
import pytest

from helpers.published import published
from helpers.small_teacher import write_recordings

pytest.importorskip("tensorflow")

from convert.checkpoint.spec import Net1DSpec
from convert.checkpoint.writer import write_checkpoint
from edge.bench import run as bench
from edge.cli.main import main as anyecg
from edge.engine import Engine
from edge.process import budget
from edge.session import load

MAX_ADDED = 1.9
"""Largest time around the model, relative to the published preprocessing of one window; 1.3 was measured."""
MAX_RSS_BYTES = 6 * 10**9
MAX_BUNDLE_BYTES = 33_000_000


def torch_like(spec: Net1DSpec) -> dict[str, np.ndarray]:
    """Return weights as PyTorch initialises them: uniform within 1 / sqrt(inputs)."""
    rng = np.random.default_rng(0)
    out: dict[str, np.ndarray] = {}
    bound = 1.0
    for name, shape in spec.shapes().items():
        if ".bn" in name or "_bn" in name:
            value = 1.0 if name.endswith((".weight", ".running_var")) else 0.0
            out[name] = np.full(shape, value, np.int64 if name.endswith("tracked") else np.float32)
            continue
        bound = 1.0 / np.sqrt(np.prod(shape[1:])) if len(shape) > 1 else bound
        out[name] = rng.uniform(-bound, bound, shape).astype(np.float32)
    return out


@pytest.fixture(scope="module")
def converted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, int]:
    """Return the bundle, the output of the conversion, and its peak memory in bytes."""
    tmp_path = tmp_path_factory.mktemp("full")
    write_checkpoint(tmp_path / "full.pth", torch_like(Net1DSpec(n_classes=108)))
    heads = [{"key": f"h{i}", "lab": "x", "kind": "probability"} for i in range(108)]
    (tmp_path / "o.json").write_text(json.dumps({"outputs": heads}))
    data = write_recordings(tmp_path / "recordings")
    # Not getrusage: a child process inherits the peak of its parent.
    code = (
        "import sys; from edge.process import budget; from edge.cli.main import main; rc = main(sys.argv[1:]);"
        "print('peak', budget.peak_rss_mib()); sys.exit(rc)"
    )
    command = [sys.executable, "-c", code, "convert", "foundation", tmp_path / "full.pth"]
    options = ["--outputs", tmp_path / "o.json", "--data", data, "--out", tmp_path / "bundle"]
    done = subprocess.run([*command, *options], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return tmp_path / "bundle", done.stderr, int(float(done.stdout.split("peak")[-1]) * 2**20)


@pytest.mark.slow
@pytest.mark.alone
@pytest.mark.timeout(900)
def test_the_whole_teacher_fits_its_budgets(converted: tuple[Path, str, int]) -> None:
    bundle, printed, peak_bytes = converted
    assert peak_bytes < MAX_RSS_BYTES
    assert sum(p.stat().st_size for p in bundle.rglob("*") if p.is_file()) <= MAX_BUNDLE_BYTES
    assert "calibrating: " in printed
    assert anyecg(["bundle", "verify", str(bundle)]) == 0


@pytest.mark.slow
@pytest.mark.alone
@pytest.mark.timeout(900)
def test_a_device_runs_it_within_its_budgets(converted: tuple[Path, str, int]) -> None:
    bundle = str(converted[0])
    memory = bench._memory(bundle, 0.02)
    assert memory["peak_mib"] <= budget.FOUNDATION_RSS_MIB
    assert memory["growth_mib"] <= budget.RSS_GROWTH_MIB_24H
    # What the runtime adds to the model is compared with a Python function: as a share of the model, which anyecg bench
    # judges, it is 0.13 or 0.23, because processors differ in their speed-up for int8 networks.
    assert min(added_to_published(bundle) for _ in range(3)) <= MAX_ADDED


def added_to_published(bundle: str) -> float:
    """Return the time from a window to its estimate without the model, relative to the published preprocessing."""
    loaded = load(bundle)
    engine = Engine(loaded.bundle, loaded.model, bench.plain_session())
    latencies = (e.latency_ms for item in bench.blocks(bench.ecg_minute(), 40.0) for e in engine.push(item).estimates)
    added = [one["quality"] + one["prepare"] + one["estimate"] for one in latencies if "inference" in one]
    x = np.tile(bench.ecg_minute()[:2500].astype(np.float64), 2)
    peer = []
    for _ in range(30):
        loaded.model.run(loaded.bundle.golden_inputs[0])  # leaves the caches as cold as it does in the chain
        started = time.perf_counter()
        published(x)
        peer.append(1e3 * (time.perf_counter() - started))
    return median(added) / median(peer)
