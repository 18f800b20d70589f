"""Simple synthetic ECG: sums of Gaussians at given R times, for tests that need known beats and unusual shapes."""

from __future__ import annotations

import numpy as np

FS = 125.0
# (amplitude, centre s, width s); centres after R and widths of T follow the rate.
SHAPES = {
    "normal": [(0.12, -0.16, 0.022), (-0.1, -0.03, 0.008), (1, 0, 0.011), (-0.22, 0.03, 0.01), (0.28, 0.26, 0.05)],
    "tall_t": [(0.1, -0.16, 0.022), (0.6, 0, 0.012), (-0.2, 0.03, 0.01), (0.8, 0.28, 0.04)],
    "inverted": [(0.1, -0.16, 0.022), (-1, 0, 0.012), (0.15, 0.035, 0.01), (0.2, 0.27, 0.05)],
    "rs": [(0.08, -0.16, 0.022), (0.7, -0.012, 0.012), (-0.7, 0.018, 0.012), (0.2, 0.26, 0.05)],
    "wide": [(0.1, -0.2, 0.022), (0.6, -0.02, 0.018), (0.6, 0.04, 0.02), (-0.3, 0.28, 0.06)],
    "paced": [(2.0, -0.06, 0.004), (-1.0, 0.02, 0.03), (0.5, 0.3, 0.06)],
    "low": [(0.02, -0.16, 0.022), (0.15, 0, 0.012), (-0.04, 0.03, 0.01), (0.05, 0.26, 0.05)],
    "pvc": [(1.4, 0.02, 0.035), (-0.5, 0.12, 0.04), (-0.45, 0.32, 0.06)],
}


def ecg(intervals_s, shapes="normal", heights=1.0, fs=FS, noise=0.02, seed=0):
    """Return the signal and the R times; the first R is at 1 s, and the signal ends two seconds after the last."""
    intervals_s = np.asarray(intervals_s, dtype=float)
    shapes = [shapes] * len(intervals_s) if isinstance(shapes, str) else list(shapes)
    heights = np.broadcast_to(heights, len(intervals_s))
    times = 1.0 + np.concatenate([[0.0], np.cumsum(intervals_s[:-1])])
    t = np.arange(int((times[-1] + 2.0) * fs)) / fs
    x = np.random.default_rng(seed).standard_normal(len(t)) * noise
    for at, shape, height, rr in zip(times, shapes, heights, intervals_s, strict=True):
        stretch = float(np.clip(np.sqrt(rr), 0.62, 1.2))
        for amplitude, centre, width in SHAPES[shape]:
            follow = stretch if centre > 0.2 or centre < -0.1 else 1.0
            x += height * amplitude * np.exp(-0.5 * ((t - at - centre * follow) / (width * follow)) ** 2)
    return x, times


def score(found_s, true_s, begin_s, end_s, tolerance_s=0.15):
    """Sensitivity and positive predictivity with greedy one-to-one matching, between two times."""
    truth = [t for t in true_s if begin_s <= t <= end_s]
    found = sorted(f for f in found_s if begin_s - tolerance_s <= f <= end_s + tolerance_s)
    hits = 0
    free = list(found)
    for t in truth:
        near = [f for f in free if abs(f - t) <= tolerance_s]
        if near:
            free.remove(min(near, key=lambda f: abs(f - t)))
            hits += 1
    false = sum(begin_s <= f <= end_s for f in free)
    return hits / max(len(truth), 1), hits / max(hits + false, 1)
