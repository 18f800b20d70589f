"""Judge beats, heart rate and quality gate against annotated records, beside NeuroKit2 and XQRS.

    python benchmarks/bench_signal.py [RECORD ...] [--data DIR] [--peers] [--plot FILE]

Each record runs hop by hop through the kit's own chain, as in ``anyecg run``; a recording of ten seconds gives one
window. RECORD is a WFDB record with annotations beside it (``.atr``, or one annotator per lead as in LUDB); without
one, all annotated records of DIR (default ``../shared/data``) are used: MIT-BIH, CPSC 2021, the noise stress test, and
LUDB with every lead. Signals that are no ECG follow. One row per lead (LUDB: one per lead over all patients):

- Se and +P of the beats, 150 ms (ANSI/AAMI EC57);
- refused although every beat of the window is right, and accepted although a beat is wrong or the signal is no ECG;
- accepted hops with a heart rate, and rates within 5 % of the mean rate of the marked beats in the same ten seconds.

``--peers`` adds Se and +P of NeuroKit2 and XQRS, and their mean rates in the accepted windows. ``--plot`` draws the
trade between the two errors of the gate for other values of ``allowed`` in ``edge/quality/trust.json``. The exit code
is 1 if a total misses its goal: 10 % refused, 1 % accepted wrongly, 98 % with a rate, 99 % of the rates within 5 %.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from pathlib import Path

import numpy as np
import wfdb

from edge.beats.track import HeartRate
from edge.chain import SignalChain
from edge.grid.timeline import Timeline, Uniform
from edge.quality.evidence import weights
from edge.tensecond import ShortRecording, WholeWindow
from edge.window import Window
from firmware_bridge.samples import SampleBlock
from firmware_bridge.synth.noise import NoiseParams, NoiseSource

WITHIN_S = 0.15
RATE_WITHIN = 0.05
GOALS = {"refused": 0.10, "wrong": 0.01, "rated": 0.98, "close": 0.99}
BEATS = frozenset("NLRBAaJSVrFejnE/fQ?")
"""Annotation codes of beats (PhysioBank)."""
SETTLED_S = 3.0
"""Beats in the first seconds are not scored: the filter is filling."""


@dataclass
class Lead:
    """One lead with its marked beats."""

    name: str
    x_mv: np.ndarray
    fs_hz: float
    beats_s: np.ndarray


@dataclass
class Hop:
    """One window: its span, whether the gate accepts it, its rate and the log odds of its score."""

    start_s: float
    end_s: float
    accepted: bool
    rate_bpm: float | None
    score: float


@dataclass
class Row:
    """Counts of one row of the table."""

    name: str
    marked: int = 0
    found: int = 0
    marked_found: int = 0
    found_right: int = 0
    right: int = 0
    refused_right: int = 0
    accepted: int = 0
    accepted_wrong: int = 0
    rated: int = 0
    compared: int = 0
    close: int = 0
    peers: dict[str, list[int]] = field(default_factory=dict)
    scores: list[tuple[float, bool]] = field(default_factory=list)

    def add(self, other: Row) -> None:
        """Add the counts of another row."""
        for f in fields(self):
            if f.type == "int":
                setattr(self, f.name, getattr(self, f.name) + getattr(other, f.name))
        for peer, counts in other.peers.items():
            known = self.peers.setdefault(peer, [0] * len(counts))
            self.peers[peer] = [a + b for a, b in zip(known, counts, strict=True)]
        self.scores += other.scores


def run_chain(x_mv: np.ndarray, fs_hz: float) -> tuple[list[Hop], np.ndarray]:
    """Return the hops of a signal and its beats, s."""
    timeline, chain, short, tracker = Timeline(250), SignalChain(250, 1.0), ShortRecording(250), HeartRate()
    hops: list[Hop] = []
    beats: list[float] = []
    step = max(1, round(0.5 * fs_hz))
    for at in range(0, len(x_mv), step):
        piece = np.asarray(x_mv[at : at + step], np.float32)
        for part in timeline.push(SampleBlock(piece, "mV", 1.0, fs_hz, None, round((at + len(piece)) / fs_hz * 1e9))):
            short.push(part)
            if not isinstance(part, Uniform):
                continue
            for answer in chain.push(part):
                if isinstance(answer, Window):
                    short.formed()
                    verdict = chain.assess(answer)
                    rate = tracker.update(answer.end_s, answer.filtered, answer.beats, verdict.score)
                    hops.append(Hop(answer.start_s, answer.end_s, verdict.reason is None, rate, verdict.score))
            beats += chain.beats_s
    if short.needed:
        whole = short.finish()
        if isinstance(whole, WholeWindow):
            window = whole.window
            beats = (window.start_s + window.beats / 125.0).tolist()
            hops = [Hop(window.start_s, window.end_s, True, whole.rate_bpm, whole.quality.score)]
        elif whole != "short":
            hops = [Hop(0.0, len(x_mv) / fs_hz, False, None, 0.0)]
    return hops, np.array(beats)


def match(found_s: np.ndarray, marked_s: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return which found beats are marked and which marked ones are found, nearest pairs first."""
    pairs = []
    for i, t in enumerate(marked_s):
        low, high = np.searchsorted(found_s, [t - WITHIN_S, t + WITHIN_S])
        pairs += [(abs(found_s[j] - t), i, j) for j in range(low, high)]
    right, hit = np.zeros(len(found_s), bool), np.zeros(len(marked_s), bool)
    for _, i, j in sorted(pairs):
        if not hit[i] and not right[j]:
            hit[i] = right[j] = True
    return right, hit


