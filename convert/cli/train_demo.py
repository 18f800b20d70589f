"""``anyecg train-demo``: make the demonstration bundle from simulated patients."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

from convert.cli.defaults import DEMO, DEMO_TEACHERS
from convert.cli.recording_options import add_recording_options, recording_options
from firmware_bridge.cliargs import OneLineParser
from firmware_bridge.errors import UsageError
from firmware_bridge.reading import resolved

if TYPE_CHECKING:
    from convert.datasets.described import RecordingOptions
    from convert.demo.run import DemoConfig

PROG = "anyecg train-demo"

OTHER_RECIPE = (
    "These options are another recipe than that of the bundle in the package; docs/demo-bundle.md gives its command."
)


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the command."""
    from convert.compute.students import PRESETS

    default = DEMO
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
    parser.add_argument("--teacher", default=default.teacher, choices=DEMO_TEACHERS, help="default %(default)s")
    parser.add_argument(
        "--varied", type=int, default=default.varied, metavar="N", help="ECGs of varied shapes; default %(default)s"
    )
    _add_imitation(parser, default)
    parser.add_argument("--preset", default=default.preset, choices=sorted(PRESETS), help="default %(default)s")
    for name in ("teacher_epochs", "float_epochs", "quant_epochs"):
        flag, value = f"--{name.replace('_', '-')}", getattr(default, name)
        parser.add_argument(flag, type=int, default=value, metavar="N", help="default %(default)s")
    parser.add_argument(
        "--teacher-only", action="store_true",
        help="train and judge the teacher alone; OUT gets its checkpoint and the patients that judged it",
    )  # fmt: skip
    parser.add_argument("--compare", type=Path, metavar="DIR", help="recordings to compare student and teacher on")
    add_recording_options(parser)
    parser.add_argument(
        "--scheduler", metavar="WHO",
        help="who labels: none, threads:N, processes:N, tcp://HOST:PORT of a Dask cluster (default: 2 processes)",
    )  # fmt: skip
    return parser


def _add_imitation(parser: argparse.ArgumentParser, default: SimpleNamespace) -> None:
    parser.add_argument(
        "--imitate", type=Path, action="append", metavar="DIR",
        help="real recordings without labels, on which the student imitates its teacher; may be repeated",
    )  # fmt: skip
    parser.add_argument(
        "--imitate-leads", default=default.imitate_leads, metavar="NAMES",
        help="their leads, separated by commas, or all; default %(default)s",
    )  # fmt: skip
    parser.add_argument(
        "--imitate-copies", type=int, default=default.imitate_copies, metavar="N",
        help="further forms of each lead; default %(default)s",
    )  # fmt: skip
    parser.add_argument(
        "--imitate-source", default="", metavar="TEXT", help="their source and licence, for the model card"
    )


def config_of(args: argparse.Namespace) -> DemoConfig:
    """Return the configuration that the options give."""
    from dataclasses import fields

    from convert.demo.run import DemoConfig

    given = {field.name: getattr(args, field.name) for field in fields(DemoConfig)}
    return DemoConfig(**{**given, "imitate": tuple(args.imitate or ())})


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        argv: Arguments after the command's name; ``None`` for those of the process.

    Returns:
        The exit code.

    Raises:
        AnyEcgError: The command failed; the message says what to do.
    """
    args = build_parser().parse_args(argv)
    from convert.compute.schedule import check_scheduler
    from convert.demo.data import MIN_SECONDS

    config = config_of(args)
    least = min(config.teacher_epochs, config.float_epochs, config.quant_epochs)
    if config.seconds < MIN_SECONDS or least < 1 or config.seed < 0 or config.varied < 0:
        raise UsageError(
            f"--seconds must be {MIN_SECONDS:.0f} or more, every number of epochs 1 or more, "
            "--seed and --varied 0 or more"
        )
    if args.scheduler is not None:
        check_scheduler(args.scheduler)
    out = resolved(args.out)
    started_s = time.monotonic()
    work = args.work or out.with_name(f"{out.name}.work")
    given = recording_options(args)
    lines = _teacher(out, work, config) if args.teacher_only else _bundle(out, work, config, args, given)
    sys.stdout.write("\n".join([*lines, f"{out}: {(time.monotonic() - started_s) / 60:.1f} min"]) + "\n")
    return 0


def _teacher(out: Path, work: Path, config: DemoConfig) -> list[str]:
    from convert.bundle.card import number
    from convert.demo.heldout import macro
    from convert.demo.run import train_teacher_only
    from convert.stats.resampling import interval

    found = train_teacher_only(out, work, config, sys.stderr)
    lines = []
    for key, result in found.items():
        a = result.auroc
        lines.append(f"{key:16s} AUROC {number(a.value):5s}  ({number(a.low)} to {number(a.high)})")
    value, replicates = macro(found)
    m = interval(value, replicates)
    shown = f"{number(m.value, 4)} ({number(m.low, 4)} to {number(m.high, 4)})"
    return [*lines, f"macro AUROC {shown} on held-out patients"]


def _bundle(out: Path, work: Path, config: DemoConfig, args: argparse.Namespace, given: RecordingOptions) -> list[str]:
    from convert.bundle.card import number
    from convert.demo.run import identity_of, of_package, train_demo

    imitated = config.imitated()
    identity = identity_of(out, config, args.name, args.version, imitated)
    report = train_demo(out, work, config, sys.stderr, args.compare, args.scheduler, given, identity, imitated)
    lines = [] if of_package(config, imitated) else [OTHER_RECIPE]
    for key, head in report["heads"].items():
        e = head["evidence"]
        if e["mae"] is not None:
            lines.append(f"{key:16s} MAE   {number(e['mae'])}  {e['tier']}")
        else:
            lines.append(
                f"{key:16s} AUROC {number(e['auroc']):5s}  {e['tier']:9s} teacher {number(head.get('auroc_teacher'))}  "
                f"calibration error {number(head.get('calibration_error'))}"
            )
    size, s, elsewhere = report["size"], report["summary"], report["elsewhere"]
    if elsewhere is not None:
        lines.append(
            f"correlation with the teacher on {elsewhere['recordings']} other recordings, median: "
            f"{number(elsewhere['median_correlation_int8'])}"
        )
    lines.append(
        f"correlation with the teacher, median: {number(s['median_correlation_int8'])}; macro AUROC teacher "
        f"{number(s['macro_auroc_teacher'], 4)}, float {number(s['macro_auroc_float'], 4)}, "
        f"int8 {number(s['macro_auroc_int8'], 4)}, PTQ {number(s['macro_auroc_ptq'], 4)}"
    )
    lines.append(f"{size['model_bytes']} bytes of flash, {size['arena_bytes']} of arena")
    return lines
