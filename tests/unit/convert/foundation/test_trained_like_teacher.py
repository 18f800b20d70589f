"""A full-size teacher whose logits vary as a trained one's do converts without losing what it knows."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("tensorflow")

from convert.foundation.export import float_flatbuffer
from convert.foundation.parity import run_float
from edge.bundle.reader import load_bundle
from edge.cli.main import main as anyecg
from edge.model import load_model
from edge.stats import correlation
from helpers.trained_like_teacher import HEADS, ludb_windows, real_windows, trained_like_teacher

MAX_MODEL_BYTES = 34_000_000
MAX_RSS_MIB = 4e9 / 2**20

pytestmark = [pytest.mark.slow, pytest.mark.alone, pytest.mark.timeout(1800)]


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory, shared_dir: Path) -> Path:
    return trained_like_teacher(tmp_path_factory.mktemp("trained_like"), real_windows(shared_dir / "data"))


@pytest.fixture(scope="module")
def converted(teacher: Path, shared_dir: Path) -> tuple[Path, float]:
    """Return the bundle and the peak memory of the conversion, MiB."""
    bundle = teacher.parent / "bundle"
    # Not getrusage: a child process inherits the peak of its parent.
    code = (
        "import sys; from edge.process import budget; from edge.cli.main import main; rc = main(sys.argv[1:]);"
        "print('peak', budget.peak_rss_mib()); sys.exit(rc)"
    )
    command = [sys.executable, "-c", code, "convert", "foundation", teacher, "--data", shared_dir / "data"]
    done = subprocess.run([*command, "--out", bundle], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return bundle, float(done.stdout.split("peak")[-1])


def rows_of(bundle: Path) -> dict[str, Any]:
    report = json.loads((bundle / "validation" / "parity.json").read_text())
    return {row["form"]: row for row in report["facts"]["forms"]}


def test_auto_opens_its_gate(converted: tuple[Path, float]) -> None:
    bundle, peak_mib = converted
    taken = rows_of(bundle)[load_bundle(bundle).manifest.form]
    assert taken["gate"] == "open"
    assert taken["correlation_median"] >= 0.995
    assert taken["correlation_min"] >= 0.97
    assert taken["steps_per_sd_min"] >= 50
    assert taken["bytes"] <= MAX_MODEL_BYTES
    assert peak_mib < MAX_RSS_MIB
    assert anyecg(["bundle", "verify", str(bundle)]) == 0


def test_it_agrees_with_the_float_network_on_ludb(
    converted: tuple[Path, float], teacher: Path, shared_dir: Path
) -> None:
    from convert.checkpoint.load import net1d_from_checkpoint

    windows = ludb_windows(shared_dir / "data")
    assert len(windows) == 200
    core = net1d_from_checkpoint(teacher, use_bn=True).with_length(5000).core
    wanted = run_float(float_flatbuffer(core, 5000), windows)
    bundle = load_bundle(converted[0])
    model, m = load_model(bundle), bundle.manifest
    found = np.stack([m.output.to_values(model.run(m.input.to_steps(w))) for w in windows])
    agreement = [correlation(wanted[:, j], found[:, j]) or 0.0 for j in range(HEADS)]
    assert np.median(agreement) >= 0.995
    assert min(agreement) >= 0.97