def mean_rate(beats_s: np.ndarray, start_s: float, end_s: float) -> float:
    """Return the mean rate of the beats in a span, beats per minute; NaN with fewer than two."""
    inside = beats_s[(beats_s >= start_s) & (beats_s <= end_s)]
    return 60.0 * (len(inside) - 1) / (inside[-1] - inside[0]) if len(inside) > 1 else float("nan")


def judge(lead: Lead, name: str, peers: bool) -> Row:
    """Run one lead and count."""
    hops, beats = run_chain(lead.x_mv, lead.fs_hz)
    marked = lead.beats_s
    right, hit = match(beats, marked)
    row = Row(name)
    # Ten-second records are marked from the first whole beat to the last one only.
    short = len(lead.x_mv) / lead.fs_hz < 13.0
    first, last = (marked[0], marked[-1]) if short else (SETTLED_S, len(lead.x_mv) / lead.fs_hz - 1.5)
    scored_m = (marked >= first) & (marked <= last)
    scored_f = (beats >= first - WITHIN_S) & (beats <= last + WITHIN_S)
    row.marked, row.marked_found = int(scored_m.sum()), int(hit[scored_m].sum())
    row.found, row.found_right = int(scored_f.sum()), int(right[scored_f].sum())
    for hop in hops:
        low, high = (max(hop.start_s, first - WITHIN_S), min(hop.end_s, last + WITHIN_S)) if short else (
            hop.start_s, hop.end_s)  # fmt: skip
        good = bool(hit[(marked >= low) & (marked <= high)].all() and right[(beats >= low) & (beats <= high)].all())
        row.right += good
        row.refused_right += good and not hop.accepted
        row.accepted += hop.accepted
        row.accepted_wrong += hop.accepted and not good
        row.scores.append((hop.score, good))
        true = mean_rate(marked, hop.start_s, hop.end_s)
        if hop.accepted:
            row.rated += hop.rate_bpm is not None
            if hop.rate_bpm is not None and np.isfinite(true):
                row.compared += 1
                row.close += abs(hop.rate_bpm / true - 1.0) <= RATE_WITHIN
    for peer, found in (_peers(lead) if peers else {}).items():
        peer_right, peer_hit = match(found, marked)
        inside = (found >= first - WITHIN_S) & (found <= last + WITHIN_S)
        rates = [
            (mean_rate(found, h.start_s, h.end_s), mean_rate(marked, h.start_s, h.end_s)) for h in hops if h.accepted
        ]
        close = sum(abs(a / b - 1.0) <= RATE_WITHIN for a, b in rates if np.isfinite(a) and np.isfinite(b))
        row.peers[peer] = [
            int(peer_hit[scored_m].sum()),
            int(inside.sum()),
            int(peer_right[inside].sum()),
            close,
            len(rates),
        ]
    return row


