"""``anyecg train-demo``: train the demonstration bundle on simulated patients."""

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
    """The command line."""
    from convert.demo import DemoConfig
    from convert.students import PRESETS

    default = DemoConfig()
    parser = OneLineParser(
        PROG,
        "Train the demonstration bundle on simulated patients. Not to be used on people's health.",
        "Killed runs go on where they stopped when the same command is given again.",
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="where the bundle shall stand")
    parser.add_argument("--patients", type=int, default=default.patients, metavar="N", help="default %(default)s")
    parser.add_argument("--seed", type=int, default=default.seed, metavar="S", help="default %(default)s")
    parser.add_argument("--workdir", type=Path, metavar="DIR", help="intermediate files (default: OUT.work)")
    parser.add_argument("--seconds", type=float, default=default.seconds, help="of each record; default %(default)s")
    parser.add_argument("--preset", default=default.preset, choices=sorted(PRESETS), help="default %(default)s")
    parser.add_argument("--float-epochs", type=int, default=default.float_epochs, help="default %(default)s")
    parser.add_argument("--quant-epochs", type=int, default=default.quant_epochs, help="default %(default)s")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        argv: Arguments after the command's name; ``None`` for those of the process.

    Returns:
        The exit code.

    Raises:
        AnyEcgError: What a user can do something about.
    """
    from convert.demo import DemoConfig, train_demo
    from convert.demo_card import number

    args = build_parser().parse_args(argv)
    if args.seconds < 13.0 or args.float_epochs < 1 or args.quant_epochs < 1 or args.seed < 0:
        raise UsageError("records need 13 s or more, both trainings an epoch or more, and seeds are not negative")
    config = DemoConfig(args.patients, args.seed, args.seconds, args.preset, args.float_epochs, args.quant_epochs)
    out = args.out.resolve()
    workdir = args.workdir or out.with_name(f"{out.name}.work")
    begun_s = time.monotonic()
    report = train_demo(out, workdir, config, sys.stderr)
    for key, head in report["heads"].items():
        e = head["evidence"]
        name, value = ("MAE  ", e["mae"]) if e["mae"] is not None else ("AUROC", e["auroc"])
        sys.stdout.write(f"{key:16s} {name} {number(value):5s}  {e['tier']}\n")
    size = report["size"]
    sys.stdout.write(
        f"{out}: {size['model_bytes']} bytes of flash, {size['arena_bytes']} of arena, "
        f"{(time.monotonic() - begun_s) / 60:.1f} min\n"
    )
    return 0
