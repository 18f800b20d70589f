"""``anyecg train-demo``: make the demonstration bundle from simulated patients."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from firmware_bridge.cliargs import OneLineParser
from firmware_bridge.errors import UsageError

PROG = "anyecg train-demo"


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the command."""
    from convert.cli.recording_options import add_recording_options
    from convert.compute.students import PRESETS
    from convert.demo.run import DemoConfig
    from convert.demo.teacher import SHAPES

    default = DemoConfig()
    parser = OneLineParser(
        PROG,
        "Make the demonstration bundle: simulated patients, a teacher, a student. Not for medical use.",
        "Rerun the command to resume an interrupted run.",
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="output folder of the bundle")
    parser.add_argument("--name", help="name of the bundle (default: that of its folder)")
    parser.add_argument("--version", help="version of the bundle (default: 0.1.0)")
    parser.add_argument("--work", type=Path, metavar="DIR", help="intermediate files (default: OUT.work)")
    parser.add_argument("--patients", type=int, default=default.patients, metavar="N", help="default %(default)s")
    parser.add_argument("--seed", type=int, default=default.seed, metavar="S", help="default %(default)s")
    parser.add_argument("--seconds", type=float, default=default.seconds, help="record length; default %(default)s")
    parser.add_argument("--teacher", default=default.teacher, choices=sorted(SHAPES), help="default %(default)s")
    parser.add_argument(
        "--varied", type=int, default=default.varied, metavar="N", help="ECGs of varied shapes; default %(default)s"
    )
    parser.add_argument("--preset", default=default.preset, choices=sorted(PRESETS), help="default %(default)s")
    for name in ("teacher_epochs", "float_epochs", "quant_epochs"):
        flag, value = f"--{name.replace('_', '-')}", getattr(default, name)
        parser.add_argument(flag, type=int, default=value, metavar="N", help="default %(default)s")
    parser.add_argument("--compare", type=Path, metavar="DIR", help="recordings to compare student and teacher on")
    add_recording_options(parser)
    parser.add_argument(
        "--scheduler", metavar="WHO",
        help="who labels: none, threads:N, processes:N, tcp://HOST:PORT of a Dask cluster (default: 2 processes)",
    )  # fmt: skip
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        argv: Arguments after the command's name; ``None`` for those of the process.

    Returns:
        The exit code.

    Raises:
        AnyEcgError: The command failed; the message says what to do.
    """
    from dataclasses import fields

    from convert.bundle.card import number
    from convert.cli.recording_options import recording_options
    from convert.compute.schedule import check_scheduler
    from convert.demo.data import MIN_SECONDS
    from convert.demo.run import DemoConfig, identity_of, train_demo

    args = build_parser().parse_args(argv)
    config = DemoConfig(**{field.name: getattr(args, field.name) for field in fields(DemoConfig)})
    least = min(config.teacher_epochs, config.float_epochs, config.quant_epochs)
    if config.seconds < MIN_SECONDS or least < 1 or config.seed < 0 or config.varied < 0:
        raise UsageError(
            f"--seconds must be {MIN_SECONDS:.0f} or more, every number of epochs 1 or more, "
            "--seed and --varied 0 or more"
        )
    if args.scheduler is not None:
        check_scheduler(args.scheduler)
    out = args.out.resolve()
    started_s = time.monotonic()
    work = args.work or out.with_name(f"{out.name}.work")
    identity = identity_of(out, config, args.name, args.version)
    report = train_demo(out, work, config, sys.stderr, args.compare, args.scheduler, recording_options(args), identity)
    for key, head in report["heads"].items():
        e = head["evidence"]
        if e["mae"] is not None:
            sys.stdout.write(f"{key:16s} MAE   {number(e['mae'])}  {e['tier']}\n")
        else:
            sys.stdout.write(
                f"{key:16s} AUROC {number(e['auroc']):5s}  {e['tier']:9s} teacher {number(head.get('auroc_teacher'))}  "
                f"calibration error {number(head.get('calibration_error'))}\n"
            )
    size, s, elsewhere = report["size"], report["summary"], report["elsewhere"]
    if elsewhere is not None:
        sys.stdout.write(
            f"correlation with the teacher on {elsewhere['recordings']} other recordings, median: "
            f"{number(elsewhere['median_correlation_int8'])}\n"
        )
    sys.stdout.write(
        f"correlation with the teacher, median: {number(s['median_correlation_int8'])}; macro AUROC teacher "
        f"{number(s['macro_auroc_teacher'], 4)}, float {number(s['macro_auroc_float'], 4)}, "
        f"int8 {number(s['macro_auroc_int8'], 4)}, PTQ {number(s['macro_auroc_ptq'], 4)}\n"
        f"{out}: {size['model_bytes']} bytes of flash, {size['arena_bytes']} of arena, "
        f"{(time.monotonic() - started_s) / 60:.1f} min\n"
    )
    return 0
