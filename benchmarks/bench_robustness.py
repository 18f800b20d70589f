"""Measure the robustness runs of `anyecg validate`: one after another with heart rates, and together without.

    python benchmarks/bench_robustness.py [--recordings N] [--seconds S] [--jobs J]

Runs the demonstration bundle on simulated recordings with every disturbance, in the former way (one run of the engine
after the other, each with a rate tracker of its own) and in the present one (all runs share processes and a tracker
without rates), and checks that all outcomes and estimates are bit-identical. Prints wall time and CPU time of both.
The exit code is 1 if the present way takes more CPU time.
"""

from __future__ import annotations

import argparse
import os
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

HOP_S = 5.0


def timed(work: Callable[[], Any]) -> tuple[Any, float, float]:
    """Return the result with wall time and CPU time, also of processes that ended, seconds."""
    before = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    started = time.monotonic()
    found = work()
    wall = time.monotonic() - started
    after = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    cpu = sum(b.ru_utime + b.ru_stime - a.ru_utime - a.ru_stime for a, b in zip(before, after, strict=True))
    return found, wall, cpu


def main() -> int:
    """Run the benchmark."""
    from calibration.validate.disturb import DISTURBANCES
    from calibration.validate.shards import RunPlan, run_all, run_each
    from convert.datasets.pairs import find_recordings
    from convert.simulate.write import CohortPlan, write_cohort
    from edge.bundle.reader import demo_bundle_path

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--recordings", type=int, default=40)
    parser.add_argument("--seconds", type=float, default=120.0)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    args = parser.parse_args()
    bundle = demo_bundle_path()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_cohort(CohortPlan(patients=args.recordings, seed=1, seconds=args.seconds), folder / "cohort")
        recordings = list(enumerate(find_recordings(folder / "cohort")))[: args.recordings]

        def plans(*, rates: bool) -> list[tuple[RunPlan, str]]:
            return [(RunPlan(bundle, HOP_S, args.jobs, d, rates=rates), d.label) for d in DISTURBANCES]

        old, old_wall, old_cpu = timed(
            lambda: [run_all(plan, recordings, folder / "a", key, None) for plan, key in plans(rates=True)]
        )
        new, wall, cpu = timed(lambda: run_each(plans(rates=False), recordings, folder / "b", None))
    for a, b in zip(old, new, strict=True):
        for field in ("outcomes", "est_recording", "est_value", "est_low", "est_high", "outputs"):
            assert np.array_equal(getattr(a, field), getattr(b, field), equal_nan=field.startswith("est_")), field
    print(
        f"{len(recordings)} recordings, {len(new)} disturbances: one after another {old_wall:.1f} s "
        f"({old_cpu:.1f} s of CPU), together {wall:.1f} s ({cpu:.1f} s of CPU): {old_wall / wall:.2f} times "
        f"({old_cpu / cpu:.2f} in CPU)"
    )
    return 0 if cpu < old_cpu else 1


if __name__ == "__main__":
    sys.exit(main())
