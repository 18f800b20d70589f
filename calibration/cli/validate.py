"""``anyecg validate``: what a bundle is worth on labelled recordings."""

from __future__ import annotations

import argparse
import math
import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from calibration.validate.labelled import SPLITS
from firmware_bridge.cliargs import OneLineParser
from firmware_bridge.errors import CheckFailedError, UsageError

PROG = "anyecg validate"


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    from calibration.validate.run import ValidateOptions

    default = ValidateOptions("", Path(), Path())
    parser = OneLineParser(
        PROG,
        "Run a bundle as the device does over labelled recordings and report what it is worth, head by head.",
        "Killed runs go on where they stopped when the same command is given again. Exit code 1: the gate fails.",
    )
    parser.add_argument("bundle", metavar="BUNDLE", help="bundle folder, zip, or 'demo'")
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="MC-MED layout, or with labels.csv")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="report, and intermediate files")
    parser.add_argument("--split", choices=SPLITS, default=default.split, help="part of the data (default test)")
    parser.add_argument(
        "--reference",
        metavar="WHAT",
        help="bundle, checkpoint, folder of 'anyecg finetune', logits (.npz), or 'float': its own float form",
    )
    parser.add_argument("--outputs", type=Path, metavar="FILE", help="what a checkpoint's outputs mean")
    parser.add_argument(
        "--label-plan", type=Path, metavar="FILE",
        help="how labels are made of results: a label file of 'anyecg prepare' (default: the bundle's own)",
    )  # fmt: skip
    parser.add_argument("--margin", type=float, metavar="M", help="loss of AUROC that is of no matter (default 0.01)")
    parser.add_argument(
        "--gate", type=Path, metavar="FILE", help="limits of the gate, as calibration/data/validate.toml"
    )
    parser.add_argument("--seed", type=int, default=default.seed, metavar="S", help="default %(default)s")
    parser.add_argument("--hop", type=float, default=default.hop_s, metavar="S", help="seconds between windows")
    parser.add_argument("--resamples", type=int, default=default.resamples, metavar="N", help="default %(default)s")
    parser.add_argument(
        "--robustness", type=int, default=default.robustness, metavar="N",
        help="recordings on which disturbances are tried (default %(default)s; 0 for none)",
    )  # fmt: skip
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, metavar="N", help="processes")
    parser.add_argument("--limit", type=int, metavar="N", help="take the first N recordings only")
    parser.add_argument(
        "--one-recording-a-patient", action="store_true", help="nobody is in a folder without patients' names twice"
    )
    parser.add_argument(
        "--write-evidence", action="store_true", help="write what was found into the bundle, where the gate holds"
    )
    parser.add_argument("--quiet", action="store_true", help="show no progress")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        argv: Arguments after the command's name; ``None`` for those of the process.

    Returns:
        0 where the gate holds.

    Raises:
        AnyEcgError: What a user can do something about; CheckFailedError where the gate fails.
    """
    args = build_parser().parse_args(argv)
    _check(args)
    from calibration.report.files import write_report
    from calibration.report.text import text_report
    from calibration.validate.evidence import check_writable, write_evidence
    from calibration.validate.run import ValidateOptions, validate

    if args.write_evidence:
        check_writable(args.bundle)
    given = list(sys.argv[2:] if argv is None else argv)
    options = ValidateOptions(
        bundle=args.bundle,
        data=args.data,
        out=args.out,
        split=args.split,
        reference=args.reference,
        outputs=args.outputs,
        margin=args.margin,
        gate=args.gate,
        seed=args.seed,
        hop_s=args.hop,
        resamples=args.resamples,
        robustness=args.robustness,
        jobs=args.jobs,
        limit=args.limit,
        one_recording_a_patient=args.one_recording_a_patient,
        label_plan=args.label_plan,
        command=shlex.join([*PROG.split(), *given]),
    )
    report = validate(options, None if args.quiet else sys.stderr)
    files = write_report(report, args.out)
    sys.stdout.write(text_report(report))
    sys.stdout.write("".join(f"{path}\n" for path in files))
    if not report["gate"]["ok"]:
        first = next(c for c in report["gate"]["checks"] if not c["ok"])
        raise CheckFailedError(f"the gate fails: {first['name']}: {first['found']}", f"read {files[0]}")
    if args.write_evidence:
        digest = write_evidence(report, args.bundle)
        sys.stdout.write(f"evidence written into {args.bundle}; its manifest is now sha256 {digest}\n")
    return 0


def _check(args: argparse.Namespace) -> None:
    if args.margin is not None and not 0.0 <= args.margin < 0.5:
        raise UsageError(f"a margin of {args.margin:g}", "an AUROC may lose 0 to 0.5")
    if not (math.isfinite(args.hop) and 0.1 <= args.hop <= 3600.0):
        raise UsageError(f"a hop of {args.hop:g} s", "windows lie 0.1 to 3600 s apart")
    least = {"seed": (args.seed, 0), "jobs": (args.jobs, 1), "robustness": (args.robustness, 0),
             "resamples": (args.resamples, 100), "limit": (args.limit, 1)}  # fmt: skip
    for name, (value, low) in least.items():
        if value is not None and value < low:
            raise UsageError(f"--{name} {value}", f"give {low} or more")
