"""Measure on simulated patients whether a person's laboratory results improve that person's later estimates.

    python benchmarks/person_anchor.py --patients 300

Every patient has several visits, with new laboratory values and the same shape of the ECG. Half of the patients
estimate the share of the error that is constant for a person (analysis of variance). The other half are judged by the
mean absolute error of their last visit, without and with the results of earlier visits. The intervals are 95 %
bootstrap intervals over patients.
"""

from __future__ import annotations

import argparse

import numpy as np

from calibration.validate.observe import run_engine
from calibration.validate.recalibrate import person_spreads
from convert.datasets.pairs import BLOCK_S
from convert.simulate.patient import FS_HZ, simulate_patient
from edge.bundle.reader import load_bundle
from edge.model import load_model
from edge.person import shrunk
from firmware_bridge.samples import SampleBlock

KEY = "potassium"


def items(samples: np.ndarray) -> list[SampleBlock]:
    step = round(BLOCK_S * FS_HZ)
    return [
        SampleBlock(samples[i : i + step], "mV", None, FS_HZ, None, round((i + step) / FS_HZ * 1e9))
        for i in range(0, len(samples), step)
    ]


def interval(x: np.ndarray) -> str:
    rng = np.random.default_rng(0)
    drawn = x[rng.integers(0, len(x), (2000, len(x)))].mean(axis=1)
    return f"{x.mean():+.4f} ({np.quantile(drawn, 0.025):+.4f} to {np.quantile(drawn, 0.975):+.4f})"


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    p.add_argument("--patients", type=int, default=300)
    p.add_argument("--visits", type=int, default=5)
    p.add_argument("--seconds", type=float, default=30.0)
    p.add_argument("--seed", type=int, default=880_001, help="seed of a cohort that was not used for training")
    p.add_argument("--bundle", default="demo")
    a = p.parse_args()
    bundle = load_bundle(a.bundle)
    model = load_model(bundle)
    rows = []
    for index in range(a.patients):
        seen = []
        for visit in range(a.visits):
            patient = simulate_patient(a.seed, index, a.seconds, visit=visit)
            estimates, _ = run_engine(bundle, model, "", items(patient.ecg_mv), 5.0)
            found = [lab.value for e in estimates for lab in e.labs if lab.key == KEY]
            if found:
                seen.append((found[-1], patient.labs[KEY]))
        if len(seen) == a.visits:
            rows.append(seen)
    data = np.array(rows)
    error = data[:, :, 1] - data[:, :, 0]
    fit, judge = error[::2], error[1::2]
    spreads = person_spreads(fit.reshape(-1), np.repeat(np.arange(len(fit)), a.visits), 1.0)
    between_sd, within_sd = spreads["between_sd"], spreads["within_sd"]
    print(f"bundle {bundle.manifest.name} {bundle.manifest.version}, {len(data)} patients, {a.visits} visits each")
    print(f"error that is constant for a person: sd {between_sd:.3f} mmol/L; the rest: sd {within_sd:.3f} mmol/L")
    without = np.abs(judge[:, -1])
    print(f"judged on the last visit of {len(judge)} patients; MAE without anchors {without.mean():.4f} mmol/L")
    print("anchors  MAE shrunk  change (95 %)                    MAE unshrunk")
    for n in range(1, a.visits):
        before = judge[:, -1 - n : -1]
        moved = np.array([shrunk(row.tolist(), between_sd, within_sd)[0] for row in before])
        after, raw = np.abs(judge[:, -1] - moved), np.abs(judge[:, -1] - before.mean(axis=1))
        print(f"{n:>7}  {after.mean():10.4f}  {interval(after - without):<32} {raw.mean():12.4f}")


if __name__ == "__main__":
    main()
