"""WFDB records with two leads of simulated ECG, as small as a test needs."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from convert.simulate.varied import varied_ecg

GAIN = 1000.0
"""Counts per millivolt."""


def write_record(folder: Path, name: str, seconds: float = 10.0, leads: tuple[str, ...] = ("ii", "v1")) -> Path:
    """Write a record at 500 Hz and return its header; each name gives other signals."""
    folder.mkdir(parents=True, exist_ok=True)
    n = round(500 * seconds)
    seed = int.from_bytes(name.encode(), "little") % (1 << 32)
    mv = np.stack([varied_ecg(seed, i, max(seconds, 10.0))[:n] for i in range(len(leads))], axis=1)
    np.clip(np.rint(mv * GAIN), -32767, 32767).astype("<i2").tofile(folder / f"{name}.dat")
    lines = [f"{name} {len(leads)} 500 {n}", *(f"{name}.dat 16 {GAIN:g}(0)/mV 16 0 0 0 0 {lead}" for lead in leads)]
    header = folder / f"{name}.hea"
    header.write_text("\n".join(lines) + "\n")
    return header
