"""Real recordings on the 250 Hz grid and through the chain up to windows, for the golden tests."""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from scipy import io, signal

from edge.beats.detector import RPeakDetector
from edge.frontend.stream import StreamFilter

FS, GRID, HOP_S = 125.0, 250, 1.0
WARM_UP = 278
"""Grid samples before the time of the filter's first output: 1.112 s."""
POLAR_HZ = 130.16076083499385


@dataclass(frozen=True)
class Window:
    """One hop's window as the runtime forms it: beats confirmed after its end are not included."""

    start_s: float
    stream: np.ndarray
    raw: np.ndarray
    beats: np.ndarray


@dataclass(frozen=True)
class Record:
    """One lead of a recording, its beats, windows and the time span in which beats can be scored."""

    beats_s: np.ndarray
    windows: tuple[Window, ...]
    scored_s: tuple[float, float]


def references(data_dir: Path) -> list[dict[str, str]]:
    with (data_dir / "reference.csv").open() as f:
        return list(csv.DictReader(f))


def reference_beats_s(data_dir: Path, record: str, lead: str, source: str) -> np.ndarray:
    name = f"{record}__{lead.replace(' ', '_')}.json"
    found = json.loads((data_dir / "reference_peaks" / name).read_text())
    return np.array(found[source]) / found["fs"]


def _read(folder: Path, record: str, lead: str) -> tuple[np.ndarray, float]:
    """Return samples and rate in the unit of the file; every format but WFDB is a plain table."""
    if record.startswith("cinc2017"):
        return io.loadmat(next(folder.glob("*.mat")))["val"][0] / 1000.0, 300.0
    if record == "detectpvc_polar_h10":
        return np.loadtxt(folder / "polar_h10.csv", delimiter=",", skiprows=1)[:, 1], POLAR_HZ
    if record.startswith("nstdb") or record == "edb_e0103":
        name = record.split("_")[1]
        return np.loadtxt(folder / f"{name}.csv"), 250.0 if record == "edb_e0103" else 360.0
    import wfdb

    header = next(folder.glob("*.hea")).with_suffix("")
    if record == "wfdb_mixedsignals":
        found = wfdb.rdrecord(str(header), smooth_frames=False)
        return np.asarray(found.e_p_signal[found.sig_name.index(lead)], dtype=float), 249.89
    found = wfdb.rdrecord(str(header))
    return found.p_signal[:, found.sig_name.index(lead)], float(found.fs)


def _to_grid(x: np.ndarray, fs_hz: float) -> np.ndarray:
    if fs_hz > 2 * GRID:
        return signal.resample_poly(x, GRID, int(fs_hz))
    fine = signal.resample_poly(x - x[0], 8, 1) + x[0]
    t = np.arange(int((len(x) - 1) / fs_hz * GRID) + 1) / GRID
    return np.interp(t, np.arange(len(fine)) / (8 * fs_hz), fine)


@lru_cache(maxsize=24)
def load(data_dir: Path, record: str, lead: str) -> Record:
    """Read a lead and run it hop by hop; skip the invalid beginning of a recording."""
    x, fs_hz = _read(data_dir / record, record, lead)
    valid = np.flatnonzero(np.isfinite(x))
    zero_s = valid[0] / fs_hz
    grid = _to_grid(x[valid[0] : valid[-1] + 1], fs_hz)
    stream_filter, detector = StreamFilter(GRID), RPeakDetector(FS)
    stream = stream_filter.push(grid)
    begin_s = zero_s + stream_filter.group_delay_s
    beats: list[int] = []
    windows: list[Window] = []
    hop, length = int(HOP_S * FS), int(10 * FS)
    for end in range(hop, len(stream) + 1, hop):
        beats += detector.push(stream[end - hop : end])
        first = end - length
        if first < 0:
            continue
        inside = np.array([b - first for b in beats if b >= first], dtype=int)
        raw = grid[WARM_UP + 2 * first : WARM_UP + 2 * end]
        if len(raw) == 2 * length:
            windows.append(Window(begin_s + first / FS, stream[first:end], raw, inside))
    end_s = begin_s + len(stream) // hop * hop / FS
    # A complex truncated by the first sample is not detectable, nor can one just before the last be confirmed.
    return Record(np.array(beats) / FS + begin_s, tuple(windows), (begin_s + 0.3, end_s - 0.8))


def score(found_s: np.ndarray, true_s: np.ndarray, span_s: tuple[float, float]) -> tuple[float, float]:
    """Sensitivity and positive predictivity within 150 ms, each beat matched once (as EC 57 scores beats)."""
    truth = true_s[(true_s >= span_s[0]) & (true_s <= span_s[1])]
    found = list(found_s[(found_s >= span_s[0] - 0.15) & (found_s <= span_s[1] + 0.15)])
    hits, at = 0, 0
    for t in truth:
        while at < len(found) and found[at] < t - 0.15:
            at += 1
        near = [k for k in range(at, min(at + 3, len(found))) if abs(found[k] - t) <= 0.15]
        if near:
            found.pop(min(near, key=lambda k: abs(found[k] - t)))
            hits += 1
    false = sum(span_s[0] <= f <= span_s[1] for f in found)
    return hits / len(truth), hits / (hits + false)
