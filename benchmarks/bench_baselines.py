"""Measure the CPU time of the baselines of a head on random features.

    python benchmarks/bench_baselines.py [--segments N] [--judged N] [--heads N]

A head that the features explain grows all its trees, and a head that they do not explain stops early; real heads are
between the two. Half of the training segments have a label. Prints seconds per head and core-hours for all heads.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

import numpy as np


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--segments", type=int, default=200_000)
    parser.add_argument("--judged", type=int, default=100_000)
    parser.add_argument("--heads", type=int, default=970)
    args = parser.parse_args()
    from calibration.baselines.fit import HeadJob, coded, fit_head, level_edges
    from calibration.baselines.run import COLUMNS, GROUPS

    rng = np.random.default_rng(0)
    weights = 0.15 * rng.standard_normal(len(COLUMNS))
    groups = tuple(tuple(COLUMNS.index(f) for f in features) for features in GROUPS.values())
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        edges = None
        for part, n in (("train", args.segments), ("val", args.segments // 4), ("judged", args.judged)):
            x = rng.standard_normal((n, len(COLUMNS))).astype(np.float32)
            x[rng.random(x.shape) < 0.04] = np.nan
            signal = np.nan_to_num(x) @ weights + rng.standard_normal(n)
            y = np.stack([signal > 2.2, rng.random(n) < 0.1, signal]).astype(np.float32)
            y[:, rng.random(n) < 0.5] = np.nan
            edges = edges or level_edges(x)
            coded(x, edges)
            for kind, array in (("x", x), ("y", y), ("patient", np.arange(n) // 12)):
                np.save(folder / f"{kind}_{part}.npy", array)
        for column, kind in enumerate(("explained", "not explained", "explained value")):
            job = HeadJob(folder, column, column == 2, groups, 10, 0, folder / "none", "")
            start = time.process_time()
            trees = fit_head(job).trees
            elapsed = time.process_time() - start
            hours = elapsed * args.heads / 3600.0
            print(f"{kind:16s} {elapsed:6.1f} s, trees {trees}; {args.heads} heads: {hours:.1f} core-hours")
    return 0


if __name__ == "__main__":
    sys.exit(main())
