"""Compare beats, heart rate and quality of each hop with NeuroKit2's cleaning and beat detection of the same window.

Both sides run in turns on the same simulated ECG: the kit with one second of the streaming detector, the heart rate of
the window and the quality gate, NeuroKit2 with ``ecg_clean`` and ``ecg_peaks`` of the ten-second window, as a
per-window pipeline does for every hop. Prints milliseconds and the ratio. The exit code is 1 if the kit is not faster.

Run: ``python benchmarks/bench_rpeaks.py [hops]`` (needs the ``bench`` extra).
"""

from __future__ import annotations

import sys
import time
import warnings

import numpy as np

from edge.beats.detector import RPeakDetector
from edge.beats.rate import median_rate_bpm
from edge.quality.gate import QualityGate

FS, GRID = 125, 250
HOPS = 200


def simulated(seconds: int) -> np.ndarray:
    """Return a simulated ECG on the grid: P, QRS and T as Gaussians at about 75 bpm, with noise and wander."""
    rng = np.random.default_rng(0)
    t = np.arange(seconds * GRID) / GRID
    x = 0.02 * rng.standard_normal(len(t)) + 0.1 * np.sin(2 * np.pi * 0.25 * t)
    waves = ((0.12, -0.16, 0.022), (1.0, 0.0, 0.011), (-0.2, 0.03, 0.01), (0.28, 0.26, 0.05))
    at = 0.5
    while at < seconds - 0.5:
        near = slice(max(0, int((at - 0.4) * GRID)), int((at + 0.6) * GRID))
        for height, centre, width in waves:
            x[near] += height * np.exp(-0.5 * ((t[near] - at - centre) / width) ** 2)
        at += 0.8 + 0.04 * rng.standard_normal()
    return x


def main() -> int:
    """Time both sides and print the table."""
    import neurokit2

    hops = int(sys.argv[1]) if len(sys.argv) > 1 else HOPS
    raw = simulated(hops + 10)
    stream = raw[::2]
    detector, gate = RPeakDetector(float(FS)), QualityGate()
    found: list[int] = []
    times_s = {"detector": [], "heart rate": [], "quality gate": [], "neurokit2": []}
    clock = time.perf_counter
    for end in range(FS, len(stream) + 1, FS):
        a = clock()
        found = [b for b in found if b >= end - 11 * FS] + detector.push(stream[end - FS : end])
        b = clock()
        if end < 10 * FS:
            continue
        window, raw_window = stream[end - 10 * FS : end], raw[2 * end - 10 * GRID : 2 * end]
        beats = np.array([k - end + 10 * FS for k in found if k >= end - 10 * FS])
        c = clock()
        median_rate_bpm(beats, FS)
        d = clock()
        gate.assess(window, raw_window, GRID, beats, scale_known=True)
        e = clock()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            neurokit2.ecg_peaks(neurokit2.ecg_clean(raw_window, sampling_rate=GRID), sampling_rate=GRID)
        f = clock()
        for name, seconds in zip(times_s, (b - a, d - c, e - d, f - e), strict=True):
            times_s[name].append(seconds)
    middle = {name: 1e3 * float(np.median(values)) for name, values in times_s.items()}
    for name, ms in middle.items():
        print(f"{name:14s} {ms:7.3f} ms per hop of 1 s")
    ours = sum(ms for name, ms in middle.items() if name != "neurokit2")
    ratio = ours / middle["neurokit2"]
    print(f"{'total of kit':14s} {ours:7.3f} ms, {ratio:.2f} of the time of neurokit2 per window")
    return 0 if ratio < 1.0 else 1


if __name__ == "__main__":
    sys.exit(main())
