"""Estimate the cost of processing all of MC-MED from the throughput of this machine.

    python benchmarks/bench_costing.py [--segments N] [--heads N] [--epochs N]

Every stage is measured separately with the full-size network: preparation, a training step of ``anyecg finetune``, and
the teacher's outputs for ``evaluate`` and ``convert``. Prints the throughput and the cost of N segments (20 million by
default): bytes, core-hours and, for training, floating-point operations, from which the hours on any accelerator
follow. It does not measure a GPU.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

MACS = 1.140e9
"""Multiply-accumulates of the full network for one segment. A training step has three times as many, and each counts as
two operations."""


def prepare_cost() -> tuple[float, float]:
    """Return core-seconds and bytes of a prepared segment, with every head of the catalogue."""
    from convert.datasets.prepared import PreparedDataset
    from convert.labels.plan import read_plan
    from convert.prepare.run import PrepareOptions, prepare
    from convert.prepare.sources import McMedSource
    from convert.simulate.write import CohortPlan, write_cohort

    with tempfile.TemporaryDirectory() as folder:
        root, out = Path(folder, "cohort"), Path(folder, "out")
        write_cohort(CohortPlan(24, 1, 600.0), root)
        best = np.inf
        for _ in range(3):
            shutil.rmtree(out, ignore_errors=True)
            start = time.process_time()
            prepare(McMedSource(root), out, PrepareOptions(read_plan(None)))
            data = PreparedDataset(out)
            n = sum(data.manifest["segments"].values())
            best = min(best, (time.process_time() - start) / n)
        size = sum(path.stat().st_size for path in (out / "shards").iterdir()) / n
        return best, size


def step_cost(heads: int, batch: int, steps: int) -> float:
    """Return the time of a training step per segment on the whole machine, seconds."""
    from dataclasses import replace

    from convert.compute.replicas import Replicas
    from convert.finetune.init import SHAPES, Start, build
    from convert.finetune.loss import HeadWeights
    from convert.finetune.networks import WholeNetwork
    from convert.finetune.step import StepLoop, StepOptions

    ones = np.ones(heads, np.float32)
    weights = HeadWeights(ones, ones, 0.5 * ones, np.zeros(heads, bool))
    net = build(Start(replace(SHAPES["ecgfounder"], n_classes=heads), {}, "", ()), 0 * ones, 1)
    loop = StepLoop(WholeNetwork(net), weights, StepOptions(batch), Replicas())
    rng = np.random.default_rng(0)
    x = rng.standard_normal((batch, 5000)).astype(np.float32)
    y = (rng.random((batch, heads)) > 0.5).astype(np.float32)
    taken = []
    for _ in range(steps + 1):
        start = time.perf_counter()
        float(loop.step({0: (x, y)}, 1e-5))
        taken.append(time.perf_counter() - start)
    return min(taken[1:]) / batch


def score_cost(heads: int, windows: int) -> float:
    """Return the core-seconds of a segment's outputs with float LiteRT on one core."""
    from ai_edge_litert.interpreter import Interpreter

    from convert.checkpoint.net1d import Net1D
    from convert.teacher.open import float_model

    interpreter = Interpreter(model_content=float_model(Net1D(n_classes=heads).with_length(5000)), num_threads=1)
    interpreter.allocate_tensors()
    place = interpreter.get_input_details()[0]
    taken = []
    for _ in range(windows):
        interpreter.set_tensor(place["index"], np.zeros(place["shape"], np.float32))
        start = time.perf_counter()
        interpreter.invoke()
        taken.append(time.perf_counter() - start)
    return float(np.median(taken))


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--segments", type=float, default=20e6)
    parser.add_argument("--heads", type=int, default=970, help="default: 108 labs with low, high, value and horizons")
    parser.add_argument("--epochs", type=float, default=1.0)
    args = parser.parse_args()
    from convert.compute.tf_runtime import use_whole_machine

    use_whole_machine()
    cores = os.cpu_count() or 1
    prepare_s, size = prepare_cost()
    step_s = step_cost(args.heads, 8, 3)
    score_s = score_cost(args.heads, 12)
    n, hours = args.segments, args.segments / 3600.0
    operations = 6.0 * MACS * n * args.epochs
    print(f"{'stage':34s} {'per segment':>12s} {f'{n:.3g} segments':>22s}")
    print(f"{'prepared data on disk':34s} {size:9.0f} B  {size * n / 1e9:17.0f} GB")
    print(f"{'prepare':34s} {1e3 * prepare_s:9.2f} ms {prepare_s * hours:12.0f} core-hours")
    what = f"finetune, {args.epochs:g} epochs, {cores} cores"
    print(f"{what:34s} {1e3 * step_s:9.1f} ms {cores * step_s * hours * args.epochs:12.0f} core-hours")
    print(f"{'evaluate or label, one core':34s} {1e3 * score_s:9.1f} ms {score_s * hours:12.0f} core-hours")
    print(f"operations of these epochs: {operations:.2e}; hours at F operations per second: that / F / 3600")
    return 0


if __name__ == "__main__":
    sys.exit(main())
