"""Judge a trained teacher and the bundles made from it on the same held-out patients.

    anyecg train-demo --teacher ecgfounder --teacher-epochs 12 --teacher-only --out TEACHER
    python benchmarks/bench_full_teacher.py TEACHER BUNDLE... [--patients N] [--small FOLDER] [--macro D] [--head D]

TEACHER is the folder of that command, with ``heldout.npz``. Prints the AUROC of each head of the float teacher, and for
each bundle its size, the time of a window, the macro AUROC, and the difference from the float teacher with its paired
95 % bootstrap interval over patients: macro, and of each head. ``--small`` adds another teacher of the same
outputs, such as the folder of ``--teacher clef-small --teacher-only``. The exit code is 1 if a bundle differs by more
than ``--macro`` or one of its heads by more than ``--head``.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

MACRO, HEAD = 0.002, 0.005


def _bundle_model(path: Path) -> tuple[Any, list[str], str]:
    """Return a function from z-scores to outputs, the keys of the outputs, and what the bundle is."""
    from edge.bundle.reader import load_bundle
    from edge.model import load_model

    bundle = load_bundle(path)
    m = bundle.manifest
    model = load_model(bundle)

    def run(z: Any) -> Any:
        steps = m.input.to_steps(np.clip(z, -m.front_end.clamp, m.front_end.clamp))
        return m.output.to_values(model.run(steps))

    return run, [h.key for h in m.outputs], f"{len(bundle.model) / 1e6:.1f} MB"


def _judge(held: Any, run: Any, keys: list[str]) -> tuple[Any, Any, float]:
    """Return the scores of all patients, their rankings, and the time of a window in ms."""
    if tuple(keys) != held.keys:
        sys.exit(f"the outputs are {', '.join(keys)}, those of the patients {', '.join(held.keys)}")
    started_s = time.perf_counter()
    scores = held.scores(run)
    window_ms = 1e3 * (time.perf_counter() - started_s) / held.windows[:, :, 0].size
    return scores, held.rankings(scores), window_ms


def _shown(score: Any, digits: int = 4, sign: str = "") -> str:
    if score.value is None:
        return "not defined"
    if score.low is None:
        return f"{score.value:{sign}.{digits}f}"
    return f"{score.value:{sign}.{digits}f} ({score.low:{sign}.{digits}f} to {score.high:{sign}.{digits}f})"


def _compare(title: str, ours: Any, theirs: Any) -> tuple[float, float]:
    """Print the differences from the float teacher; return the largest of macro and of a head."""
    from convert.demo.heldout import macro
    from convert.stats.noninferiority import auroc_difference
    from convert.stats.resampling import interval

    (a, drawn_a), (b, drawn_b) = macro(ours), macro(theirs)
    difference = interval(a - b, drawn_a - drawn_b)
    heads = {key: auroc_difference(ours[key], theirs[key]) for key in ours}
    known = {key: d for key, d in heads.items() if d.value is not None}
    worst = max(known, key=lambda key: abs(known[key].value))
    sys.stdout.write(
        f"{title}: macro AUROC {_shown(interval(a, drawn_a))}, minus float {_shown(difference, 5, '+')}, "
        f"worst head {worst} {_shown(known[worst], 5, '+')}\n"
    )
    for key, d in heads.items():
        sys.stdout.write(f"  {key:16s} {_shown(d, 4, '+')}\n")
    return abs(a - b), abs(known[worst].value)


def main() -> int:
    """Run the comparison."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("teacher", type=Path)
    parser.add_argument("bundles", type=Path, nargs="*")
    parser.add_argument("--patients", type=int, help="use the first patients only")
    parser.add_argument("--small", type=Path, help="folder of another teacher")
    parser.add_argument("--macro", type=float, default=MACRO)
    parser.add_argument("--head", type=float, default=HEAD)
    args = parser.parse_args()
    from convert.demo.heldout import FILE, macro, read_held_out
    from convert.stats.resampling import interval
    from convert.teacher.open import CheckpointOptions, open_checkpoint

    held = read_held_out(args.teacher / FILE).first(args.patients)
    found = {}
    with tempfile.TemporaryDirectory() as work:
        for path in (args.teacher, *([args.small] if args.small else [])):
            teacher = open_checkpoint(path, CheckpointOptions(), Path(work))
            scores, found[path], ms = _judge(held, teacher.run, [h.key for h in teacher.heads])
            area, drawn = macro(found[path])
            sys.stdout.write(f"{path.name}, float: macro AUROC {_shown(interval(area, drawn))} on ")
            sys.stdout.write(f"{len(held.patients)} patients, {ms:.1f} ms a window\n")
            for key, r in found[path].items():
                sys.stdout.write(f"  {key:16s} {_shown(r.auroc)}\n")
            if path == args.teacher:
                of_float = scores
    good = True
    if args.small:
        _compare(f"{args.teacher.name} against {args.small.name}", found[args.teacher], found[args.small])
    for path in args.bundles:
        run, keys, size = _bundle_model(path)
        scores, rankings, ms = _judge(held, run, keys)
        r = [float(np.corrcoef(scores[:, j], of_float[:, j])[0, 1]) for j in range(len(keys))]
        title = f"{path.name}, {size}, {ms:.1f} ms, correlation {np.median(r):.4f} (worst head {min(r):.4f})"
        of_macro, of_head = _compare(title, rankings, found[args.teacher])
        good &= of_macro <= args.macro and of_head <= args.head
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
