"""``anyecg convert micro``: distil a teacher into a student for a microcontroller."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from convert.cli.defaults import LICENCE, STUDENT, VERSION, WINDOWS
from convert.cli.recording_options import add_recording_options, recording_options
from edge.cli.parser import Parser
from firmware_bridge.reading import resolved

if TYPE_CHECKING:
    from convert.compute.replicas import Replicas

PROG = "anyecg convert micro"


def build_parser() -> Parser:
    """Return the parser of the command."""
    p = Parser(PROG, "Distil a teacher into a student for a microcontroller. Rerun the command to resume.")
    p.add_argument(
        "teacher", type=Path, metavar="TEACHER", help="folder of 'anyecg finetune', .pth file, or foundation bundle"
    )
    p.add_argument(
        "--data", type=Path, required=True, metavar="DIR", action="append",
        help="recordings: an MC-MED folder, or a folder of files; may be repeated",
    )  # fmt: skip
    p.add_argument(
        "--varied", type=int, default=0, metavar="N",
        help="simulated ECGs of varied shapes on which the student imitates the teacher (default %(default)s)",
    )  # fmt: skip
    p.add_argument("--out", type=Path, required=True, metavar="BUNDLE", help="output folder of the bundle")
    p.add_argument(
        "--labels", type=Path, metavar="DIR", help="laboratory results: MC-MED folder, or folder with labels.csv"
    )
    p.add_argument(
        "--label-plan", type=Path, metavar="FILE",
        help="label file, as for 'anyecg prepare' (default: that of the teacher)",
    )  # fmt: skip
    p.add_argument("--compare", type=Path, metavar="DIR", help="further recordings for a comparison with the teacher")
    p.add_argument(
        "--outputs", type=Path, metavar="FILE", help="description of a checkpoint's outputs (outputs.json beside it)"
    )
    p.add_argument(
        "--stride", type=int, metavar="N", help="stride of a checkpoint's stages (default: that of the file, or 2)"
    )
    p.add_argument("--bn", choices=["on", "off"], help="batch normalisation (default: that of the file, or off)")
    p.add_argument("--key", metavar="NAME", help="name of the network in a checkpoint with several")
    p.add_argument("--licence", default=LICENCE, help="licence of a checkpoint's weights")
    _add_training(p)
    return p


def _add_training(p: Parser) -> None:
    from convert.compute.students import PRESETS

    plan, windows = STUDENT, WINDOWS
    p.add_argument("--preset", default="micro", choices=sorted(PRESETS), help="size of the student (default micro)")
    p.add_argument("--name", help="name of the bundle")
    p.add_argument("--version", default=VERSION, help="version of the bundle (default %(default)s)")
    p.add_argument("--workdir", type=Path, metavar="DIR", help="intermediate files (default: BUNDLE.work)")
    p.add_argument(
        "--seed", type=int, default=plan.seed, metavar="S", help="seed of all random numbers (default %(default)s)"
    )
    add_recording_options(p)
    p.add_argument(
        "--hop", type=float, default=windows.hop_s, metavar="S", help="hop between windows (default %(default)g)"
    )
    p.add_argument(
        "--windows",
        type=int,
        default=windows.most,
        metavar="N",
        help="most windows of a recording (default %(default)s)",
    )
    p.add_argument("--float-epochs", type=int, default=plan.float_epochs, metavar="N", help="default %(default)s")
    p.add_argument("--quant-epochs", type=int, default=plan.quant_epochs, metavar="N", help="default %(default)s")
    p.add_argument(
        "--disturbed", type=float, default=plan.disturbed, metavar="SHARE",
        help="share of training windows with disturbances of a wearable (default %(default)g; 0 for none)",
    )  # fmt: skip
    p.add_argument(
        "--scheduler", metavar="WHO",
        help="who labels: none, threads:N, processes:N, tcp://HOST:PORT of a Dask cluster (default: 2 processes)",
    )  # fmt: skip


def _replicas() -> Replicas | None:
    """Return the workers of ``TF_CONFIG``, or ``None`` without it; a student is trained without a GPU."""
    from convert.compute.replicas import ENVIRONMENT, open_replicas

    return open_replicas() if os.environ.get(ENVIRONMENT, "").strip() else None


def main(argv: Sequence[str]) -> int:
    """Run the command.

    Args:
        argv: Arguments after ``convert micro``.

    Returns:
        The exit code.

    Raises:
        AnyEcgError: The command failed; the message says what to do.
    """
    args = build_parser().parse_args(argv)
    from convert.bundle.card import number
    from convert.compute.schedule import check_scheduler
    from convert.distil.run import DistilConfig, check_plan, convert_micro
    from convert.distil.train import DistilPlan
    from convert.teacher.open import CheckpointOptions
    from convert.teacher.soft_labels import WindowPlan

    plan = DistilPlan(args.seed, args.float_epochs, args.quant_epochs, args.disturbed)
    check_plan(plan, args.varied)
    if args.scheduler is not None:
        check_scheduler(args.scheduler)
    checkpoint = CheckpointOptions(
        args.outputs, args.stride, None if args.bn is None else args.bn == "on", args.licence, args.key
    )
    config = DistilConfig(
        args.teacher, tuple(args.data), checkpoint, args.labels, args.compare, args.preset, args.name,
        recording_options(args), WindowPlan(args.hop, args.windows), plan, args.varied, args.scheduler, args.label_plan,
        args.version,
    )  # fmt: skip
    out = resolved(args.out)
    started_s = time.monotonic()
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
        f"{(time.monotonic() - started_s) / 60:.1f} min\n"
    )
    return 0