def _peers(lead: Lead) -> dict[str, np.ndarray]:
    import neurokit2
    from wfdb.processing import XQRS

    out = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        x = np.nan_to_num(lead.x_mv.astype(float))
        try:
            clean = neurokit2.ecg_clean(x, sampling_rate=int(lead.fs_hz))
            found = neurokit2.ecg_peaks(clean, sampling_rate=int(lead.fs_hz))[1]["ECG_R_Peaks"]
        except (ValueError, IndexError, ZeroDivisionError):
            found = np.zeros(0)
        out["NeuroKit2"] = np.asarray(found) / lead.fs_hz
        detector = XQRS(sig=x, fs=lead.fs_hz)
        detector.detect(verbose=False)
        out["XQRS"] = np.sort(np.asarray(detector.qrs_inds, float)) / lead.fs_hz
    return out


def leads_of(path: Path) -> Iterator[Lead]:
    """Yield the annotated leads of a WFDB record."""
    record = wfdb.rdrecord(str(path.with_suffix("")))
    base = path.with_suffix("")
    for k, name in enumerate(record.sig_name):
        own = base.with_suffix(f".{name.lower()}")
        kind = "atr" if base.with_suffix(".atr").exists() else name.lower() if own.exists() else None
        if kind is None:
            continue
        marks = wfdb.rdann(str(base), kind)
        at = [s for s, c in zip(marks.sample, marks.symbol, strict=True) if c in BEATS]
        yield Lead(f"{base.name} {name}", record.p_signal[:, k], float(record.fs), np.array(at) / record.fs)


def of_folder(data: Path) -> Iterator[tuple[str, Lead]]:
    """Yield every annotated lead of the shared data with the name of its row."""
    paths = [data / "mitdb_100" / "100.hea", *sorted((data / "mitdb_more").glob("*.hea"))]
    for path in [*paths, data / "cpsc2021_data_84_1" / "data_84_1.hea"]:
        for lead in leads_of(path):
            yield lead.name, lead
    for name in ("118e24", "118e06"):
        x = np.loadtxt(data / f"nstdb_{name}" / f"{name}.csv")
        marks = np.loadtxt(data / f"nstdb_{name}" / f"{name}_ann.csv")
        yield name, Lead(name, x, 360.0, marks / 360.0)
    for path in sorted((data / "ludb" / "data").glob("*.hea"), key=lambda p: int(p.stem)):
        for lead in leads_of(path):
            yield f"LUDB {lead.name.split()[-1]}", lead


def no_ecgs(fs_hz: float = 250.0, seconds: float = 60.0) -> Iterator[tuple[str, np.ndarray]]:
    """Yield signals without a heart."""
    n = round(fs_hz * seconds)
    t = np.arange(n) / fs_hz
    kinds = {
        "electrode motion": NoiseParams(motion_per_min=40, motion_mv=1.5, pops_per_min=10, pop_mv=1.0, muscle_mv=0.05),
        "muscle": NoiseParams(muscle_mv=0.3, wander_mv=0.1),
    }
    for seed in range(4):
        rng = np.random.default_rng(seed)
        white = rng.standard_normal(n)
        yield "white noise", 0.3 * white
        yield "red noise", 0.02 * np.cumsum(white)
        spectrum = np.fft.rfft(white)
        spectrum[1:] /= np.sqrt(np.arange(1, len(spectrum)))
        pink = np.fft.irfft(spectrum, n)
        yield "EEG-like", 0.05 * (pink / pink.std() + np.sin(2 * np.pi * 10 * t) * (1 + np.sin(2 * np.pi * 0.3 * t)))
        syllables = np.clip(np.sin(2 * np.pi * (3.5 + 0.7 * seed) * t + 2 * np.sin(2 * np.pi * 0.4 * t)), 0, 1) ** 2
        yield "speech-like", white * syllables
        for kind, noise in kinds.items():
            yield kind, NoiseSource(noise, seed).apply(np.zeros(n), fs_hz)
    for hz in (0.7, 1.0, 1.7, 3.0, 6.0, 13.0, 35.0, 50.0):
        yield "sine", np.sin(2 * np.pi * hz * t)
        yield "square wave", np.sign(np.sin(2 * np.pi * hz * t))
        yield "triangle", 2 * np.abs(2 * ((hz * t) % 1.0) - 1.0) - 1.0
    yield "flat", np.zeros(n)


