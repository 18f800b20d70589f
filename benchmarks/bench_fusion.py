"""Compare the network, boosting on waves, and the fused outputs of ``anyecg calibrate fuse`` on simulated patients.

    python benchmarks/bench_fusion.py [--patients 8000] [--judged 8000] [--seconds 20]

The demonstration bundle runs in the engine of the device, over two cohorts that it has never seen. Boosting and fusion
are fitted on the first one, where the gate of the command also decides which outputs are fused; all three are judged on
the second. Intervals are from one paired bootstrap over its patients. The exit code is 1 if the fused outputs are not
better than both, macro, with an interval clear of zero. Needs the ``convert`` extra.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np

SEED = 1


def boosted(rows, judged) -> np.ndarray:
    """Return the scores of boosting on the waves alone, fitted on ``rows``, of the judged rows."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    model = HistGradientBoostingClassifier(
        learning_rate=0.1, max_iter=60, max_leaf_nodes=8, l2_regularization=3.0, min_samples_leaf=20, random_state=SEED
    )
    return np.asarray(model.fit(rows.means, rows.labels).decision_function(judged.means))


def cohort(patients: int, seconds: float, seed: int) -> list:
    """Return the rows of each output over a simulated cohort; ``None`` for a value."""
    from calibration.fusion.additive import Rows
    from calibration.fusion.run import wave_means
    from calibration.validate.labelled import open_labelled
    from calibration.validate.observe import observe
    from calibration.validate.recalibrate import scores_of
    from edge.bundle.reader import load_bundle
    from edge.cli.main import main as anyecg
    from edge.model import load_model

    bundle = load_bundle("demo")
    with tempfile.TemporaryDirectory() as name:
        place = Path(name) / "cohort"
        words = ["simulate", "--patients", str(patients), "--seed", str(seed), "--quiet"]
        if anyecg([*words, "--seconds", f"{seconds:g}", "--out", str(place)]):
            raise SystemExit(1)
        data = open_labelled(place, "all")
        items = ((i, r.name, r.items()) for i, r in enumerate(data.recordings))
        seen = observe(bundle, load_model(bundle), items, 5.0)
        scores = scores_of(bundle, data, seen)
    means = wave_means(seen, bundle.manifest.aggregation_minutes * 60.0)
    found = []
    for j, head in enumerate(bundle.manifest.outputs):
        known = ~np.isnan(scores.truth[:, j])
        old = bundle.calibration[head.key]
        network = old.slope * scores.raw[:, j] + old.offset
        rows = Rows(network, means, scores.truth[:, j] > 0.5, scores.patient).part(known)
        found.append(None if head.kind == "value" else rows)
    return found


def main() -> int:
    """Run the comparison."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--patients", type=int, default=8000, help="number of patients for the fit and the gate")
    parser.add_argument("--judged", type=int, default=8000, help="number of patients for the comparison")
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--seed", type=int, default=515, help="seed of the first cohort; the second has the next one")
    args = parser.parse_args()
    with ProcessPoolExecutor(2, get_context("spawn")) as pool:
        sizes = ((args.patients, args.seed), (args.judged, args.seed + 1))
        fitted, judged = (j.result() for j in [pool.submit(cohort, n, args.seconds, seed) for n, seed in sizes])

    from calibration.fusion.additive import choose, cross_fitted, logits_of
    from calibration.fusion.run import compare, enough, gated
    from convert.stats.discrimination import ranking
    from convert.stats.resampling import Resampler
    from edge.bundle.reader import load_bundle

    replicates: list[np.ndarray] = []
    areas: list[list[float]] = []
    print("| output | positives | network | boosting | fused | fused - network (95 %) | fused with |")
    print("|---|---|---|---|---|---|---|")
    for head, rows, new in zip(load_bundle("demo").manifest.outputs, fitted, judged, strict=True):
        if rows is None or not (enough(rows) and enough(new)):
            continue
        features = choose(rows, SEED)
        _network, _fused, gain = compare(cross_fitted(rows, SEED), rows, SEED)
        model, _left = gated(rows, features, gain)
        fused = new.network if model is None else logits_of(model, new)
        resampler = Resampler(new.patient, SEED)
        found = [ranking(s, new.labels, resampler) for s in (new.network, boosted(rows, new), fused)]
        _network, _fused, change = compare(fused, new, SEED)
        shown = [f"{one.auroc.value:.3f} ({one.auroc.low:.3f} to {one.auroc.high:.3f})" for one in found]
        said = "-" if model is None else f"{change.value:+.4f} ({change.low:+.4f} to {change.high:+.4f})"
        taken = "network alone" if model is None else ", ".join(features)
        print(f"| `{head.key}` | {new.labels.sum()} | {' | '.join(shown)} | {said} | {taken} |", flush=True)
        areas.append([one.auroc.value for one in found])
        replicates.append(np.array([one.auroc_replicates for one in found]))
    macro = np.mean(areas, axis=0)
    print(f"\nmacro AUROC of {len(areas)}: network {macro[0]:.4f}, boosting {macro[1]:.4f}, fused {macro[2]:.4f}")
    better = True
    # Heads are missing in different patients, so their replicates are taken as independent.
    for name, i in (("network", 0), ("boosting", 1)):
        spread = np.sqrt(sum(np.nanvar(r[2] - r[i]) for r in replicates)) / len(replicates)
        low, high = macro[2] - macro[i] - 1.96 * spread, macro[2] - macro[i] + 1.96 * spread
        print(f"fused - {name}: {macro[2] - macro[i]:+.5f} ({low:+.5f} to {high:+.5f})")
        better = better and low > 0.0
    return 0 if better else 1


if __name__ == "__main__":
    sys.exit(main())
