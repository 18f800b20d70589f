"""Upper limit for the AUROC of each lab in a simulated cohort.

The oracle reads the true parameters of each ECG with the measurement error of a good algorithm, and fits gradient
boosting to them. Amplitudes are ratios to R, because a z-scored window has no millivolts. No model can do much better
on a single visit. The module needs the ``convert`` extra (scikit-learn). ``python -m convert.demo.oracle`` prints the
table of docs/simulator.md.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from convert.datasets.labcatalogue import catalogue
from convert.demo.heads import DEMO_LABS
from convert.simulate.cohort import Visit, draw_visit
from firmware_bridge.errors import MissingExtraError

HEADS: tuple[tuple[str, str], ...] = tuple((lab, limit) for lab, limit in DEMO_LABS if limit is not None)
"""Lab and direction of the heads that are judged by default, with the limits of the catalogue."""


@dataclass(frozen=True, slots=True)
class OracleResult:
    """Result of the oracle for one head.

    Attributes:
        lab: Key of the lab in the catalogue.
        direction: ``"low"`` or ``"high"``.
        prevalence: Share of positives among all patients, 0 to 1.
        auroc: Cross-validated AUROC, 0 to 1. No patient is in the training and the test part of a fold.
    """

    lab: str
    direction: str
    prevalence: float
    auroc: float


def measured_features(visit: Visit, rng: np.random.Generator) -> NDArray[np.float64]:
    """Return the measurements of a visit's ECG with random errors, shape ``(13,)``.

    Standard deviations of the errors: HR 1 bpm, PR 6 ms, QRS 4 ms, QTc 8 ms, T width 6 %, amplitudes 6 % and 0.01 mV.
    """
    p = visit.latents
    z = rng.standard_normal(12)
    r_mv = p.r_mv * (1.0 + 0.03 * z[0])
    p_mv = 0.0 if p.af else p.p_mv

    def ratio(mv: float, error: float) -> float:
        return float((mv * (1.0 + 0.06 * error) + 0.01 * error) / r_mv)

    return np.array(
        [
            p.hr_bpm + z[1],
            -1.0 if p.af else p.pr_ms + 6.0 * z[2],
            p.qrs_ms + 4.0 * z[3],
            p.qtc_ms + 8.0 * z[4],
            p.t_ms * (1.0 + 0.06 * z[5]),
            p.t_asymmetry * (1.0 + 0.06 * z[6]),
            ratio(p_mv, z[7]),
            ratio(p.t_mv, z[8]),
            ratio(p.u_mv, z[9]),
            ratio(p.q_mv, z[10]),
            ratio(p.s_mv, z[11]),
            p.rr_sd_ms,
            float(p.af),
        ]
    )


def oracle_auroc(
    patients: int, seed: int, heads: tuple[tuple[str, str], ...] = HEADS, *, folds: int = 3
) -> list[OracleResult]:
    """Fit and judge the oracle on the first visits of a cohort.

    Args:
        patients: Number of patients of the cohort.
        seed: Seed of the cohort.
        heads: Lab and direction of each head.
        folds: Number of folds of the cross-validation.

    Raises:
        MissingExtraError: scikit-learn is not installed.
    """
    try:
        from sklearn.ensemble import HistGradientBoostingClassifier
        from sklearn.metrics import roc_auc_score
        from sklearn.model_selection import StratifiedKFold, cross_val_predict
    except ImportError as error:
        raise MissingExtraError("the oracle", "convert") from error
    visits = [draw_visit(seed, i) for i in range(patients)]
    rng = np.random.default_rng([seed, 77])
    x = np.array([measured_features(visit, rng) for visit in visits])
    results = []
    for lab, direction in heads:
        y = np.array([is_abnormal(visit.labs[lab], lab, direction) for visit in visits])
        model = HistGradientBoostingClassifier(
            max_iter=60,
            learning_rate=0.06,
            max_leaf_nodes=8,
            min_samples_leaf=15,
            l2_regularization=3.0,
            random_state=0,
        )
        split = StratifiedKFold(folds, shuffle=True, random_state=0)
        scores = cross_val_predict(model, x, y, cv=split, method="predict_proba")[:, 1]
        results.append(OracleResult(lab, direction, float(y.mean()), float(roc_auc_score(y, scores))))
    return results


def is_abnormal(value: float, lab: str, direction: str) -> bool:
    """Return whether ``value`` lies beyond the catalogue's limit in that direction."""
    entry = catalogue()[lab]
    if direction == "low":
        return entry.ref_low is not None and value < entry.ref_low
    return entry.ref_high is not None and value > entry.ref_high


def main(argv: list[str]) -> int:
    """Print mean and range of the AUROC over cohorts; arguments ``--patients`` and ``--cohorts``."""
    parser = argparse.ArgumentParser(prog="python -m convert.demo.oracle", description=main.__doc__)
    parser.add_argument("--patients", type=int, default=1500)
    parser.add_argument("--cohorts", type=int, default=6)
    args = parser.parse_args(argv)
    runs = [oracle_auroc(args.patients, seed) for seed in range(1, args.cohorts + 1)]
    sys.stdout.write("| lab | direction | prevalence | AUROC, mean (range) |\n|---|---|---|---|\n")
    for head in zip(*runs, strict=True):
        auroc = [result.auroc for result in head]
        share = float(np.mean([result.prevalence for result in head]))
        spread = f"{np.mean(auroc):.2f} ({min(auroc):.2f} to {max(auroc):.2f})"
        sys.stdout.write(f"| {head[0].lab} | {head[0].direction} | {share:.3f} | {spread} |\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
