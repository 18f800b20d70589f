"""Judge rhythms against annotations: sensitivity and positive predictive value for atrial fibrillation and for beats.

    python benchmarks/bench_rhythm.py DATA

DATA is a folder with ``ludb`` (PhysioNet ludb 1.0.1 with ludb.csv) and records of CPSC 2021 and MIT-BIH in folders of
their own, such as ``cpsc2021_data_84_1/data_84_1``. Records run through the chain of the device at 250 Hz, one window
every ten seconds, so that windows do not overlap. LUDB gives one window for each of the leads I, II and V5; a network
that has not seen the patient measures it (``benchmarks/bench_waves.py``). Windows that the quality gate refuses and
windows whose rhythm stays undetermined count as not detected. Intervals are Wilson's, 95 %. MIT-BIH records without
rhythm marks in the file are in sinus rhythm or paced by the directory of the database; none has atrial fibrillation.

``silent`` counts the accepted windows at which an output for sinus rhythm only would abstain, over the last five
minutes as on the device; a lead of LUDB is a single window.
"""

from __future__ import annotations

import argparse
from collections import Counter
from pathlib import Path

import numpy as np
from bench_waves import meters
from ludb import GRID_HZ, records, rhythms, signals, window_of

from convert.stats.bounds import wilson
from edge.chain import SignalChain
from edge.grid.timeline import Gap, Timeline
from edge.rhythm.gate import RhythmGate
from edge.rhythm.minutes import MINUTES_S
from edge.rhythm.window import WindowRhythm, judge_window
from edge.waves.measure import STREAM_STEP, WaveMeter
from edge.window import NoWindow, Window
from firmware_bridge.samples import SampleBlock

HOLTER = {
    "cpsc2021_data_84_1/data_84_1": (0, 1),
    "mitdb_100/100": (0,),
    "mitdb_more/104": (0,),
    "mitdb_more/106": (0,),
    "mitdb_more/108": (0,),
    "mitdb_more/114": (0,),
    "mitdb_more/119": (0,),
}
"""Records and their leads."""
BEATS = "NLRBAaJSVFejnE/fQ"
ECTOPIC = "AaJSVE"
NEAR_S = 0.15
"""Tolerance of a beat, s (EC57)."""
HOP_S = 10.0


def judged(meter: WaveMeter, window: Window) -> WindowRhythm:
    """Return the rhythm of a window."""
    meter.measure(window.raw, window.beats, scale_known=True)
    return judge_window(meter.beat, meter.found, meter.above_40_hz, window.beats * STREAM_STEP)


def windows(ecg_mv: np.ndarray, fs_hz: float):
    """Yield each window and whether the gate accepts it."""
    timeline, chain = Timeline(GRID_HZ), SignalChain(GRID_HZ, HOP_S)
    size = int(2 * fs_hz)
    for at in range(0, len(ecg_mv), size):
        block = SampleBlock(ecg_mv[at : at + size].astype(np.float32), "mV", None, fs_hz, None, round(at / fs_hz * 1e9))
        for part in timeline.push(block):
            for answer in chain.gap(part) if isinstance(part, Gap) else chain.push(part):
                if not isinstance(answer, NoWindow):
                    yield answer, chain.assess(answer).reason is None


def holter(path: Path, lead: int) -> tuple[Counter, Counter, bool]:
    """Return counts of rhythms and of beats of a record, and whether it is in atrial fibrillation."""
    import wfdb

    record, marks = wfdb.rdrecord(str(path), channels=[lead]), wfdb.rdann(str(path), "atr")
    symbols, times = np.array(marks.symbol), marks.sample / record.fs
    is_beat = np.isin(symbols, list(BEATS))
    names: Counter = Counter()
    beats: Counter = Counter()
    meter, gate = WaveMeter(GRID_HZ), RhythmGate([("sinus",)])
    for window, accepted in windows(record.p_signal[:, 0], float(record.fs)):
        if not accepted:
            names["refused"] += 1
            continue
        found = judged(meter, window)
        names[found.name] += 1
        gate.add(window.end_s, found.name)
        gate.drop_until(window.end_s - MINUTES_S)
        names["silent"] += gate.abstaining()[0]
        for at, ectopic in zip(window.start_s + found.beats / 250.0, found.ectopic, strict=True):
            nearest = np.flatnonzero(is_beat)[np.abs(times[is_beat] - at).argmin()]
            if abs(times[nearest] - at) <= NEAR_S:
                beats[(str(symbols[nearest]) in ECTOPIC, bool(ectopic))] += 1
    return names, beats, any("(AFIB" in note for note in marks.aux_note)


def ludb(folder: Path) -> dict[str, Counter]:
    """Return counts of rhythms by the rhythm of the patient."""
    meter_of, known = meters(), rhythms(folder.parent / "ludb.csv")
    out: dict[str, Counter] = {}
    for record in records(folder):
        ecg = signals(folder, record)
        text = known[record]
        kind = "AF" if "fibrillation" in text else "flutter" if "flutter" in text else "sinus"
        kind = f"{kind}, pacemaker" if ";" in text else kind
        for lead in ("i", "ii", "v5"):
            window = window_of(ecg[lead])
            name = "refused" if window is None else judged(meter_of(record), window).name
            counts = out.setdefault(kind, Counter())
            counts[name] += 1
            counts["silent"] += name not in {"sinus", "refused"}
    return out


def share(part: int, whole: int) -> str:
    """Return a share with its Wilson interval, 95 %."""
    if not whole:
        return "-"
    found = wilson(part / whole, whole)
    return f"{found.value:.3f} ({found.low:.3f} to {found.high:.3f}), {part} of {whole}"


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    args = parser.parse_args()
    columns = ("sinus", "af_or_flutter", "paced", "undetermined", "refused", "silent")
    print("| recording | " + " | ".join(columns) + " | Se for ectopic beats | +P for ectopic beats |")
    print("|---|" + "---|" * (len(columns) + 2))
    af, other = Counter(), Counter()
    for name, leads in HOLTER.items():
        for lead in leads:
            names, beats, fibrillation = holter(args.data / name, lead)
            (af if fibrillation else other).update(without_silent(names))
            hit, missed, wrong = beats[True, True], beats[True, False], beats[False, True]
            scores = (share(hit, hit + missed), share(hit, hit + wrong) if hit + missed else f"{wrong} wrong")
            row(f"{Path(name).name}, lead {lead + 1}", columns, names, scores)
    for kind, names in sorted(ludb(args.data / "ludb" / "data").items()):
        if kind.startswith("AF"):
            af.update(without_silent(names))
        elif not kind.startswith("flutter"):
            other.update(without_silent(names))
        row(f"LUDB, {kind}", columns, names, ("", ""))
    hit, wrong = af["af_or_flutter"], other["af_or_flutter"]
    print(f"\nAF: sensitivity {share(hit, af.total())}; +P {share(hit, hit + wrong)}; "
          f"specificity {share(other.total() - wrong, other.total())}")  # fmt: skip
    decided = af.total() - af["refused"] - af["undetermined"]
    print(f"AF among windows with a rhythm: sensitivity {share(hit, decided)}")


def without_silent(names: Counter) -> Counter:
    """Return the counts that are one for each window."""
    return Counter({name: count for name, count in names.items() if name != "silent"})


def row(name: str, columns: tuple[str, ...], names: Counter, scores: tuple[str, str]) -> None:
    """Print one row."""
    print(f"| {name} | " + " | ".join(str(names[column]) for column in columns) + f" | {scores[0]} | {scores[1]} |")


if __name__ == "__main__":
    main()
