"""Measure `anyecg evaluate`: scoring compared with the network alone, and the bootstrap by number of segments.

    python benchmarks/bench_evaluate.py [--segments N] [--rounds R] [--small] [--heads-only]

Prints the CPU time of the best round, and in turns that of the figures of a head with draws that an earlier head kept,
and with new ones. The exit code is 1 if scoring a segment takes more than 1.1 times the time of the interpreter's
invoke, or if the bootstrap of a head over a million segments takes more than fifty times the time over ten thousand.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import count
from pathlib import Path

import numpy as np

REQUIRED_RATIO = 1.1
REQUIRED_GROWTH = 50.0


def best_of(rounds: int, work: Callable[[], object]) -> float:
    """Return the CPU time of the fastest round, seconds."""
    taken = []
    for _ in range(rounds):
        start = time.process_time()
        work()
        taken.append(time.process_time() - start)
    return min(taken)


def scoring(segments: int, rounds: int, *, small: bool) -> tuple[float, float]:
    """Return the time per segment of the scorer and of invoke alone, seconds; both are measured in turns."""
    from ai_edge_litert.interpreter import Interpreter

    from calibration.evaluate.scorer import Scorer, ScorerSpec, keep_model
    from convert.checkpoint.net1d import Net1D
    from convert.teacher.open import float_model

    net = Net1D(n_classes=108, filter_list=[64, 160], m_blocks_list=[2, 2]) if small else Net1D(n_classes=108)
    x = np.random.default_rng(0).standard_normal((segments, 5000)).astype(np.float32)
    with tempfile.TemporaryDirectory() as folder:
        path = keep_model(Path(folder, "teacher.tflite"), lambda: float_model(net.with_length(5000)))
        scorer = Scorer(ScorerSpec(path, "bench", 108, None))
        interpreter = Interpreter(model_content=path.read_bytes()[32:], num_threads=1)
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], x[0].reshape(1, 5000, 1))
    ours, bare = [], []
    for _ in range(rounds):
        ours.append(best_of(1, lambda: scorer.score(x)) / segments)
        bare.append(best_of(1, lambda: [interpreter.invoke() for _ in range(segments)]) / segments)
    return min(ours), min(bare)


def bootstrap(segments: int, patients: int, rounds: int) -> float:
    """Return the time of the bootstrap of one head (AUROC and average precision over patients), seconds."""
    from calibration.evaluate.heads import Draws

    rng = np.random.default_rng(0)
    patient = np.sort(rng.integers(0, patients, segments))
    y = (rng.random(patients) < 0.1)[patient]
    scores = y + rng.normal(0.0, 1.0, segments)

    seeds = count(1)  # each round draws anew, as the first head of a report does
    return best_of(rounds, lambda: Draws(next(seeds), 1000).ranked(scores, y, patient))


def heads(patients: int, rows: int, rounds: int) -> tuple[float, float]:
    """Return the time of a head with draws made anew and with those of an earlier head, seconds, measured in turns."""
    from convert.stats.discrimination import ranking
    from convert.stats.resampling import Resampler

    rng = np.random.default_rng(0)
    patient = np.repeat(np.arange(patients), rows)
    y = (rng.random(patients) < 0.1)[patient]
    scores = np.rint(8.0 * (y + rng.normal(0.0, 1.0, len(y))))

    anew, kept = [], []
    for seed in range(rounds):  # the first head with a seed draws, and the second one finds its draws
        for times in (anew, kept):
            times.append(best_of(1, lambda seed=seed: ranking(scores, y, Resampler(patient, seed, 1000))))
    return min(anew), min(kept)


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--segments", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--small", action="store_true", help="a small network")
    parser.add_argument("--heads-only", action="store_true", help="without scoring and a million segments")
    args = parser.parse_args()
    for patients, rows in ((700, 20), (7000, 20)):
        anew, kept = heads(patients, rows, args.rounds)
        print(f"a head of {patients} patients: {anew:.3f} s with new draws, {kept:.3f} s with kept ones")
    if args.heads_only:
        return 0
    ours, bare = scoring(args.segments, args.rounds, small=args.small)
    print(f"scoring {1e3 * ours:.2f} ms per segment, invoke alone {1e3 * bare:.2f} ms: {ours / bare:.3f} times")
    few, many = bootstrap(10_000, 700, args.rounds), bootstrap(1_000_000, 7000, args.rounds)
    print(f"a head's bootstrap: {few:.2f} s over 10,000 segments, {many:.2f} s over 1,000,000 of 7000 patients")
    return 0 if ours <= REQUIRED_RATIO * bare and many <= REQUIRED_GROWTH * few else 1


if __name__ == "__main__":
    sys.exit(main())
