"""``anyecg evaluate``: score a teacher on prepared segments."""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from calibration.cli.report_output import write_report_text
from convert.compute.schedule import check_scheduler
from edge.cli.parser import add_json
from edge.process.files import write_files
from firmware_bridge.cliargs import OneLineParser
from firmware_bridge.errors import UsageError

PROG = "anyecg evaluate"


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of ``anyecg evaluate``."""
    parser = OneLineParser(
        PROG,
        "Score the prepared segments of held-out patients with a teacher and report the performance of each head.",
        "Rerun the command to resume an interrupted run. See docs/evaluate.md.",
    )
    parser.add_argument(
        "teacher", type=Path, metavar="TEACHER", help="folder of 'anyecg finetune', .pth, .keras, or foundation bundle"
    )
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="folder that 'anyecg prepare' wrote")
    parser.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="folder of report and intermediate files"
    )
    parser.add_argument("--split", choices=("test", "val"), default="test", help="part of the data (default test)")
    _add_network_options(parser)
    parser.add_argument(
        "--protocol", choices=("segments", "signalmcmed"), default="segments",
        help="signalmcmed: linear models on ten-minute means of the teacher's features; default %(default)s",
    )  # fmt: skip
    parser.add_argument("--reference", type=Path, metavar="TEACHER", help="another teacher to compare with")
    parser.add_argument("--margin", type=float, metavar="M", help="non-inferiority margin, AUROC (default 0.01)")
    parser.add_argument("--no-baselines", action="store_true", help="do not train the models of age, sex and intervals")
    parser.add_argument(
        "--baseline-segments",
        type=int,
        metavar="N",
        help="largest number of training segments of these models (default 200000)",
    )
    parser.add_argument("--seed", type=int, default=1, metavar="S", help="seed; default %(default)s")
    parser.add_argument(
        "--resamples", type=int, default=1000, metavar="N", help="bootstrap replicates; default %(default)s"
    )
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, metavar="N", help="number of processes")
    parser.add_argument(
        "--scheduler", default="none", metavar="WHO",
        help="score with Dask instead: threads:N, processes:N, or tcp://HOST:PORT of a cluster",
    )  # fmt: skip
    parser.add_argument("--quiet", action="store_true", help="show no progress")
    add_json(parser)
    return parser


def _add_network_options(parser: OneLineParser) -> None:
    parser.add_argument("--outputs", type=Path, metavar="FILE", help="description of a checkpoint's outputs (JSON)")
    parser.add_argument("--stride", type=int, metavar="N", help="stride of the stages, if the file does not state it")
    parser.add_argument("--bn", choices=("on", "off"), help="batch normalisation, if the checkpoint does not state it")
    parser.add_argument("--key", metavar="NAME", help="name of the network in a checkpoint with several")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        argv: Arguments after the name of the command; ``None`` for those of the process.

    Returns:
        Exit code 0.

    Raises:
        AnyEcgError: The command failed; the message says what to do.
    """
    args = build_parser().parse_args(argv)
    _check(args)
    if args.protocol == "signalmcmed":
        return _signalmcmed(args)
    from calibration.evaluate.page_html import report_files
    from calibration.evaluate.run import EvaluateOptions, evaluate
    from calibration.evaluate.score import Workers
    from calibration.evaluate.teacher import TeacherOptions
    from calibration.evaluate.text import text_report

    given = list(sys.argv[2:] if argv is None else argv)
    options = EvaluateOptions(
        teacher=args.teacher,
        data=args.data,
        out=args.out,
        split=args.split,
        how=TeacherOptions(args.outputs, args.stride, None if args.bn is None else args.bn == "on", args.key),
        reference=args.reference,
        margin=args.margin,
        seed=args.seed,
        resamples=args.resamples,
        workers=Workers(args.jobs, args.scheduler),
        baselines=not args.no_baselines,
        baseline_segments=args.baseline_segments,
        command=shlex.join([*PROG.split(), *given]),
    )
    report = evaluate(options, None if args.quiet else sys.stderr)
    files = write_files(args.out, report_files(report), advice="choose another --out")
    write_report_text(report, text_report, files, as_json=args.json)
    return 0


def _signalmcmed(args: argparse.Namespace) -> int:
    """Run the protocol of SignalMC-MED and write ``signalmcmed.json``."""
    if args.reference is not None or args.split != "test":
        raise UsageError("--reference and --split are for the protocol 'segments'", "leave them out")
    from calibration.evaluate.run import WORK
    from calibration.evaluate.teacher import TeacherOptions, open_teacher
    from calibration.protocols.signalmcmed import SignalPlan, signal_text, signalmcmed
    from convert.bundle.writer import to_json
    from convert.datasets.prepared import PreparedDataset

    how = TeacherOptions(args.outputs, args.stride, None if args.bn is None else args.bn == "on", args.key)
    teacher, plan = open_teacher(args.teacher, how), SignalPlan(seed=args.seed, jobs=args.jobs)
    progress = None if args.quiet else sys.stderr
    report = signalmcmed(PreparedDataset(args.data), teacher, args.out / WORK, plan, progress)
    files = write_files(args.out, {"signalmcmed.json": to_json(report)}, advice="choose another --out")
    write_report_text(report, signal_text, files, as_json=args.json)
    return 0


def _check(args: argparse.Namespace) -> None:
    check_scheduler(args.scheduler)
    if args.margin is not None and not 0.0 <= args.margin < 0.5:
        raise UsageError(f"--margin {args.margin:g} is out of range", "give at least 0 and less than 0.5")
    if args.margin is not None and args.reference is None:
        raise UsageError("--margin needs --reference", "it is the non-inferiority margin against the reference")
    if args.baseline_segments is not None and args.no_baselines:
        raise UsageError("--baseline-segments and --no-baselines contradict each other", "leave one of them out")
    minimum = {"seed": (args.seed, 0), "jobs": (args.jobs, 1), "resamples": (args.resamples, 100),
               "stride": (args.stride, 1), "baseline-segments": (args.baseline_segments, 1)}  # fmt: skip
    for name, (value, low) in minimum.items():
        if value is not None and value < low:
            raise UsageError(f"--{name} {value} is too small", f"give {low} or more")
    if args.stride is not None and args.stride > 64:
        raise UsageError(f"--stride {args.stride} is too large", "give 64 or less")
