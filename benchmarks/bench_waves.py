"""Compare intervals of the wave path with the marks of cardiologists (LUDB), beside other delineators.

    python benchmarks/bench_waves.py LUDB [--leads i ii v5] [--records 101 200] [--outliers]

LUDB is the folder ``data`` of PhysioNet's ludb 1.0.1. Every ten-second lead goes through the chain of the device at
250 Hz: grid, R peaks, quality gate, wave path, average beat. The error of a lead is its measurement minus the median of
its marks. A boundary network never measures a patient whose marks trained it: of the records 1 to 100, the even ones
are measured by the network of the odd ones (``benchmarks/ludb_halves.npz``) and the odd ones by that of the even ones;
other records by the network of the package. Prints mean and standard deviation of the errors, how many leads with marks
were measured, in how many leads without P none was claimed, and the time per window. NeuroKit2 (dwt), ecgdeli and
prominence-delineator run on the same leads where they are installed. The exit code is 1 if the kit misses a limit.
"""

from __future__ import annotations

import argparse
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
from ludb import FS_HZ, GRID_HZ, beats, has_p, records, rhythms, signals, true_intervals, window_of

from edge.waves.measure import WaveMeter
from edge.waves.net import BoundaryNet

LIMITS_MS = {"p_ms": 14.0, "pr_ms": 12.0, "qrs_ms": 12.0, "qt_ms": 20.0}
"""Largest standard deviation of the error, ms."""
MIN_COVERAGE = 0.95
MIN_NO_P = 0.95
"""Smallest share of leads in atrial fibrillation without a claimed P."""
MAX_MS = 1.0
REPEATS = 5
"""Measurements of a window, of which the shortest time counts: other processes only make it longer."""
HALVES = Path(__file__).parent / "ludb_halves.npz"
TRAINED = 100
"""Last record that trained the network of the package."""

Row = dict[str, float]


def meters() -> Callable[[int], WaveMeter]:
    """Return what gives the meter for a record: its network was not trained on the marks of that record."""
    halves = np.load(HALVES)
    found = {name: WaveMeter(GRID_HZ, BoundaryNet(halves[name])) for name in ("odd", "even")}
    found["all"] = WaveMeter(GRID_HZ)
    return lambda record: found["all" if record > TRAINED else "even" if record % 2 else "odd"]


def kit() -> Callable[[int, np.ndarray], Row]:
    """Return what measures a lead of a record with the chain of the device."""
    meter_of = meters()

    def measure(record: int, ecg_mv: np.ndarray) -> Row:
        window = window_of(ecg_mv)
        if window is None:
            return {}
        meter = meter_of(record)
        spent_ms = np.inf
        for _ in range(REPEATS):
            started = time.process_time()
            found = meter.measure(window.raw, window.beats, scale_known=True)
            spent_ms = min(spent_ms, 1e3 * (time.process_time() - started))
        row = {name: getattr(found, name) for name in LIMITS_MS}
        return {name: value for name, value in row.items() if value is not None} | {"spent_ms": spent_ms}

    return measure


def neurokit() -> Callable[[int, np.ndarray], Row]:
    """Return what measures a lead with NeuroKit2."""
    import neurokit2

    def measure(_record: int, ecg_mv: np.ndarray) -> Row:
        clean = neurokit2.ecg_clean(ecg_mv, sampling_rate=FS_HZ)
        _, peaks = neurokit2.ecg_peaks(clean, sampling_rate=FS_HZ)
        _, w = neurokit2.ecg_delineate(clean, peaks["ECG_R_Peaks"], sampling_rate=FS_HZ, method="dwt")
        names = ("ECG_P_Onsets", "ECG_P_Offsets", "ECG_R_Onsets", "ECG_R_Offsets", "ECG_T_Offsets")
        return _intervals(*(np.array(w[name], dtype=float) for name in names))

    return measure


def ecgdeli() -> Callable[[int, np.ndarray], Row]:
    """Return what measures a lead with ecgdeli."""
    import ecgdeli

    def measure(_record: int, ecg_mv: np.ndarray) -> Row:
        clean = ecgdeli.filter_ecg(ecg_mv[:, None], FS_HZ)
        found = ecgdeli.annotate(clean, FS_HZ).leads[0]
        at = [found.p_on, found.p_off, found.qrs_on, found.qrs_off, found.t_off]
        return _intervals(*(np.where(np.asarray(x, dtype=float) > 0, x, np.nan) for x in at))

    return measure


def prominence() -> Callable[[int, np.ndarray], Row]:
    """Return what measures a lead with prominence-delineator."""
    from prominence_delineator import ProminenceDelineator

    delineator = ProminenceDelineator(sampling_frequency=round(FS_HZ))

    def measure(_record: int, ecg_mv: np.ndarray) -> Row:
        peaks = delineator.find_rpeaks(ecg_mv)
        w = delineator.find_waves(ecg_mv, rpeaks=peaks, include_nodetections=True)
        names = ("P_on", "P_off", "R_on", "R_off", "T_off")
        at = [np.array([np.nan if v is None else v for v in w[name]], dtype=float) for name in names]
        return _intervals(*at)

    return measure


