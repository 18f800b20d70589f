"""``anyecg prepare``: make labelled ten-second segments from recordings and laboratory results."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from convert.cli.recording_options import add_recording_options, recording_options
from convert.datasets.described import RecordingOptions
from convert.datasets.labcatalogue import catalogue
from convert.labels.plan import read_plan
from convert.prepare.run import PATIENTS_PER_SHARD, PrepareOptions, prepare
from convert.prepare.sources import McMedSource, Source
from edge.cli.parser import add_json, write_json
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
    options = PrepareOptions(
        plan=read_plan(args.labels),
        scheduler=args.scheduler,
        patients_per_shard=args.patients_per_shard,
        skip_broken=args.skip_broken,
    )
    source = _source(args)
    manifest = prepare(source, args.out, options, None if args.quiet else sys.stderr)
    from convert.prepare.summary import as_text, write_summary

    write_summary(args.out, manifest)
    if args.json:
        write_json(manifest)
    else:
        sys.stdout.write(as_text(manifest, args.out))
    return 0


def _source(args: argparse.Namespace) -> Source:
    if (args.mcmed is None) == (args.records is None):
        raise UsageError("give either --mcmed DIR or --records DIR", "see 'anyecg prepare --help'")
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


def _parser() -> argparse.ArgumentParser:
    parser = OneLineParser(
        "anyecg prepare",
        "Cut recordings into ten-second segments, apply the teacher's front end, and label them.",
        "Rerun the command to resume an interrupted run. See docs/prepare.md.",
    )
    parser.add_argument("--mcmed", type=Path, metavar="DIR", help="folder in the MC-MED layout, real or simulated")
    parser.add_argument("--records", type=Path, metavar="DIR", help="folder of WFDB or EDF recordings; needs --labs")
    add_recording_options(parser)
    parser.add_argument("--labs", type=Path, metavar="CSV", help="laboratory results for --records")
    parser.add_argument("--out", type=Path, metavar="DIR", help="output folder")
    parser.add_argument("--labels", type=Path, metavar="FILE", help="label file (TOML); default: that of the package")
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
