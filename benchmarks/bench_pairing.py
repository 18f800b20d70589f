"""Measure the labels of visits: pairing by sorted times compared with comparing each segment with each result.

    python benchmarks/bench_pairing.py [--labs K] [--rounds R]

Labels visits with 30, 60 and 120 minutes of horizon, in the form in use and in the plain form of
`tests/helpers/plain_pairing.py`, in turns, and checks that all labels are equal. Prints the CPU time of the best round.
The exit code is 1 if a long visit is not labelled faster than plainly.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
VISITS = {"short": (40, 144, 3), "of a day": (2, 8640, 12), "of a week": (1, 60480, 40)}
"""Number of visits, segments of each, and results of each lab."""


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--labs", type=int, default=9, help="a lab has twelve heads")
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    sys.path[:0] = [str(ROOT), str(ROOT / "tests")]
    from convert.labels.labs import ROW
    from convert.labels.pairing import label_visit
    from convert.labels.plan import CandidateHead, HeadPlan, LabelPlan, Pairing, SegmentPlan
    from helpers.plain_pairing import plain_label_visit

    plan = LabelPlan(Pairing(mode="nearest", minutes=60.0, time="order"), HeadPlan(), SegmentPlan(), ())
    heads = tuple(
        CandidateHead(f"{lab}{d}{h}", lab, d, h)
        for lab in range(args.labs) for d in ("low", "high", "abnormal") for h in (None, 30, 60, 120)
    )  # fmt: skip
    forms = {"plain": plain_label_visit, "in use": label_visit}
    ratios = {}
    for name, (visits, segments, results) in VISITS.items():
        rng = np.random.default_rng(0)
        rows = np.zeros(args.labs * results, dtype=ROW)
        rows["lab"] = np.repeat(np.arange(args.labs), results)
        rows["order_s"] = 1.6e9 + np.round(rng.uniform(0, 10.0 * segments, len(rows)))
        rows["result_s"] = rows["order_s"] + 1800.0
        rows["value"], rows["low"], rows["high"] = rng.normal(4, 1, len(rows)), 3.5, 5.0
        rows = rows[np.argsort(rows, order=("lab", "order_s", "result_s"), kind="stable")]
        start_s = 1.6e9 + 10.0 * np.arange(segments)
        best, labels = {}, {}
        for _ in range(args.rounds):
            for form, label in forms.items():
                started = time.process_time()
                for _ in range(visits):
                    labels[form] = label(start_s, rows, plan, heads)
                best[form] = min(best.get(form, np.inf), (time.process_time() - started) / visits)
        assert np.array_equal(labels["plain"].binary, labels["in use"].binary), "the labels differ"
        assert np.array_equal(labels["plain"].draws, labels["in use"].draws), "the rows differ"
        ratios[name] = best["plain"] / best["in use"]
        print(
            f"a visit {name} ({segments} segments, {results} results of a lab, {len(heads)} heads): plain "
            f"{1e3 * best['plain']:.1f} ms, in use {1e3 * best['in use']:.1f} ms: {ratios[name]:.1f} times"
        )
    return 0 if ratios["of a week"] > 1.0 else 1


if __name__ == "__main__":
    sys.exit(main())
