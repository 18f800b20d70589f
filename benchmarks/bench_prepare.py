"""Measure the segments per minute of `anyecg prepare`, of reading alone, and of ``ecgfounder/1`` alone.

    python benchmarks/bench_prepare.py [--patients N] [--seconds T] [--rounds R]

Prints segments per minute and core from the CPU time of the best round, so that other programs do not matter. The exit
code is 1 below 1500 per minute and core, or if prepare takes more than eight times the time of reading and filtering.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from pathlib import Path

REQUIRED_PER_MINUTE = 1500.0
REQUIRED_RATIO = 8.0


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--patients", type=int, default=24)
    parser.add_argument("--seconds", type=float, default=120.0)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    from convert.datasets.mcmed import McMedDataset
    from convert.datasets.prepared import PreparedDataset
    from convert.labels.plan import parse_plan
    from convert.prepare.run import PrepareOptions, prepare
    from convert.prepare.sources import McMedSource
    from convert.simulate.write import CohortPlan, write_cohort
    from edge.frontend.ecgfounder import EcgFounderFrontEnd

    front_end = EcgFounderFrontEnd()
    best: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        root, out = Path(folder, "cohort"), Path(folder, "out")
        write_cohort(CohortPlan(args.patients, 1, args.seconds), root)
        plan = parse_plan("[heads]\nmin_values = 1\n[segments]\nkeep_unlabelled = true", "bench")
        for _ in range(args.rounds):
            start = time.process_time()
            windows = []
            for csns in McMedDataset(root).patients().values():
                for csn in csns:
                    for record in McMedDataset(root).segments(csn):
                        windows += [record.read(5000 * i, 5000 * i + 5000) for i in range(record.header.n // 5000)]
            middle = time.process_time()
            for window in windows:
                front_end(window)
            ended = time.process_time()
            shutil.rmtree(out, ignore_errors=True)
            prepare(McMedSource(root), out, PrepareOptions(plan))
            n = sum(PreparedDataset(out).manifest["segments"].values())
            taken = {"reading": (middle - start) / len(windows), "ecgfounder/1": (ended - middle) / len(windows)}
            taken["prepare"] = (time.process_time() - ended) / n
            best = {k: min(v, best.get(k, v)) for k, v in taken.items()}
    for name, s in best.items():
        print(f"{name:13s} {60.0 / s:9.0f} segments per minute and core, {1e3 * s:6.2f} ms each")
    ratio = best["prepare"] / (best["reading"] + best["ecgfounder/1"])
    per_minute = 60.0 / best["prepare"]
    print(f"prepare takes {ratio:.2f} times the time of reading and filtering (at most {REQUIRED_RATIO:g})")
    return 0 if per_minute >= REQUIRED_PER_MINUTE and ratio <= REQUIRED_RATIO else 1


if __name__ == "__main__":
    sys.exit(main())
