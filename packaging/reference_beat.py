"""Writes edge/explain/reference_beat.json: the normal patient of the simulator, measured and taken apart.

python packaging/reference_beat.py       # a test compares the file with what this writes
"""

from __future__ import annotations

import json
import sys
from dataclasses import fields
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from edge.explain.parts import take_apart  # noqa: E402  # from this checkout
from edge.waves.mean_beat import STREAM_HZ  # noqa: E402  # from this checkout
from edge.waves.measure import WaveMeter  # noqa: E402  # from this checkout
from edge.waves.path import FS_HZ  # noqa: E402  # from this checkout
from firmware_bridge.synth.ecgsyn import EcgParams, EcgSynth  # noqa: E402  # from this checkout

FILE = ROOT / "edge" / "explain" / "reference_beat.json"
SECONDS = 20.0
EDGE_S = 0.2
"""Beats that are nearer to the ends are left out, s."""
DIGITS = 6
"""Decimals of millivolts and seconds."""


def text() -> str:
    """Return the content of the file."""
    synth = EcgSynth(EcgParams(rr_sd_ms=20.0), 1)
    raw = synth.generate(round(SECONDS * FS_HZ), FS_HZ)
    at_s = np.array([b.r_time_s for b in synth.take_beats() if EDGE_S < b.r_time_s < SECONDS - EDGE_S])
    meter = WaveMeter(round(FS_HZ))
    meter.measure(raw, np.rint(at_s * STREAM_HZ).astype(np.int64), scale_known=True)
    parts = None if meter.beat is None or meter.found is None else take_apart(meter.beat, meter.found)
    if parts is None:
        msg = "the reference beat cannot be measured"
        raise RuntimeError(msg)
    lines = []
    for one in fields(parts):
        value = getattr(parts, one.name)
        rounded = np.round(value, DIGITS).tolist() if isinstance(value, np.ndarray) else round(value, DIGITS)
        lines.append(f"{json.dumps(one.name)}: {json.dumps(rounded)}")
    return "{\n" + ",\n".join(lines) + "\n}\n"


if __name__ == "__main__":
    FILE.write_text(text(), encoding="ascii")
