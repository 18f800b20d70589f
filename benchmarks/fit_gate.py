"""Fit the weights of the quality gate, and state how they do on records that they were not fitted to.

    python benchmarks/fit_gate.py [--data DIR] [--cache FILE] [--write]

Windows with known beats come from the annotated records of DIR (default ``../shared/data``), from the same records with
noise of six kinds at 18 to 0 dB, from simulated rhythms and shapes of complexes, and from signals that are no ECG. A
window is right if every marked beat is found and every found one is marked, 150 ms. The score is a logistic regression
with squares (L2) of the measures of ``edge/quality/evidence.py``. First each record is judged by weights that were
fitted without it (LUDB in four groups of patients): the two errors of the gate for several values of ``allowed``. Then
all are fitted, and ``--write`` replaces ``edge/quality/trust.json``. ``--cache`` keeps the measures.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from bench_signal import match, no_ecgs, of_folder
from scipy import signal
from sklearn.linear_model import LogisticRegression

from edge.beats.newest import with_newest
from edge.chain import SignalChain
from edge.grid.timeline import Timeline, Uniform
from edge.quality import evidence, gate
from edge.quality.measures import irregularity, likeness
from edge.window import Window
from firmware_bridge.samples import SampleBlock
from firmware_bridge.synth.ecgsyn import EcgParams, EcgSynth
from firmware_bridge.synth.noise import NoiseParams, NoiseSource

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from helpers.ecg_shapes import SHAPES, ecg  # the shapes that the tests use

STRENGTH = 0.03
"""Inverse strength of the L2 penalty."""
WEIGHT = {"real": 1.0, "ludb": 2.0, "noisy": 0.7, "simulated": 1.5, "none": 0.5}
"""Weight of a window, by kind."""
FS = 250.0
NOISES = {
    "motion": NoiseParams(motion_per_min=40, motion_mv=1.5, pops_per_min=10, pop_mv=1.0, muscle_mv=0.05),
    "muscle": NoiseParams(muscle_mv=0.3, wander_mv=0.1),
    "pops": NoiseParams(pops_per_min=25, pop_mv=1.5, motion_per_min=5),
}


class Seen(NamedTuple):
    """Measures of a window, whether its beats are right, its kind and the group that is left out with it."""

    measures: dict[str, float]
    right: bool
    kind: str
    group: str


def windows(x_mv: np.ndarray, fs_hz: float, hop_s: float) -> tuple[list[Window], np.ndarray]:
    """Return copies of the windows of a signal, and its beats, s."""
    timeline, chain = Timeline(250), SignalChain(250, hop_s)
    found: list[Window] = []
    beats: list[float] = []
    step = round(fs_hz)
    for at in range(0, len(x_mv), step):
        piece = np.asarray(x_mv[at : at + step], np.float32)
        for part in timeline.push(SampleBlock(piece, "mV", 1.0, fs_hz, None, round((at + len(piece)) / fs_hz * 1e9))):
            if isinstance(part, Uniform):
                for answer in chain.push(part):
                    if isinstance(answer, Window):
                        filtered, raw, at_beats = (a.copy() for a in (answer.filtered, answer.raw, answer.beats))
                        found.append(replace(answer, filtered=filtered, raw=raw, beats=at_beats))
                beats += chain.beats_s
    return found, np.array(beats)


def measured(window: Window) -> dict[str, float] | None:
    """Return the measures of a window as the gate takes them; ``None`` if it refuses the window before."""
    beats = with_newest(window.filtered, window.beats)
    if len(beats) < 3:
        return None
    alike = likeness(window.filtered, beats, gate.FS_HZ)
    simple = gate.simple_measures(window.filtered, window.raw, FS, beats, alike)
    if simple["kurtosis"] < gate.LEAST_KURTOSIS or simple["likeness"] <= gate.LEAST_LIKENESS:
        return None
    return evidence.measure(window.filtered, beats, alike, simple | {"irregularity": irregularity(beats)})


def seen(x_mv: np.ndarray, fs_hz: float, marked_s: np.ndarray, kind: str, group: str, hop_s: float) -> Iterator[Seen]:
    """Yield what the windows of one signal show."""
    short = len(x_mv) / fs_hz < 13.0
    if short:
        before, after = round(2.0 * fs_hz), round(2.2 * fs_hz)
        x_mv = np.concatenate([2 * x_mv[0] - x_mv[before:0:-1], x_mv, 2 * x_mv[-1] - x_mv[-2 : -after - 2 : -1]])
        marked_s = marked_s + 2.0
    found, beats = windows(x_mv, fs_hz, hop_s)
    right, hit = match(beats, marked_s)
    for window in found:
        low, high = window.start_s, window.end_s
        if short:
            low, high = max(low, marked_s[0] - 0.15), min(high, marked_s[-1] + 0.15)
        values = measured(window)
        good = bool(hit[(marked_s >= low) & (marked_s <= high)].all() and right[(beats >= low) & (beats <= high)].all())
        if values is not None:
            yield Seen(values, good and len(marked_s) > 0, kind, group)


def motion_of(data: Path) -> np.ndarray:
    """Return the electrode motion of the noise stress test: the record at 6 dB minus that at 24 dB, at 360 Hz."""
    loud, soft = (np.loadtxt(data / f"nstdb_{n}" / f"{n}.csv") for n in ("118e06", "118e24"))
    at_loud, at_soft = (np.loadtxt(data / f"nstdb_{n}" / f"{n}_ann.csv") for n in ("118e06", "118e24"))
    shift = int(at_soft[77] - at_loud[0])
    n = min(len(loud), len(soft) - shift)
    motion = (loud[:n] - soft[shift : shift + n])[40 * 360 :]
    return np.asarray(motion - motion.mean())


def noise(kind: str, n: int, fs_hz: float, seed: int, motion: np.ndarray) -> np.ndarray:
    """Return noise of one kind, ``(n,)``, any amplitude."""
    rng = np.random.default_rng(seed)
    if kind in NOISES:
        grid = NoiseSource(NOISES[kind], seed).apply(np.zeros(int(n * FS / fs_hz) + 10), FS)
        return np.interp(np.arange(n) / fs_hz, np.arange(len(grid)) / FS, grid)
    if kind == "white":
        return rng.standard_normal(n)
    if kind == "burst":
        loud = np.abs(signal.lfilter([1], [1, -0.999], rng.standard_normal(n)))
        band = signal.butter(2, [15 / (fs_hz / 2), min(45 / (fs_hz / 2), 0.95)], "band")
        return np.asarray(signal.lfilter(*band, rng.standard_normal(n)) * loud / loud.std())
    pieces = [np.zeros(1)]
    while sum(len(p) for p in pieces) < n * 360 / fs_hz + 10:
        piece = motion * rng.choice([-1, 1])
        piece = piece[:: rng.choice([-1, 1])]
        pieces.append(piece - piece[0] + pieces[-1][-1])
    joined = np.concatenate(pieces)
    joined -= signal.savgol_filter(joined, 1081, 1)
    return np.interp(np.arange(n) / fs_hz, np.arange(len(joined)) / 360.0, joined)


def real_and_noisy(data: Path, motion: np.ndarray) -> Iterator[Seen]:
    """Yield the annotated records, and pieces of them with noise."""
    rng, seed = np.random.default_rng(0), 0
    for row, lead in of_folder(data):
        group = "118" if row.startswith("118") else lead.name.split()[0].split("_")[0]
        if row.startswith("LUDB"):
            yield from seen(lead.x_mv, lead.fs_hz, lead.beats_s, "ludb", f"ludb{int(group) % 4}", 1.0)
            continue
        yield from seen(lead.x_mv, lead.fs_hz, lead.beats_s, "real", group, 1.0)
        if row.startswith("118") or row == "data_84_1 I":
            continue
        near = round(0.06 * lead.fs_hz)
        tall = np.median(
            [np.ptp(lead.x_mv[k - near : k + near]) for k in (lead.beats_s[5:205] * lead.fs_hz).astype(int)]
        )
        for kind in ("em", *NOISES, "white", "burst"):
            for snr_db in (18, 12, 6, 0):
                seed += 1
                long_s, first_s = (110.0, 160.0) if row.startswith("data_84") else (
                    150.0, rng.uniform(5, len(lead.x_mv) / lead.fs_hz - 155))  # fmt: skip
                at = int(first_s * lead.fs_hz)
                x = np.asarray(lead.x_mv[at : at + int(long_s * lead.fs_hz)], float)
                z = noise(kind, len(x), lead.fs_hz, seed, motion)
                z *= np.sqrt(tall**2 / 8 / 10 ** (snr_db / 10) / np.mean(z**2))
                ramp = np.clip((np.arange(len(x)) / lead.fs_hz - 15) / 5, 0, 1)
                marked = lead.beats_s[(lead.beats_s > first_s) & (lead.beats_s < first_s + long_s)] - first_s
                yield from seen(x + ramp * z, lead.fs_hz, marked, "noisy", group, 2.0)
        sys.stderr.write(f"{lead.name}\n")


def simulated() -> Iterator[Seen]:
    """Yield simulated rhythms, and simulated shapes in eight patterns."""
    rng = np.random.default_rng(5)
    for i in range(160):
        rate = float(rng.choice([35, 45, 55, 65, 75, 90, 110, 130, 160]))
        patient = EcgParams(
            hr_bpm=rate, rr_sd_ms=float(rng.uniform(500, 2500) / rate), qtc_ms=float(rng.uniform(360, 440)),
            pvc_per_beat=float(rng.choice([0, 0.05, 0.15, 0.3, 0.45])), af=bool(rng.random() < 0.3),
        )  # fmt: skip
        synth = EcgSynth(patient, i)
        x = synth.generate(60 * 250, FS)
        marked = np.array([beat.r_time_s for beat in synth.take_beats()])
        muscle, moves, pops = (
            rng.choice([0.005, 0.02, 0.05, 0.1, 0.2]),
            rng.choice([0, 0, 2, 10]),
            rng.choice([0, 0, 2]),
        )
        extra = NoiseParams(muscle_mv=float(muscle), motion_per_min=float(moves), pops_per_min=float(pops))
        yield from seen(
            x + NoiseSource(extra, i).apply(np.zeros(len(x)), FS), FS, marked, "simulated", "simulated", 3.0
        )
    shapes = [name for name in SHAPES if name != "pvc"]
    for i in range(200):
        shape, rate = str(rng.choice(shapes)), float(rng.choice([30, 40, 50, 60, 75, 100, 130, 170, 210]))
        pattern = str(rng.choice(PATTERNS)) if rate <= 140 else "regular"
        intervals, kinds = patterned(pattern, 60.0 / rate, shape, rng)
        heights = 1 + 0.1 * rng.standard_normal(len(intervals)) if rng.random() < 0.5 else 1.0
        size = {"low": 0.15, "wide": 0.6, "tall_t": 0.6, "rs": 0.7}.get(shape, 1.0)
        level = float(rng.choice([0.005, 0.01, 0.02, 0.05, 0.1])) * size
        x, marked = ecg(intervals, kinds, heights=heights, fs=FS, noise=level, seed=i)
        yield from seen(x, FS, marked, "simulated", "simulated", 3.0)


Part = tuple[list[float], list[str]]
"""Intervals, s, and the shape of each beat."""


def _one_part(pattern: str, rr: float, shape: str, rng: np.random.Generator) -> Part:
    early, k = float(rng.uniform(0.55, 0.8)), int(rng.integers(3, 12))
    parts: dict[str, Callable[[], Part]] = {
        "regular": lambda: ([rr * (1 + 0.03 * rng.standard_normal())], [shape]),
        "bigeminy": lambda: ([rr * early, rr * (2 - early)], [shape, "pvc"]),
        "trigeminy": lambda: ([rr, rr * early, rr * (2 - early)], [shape, shape, "pvc"]),
        "couplet": lambda: ([rr] * 3 + [rr * early, rr * early, rr * 1.3], [shape] * 4 + ["pvc"] * 2),
        "single": lambda: ([rr] * k + [rr * early, rr * (2 - early)], [shape] * (k + 1) + ["pvc"]),
        "pause": lambda: ([rr] * k + [min(rr * 2, 3.0)], [shape] * (k + 1)),
        "fibrillation": lambda: ([float(np.clip(rng.gamma(12, rr / 12), 0.33, 2.2))], [shape]),
        "alternating": lambda: ([rr * 0.85, rr * 1.15], [shape] * 2),
    }
    return parts[pattern]()


PATTERNS = ("regular", "bigeminy", "trigeminy", "couplet", "single", "pause", "fibrillation", "alternating")


def patterned(pattern: str, rr: float, shape: str, rng: np.random.Generator) -> Part:
    """Return about 55 s of one pattern."""
    intervals: list[float] = []
    kinds: list[str] = []
    while sum(intervals) < 55:
        more, names = _one_part(pattern, rr, shape, rng)
        intervals += more
        kinds += names
    return intervals, kinds


def nothing(motion: np.ndarray) -> Iterator[Seen]:
    """Yield signals that are no ECG."""
    none = np.zeros(0)
    for k, (kind, x) in enumerate(no_ecgs(FS, 90.0)):
        yield from seen(x, FS, none, "none", f"none{sum(map(ord, kind)) % 4}", 2.0)
        if k < 24:
            for name in ("em", "pops", "burst"):
                yield from seen(noise(name, len(x), FS, 100 + k, motion), FS, none, "none", f"none{len(name)}", 2.0)


class Fit:
    """A logistic regression of standardized measures and their squares."""

    def __init__(self, x: np.ndarray, y: np.ndarray, weight: np.ndarray) -> None:
        self.usual, self.spread = np.average(x, axis=0), x.std(axis=0) + 1e-9
        self.model = LogisticRegression(C=STRENGTH, max_iter=3000).fit(self._z(x), y, sample_weight=weight)

    def _z(self, x: np.ndarray) -> np.ndarray:
        z = np.clip((x - self.usual) / self.spread, -evidence.LIMIT, evidence.LIMIT)
        return np.hstack([z, z**2])

    def odds(self, x: np.ndarray) -> np.ndarray:
        """Return the log odds of right beats, ``(n,)``."""
        return np.asarray(self.model.decision_function(self._z(x)))

    def weights(self, names: list[str], allowed: float) -> dict[str, object]:
        """Return the content of ``trust.json``."""
        linear, square = np.split(self.model.coef_[0], 2)
        columns = zip(names, self.usual, self.spread, linear, square, strict=True)
        parts = {name: [round(float(v), 4) for v in values] for name, *values in columns}
        return {"allowed": allowed, "constant": round(float(self.model.intercept_[0]), 4), "measures": parts}


def report(title: str, odds: np.ndarray, y: np.ndarray, kinds: np.ndarray) -> None:
    """Print both errors for several values of ``allowed``."""
    sys.stdout.write(f"{title}\n{'allowed':>8}{'refused, right':>16}{'accepted, wrong':>17}{'no ECG accepted':>17}\n")
    real = np.isin(kinds, ["real", "ludb"])
    for allowed in (0.0, 0.6, 1.0, 1.2, 1.6, 2.5):
        refused = np.mean(odds[real & y] < allowed)
        wrong = np.mean(~y[real & (odds >= allowed)])
        none = np.mean(odds[kinds == "none"] >= allowed)
        sys.stdout.write(f"{allowed:8.1f}{refused:16.2%}{wrong:17.2%}{none:17.2%}\n")


def collected(data: Path, cache: Path | None) -> tuple[list[str], np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return names of the measures, measures ``(n, m)``, whether the beats are right, kinds and groups ``(n,)``."""
    if cache is not None and cache.exists():
        with np.load(cache, allow_pickle=False) as kept:
            return kept["names"].tolist(), kept["x"], kept["y"], kept["kinds"], kept["groups"]
    motion = motion_of(data)
    rows = [*real_and_noisy(data, motion), *simulated(), *nothing(motion)]
    names = list(rows[0].measures)
    x = np.array([[row.measures[name] for name in names] for row in rows])
    y = np.array([row.right for row in rows])
    kinds, groups = np.array([row.kind for row in rows]), np.array([row.group for row in rows])
    if cache is not None:
        np.savez(cache, names=np.array(names), x=x, y=y, kinds=kinds, groups=groups)
    return names, x, y, kinds, groups


def main() -> int:
    """Collect, judge, fit."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--cache", type=Path)
    parser.add_argument("--write", action="store_true")
    args = parser.parse_args()
    names, x, y, kinds, groups = collected(args.data, args.cache)
    weight = np.array([WEIGHT[kind] for kind in kinds.tolist()])
    apart = np.zeros(len(y))
    for group in sorted(set(groups)):
        out = groups == group
        apart[out] = Fit(x[~out], y[~out], weight[~out]).odds(x[out])
    report(f"{len(y)} windows; each record judged by weights that were fitted without it", apart, y, kinds)
    whole = Fit(x, y, weight)
    report("fitted to all", whole.odds(x), y, kinds)
    if args.write:
        text = json.dumps(whole.weights(names, evidence.weights().allowed), indent=2)
        text = re.sub(r"\[\s+([^\]]*?)\s+\]", lambda m: "[" + re.sub(r"\s+", " ", m[1]) + "]", text)
        evidence.FILE.write_text(text + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
