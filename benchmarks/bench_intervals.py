"""Compare the hand-crafted ECG features of a segment with NeuroKit2's delineation of the same segment.

    python benchmarks/bench_intervals.py [--segments N]

Both sides run in turns on the same segments of simulated patients after the front end `ecgfounder/1`: the kit with R
peaks, rhythm, averaged beat and all features, NeuroKit2 with ``ecg_peaks`` and ``ecg_delineate`` (dwt). Prints the CPU
time per segment, the ratio, and the agreement of the measurements with the parameters of the simulator. The exit code
is 1 below 60 segments per second and core, or if the kit takes more time than NeuroKit2. Needs the ``bench`` extra.
"""

from __future__ import annotations

import argparse
import sys
import time
import warnings

import numpy as np

REQUIRED_PER_S = 60.0
FS_HZ = 500

TRUTH = {
    "hr_bpm": lambda p: p.hr_bpm,
    "pr_ms": lambda p: p.pr_ms if p.p_mv > 0.05 else np.nan,
    "p_ms": lambda p: p.p_ms,
    "qrs_ms": lambda p: p.qrs_ms,
    "r_width_ms": lambda p: 0.24 * 1.1774 * p.qrs_ms,
    "qt_ms": lambda p: p.qtc_ms * (60.0 / p.hr_bpm) ** (1 / 3),
    "qtc_fridericia_ms": lambda p: p.qtc_ms,
    "tpeak_tend_ms": lambda p: p.t_ms / (1.0 + p.t_asymmetry),
    "t_width_ms": lambda p: 1.1774 / 2.0 * p.t_ms,
    "t_asymmetry": lambda p: p.t_asymmetry,
    "p_mv": lambda p: p.p_mv,
    "q_mv": lambda p: p.q_mv,
    "r_mv": lambda p: p.r_mv,
    "s_mv": lambda p: p.s_mv,
    "st_mv": lambda p: p.st_mv,
    "t_mv": lambda p: p.t_mv,
    "t_r": lambda p: p.t_mv / p.r_mv,
    "u_mv": lambda p: p.u_mv,
}
"""True value of each feature that has a counterpart in the simulator."""


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--segments", type=int, default=60)
    args = parser.parse_args()
    from convert.simulate.patient import simulate_patient
    from edge.frontend.ecgfounder import EcgFounderFrontEnd
    from edge.waves.features import NAMES, segment_features

    front_end = EcgFounderFrontEnd()
    patients = [p for p in (simulate_patient(17, i, 10.0) for i in range(2 * args.segments)) if not p.latents.af]
    patients = patients[: args.segments]
    rows: list[list[float]] = []
    cpu_s = {"all features": 0.0, "neurokit2": 0.0}
    intervals: dict[str, list[tuple[float, float]]] = {name: [] for name in cpu_s}
    neurokit(front_end(patients[0].ecg_mv))  # late imports must not count
    for patient in patients:
        z, sd_mv = front_end(patient.ecg_mv), float(np.std(front_end.filter(patient.ecg_mv)))
        start = time.process_time()
        row = dict(zip(NAMES, segment_features(z[None], np.array([sd_mv]))[0], strict=True))
        middle = time.process_time()
        peer = neurokit(z)
        cpu_s["all features"] += middle - start
        cpu_s["neurokit2"] += time.process_time() - middle
        intervals["all features"].append((row["qt_ms"], row["pr_ms"]))
        intervals["neurokit2"].append(peer)
        rows.append([row[name] for name in TRUTH])
    truth = np.array(
        [(p.latents.qtc_ms * (60.0 / p.latents.hr_bpm) ** (1 / 3), p.latents.pr_ms) for p in patients], dtype=float
    )
    for name, seconds in cpu_s.items():
        each_s = seconds / len(patients)
        print(f"{name:13s} {1e3 * each_s:6.2f} ms, {1.0 / each_s:4.0f} segments/s and core", end="; ")
        print(agreement(intervals[name], truth))
    ratio = cpu_s["neurokit2"] / cpu_s["all features"]
    print(f"neurokit2 takes {ratio:.1f} times as long\n")
    table(patients, np.array(rows))
    return 0 if len(patients) / cpu_s["all features"] >= REQUIRED_PER_S and ratio >= 1.0 else 1


def table(patients: list, rows: np.ndarray) -> None:
    """Print correlation, median error and quartiles of the error of each feature, as Markdown."""
    print("| feature | correlation | median error | middle half of the errors | measured in |\n|---|---|---|---|---|")
    for found, (name, true) in zip(rows.T, TRUTH.items(), strict=True):
        truth = np.array([true(p.latents) for p in patients], dtype=float)
        ok = np.isfinite(found) & np.isfinite(truth)
        low, mid, high = np.percentile(found[ok] - truth[ok], (25, 50, 75))
        r = np.corrcoef(found[ok], truth[ok])[0, 1]
        print(f"| `{name}` | {r:.2f} | {mid:+.2g} | {low:+.2g} to {high:+.2g} | {ok.sum()} of {len(patients)} |")


def neurokit(z: np.ndarray) -> tuple[float, float]:
    """Return NeuroKit2's median QT and PR, ms; NaN if it finds none."""
    import neurokit2

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            _, peaks = neurokit2.ecg_peaks(z, sampling_rate=FS_HZ)
            _, waves = neurokit2.ecg_delineate(z, peaks["ECG_R_Peaks"], sampling_rate=FS_HZ, method="dwt")
        except (ValueError, IndexError, ZeroDivisionError, KeyError, TypeError):
            return float("nan"), float("nan")
        at = {k: np.array(waves[k], dtype=float) for k in ("ECG_R_Onsets", "ECG_T_Offsets", "ECG_P_Onsets")}
        qt = np.nanmedian(at["ECG_T_Offsets"] - at["ECG_R_Onsets"])
        pr = np.nanmedian(at["ECG_R_Onsets"] - at["ECG_P_Onsets"])
    return float(qt) * 1000.0 / FS_HZ, float(pr) * 1000.0 / FS_HZ


def agreement(found: list[tuple[float, float]], truth: np.ndarray) -> str:
    """Return correlation and median error of QT and PR as text."""
    parts = []
    for i, name in enumerate(("QT", "PR")):
        x = np.array(found)[:, i]
        ok = np.isfinite(x)
        r = np.corrcoef(x[ok], truth[ok, i])[0, 1]
        error = np.abs(x - truth[:, i])[ok]
        parts.append(f"{name} r {r:.2f}, off by {np.median(error):.0f} ms in {ok.sum()}")
    return "; ".join(parts)


if __name__ == "__main__":
    sys.exit(main())
