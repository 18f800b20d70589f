"""Measure how many beats near the ends of a ten-second recording are found.

    python benchmarks/bench_short_ends.py DATA

From each annotated WFDB record at 360 Hz below DATA, ten seconds are cut so that a reference beat lies at a given
distance from the first or the last sample. Printed: beats found within 60 ms, of those tried; windows that are refused
count as not found.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import wfdb
from numpy.typing import NDArray
from scipy.signal import resample_poly

from edge.tensecond import whole_window

FS_HZ = 250
DISTANCES_S = (0.02, 0.04, 0.1, 0.2, 0.3)
BEATS_A_RECORD = 60
NEAR_S = 0.06
BEATS = "NLRAaJSVFejnE/fQ"
"""Annotations that are beats (PhysioNet's codes)."""


def records(data: Path) -> list[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Return the first lead of each record at 250 Hz, and the places of its beats in samples."""
    found = []
    for path in sorted(data.rglob("*.atr")):
        name = str(path.with_suffix(""))
        if wfdb.rdheader(name).fs == 360:
            marks = wfdb.rdann(name, "atr")
            beats = marks.sample[np.isin(marks.symbol, list(BEATS))] * (FS_HZ / 360.0)
            found.append((resample_poly(wfdb.rdrecord(name, channels=[0]).p_signal[:, 0], 25, 36), beats))
    return found


def found_at(x: NDArray[np.float64], beat: float, distance_s: float, *, last: bool) -> bool | None:
    """Return whether a beat at a distance from an end is found; ``None`` if the record has no such ten seconds."""
    start = round(beat + distance_s * FS_HZ) - 10 * FS_HZ if last else round(beat - distance_s * FS_HZ)
    cut = x[start : start + 10 * FS_HZ] if start >= 0 else x[:0]
    if len(cut) < 10 * FS_HZ:
        return None
    window = whole_window(cut, FS_HZ, 0.0, scale_known=True)
    if isinstance(window, str):
        return False
    return bool(np.any(np.abs(window.window.beats * 2 - (beat - start)) <= NEAR_S * FS_HZ))


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("data", type=Path)
    found = records(parser.parse_args().data)
    print(f"{len(found)} records")
    for distance_s in DISTANCES_S:
        rng = np.random.default_rng(1)
        hits = [
            found_at(x, beat, distance_s, last=last)
            for x, beats in found
            for beat in rng.choice(beats[5:-30], BEATS_A_RECORD, replace=False)
            for last in (False, True)
        ]
        tried = [hit for hit in hits if hit is not None]
        print(f"{distance_s:4.2f} s from an end: {sum(tried)} of {len(tried)}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