def _intervals(p_on: np.ndarray, p_off: np.ndarray, q_on: np.ndarray, q_off: np.ndarray, t_off: np.ndarray) -> Row:
    n = min(map(len, (p_on, p_off, q_on, q_off, t_off)))
    p_on, p_off, q_on, q_off, t_off = (x[:n] for x in (p_on, p_off, q_on, q_off, t_off))
    rows = {"p_ms": p_off - p_on, "pr_ms": q_on - p_on, "qrs_ms": q_off - q_on, "qt_ms": t_off - q_on}
    out = {}
    for name, values in rows.items():
        known = values[np.isfinite(values)]
        if len(known) >= max(1, 0.5 * n):
            out[name] = float(np.median(known)) * 1000.0 / FS_HZ
    return out


DELINEATORS = {"anyecg": kit, "neurokit2": neurokit, "ecgdeli": ecgdeli, "prominence": prominence}


def judge(measure: Callable[[int, np.ndarray], Row], cases: list[tuple], lead: str) -> dict[str, object]:
    """Return errors by interval, coverage, and leads without P in which none was claimed."""
    errors: dict[str, list[tuple[float, int]]] = {name: [] for name in LIMITS_MS}
    known = dict.fromkeys(LIMITS_MS, 0)
    no_p: list[bool] = []
    no_p_af: list[bool] = []
    spent: list[float] = []
    for record, ecg, marked, rhythm in (case[:4] for case in cases if case[4] == lead):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                found = measure(record, ecg)
        except Exception:  # noqa: BLE001 - a delineator that fails has measured nothing
            found = {}
        spent += [found["spent_ms"]] if "spent_ms" in found else []
        for name, true in true_intervals(marked).items():
            if np.isfinite(true):
                known[name] += 1
                if name in found:
                    errors[name].append((found[name] - true, record))
        if not has_p(marked):
            no_p.append("p_ms" not in found)
            if "fibrillation" in rhythm:
                no_p_af.append("p_ms" not in found)
    return {"errors": errors, "known": known, "no_p": no_p, "no_p_af": no_p_af, "spent": spent}


def load(folder: Path, leads: list[str], numbers: list[int]) -> list[tuple]:
    """Return record, ECG, marks, rhythm and lead of every case."""
    table = folder.parent / "ludb.csv"
    rhythm = rhythms(table) if table.exists() else {}
    out = []
    for record in numbers:
        ecg = signals(folder, record)
        out += [(record, ecg[lead], beats(folder, record, lead), rhythm.get(record, ""), lead) for lead in leads]
    return out


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("ludb", type=Path)
    parser.add_argument("--leads", nargs="+", default=["i", "ii", "v5"])
    parser.add_argument("--records", nargs=2, type=int, default=[1, 10_000])
    parser.add_argument("--only", nargs="+", default=list(DELINEATORS))
    parser.add_argument("--outliers", action="store_true")
    args = parser.parse_args()
    first, last = args.records
    cases = load(args.ludb, args.leads, [r for r in records(args.ludb) if first <= r <= last])
    met = True
    print("| delineator | lead | P | PR | QRS | QT | measured P, PR, QRS, QT | no P claimed without P, in AF |")
    print("|---|---|---|---|---|---|---|---|")
    for name in args.only:
        try:
            measure = DELINEATORS[name]()
        except ImportError:
            print(f"| {name} | not installed | | | | | | |")
            continue
        pooled: list[float] = []
        spent: list[float] = []
        for lead in args.leads:
            found = judge(measure, cases, lead)
            ok = row(name, lead, found, outliers=args.outliers)
            met = met and (ok or name != "anyecg")
            pooled += found["no_p_af"]
            spent += found["spent"]
        if spent:
            share = np.mean(pooled) if pooled else float("nan")
            af, typical_ms = f"AF: {share:.3f} of {len(pooled)}", np.median(spent)
            print(f"| {name} | all | {typical_ms:.2f} ms a window (median) | | | | | {af} |")
            met = met and (not pooled or share >= MIN_NO_P) and np.median(spent) <= MAX_MS
    return 0 if met else 1


def row(name: str, lead: str, found: dict, *, outliers: bool) -> bool:
    """Print one row; return whether it keeps the limits."""
    cells, covers, ok = [], [], True
    for interval, limit in LIMITS_MS.items():
        values = np.array([error for error, _record in found["errors"][interval]])
        share = len(values) / max(found["known"][interval], 1)
        sd = float(np.std(values)) if len(values) else float("nan")
        mean = float(np.mean(values)) if len(values) else float("nan")
        cells.append(f"{mean:+.1f} ± {sd:.1f}")
        covers.append(f"{share:.2f}")
        ok = ok and sd <= limit and share >= MIN_COVERAGE
        if outliers:
            worst = sorted(found["errors"][interval], key=lambda e: -abs(e[0]))[:6]
            print(interval, [(record, round(error)) for error, record in worst])
    p = f"{sum(found['no_p'])} of {len(found['no_p'])}, {sum(found['no_p_af'])} of {len(found['no_p_af'])}"
    print(f"| {name} | {lead} | {' | '.join(cells)} | {', '.join(covers)} | {p} |")
    return ok


if __name__ == "__main__":
    sys.exit(main())
