"""The Lobachevsky University Database (PhysioNet ludb 1.0.1): signals, marks of the cardiologists, rhythms."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edge.grid.timeline import Timeline
from edge.tensecond import ShortRecording, WholeWindow
from firmware_bridge.samples import SampleBlock

FS_HZ = 500.0
GRID_HZ = 250
"""Rate of the grid on which the leads are measured, Hz."""
LEADS = ("i", "ii", "iii", "avr", "avl", "avf", "v1", "v2", "v3", "v4", "v5", "v6")
WAVES = {"p": "P", "N": "QRS", "t": "T"}


@dataclass(frozen=True)
class MarkedBeat:
    """Marks of one beat, samples at 500 Hz; NaN without a mark."""

    p: tuple[float, float, float]
    qrs: tuple[float, float, float]
    t: tuple[float, float, float]


def records(folder: Path) -> list[int]:
    """Return the numbers of the records in a folder."""
    return sorted(int(path.stem) for path in folder.glob("*.hea"))


def signals(folder: Path, record: int) -> dict[str, np.ndarray]:
    """Return the leads of a record, mV, by lower-case name."""
    import wfdb

    found = wfdb.rdrecord(str(folder / str(record)))
    return {name.lower(): found.p_signal[:, i] for i, name in enumerate(found.sig_name)}


def window_of(ecg_mv: np.ndarray):
    """Return the ten seconds of a lead as the chain forms them; ``None`` if the gate refuses them."""
    timeline, short = Timeline(GRID_HZ), ShortRecording(GRID_HZ)
    block = SampleBlock(ecg_mv.astype(np.float32), "mV", None, FS_HZ, None, 0)
    for part in timeline.push(block) + timeline.flush():
        short.push(part)
    found = short.finish()
    return found.window if isinstance(found, WholeWindow) else None


def beats(folder: Path, record: int, lead: str) -> list[MarkedBeat]:
    """Return the marked beats of a lead."""
    import wfdb

    marks = wfdb.rdann(str(folder / str(record)), lead)
    waves = _waves(list(marks.symbol), marks.sample.tolist())
    found = [wave for wave in waves if wave[0] == "QRS"]
    nothing = (np.nan, np.nan, np.nan)
    out = []
    for i, (_kind, at) in enumerate(found):
        before = found[i - 1][1][1] if i else -np.inf
        after = found[i + 1][1][1] if i + 1 < len(found) else np.inf
        p = [w for kind, w in waves if kind == "P" and before < w[1] < at[1]]
        t = [w for kind, w in waves if kind == "T" and at[1] < w[1] < after]
        out.append(MarkedBeat(p[-1] if p else nothing, at, t[0] if t else nothing))
    return out


def _waves(symbols: list[str], samples: list[int]) -> list[tuple[str, tuple[float, float, float]]]:
    """Return kind, and onset, peak and end of each wave; the end of a record may cut a bracket off."""
    out = []
    for i, symbol in enumerate(symbols):
        if symbol in WAVES:
            begin = float(samples[i - 1]) if i and symbols[i - 1] == "(" else np.nan
            end = float(samples[i + 1]) if i + 1 < len(symbols) and symbols[i + 1] == ")" else np.nan
            out.append((WAVES[symbol], (begin, float(samples[i]), end)))
    return out


def has_p(marked: list[MarkedBeat]) -> bool:
    """Return whether at least half of the beats have a P wave."""
    return sum(np.isfinite(beat.p[1]) for beat in marked) >= 0.5 * len(marked)


def true_intervals(marked: list[MarkedBeat]) -> dict[str, float]:
    """Return the medians over the beats of a lead, ms; NaN for a wave that less than half of the beats have."""
    rows = {
        "p_ms": [b.p[2] - b.p[0] for b in marked],
        "pr_ms": [b.qrs[0] - b.p[0] for b in marked],
        "qrs_ms": [b.qrs[2] - b.qrs[0] for b in marked],
        "qt_ms": [b.t[2] - b.qrs[0] for b in marked],
    }
    out = {}
    for name, values in rows.items():
        known = [value for value in values if np.isfinite(value)]
        out[name] = float(np.median(known)) * 1000.0 / FS_HZ if len(known) >= max(1, 0.5 * len(marked)) else np.nan
    return out


def rhythms(table: Path) -> dict[int, str]:
    """Return the rhythm of each record, as in ``ludb.csv``; its pacing, if any, after a semicolon."""
    out = {}
    with table.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            pacing = " ".join(row["Cardiac pacing"].split())
            out[int(row["ID"])] = " ".join(row["Rhythms"].split()) + (f"; {pacing}" if pacing else "")
    return out
