"""Compare the network, boosting on waves, and their additive fusion on simulated patients, head by head.

    python benchmarks/bench_fusion.py [--patients 5000] [--seconds 20]

The demonstration bundle runs in the engine of the device. Boosting and fusion are cross-fitted over patients, so that
every score is from a fit without its patient; the network has never seen these patients. Intervals and differences are
from one paired bootstrap over patients. ``gate`` is what ``anyecg calibrate fuse`` would do. Needs the ``convert``
extra.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np

from calibration.fusion.additive import Rows, choose, cross_fitted
from calibration.fusion.run import compare, enough, gated, wave_means
from calibration.validate.labelled import open_labelled
from calibration.validate.observe import observe
from calibration.validate.recalibrate import scores_of
from convert.stats.discrimination import ranking
from convert.stats.methods import FOLDS, folds
from convert.stats.resampling import Resampler
from edge.bundle.reader import load_bundle
from edge.cli.main import main as anyecg
from edge.model import load_model

SEED = 1


def boosted(rows: Rows) -> np.ndarray:
    """Return cross-fitted scores of boosting on the waves alone."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    out, fold = np.empty(len(rows.labels)), folds(rows.patient, rows.labels, SEED + 1)
    for k in range(FOLDS):
        model = HistGradientBoostingClassifier(
            learning_rate=0.1, max_iter=60, max_leaf_nodes=8, l2_regularization=3.0, min_samples_leaf=20
        )
        model.fit(rows.means[fold != k], rows.labels[fold != k])
        out[fold == k] = model.decision_function(rows.means[fold == k])
    return out


def main() -> int:
    """Run the comparison."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--patients", type=int, default=5000)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--seed", type=int, default=515)
    args = parser.parse_args()
    bundle = load_bundle("demo")
    with tempfile.TemporaryDirectory() as name:
        cohort = Path(name) / "cohort"
        words = ["simulate", "--patients", str(args.patients), "--seed", str(args.seed), "--quiet"]
        if anyecg([*words, "--seconds", f"{args.seconds:g}", "--out", str(cohort)]):
            return 1
        data = open_labelled(cohort, "all")
        items = ((i, r.name, r.items()) for i, r in enumerate(data.recordings))
        seen = observe(bundle, load_model(bundle), items, 5.0)
        scores = scores_of(bundle, data, seen)
    means = wave_means(seen, bundle.manifest.aggregation_minutes * 60.0)
    replicates: list[np.ndarray] = []
    areas: list[list[float]] = []
    print("| output | positives | network | boosting | fused | fused - network (95 %) | gate |")
    print("|---|---|---|---|---|---|---|")
    for j, head in enumerate(bundle.manifest.outputs):
        known = ~np.isnan(scores.truth[:, j])
        y, old = scores.truth[:, j] > 0.5, bundle.calibration[head.key]
        network = old.slope * scores.raw[:, j] + old.offset
        rows = Rows(network, means, y, scores.patient).part(known)
        if head.kind == "value" or not enough(rows):
            continue
        resampler = Resampler(rows.patient, SEED)
        held_out = cross_fitted(rows, SEED)
        found = [ranking(s, rows.labels, resampler) for s in (rows.network, boosted(rows), held_out)]
        _network, _fused, gain = compare(held_out, rows, SEED)
        features = choose(rows, SEED)
        model, _left = gated(rows, features, gain)
        taken = "network alone" if model is None else ", ".join(features)
        shown = [f"{one.auroc.value:.3f} ({one.auroc.low:.3f} to {one.auroc.high:.3f})" for one in found]
        change = f"{gain.value:+.4f} ({gain.low:+.4f} to {gain.high:+.4f})"
        print(f"| `{head.key}` | {rows.labels.sum()} | {' | '.join(shown)} | {change} | {taken} |", flush=True)
        areas.append([one.auroc.value for one in found])
        replicates.append(np.array([one.auroc_replicates for one in found]))
    macro = np.mean(areas, axis=0)
    print(f"\nmacro AUROC: network {macro[0]:.4f}, boosting {macro[1]:.4f}, fused {macro[2]:.4f}")
    # Heads are missing in different patients, so their replicates are taken as independent.
    for name, i in (("network", 0), ("boosting", 1)):
        spread = np.sqrt(sum(np.nanvar(r[2] - r[i]) for r in replicates)) / len(replicates)
        gain = macro[2] - macro[i]
        print(f"fused - {name}: {gain:+.4f} ({gain - 1.96 * spread:+.4f} to {gain + 1.96 * spread:+.4f})")
    return 0


if __name__ == "__main__":
    sys.exit(main())
