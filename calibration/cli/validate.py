"""``anyecg validate``: judge a bundle on labelled recordings."""

from __future__ import annotations

import argparse
import math
import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from calibration.checks import defaults
from calibration.cli.report_output import write_report_text
from convert.cli.recording_options import add_recording_options, recording_options
from edge.cli.parser import add_json, write_json
from firmware_bridge.cliargs import OneLineParser
from firmware_bridge.errors import CheckFailedError, UsageError

PROG = "anyecg validate"

EXTERNAL = "external-"
"""What the names of the options about the other source begin with."""


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of ``anyecg validate``."""
    parser = OneLineParser(
        PROG,
        "Run a bundle over labelled recordings as the device does and report the performance of each head.",
        "Rerun the command to resume an interrupted run. Exit code 1: the gate fails.",
    )
    add = parser.add_argument
    add("bundle", metavar="BUNDLE", help="bundle folder, zip, or 'demo'")
    add("--data", type=Path, metavar="DIR", help="data folder: MC-MED layout, or with labels.csv")
    add_recording_options(parser)
    add("--out", type=Path, metavar="DIR", help="folder of report and intermediate files")
    add(
        "--plan-size", nargs="?", type=float, const=defaults.WIDTH, metavar="WIDTH",
        help="only print how many patients the claims need for intervals of this width; default %(const)s",
    )  # fmt: skip
    add("--prevalence", type=float, metavar="P", help="share of abnormal results for --plan-size")
    add("--split", choices=defaults.SPLITS, default=defaults.SPLIT, help="part of the data (default test)")
    add(
        "--reference", metavar="WHAT", help="bundle, checkpoint, folder of 'anyecg finetune', logits (.npz), or 'float'"
    )
    add("--outputs", type=Path, metavar="FILE", help="description of a checkpoint's outputs (JSON)")
    add("--label-plan", type=Path, metavar="FILE", help="label file of 'anyecg prepare' (default: that of the bundle)")
    add("--margin", type=float, metavar="M", help="non-inferiority margin, AUROC (default 0.01)")
    add("--gate", type=Path, metavar="FILE", help="limits of the gate, in the format of calibration/data/validate.toml")
    add("--seed", type=int, default=defaults.SEED, metavar="S", help="seed; default %(default)s")
    add("--hop", type=float, default=defaults.HOP_S, metavar="S", help="seconds between windows; default %(default)s")
    add("--resamples", type=int, default=defaults.RESAMPLES, metavar="N", help="bootstrap draws; default %(default)s")
    add(
        "--robustness",
        type=int,
        default=defaults.ROBUSTNESS,
        metavar="N",
        help="number of recordings to disturb; default %(default)s, 0 for none",
    )
    add("--jobs", type=int, default=os.cpu_count() or 1, metavar="N", help="number of processes")
    add("--limit", type=int, metavar="N", help="use only the first N recordings")
    add("--one-recording-a-patient", action="store_true", help="treat each recording as a separate patient")
    add("--external", type=Path, metavar="DIR", help="data folder of another source, to compare each output")
    add("--external-split", choices=defaults.SPLITS, default="all", help="part of the other source (default all)")
    add_recording_options(parser, EXTERNAL)
    add("--write-evidence", action="store_true", help="write the evidence into the bundle if the gate holds")
    add("--quiet", action="store_true", help="show no progress")
    add_json(parser)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        argv: Arguments after the name of the command; ``None`` for those of the process.

    Returns:
        Exit code 0; the gate holds.

    Raises:
        CheckFailedError: The gate fails.
        AnyEcgError: The command failed; the message says what to do.
    """
    args = build_parser().parse_args(argv)
    _check(args)
    if args.plan_size is not None:
        return _plan(args)
    if args.data is None or args.out is None:
        raise UsageError(f"no {'--data' if args.data is None else '--out'}", "give --data DIR and --out DIR")
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
        external=args.external,
        external_split=args.external_split,
        recordings=recording_options(args),
        external_recordings=recording_options(args, EXTERNAL),
        command=shlex.join([*PROG.split(), *given]),
    )
    report = validate(options, None if args.quiet else sys.stderr)
    files = write_report(report, args.out)
    write_report_text(report, text_report, files, as_json=args.json)
    if not report["gate"]["ok"]:
        first = next(c for c in report["gate"]["checks"] if not c["ok"])
        raise CheckFailedError(f"the gate fails: {first['name']}: {first['found']}", f"read {files[0]}")
    if args.write_evidence:
        digest = write_evidence(report, args.bundle)
        stream = sys.stderr if args.json else sys.stdout
        stream.write(f"evidence written into {args.bundle}; the SHA-256 of its manifest is now {digest}\n")
    return 0


def _plan(args: argparse.Namespace) -> int:
    """Print the sizes of data that the claims of the bundle need."""
    from calibration.checks.plan_size import plan_sizes, plan_text, prevalences
    from calibration.validate.gate import least_patients, load_limits
    from edge.bundle.reader import load_bundle

    least = least_patients(load_limits(args.gate))
    bundle = load_bundle(args.bundle)
    heads = bundle.manifest.outputs
    shares = prevalences(bundle) if args.prevalence is None else {head.key: args.prevalence for head in heads}
    rows = plan_sizes(heads, args.plan_size, shares, least)
    if args.json:
        write_json({"width": args.plan_size, "outputs": rows})
    else:
        sys.stdout.write(plan_text(rows, args.plan_size, least))
    return 0


def _check(args: argparse.Namespace) -> None:
    if args.external is None:
        for name in ("external-fs", "external-lsb-mv", "external-lead"):
            if getattr(args, name.replace("-", "_")) is not None:
                raise UsageError(f"--{name} without --external", "give --external DIR, or leave it out")
    if args.margin is not None and not 0.0 <= args.margin < 0.5:
        raise UsageError(f"--margin {args.margin:g} is out of range", "give at least 0 and less than 0.5")
    if not (math.isfinite(args.hop) and 0.1 <= args.hop <= 3600.0):
        raise UsageError(f"--hop {args.hop:g} is out of range", "give 0.1 to 3600 seconds")
    if args.plan_size is not None and not 0.005 <= args.plan_size <= 1.0:
        raise UsageError(f"--plan-size {args.plan_size:g} is out of range", "give a width of 0.005 to 1")
    if args.prevalence is not None and not 0.0 < args.prevalence < 1.0:
        raise UsageError(f"--prevalence {args.prevalence:g} is out of range", "give more than 0 and less than 1")
    minimum = {"seed": (args.seed, 0), "jobs": (args.jobs, 1), "robustness": (args.robustness, 0),
               "resamples": (args.resamples, 100), "limit": (args.limit, 1)}  # fmt: skip
    for name, (value, low) in minimum.items():
        if value is not None and value < low:
            raise UsageError(f"--{name} {value} is too small", f"give {low} or more")
