"""``anyecg run``: a source, a bundle, and estimates until it ends."""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from edge.cli.config import parse_with_config
from edge.cli.parser import Parser
from edge.cli.summary import summary_text
from edge.records import Applied
from edge.session import load, make_views, run, session_info
from edge.sinks import Sink
from edge.sinks.jsonl import open_jsonl
from edge.sources import Source, SourceUrl, open_source
from firmware_bridge.errors import OutputError, UsageError

if TYPE_CHECKING:
    from edge.bundle.reader import Bundle
    from edge.person import Anchoring

MIN_HOP_S = 0.1
MAX_HOP_S = 3600.0


def parser() -> Parser:
    """Returns the parser of ``anyecg run``."""
    p = Parser("anyecg run", "Read one ECG lead from a patch or a recording and emit laboratory estimates, one a hop.")
    p.add_argument("--source", metavar="URL", help="replay:FILE, serial:/dev/ttyACM0, sim:, record:FILE,URL ...")
    p.add_argument("--bundle", metavar="DIR", default="demo", help="bundle folder or zip; 'demo' is in the package")
    p.add_argument("--out", metavar="FILE|-", help="JSON Lines: appended to FILE, or to standard output")
    p.add_argument("--seconds", metavar="N", type=positive, help="stop after N seconds of signal")
    p.add_argument("--speed", metavar="X|max", help="replay at X times real time, or as fast as possible")
    p.add_argument("--hop", metavar="S", type=hop, default=1.0, help="seconds between estimates (default 1)")
    p.add_argument("--session-dir", metavar="DIR", help="keep estimates, beats, events and summary in DIR")
    p.add_argument(
        "--record",
        metavar="FILE",
        nargs="?",
        const="",
        help="also keep the raw frames with their arrival times, in FILE.aer or in the session's folder",
    )
    p.add_argument(
        "--device-profile", metavar="FILE", help="scale, polarity and rate of the board; see docs/calibrate.md"
    )
    p.add_argument("--person", metavar="FILE", help="this person's own laboratory results, which anchor values (TOML)")
    p.add_argument("--view", choices=["auto", "live", "plain", "none"], default="auto", help="what people see")
    p.add_argument("--picture", metavar="FILE.svg", help="write the last screen as a picture")
    p.add_argument(
        "--backend",
        choices=["auto", "litert", "litert-reference", "tflite-runtime", "tflm"],
        default="auto",
        help="interpreter of the model",
    )
    p.add_argument("--config", metavar="FILE", help="TOML file with the same names as these flags")
    return p


def positive(text: str) -> float:
    """Parses a positive finite number."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value) or value <= 0.0:
        raise argparse.ArgumentTypeError(f"'{text}' is not a positive number")
    return value


def hop(text: str) -> float:
    """Parses a hop: a multiple of 8 ms within bounds."""
    value = positive(text)
    if not MIN_HOP_S <= value <= MAX_HOP_S:
        raise argparse.ArgumentTypeError(f"a hop of {text} s is not within {MIN_HOP_S:g} and {MAX_HOP_S:g}")
    return value


def source_url(url: str, speed: str | None, record: str | None) -> SourceUrl:
    """Joins ``--speed`` and ``--record`` into the source URL.

    Raises:
        UsageError: The URL is wrong or says a speed itself.
    """
    parsed = SourceUrl.parse(url)
    if speed is not None:
        if "speed" in parsed.params:
            raise UsageError("the speed stands in the source URL and in --speed", "give it once")
        url += ("&" if "?" in url else "?") + f"speed={speed}"
    if record is not None:
        path = record if record.endswith(".aer") else record + ".aer"
        if "," in path:
            raise UsageError(f"--record {record}: a comma cannot stand in the name of a recording")
        url = f"record:{path},{url}"
    return SourceUrl.parse(url)


def _recording(record: str | None, session_dir: str | None) -> str | None:
    """Where raw frames go: the file that was named, or the next free name in the session's folder."""
    if record != "":
        return record
    if session_dir is None:
        raise UsageError("--record names no file", "write --record FILE, or add --session-dir DIR")
    from edge.sinks.session import next_raw_path

    try:
        Path(session_dir).mkdir(parents=True, exist_ok=True)
    except OSError as e:
        raise OutputError(f"cannot make the folder {session_dir}: {e.strerror}") from None
    return str(next_raw_path(session_dir))


def _profiled(source: Source, path: Path, out: dict[str, Applied]) -> Source:
    """The source behind a device profile, which ``out`` is told of."""
    from edge.device_profile import ProfiledSource, applied, load_profile

    profile = load_profile(path)
    out["device_profile"] = applied(profile, path)
    return ProfiledSource(source, profile)


def _anchored(path: Path, bundle: Bundle, out: dict[str, Applied]) -> Anchoring:
    """The person's results, which ``out`` is told of."""
    from edge.person import Anchoring, applied, load_person, notes

    person = load_person(path)
    anchoring = Anchoring(person, bundle)
    out["person"] = applied(person, path)
    for note in notes(person, time.time_ns()):
        sys.stderr.write(f"note: {note}\n")
    return anchoring


def main(argv: Sequence[str]) -> int:
    """Runs the command; see ``anyecg run --help``."""
    args = parse_with_config(parser(), argv)
    if not args.source:
        raise UsageError("no source given", "--source replay:FILE, serial:/dev/ttyACM0, sim: ...")
    source = open_source(source_url(args.source, args.speed, _recording(args.record, args.session_dir)))
    applied: dict[str, Applied] = {}
    if args.device_profile is not None:
        source = _profiled(source, Path(args.device_profile), applied)
    loaded = load(args.bundle, args.backend)
    session = replace(session_info(source), applied=applied)
    if args.person is not None:
        session = replace(session, anchored=_anchored(Path(args.person), loaded.bundle, applied))
    sinks: list[Sink] = []
    if args.session_dir is not None:
        from edge.sinks.session import SessionSink

        sinks.append(SessionSink(args.session_dir, source.info, loaded.bundle, session.session))
    if args.out is not None:
        sinks.append(open_jsonl(args.out))
    sinks += make_views(args.view, source, loaded, args.hop, to_stderr=args.out == "-", picture=args.picture)
    for note in source.info.notes:
        sys.stderr.write(f"note: {note}\n")
    summary, code = run(source, loaded, sinks, seconds=args.seconds, hop_s=args.hop, session=session)
    stream = sys.stderr if args.out == "-" else sys.stdout
    stream.write(summary_text(summary))
    return code


__all__ = ["main", "parser", "source_url"]
