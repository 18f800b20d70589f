"""``anyecg convert``: convert checkpoints into bundles with parity reports."""

from __future__ import annotations

import argparse
import importlib.util
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple, cast

from convert.cli.defaults import FOUNDATION_NAME, LICENCE, VERSION
from convert.cli.parity_output import write_parity
from convert.cli.recording_options import add_recording_options, recording_options
from edge.cli.parser import Parser, add_json
from edge.process.files import make_folder, write_files
from firmware_bridge.errors import EXIT_OK, UsageError

PROG = "anyecg convert"
MAX_MINUTES = 10_000.0

_CHECKPOINT = "a .pth, .ckpt or .safetensors file, or a folder of 'anyecg finetune'"


class Action(NamedTuple):
    """One action of the command.

    Attributes:
        target: ``module:function`` that is called with the remaining arguments.
        summary: One line for the overview.
    """

    target: str
    summary: str


ACTIONS: dict[str, Action] = {
    "inspect": Action("convert.cli.convert:inspect", "describe the content of a checkpoint"),
    "foundation": Action("convert.cli.convert:foundation", "convert the whole teacher for a Raspberry Pi"),
    "micro": Action("convert.cli.distil:main", "distil a teacher into a student for a microcontroller"),
    "parity": Action("convert.cli.convert:parity", "compare every form of a bundle's model"),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; see ``anyecg convert --help``.

    Args:
        argv: Arguments after the command's name; ``None`` for those of the process.

    Returns:
        The exit code.

    Raises:
        AnyEcgError: The command failed; the message says what to do.
    """
    args = list(sys.argv[1:] if argv is None else argv)
    actions = {name: a for name, a in ACTIONS.items() if _exists(a.target)}
    if not args or args[0] in {"-h", "--help"}:
        width = max(map(len, actions))
        lines = "\n".join(f"  {name:<{width}}  {action.summary}" for name, action in actions.items())
        sys.stdout.write(f"usage: {PROG} ACTION [options]\n\n{lines}\n\n'{PROG} ACTION --help' shows the options.\n")
        return EXIT_OK if args else UsageError.exit_code
    if args[0] not in actions:
        raise UsageError(f"unknown action {args[0]!r}", f"use one of {', '.join(actions)}")
    module, _, function = actions[args[0]].target.partition(":")
    run = cast("Callable[[list[str]], int]", getattr(importlib.import_module(module), function))
    return run(args[1:])


def inspect(argv: Sequence[str]) -> int:
    """Run ``anyecg convert inspect CHECKPOINT``, which does not need TensorFlow."""
    p = _parser("inspect", "Describe the content of a checkpoint. Nothing in it is executed.")
    p.add_argument("checkpoint", type=Path, metavar="CHECKPOINT", help=_CHECKPOINT)
    _network(p)
    args = p.parse_args(argv)
    from convert.checkpoint.describe import describe
    from convert.checkpoint.reader import read_checkpoint
    from convert.teacher.place import checkpoint_at, network_options

    checkpoint = read_checkpoint(checkpoint_at(args.checkpoint), key=args.key)
    stride, use_bn = network_options(checkpoint, args.stride, _on(args.bn))
    sys.stdout.write(describe(checkpoint, stride, use_bn=use_bn))
    return EXIT_OK


def foundation(argv: Sequence[str]) -> int:
    """Run ``anyecg convert foundation CHECKPOINT --data DIR --out BUNDLE``."""
    p = _parser("foundation", "Convert a whole teacher, with the front end ecgfounder/1.")
    p.add_argument("checkpoint", type=Path, metavar="CHECKPOINT", help=_CHECKPOINT)
    p.add_argument(
        "--outputs", type=Path, metavar="FILE", help="description of the heads; default: outputs.json in its folder"
    )
    p.add_argument("--data", type=Path, required=True, metavar="DIR", help="recordings to calibrate and judge on")
    add_recording_options(p)
    p.add_argument(
        "--form", choices=["auto", "dynamic", "int8", "float16", "float32"], default="auto",
        help="form of the model: auto takes dynamic range, or full int8 if its gate opens and it is clearly faster",
    )  # fmt: skip
    p.add_argument("--out", type=Path, required=True, metavar="BUNDLE", help="output folder of the bundle")
    p.add_argument("--name", default=FOUNDATION_NAME, help="name of the bundle; default %(default)s")
    p.add_argument("--version", default=VERSION, help="version of the bundle; default %(default)s")
    p.add_argument("--licence", default=LICENCE, help="licence of the weights; default: '%(default)s'")
    _network(p)
    p.add_argument(
        "--tune", type=_minutes, default=0.0, metavar="MINUTES",
        help="tune full int8 by self-distillation on the recordings; rerun the command to resume",
    )  # fmt: skip
    p.add_argument("--calibration-windows", type=_positive, default=48, metavar="N", help="default %(default)s")
    p.add_argument("--evaluation-windows", type=_positive, default=64, metavar="N", help="default %(default)s")
    p.add_argument("--gates", type=Path, metavar="FILE", help="TOML with other limits than convert/data/gates.toml")
    p.add_argument("--accept-loss", action="store_true", help="write the bundle even if the gate is shut")
    p.add_argument("--labels", type=Path, metavar="DIR", help="laboratory results of the data, to calibrate the heads")
    p.add_argument("--label-plan", type=Path, metavar="FILE", help="label file; default: that of the teacher")
    p.add_argument(
        "--choice", choices=["coverage", "alternate"], default="coverage",
        help="choice of the calibration windows: those that cover the data, or every second one; default %(default)s",
    )  # fmt: skip
    add_json(p)
    a = p.parse_args(argv)
    from convert.foundation.config import FoundationConfig
    from convert.foundation.run import convert_foundation

    config = FoundationConfig(
        a.checkpoint, a.outputs, a.data, a.out, a.name, a.version, a.licence, a.stride, _on(a.bn),
        a.calibration_windows, a.evaluation_windows, a.gates, a.accept_loss, a.labels, a.choice, a.label_plan, a.form,
        a.key, recording_options(a), a.tune,
    )  # fmt: skip
    result = convert_foundation(config, sys.stderr)
    done = f"{a.out}: {result.form}, {result.model_bytes} bytes, {result.seconds:.0f} s\n"
    write_parity(result.report, done, as_json=a.json)
    return EXIT_OK


def parity(argv: Sequence[str]) -> int:
    """Run ``anyecg convert parity BUNDLE``; the exit code is 1 if two forms disagree."""
    p = _parser("parity", "Compare every form of a bundle's model. The exit code is 1 if two forms disagree.")
    p.add_argument("bundle", metavar="BUNDLE", help="folder, zip, or 'demo'")
    p.add_argument("--checkpoint", type=Path, metavar="CKPT", help="teacher of a foundation bundle")
    p.add_argument("--data", type=Path, metavar="DIR", help="recordings; default: the bundle's golden windows")
    add_recording_options(p)
    p.add_argument("--original", type=Path, metavar="NPZ", help="file with x_5000 and logits_5000 of the original code")
    p.add_argument(
        "--windows", type=_positive, default=32, metavar="N", help="number of windows of --data; default %(default)s"
    )
    p.add_argument("--report", type=Path, metavar="DIR", help="write parity.html and parity.json there")
    add_json(p)
    args = p.parse_args(argv)
    from convert.cli.parity import run_parity

    if args.report is not None:
        make_folder(args.report)
    report = run_parity(
        args.bundle, args.checkpoint, args.data, args.original, args.windows, sys.stderr, recording_options(args)
    )
    from convert.parity.report import report_files

    write_parity(report, as_json=args.json)
    if args.report is not None:
        write_files(args.report, report_files(report))
    report.check()
    return EXIT_OK


def _parser(action: str, text: str) -> argparse.ArgumentParser:
    return Parser(f"{PROG} {action}", text)


def _network(p: argparse.ArgumentParser) -> None:
    """Add the options for facts that a checkpoint may lack."""
    p.add_argument(
        "--stride", type=_positive, help="stride of each stage's first block; default: that of the file, or 2"
    )
    p.add_argument("--bn", choices=["on", "off"], help="batch normalisation; default: that of the file, or off")
    p.add_argument("--key", metavar="NAME", help="name of the network in a checkpoint with several")


def _on(text: str | None) -> bool | None:
    return None if text is None else text == "on"


def _positive(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= 1_000_000:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1 to 1000000")
    return int(text)


def _minutes(text: str) -> float:
    try:
        minutes = float(text)
    except ValueError:
        minutes = -1.0
    if not 0.0 < minutes <= MAX_MINUTES:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of minutes above 0 and up to {MAX_MINUTES:g}")
    return minutes


def _exists(target: str) -> bool:
    module = target.partition(":")[0]
    return importlib.util.find_spec(module) is not None
