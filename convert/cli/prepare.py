"""``anyecg prepare``: make labelled ten-second segments from recordings and laboratory results."""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path

from convert.cli.recording_options import add_recording_options, recording_options
from convert.datasets.described import RecordingOptions
from convert.datasets.labcatalogue import catalogue
from convert.labels.plan import PLANS, LabelPlan, named_plan, read_plan
from convert.prepare.run import PATIENTS_PER_SHARD, PrepareOptions, prepare
from convert.prepare.sources import McMedSource, Source
from edge.cli.parser import add_json, write_json
from edge.process.files import write_atomically
from firmware_bridge.cliargs import OneLineParser
from firmware_bridge.errors import UsageError


def main(argv: list[str]) -> int:
    """Run the command.

    Args:
        argv: Arguments after ``prepare``.

    Returns:
        Exit code 0.

    Raises:
        AnyEcgError: The command failed; the message says what to do.
    """
    args = _parser().parse_args(argv)
    if args.list_labs:
        labs = catalogue().values()
        if args.json:
            write_json([{"key": x.key, "loinc": x.loinc, "unit": x.unit, "name": x.name} for x in labs])
        else:
            sys.stdout.write("".join(f"{x.key:22} {x.loinc:9} {x.unit:18} {x.name}\n" for x in labs))
        return 0
    if args.out is None:
        raise UsageError("no --out", "name the folder to write")
    plan = _plan(args)
    options = PrepareOptions(
        plan=plan,
        scheduler=args.scheduler,
        patients_per_shard=args.patients_per_shard,
        skip_broken=args.skip_broken,
    )
    source = _source(args, plan)
    manifest = prepare(source, args.out, options, None if args.quiet else sys.stderr)
    from convert.prepare.summary import as_text, write_summary

    write_summary(args.out, manifest)
    if args.json:
        write_json(manifest)
    else:
        sys.stdout.write(as_text(manifest, args.out))
    _pairing(source, plan, args)
    return 0


def _pairing(source: Source, plan: LabelPlan, args: argparse.Namespace) -> None:
    """Write how the labels depend on the pairing window and on the clocks, for ECGs with clocks of their own."""
    from convert.prepare.mimic import MimicSource
    from convert.prepare.records import json_text
    from convert.prepare.sensitivity import sensitivity_text

    if not isinstance(source, MimicSource):
        return
    found = source.sample.report(source.times(), plan.pairing.window_min)
    write_atomically(args.out / "pairing.json", json_text(found), advice="free some space and run the command again")
    if not args.json:
        sys.stdout.write(sensitivity_text(found))


def _plan(args: argparse.Namespace) -> LabelPlan:
    """Return the label plan: that of --labels or --plan, or else the default of the data set."""
    if args.labels is not None and args.plan is not None:
        raise UsageError("--labels and --plan name two label plans", "give one of them")
    if args.labels is not None:
        plan = read_plan(args.labels)
    else:
        plan = named_plan(args.plan or ("mcmed" if args.mimic_iv_ecg is None else "mimic"))
    given = {"min_values": args.min_values, "min_positives": args.min_positives}
    for name, value in given.items():
        if value is not None and value < 0:
            raise UsageError(f"--{name.replace('_', '-')} is {value}", "give 0 or more")
    return replace(plan, heads=replace(plan.heads, **{k: v for k, v in given.items() if v is not None}))


def _source(args: argparse.Namespace, plan: LabelPlan) -> Source:
    if sum(folder is not None for folder in (args.mcmed, args.records, args.mimic_iv_ecg)) != 1:
        raise UsageError("give one of --mcmed DIR, --mimic-iv-ecg DIR and --records DIR", "see 'anyecg prepare --help'")
    if args.mimic_iv_ecg is not None:
        return _mimic(args, plan)
    if args.mimic_iv is not None:
        raise UsageError("--mimic-iv is for --mimic-iv-ecg only", "give --mimic-iv-ecg DIR, too")
    if args.mcmed is not None:
        if args.labs is not None:
            raise UsageError("--labs is for --records only", "leave it out: an MC-MED folder has its own labs.csv")
        if recording_options(args) != RecordingOptions():
            raise UsageError("--fs, --lsb-mv and --lead are for --records only", "an MC-MED folder states all three")
        return McMedSource(args.mcmed, args.split)
    if args.labs is None:
        raise UsageError(
            "--records needs --labs", "give a CSV of laboratory results; docs/prepare.md lists its columns"
        )
    from convert.prepare.recordings import RecordsSource

    return RecordsSource(args.records, args.labs, recording_options(args))


def _mimic(args: argparse.Namespace, plan: LabelPlan) -> Source:
    from convert.datasets.mimic.layout import place_of
    from convert.datasets.pairs import leads_of
    from convert.prepare.mimic import MimicSource

    if args.labs is not None or args.fs is not None or args.lsb_mv is not None:
        raise UsageError(
            "--labs, --fs and --lsb-mv are for --records only", "leave them out: MIMIC-IV states all of them"
        )
    return MimicSource(place_of(args.mimic_iv_ecg, args.mimic_iv), leads_of(args.lead), plan)


def _parser() -> argparse.ArgumentParser:
    parser = OneLineParser(
        "anyecg prepare",
        "Cut recordings into ten-second segments, apply the teacher's front end, and label them.",
        "Rerun the command to resume an interrupted run. See docs/prepare.md.",
    )
    parser.add_argument("--mcmed", type=Path, metavar="DIR", help="folder in the MC-MED layout, real or simulated")
    parser.add_argument(
        "--mimic-iv-ecg", type=Path, metavar="DIR", help="folder of MIMIC-IV-ECG or its demo; --lead default: I,II"
    )
    parser.add_argument("--mimic-iv", type=Path, metavar="DIR", help="folder of MIMIC-IV or its demo, with the results")
    parser.add_argument("--records", type=Path, metavar="DIR", help="folder of WFDB or EDF recordings; needs --labs")
    add_recording_options(parser)
    parser.add_argument("--labs", type=Path, metavar="CSV", help="laboratory results for --records")
    parser.add_argument("--out", type=Path, metavar="DIR", help="output folder")
    parser.add_argument("--labels", type=Path, metavar="FILE", help="label file (TOML); default: that of the package")
    parser.add_argument("--plan", choices=tuple(PLANS), help="label plan of the package; default: that of the data set")
    parser.add_argument(
        "--min-values", type=int, metavar="N", help="results that an output needs, instead of the plan's"
    )
    parser.add_argument("--min-positives", type=int, metavar="N", help="abnormal results that an output needs")
    parser.add_argument(
        "--split", choices=("random", "chrono"), default="random", help="split of MC-MED (default random)"
    )
    parser.add_argument(
        "--scheduler", default="none", metavar="WHO",
        help="workers: none (this process), threads:N, processes:N, or tcp://HOST:PORT of a Dask cluster",
    )  # fmt: skip
    parser.add_argument(
        "--patients-per-shard", type=int, default=PATIENTS_PER_SHARD, metavar="N",
        help=f"patients in a shard, the unit of work (default {PATIENTS_PER_SHARD})",
    )  # fmt: skip
    parser.add_argument("--skip-broken", action="store_true", help="skip and count recordings that cannot be read")
    parser.add_argument("--list-labs", action="store_true", help="list the catalogue of laboratory indicators")
    parser.add_argument("--quiet", action="store_true", help="show no progress")
    add_json(parser)
    return parser
