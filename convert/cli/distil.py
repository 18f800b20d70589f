"""``anyecg convert micro``: distil a teacher into a student for a microcontroller."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from edge.cli.parser import Parser

if TYPE_CHECKING:
    from convert.compute.replicas import Replicas

PROG = "anyecg convert micro"


def build_parser() -> Parser:
    """The command line."""
    from convert.compute.students import PRESETS
    from convert.distil.train import DistilPlan
    from convert.teacher.open import CheckpointOptions
    from convert.teacher.soft_labels import LabelPlan

    plan, windows = DistilPlan(), LabelPlan()
    p = Parser(PROG, "Distil a teacher into a student for a microcontroller. Killed runs go on when given again.")
    p.add_argument(
        "teacher", type=Path, metavar="TEACHER", help="a folder of 'anyecg finetune', a .pth, or a foundation bundle"
    )
    p.add_argument(
        "--data", type=Path, required=True, metavar="DIR", action="append",
        help="recordings: MC-MED, or a folder of files; may be repeated",
    )  # fmt: skip
    p.add_argument(
        "--varied", type=int, default=0, metavar="N",
        help="simulated ECGs of every shape to imitate the teacher on (default %(default)s)",
    )  # fmt: skip
    p.add_argument("--out", type=Path, required=True, metavar="BUNDLE", help="where the bundle shall stand")
    p.add_argument("--labels", type=Path, metavar="DIR", help="laboratory results: MC-MED, or a folder with labels.csv")
    p.add_argument(
        "--label-plan", type=Path, metavar="FILE",
        help="how labels are made of results: a label file of 'anyecg prepare' (default: the teacher's own)",
    )  # fmt: skip
    p.add_argument("--compare", type=Path, metavar="DIR", help="other recordings to compare student and teacher on")
    p.add_argument(
        "--outputs", type=Path, metavar="FILE", help="what a checkpoint's outputs mean (outputs.json beside it)"
    )
    p.add_argument("--stride", type=int, metavar="N", help="of a checkpoint's stages (default: as it says, else 2)")
    p.add_argument("--bn", choices=["on", "off"], help="trained with normalisation (default: as it says, else off)")
    p.add_argument("--licence", default=CheckpointOptions().licence, help="of a checkpoint's weights")
    p.add_argument("--preset", default="micro", choices=sorted(PRESETS), help="size of the student (default micro)")
    p.add_argument("--name", help="of the bundle")
    p.add_argument("--workdir", type=Path, metavar="DIR", help="intermediate files (default: BUNDLE.work)")
    p.add_argument("--seed", type=int, default=plan.seed, metavar="S", help="of everything (default %(default)s)")
    p.add_argument("--fs", type=float, metavar="HZ", help="rate of CSV and MATLAB files that do not say it")
    p.add_argument("--hop", type=float, default=windows.hop_s, metavar="S", help="between windows (%(default)g)")
    p.add_argument(
        "--windows", type=int, default=windows.most, metavar="N", help="of a recording at most (default %(default)s)"
    )
    p.add_argument("--float-epochs", type=int, default=plan.float_epochs, metavar="N", help="default %(default)s")
    p.add_argument("--quant-epochs", type=int, default=plan.quant_epochs, metavar="N", help="default %(default)s")
    p.add_argument(
        "--disturbed", type=float, default=plan.disturbed, metavar="SHARE",
        help="of the training windows, as a wearable disturbs them (default %(default)g; 0 for none)",
    )  # fmt: skip
    p.add_argument(
        "--scheduler", metavar="WHO",
        help="who labels: none, threads:N, processes:N, tcp://HOST:PORT of a Dask cluster (default: 2 processes)",
    )  # fmt: skip
    return p


def _replicas() -> Replicas | None:
    """Whom ``TF_CONFIG`` names; a student trains without a GPU, so nobody else takes part."""
    from convert.compute.replicas import ENVIRONMENT, open_replicas

    return open_replicas() if os.environ.get(ENVIRONMENT, "").strip() else None


def main(argv: Sequence[str]) -> int:
    """Runs the command.

    Args:
        argv: Arguments after ``convert micro``.

    Returns:
        The exit code.

    Raises:
        AnyEcgError: What a user can do something about.
    """
    from convert.bundle.card import number
    from convert.compute.schedule import check_scheduler
    from convert.distil.run import DistilConfig, check_plan, convert_micro
    from convert.distil.train import DistilPlan
    from convert.teacher.open import CheckpointOptions
    from convert.teacher.soft_labels import LabelPlan

    args = build_parser().parse_args(argv)
    plan = DistilPlan(args.seed, args.float_epochs, args.quant_epochs, args.disturbed)
    check_plan(plan, args.varied)
    if args.scheduler is not None:
        check_scheduler(args.scheduler)
    checkpoint = CheckpointOptions(
        args.outputs, args.stride, None if args.bn is None else args.bn == "on", args.licence
    )
    config = DistilConfig(
        args.teacher, tuple(args.data), checkpoint, args.labels, args.compare, args.preset, args.name, args.fs,
        LabelPlan(args.hop, args.windows), plan, args.varied, args.scheduler, args.label_plan,
    )  # fmt: skip
    out = args.out.resolve()
    begun_s = time.monotonic()
    work = args.workdir or out.with_name(f"{out.name}.work")
    report = convert_micro(out, work, config, sys.stderr, _replicas())
    if report is None:
        return 0
    s, size = report["summary"], report["size"]
    sys.stdout.write(
        f"correlation with the teacher, median of {len(report['heads'])} heads: {number(s['median_correlation_int8'])} "
        f"(float {number(s['median_correlation_float'])}, PTQ {number(s['median_correlation_ptq'])})\n"
    )
    if s["heads_with_auroc"]:
        sys.stdout.write(
            f"macro AUROC of {s['heads_with_auroc']} heads: student {number(s['macro_auroc_int8'], 4)}, teacher "
            f"{number(s['macro_auroc_teacher'], 4)}, float {number(s['macro_auroc_float'], 4)}, "
            f"PTQ {number(s['macro_auroc_ptq'], 4)}\n"
        )
    if report["elsewhere"] is not None:
        e = report["elsewhere"]
        sys.stdout.write(f"on {e['recordings']} other recordings: median {number(e['median_correlation_int8'])}\n")
    sys.stdout.write(
        f"{out}: {size['model_bytes']} bytes of flash, {size['arena_bytes']} of arena, "
        f"{(time.monotonic() - begun_s) / 60:.1f} min\n"
    )
    return 0
