"""A teacher that is converted quickly: synthetic recordings, few windows."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from convert.foundation.records import Wanted
from firmware_bridge.synth.ecgsyn import EcgParams, EcgSynth

GOLDEN = Path(__file__).parents[1] / "golden" / "data"


def write_recordings(folder: Path, count: int = 2, seconds: int = 60) -> Path:
    """Write noisy synthetic recordings as CSV files of 250 Hz."""
    folder.mkdir(exist_ok=True)
    for seed in range(count):
        ecg = EcgSynth(EcgParams(), seed).generate(250 * seconds, 250.0)
        ecg = ecg + np.random.default_rng(seed).normal(0, 0.01, len(ecg))
        rows = "".join(f"{i / 250:.4f},{v:.5f}\n" for i, v in enumerate(ecg))
        (folder / f"r{seed}.csv").write_text("time,ecg_mV\n" + rows)
    return folder


def small_bundle(folder: Path, form: Wanted = "dynamic") -> Path:
    """Convert the one-lead golden checkpoint; return the bundle."""
    from convert.foundation.config import FoundationConfig
    from convert.foundation.run import convert_foundation

    data = write_recordings(folder / "recordings", 1, 40)
    heads = [{"key": f"h{i}", "lab": "x", "kind": "probability"} for i in range(7)]
    (folder / "outputs.json").write_text(json.dumps({"outputs": heads}))
    teacher = GOLDEN / "net1d_1lead.pth"
    config = FoundationConfig(
        teacher, folder / "outputs.json", data, folder / "bundle", calibration_windows=8, evaluation_windows=10,
        form=form,
    )  # fmt: skip
    convert_foundation(config)
    return folder / "bundle"
