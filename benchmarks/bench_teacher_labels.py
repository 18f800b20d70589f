"""Compare labelling by LiteRT with eager Keras: the same teacher and the same windows.

    python benchmarks/bench_teacher_labels.py [--full] [--checkpoint CKPT] [--windows N]

Prints milliseconds per window of both sides and their ratio. The exit code is 1 if the ratio is below 2. ``--full``
uses the size of ECGFounder with random weights (30.7 million parameters) instead of a small network of the same family.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import numpy as np

REQUIRED_RATIO = 2.0


def _teacher(args):
    from convert.checkpoint.load import net1d_from_checkpoint
    from convert.checkpoint.net1d import Net1D

    if args.checkpoint:
        return net1d_from_checkpoint(args.checkpoint)
    if args.full:
        return Net1D(n_classes=108)
    return Net1D(1, 32, 0.5, (32, 64, 64, 128), (1, 1, 2, 2), 16, 2, 8, 108)


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--checkpoint", type=Path)
    parser.add_argument("--windows", type=int, default=20)
    args = parser.parse_args()
    from convert.datasets.heads import TeacherHead
    from convert.teacher.open import LiteRtTeacher, float_model
    from edge.frontend.ecgfounder import EcgFounderFrontEnd

    keras_teacher = _teacher(args)
    n = keras_teacher.spec.n_classes
    heads = [TeacherHead(f"h{i}", "x", None, "1", "probability", "high") for i in range(n)]
    teacher = LiteRtTeacher(float_model(keras_teacher.with_length(5000)), "bench", "0" * 64, heads)
    windows = np.random.default_rng(0).standard_normal((args.windows, 5000)).cumsum(axis=1)
    front_end = EcgFounderFrontEnd()
    times = {"LiteRT": [], "eager Keras": []}
    worst = 0.0
    for i, window in enumerate(np.concatenate((windows[:2], windows))):
        start = time.perf_counter()
        logits, features = teacher.label(window)
        middle = time.perf_counter()
        expected = keras_teacher(front_end(window).astype(np.float32)[None, :, None], training=False)
        found = np.asarray(expected["logits"])[0], np.asarray(expected["features"])[0]
        ended = time.perf_counter()
        worst = max(worst, *(float(np.abs(a - b).max()) for a, b in zip((logits, features), found, strict=True)))
        if i >= 2:
            times["LiteRT"].append(middle - start)
            times["eager Keras"].append(ended - middle)
    medians = {name: 1e3 * float(np.median(t)) for name, t in times.items()}
    for name, ms in medians.items():
        print(f"{name:12s} {ms:8.2f} ms per window, front end included")
    ratio = medians["eager Keras"] / medians["LiteRT"]
    print(f"ratio        {ratio:8.2f} (at least {REQUIRED_RATIO:g}); outputs differ by {worst:.1e} at most")
    return 0 if ratio >= REQUIRED_RATIO else 1


if __name__ == "__main__":
    sys.exit(main())
