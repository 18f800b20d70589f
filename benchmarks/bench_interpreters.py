"""Count the steps by which the interpreters of a student differ, on windows of simulated patients.

    python benchmarks/bench_interpreters.py [BUNDLE] [--windows 4000]

For each pair of interpreters: the number of windows by the largest difference of an output, in steps. Correct
interpreters round differently inside of a network, and in rare windows these differences add up. The exit code is 1 if
a pair exceeds the limits of ``anyecg validate`` (``calibration/data/validate.toml``). Needs the ``convert`` extra, and
``micro`` for TFLite Micro.
"""

from __future__ import annotations

import argparse
import sys

import numpy as np

from calibration.validate.gate import load_limits
from convert.bundle.golden_windows import simulated
from convert.compute.inference import Engine, run_int8
from convert.parity.steps import StepLimit, exactly, judge_steps
from edge.bundle.reader import load_bundle
from edge.frontend.stream import window_input_int8
from firmware_bridge.errors import AnyEcgError

PAIRS: tuple[tuple[Engine, Engine], ...] = (("xnnpack", "reference"), ("reference", "tflm"))


def main() -> int:
    """Run the comparison."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", nargs="?", default="demo")
    parser.add_argument("--windows", type=int, default=4000)
    args = parser.parse_args()
    limits = load_limits()["links"]
    allowed = (StepLimit.of(limits, "litert_reference"), exactly(limits["reference_tflm_lsb"]))
    try:
        model = load_bundle(args.bundle).model
    except AnyEcgError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    inputs = window_input_int8(simulated(args.windows)[1])[:, None, :, None]
    ok = True
    for (a, b), limit in zip(PAIRS, allowed, strict=True):
        gap = run_int8(model, inputs, a).astype(int) - run_int8(model, inputs, b).astype(int)
        steps, counts = np.unique(np.abs(gap).max(axis=1), return_counts=True)
        found = judge_steps(gap, limit)
        shown = ", ".join(f"{n} by {k}" for k, n in zip(steps.tolist(), counts.tolist(), strict=True))
        sys.stdout.write(f"{a} and {b}: of {len(gap)} windows {shown} LSB; allowed {found.limit}\n")
        ok = ok and found.holds
    return 0 if ok else 1


if __name__ == "__main__":
    sys.exit(main())