def share(part: int, whole: int) -> float:
    """Return a share; NaN of nothing."""
    return part / whole if whole else float("nan")


def show(rows: list[Row]) -> None:
    """Print the table."""
    sys.stdout.write(
        f"{'record and lead':<18}{'Se':>8}{'+P':>8}{'refused, right':>16}{'accepted, wrong':>17}"
        f"{'rate':>8}{'within 5 %':>12}\n"
    )
    for r in rows:
        sys.stdout.write(
            f"{r.name:<18}{share(r.marked_found, r.marked):8.4f}{share(r.found_right, r.found):8.4f}"
            f"{r.refused_right:6d} {share(r.refused_right, r.right):8.1%} {r.accepted_wrong:6d} "
            f"{share(r.accepted_wrong, r.accepted):9.2%} {share(r.rated, r.accepted):7.1%} "
            f"{share(r.close, r.compared):11.1%}\n"
        )
        for peer, (hit, found, right, close, rates) in r.peers.items():
            sys.stdout.write(
                f"  {peer:<16}{share(hit, r.marked):8.4f}{share(right, found):8.4f}{'':41}{share(close, rates):12.1%}\n"
            )


def plot(scores: list[tuple[float, bool]], file: Path) -> None:
    """Draw both errors of the gate for other values of ``allowed``."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    score, good = np.array([s for s, _ in scores]), np.array([g for _, g in scores])
    with np.errstate(divide="ignore"):
        odds = np.log(score / (1.0 - score)) + weights().allowed
    at = np.linspace(-2.0, 5.0, 141)
    refused = [100 * np.mean(odds[good] < a) for a in at]
    wrong = [100 * np.mean(~good[odds >= a]) if np.any(odds >= a) else np.nan for a in at]
    figure, axes = plt.subplots(figsize=(6.4, 4.0), layout="constrained")
    axes.plot(refused, wrong)
    chosen = int(np.argmin(np.abs(at - weights().allowed)))
    axes.plot(refused[chosen], wrong[chosen], "o", label=f"allowed = {weights().allowed:g}")
    for a in (-1.0, 0.0, 3.0):
        k = int(np.argmin(np.abs(at - a)))
        axes.annotate(f"{a:g}", (refused[k], wrong[k]), textcoords="offset points", xytext=(6, 4))
    axes.axhline(1.0, color="0.6", linewidth=0.8)
    axes.set(
        xlabel="refused although every beat is right (%)", ylabel="accepted although a beat is wrong (%)",
        xlim=(0, 12), ylim=(0, None), title="The trade of the quality gate, annotated records",
    )  # fmt: skip
    axes.legend()
    figure.savefig(file, dpi=110)


def main() -> int:
    """Run everything and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("records", nargs="*", type=Path)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--peers", action="store_true")
    parser.add_argument("--plot", type=Path)
    args = parser.parse_args()
    given = [(lead.name, lead) for path in args.records for lead in leads_of(path)]
    rows: dict[str, Row] = {}
    for name, lead in given or of_folder(args.data):
        if len(lead.beats_s) < 2:
            continue
        rows.setdefault(name, Row(name)).add(judge(lead, name, args.peers))
        if sys.stderr.isatty():
            sys.stderr.write(f"\r{lead.name:<40}\r")
    total = Row("all")
    for row in rows.values():
        total.add(row)
    show([*rows.values(), total])
    missed = share(total.refused_right, total.right) > GOALS["refused"]
    missed |= share(total.accepted_wrong, total.accepted) > GOALS["wrong"]
    missed |= share(total.rated, total.accepted) < GOALS["rated"] or share(total.close, total.compared) < GOALS["close"]
    if not args.records:
        accepted: dict[str, list[int]] = {}
        for kind, x in no_ecgs():
            counts = accepted.setdefault(kind, [0, 0])
            hops, _ = run_chain(x, 250.0)
            counts[0] += sum(hop.accepted for hop in hops)
            counts[1] += len(hops)
        sys.stdout.write("no ECG, accepted: " + ", ".join(f"{k} {a} of {n}" for k, (a, n) in accepted.items()) + "\n")
    if args.plot:
        plot(total.scores, args.plot)
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
