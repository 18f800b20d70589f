"""``anyecg run``: estimates from a source and a bundle until the source ends."""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from edge.cli.config import parse_with_config
from edge.cli.inputs import RAW_HZ, anchored, page_of, plugin_sinks, profiled, source_url, write_notes
from edge.cli.parser import Parser
from edge.cli.summary import answer_text, next_text, summary_text
from edge.records import Applied
from edge.session import Loaded, load, make_views, run, session_info
from edge.sinks import Interactive, Sink
from edge.sinks.answer import AnswerSink
from edge.sinks.found import FoundSink
from edge.sinks.jsonl import open_jsonl
from edge.sources import Source, SourceUrl, open_source
from edge.sources.replay.folder import many_recordings
from edge.sources.wire import WireSource
from edge.store.storage import Storage
from edge.window import MAX_HOP_S, MIN_HOP_S
from firmware_bridge.errors import UsageError

if TYPE_CHECKING:
    from edge.bundle.reader import Bundle
    from edge.http.server import PageServer
    from edge.sinks.mqtt.sink import MqttSink
    from firmware_bridge.rawlog import RawLogWriter


def parser() -> Parser:
    """Return the parser of ``anyecg run``."""
    p = Parser(
        "anyecg run", "Read one ECG lead from a patch or a recording and emit laboratory estimates, one per hop."
    )
    p.add_argument(
        "--source",
        metavar="URL",
        nargs="+",
        action="extend",
        help="replay:FILE, serial:/dev/ttyACM0, sim:, record:FILE,URL ...; several patches, each URL or NAME=URL, run "
        "at the same time; a folder, a pattern or several recordings give one estimate each",
    )
    p.set_defaults(patches=())
    p.add_argument("--bundle", metavar="DIR", default="demo", help="bundle folder or zip; 'demo' is in the package")
    p.add_argument(
        "--trusted", metavar="KEYS", help="file of public keys; refuse a bundle that none of them has signed"
    )
    p.add_argument(
        "--out", metavar="FILE|-", help="append estimates as JSON Lines to FILE, or write them to standard output"
    )
    p.add_argument("--mqtt", metavar="URL", help="publish to this broker: mqtts://USER@HOST/PREFIX; see docs/mqtt.md")
    _add_page_options(p)
    p.add_argument("--sink", metavar="NAME:...", action="append", help="also send results to a sink of another package")
    p.add_argument("--seconds", metavar="N", type=positive, help="stop after N seconds of signal")
    p.add_argument("--speed", metavar="X|max", help="replay at X times real time, or as fast as possible")
    p.add_argument("--hop", metavar="S", type=hop, default=1.0, help="seconds between estimates (default 1)")
    _add_session_options(p)
    p.add_argument(
        "--device-profile", metavar="FILE", help="scale, polarity and rate of the board; see docs/calibrate.md"
    )
    p.add_argument(
        "--person", metavar="FILE", help="TOML file with this person's own laboratory results, which anchor the values"
    )
    p.add_argument(
        "--view",
        choices=["auto", "live", "plain", "none"],
        default="auto",
        help="display: live screen, plain lines, or none",
    )
    p.add_argument("--picture", metavar="FILE.svg", help="write the last screen as a picture")
    p.add_argument("--force", action="store_true", help="replace an existing picture")
    p.add_argument(
        "--backend",
        choices=["auto", "litert", "litert-reference", "tflite-runtime", "tflm"],
        default="auto",
        help="interpreter of the model",
    )
    p.add_argument("--wait", action="store_true", help="wait even for a device that may not be opened, as a service")
    p.add_argument("--config", metavar="FILE", help="TOML file that sets these options by name")
    return p


def _add_page_options(p: Parser) -> None:
    p.add_argument(
        "--http", metavar="ADDRESS", help="show a page in the browser at this address: 127.0.0.1:8080; see docs/page.md"
    )
    p.add_argument("--http-token-file", metavar="FILE", help="file with the token that opens the page")


def _add_session_options(p: Parser) -> None:
    p.add_argument("--session-dir", metavar="DIR", help="write estimates, beats, events and summary to DIR")
    p.add_argument(
        "--keep",
        metavar="LIMIT",
        help="size or age of what stays in session folders (2GB, 30d, 2GB,30d, all; default 2GB of this session); "
        "when given, it counts and removes the oldest finished sessions beside DIR, too",
    )
    p.add_argument(
        "--record",
        metavar="FILE",
        nargs="?",
        const="",
        help="also record the raw frames with their arrival times, in FILE.aer or in the session folder",
    )


def positive(text: str) -> float:
    """Parse a positive finite number."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value) or value <= 0.0:
        raise argparse.ArgumentTypeError(f"'{text}' is not a positive number")
    return value


def hop(text: str) -> float:
    """Parse the time between estimates, s, within bounds."""
    value = positive(text)
    if not MIN_HOP_S <= value <= MAX_HOP_S:
        raise argparse.ArgumentTypeError(f"a hop of {text} s is outside {MIN_HOP_S:g} to {MAX_HOP_S:g} s")
    return value


def _recording(record: str | None, session_dir: str | None) -> str | None:
    """Return the file for raw frames: the one named, or the next free name in the session folder."""
    if record != "":
        return record
    if session_dir is None:
        raise UsageError(
            "--record without a file name needs a session folder", "write --record FILE, or add --session-dir DIR"
        )
    from edge.sinks.session import make_private, next_raw_path

    make_private(Path(session_dir))
    return str(next_raw_path(session_dir))


def _session_sink(
    args: argparse.Namespace, source: Source, bundle: Bundle, session: str, recorder: RawLogWriter | None, disk: Storage
) -> Sink:
    """Return the sink for ``--session-dir``, and let a raw recording in that folder be written in parts."""
    from edge.sinks.session import SessionSink, next_raw_path
    from edge.store.forecast import session_a_day, start_line
    from edge.store.keep import DEFAULT, parse_keep

    keep, folder = parse_keep(args.keep or DEFAULT), Path(args.session_dir)
    inside = recorder is not None and args.record == ""
    if recorder is not None and inside and keep.part_bytes is not None:
        recorder.split(keep.part_bytes, lambda: next_raw_path(folder), disk.part_ended)
    sink = SessionSink(folder, source.info, bundle, session, keep=keep, others=args.keep is not None, storage=disk)
    if source.info.host_clock:
        a_day = session_a_day(len(bundle.manifest.outputs), args.hop, RAW_HZ if inside else None)
        sys.stderr.write(f"note: {start_line(folder, a_day, keep)}\n")
    return sink


def _mqtt_sinks(args: argparse.Namespace, source: Source, bundle: Bundle, others: Sequence[Sink]) -> list[MqttSink]:
    """Return the sink for ``--mqtt``. On a live screen it says nothing: lines between the frames would damage it."""
    if args.mqtt is None:
        return []
    from edge.sinks.mqtt.sink import open_mqtt

    on_screen = sys.stderr.isatty() and any(isinstance(one, Interactive) for one in others)
    return [open_mqtt(args.mqtt, source.info, bundle, args.hop, quiet=on_screen)]


def _run_many(recordings: Sequence[tuple[str, SourceUrl]], args: argparse.Namespace) -> int:
    """Run every recording of a folder, a pattern or a list, with one estimate each."""
    from edge.cli.many import ManyOptions, run_many

    for option in ("session_dir", "keep", "record", "picture", "speed", "mqtt", "http"):
        if getattr(args, option) not in (None, "max"):
            raise UsageError(f"--{option.replace('_', '-')} takes one recording", "give one, or leave out the option")
    applied: dict[str, Applied] = {}
    loaded = load(args.bundle, args.backend, args.trusted)
    own = None if args.person is None else anchored(Path(args.person), loaded.bundle, applied)
    stream = sys.stderr if args.out == "-" else sys.stdout
    options = ManyOptions(args.hop, args.seconds, None if args.view == "none" else stream, sys.stderr)
    if args.device_profile is not None:
        options.wrap = lambda source: profiled(source, Path(args.device_profile), applied)
    options.session = lambda session: replace(session, applied=applied, anchored=own)
    sinks = [*([] if args.out is None else [open_jsonl(args.out, Storage())]), *plugin_sinks(args.sink)]
    summary = run_many(recordings, loaded, sinks, options)
    stream.write(summary.text())
    return summary.code


def several_patches(args: argparse.Namespace) -> bool:
    """Return whether the options name patches to run at the same time, rather than recordings one after another."""
    if args.patches:
        return True
    named = any("=" in text.partition(":")[0] for text in args.source)
    return named or (len(args.source) > 1 and not all(text.lower().startswith("replay:") for text in args.source))


def _check(args: argparse.Namespace) -> None:
    """Check what can be checked before anything is read, loaded or made."""
    if args.keep is not None and args.session_dir is None:
        raise UsageError("--keep needs a session folder", "add --session-dir DIR")
    if args.mqtt is not None:
        from edge.sinks.mqtt.sink import check_mqtt

        check_mqtt(args.mqtt)


def _other_sinks(
    args: argparse.Namespace, source: Source, loaded: Loaded, disk: Storage, page: PageServer | None
) -> list[Sink]:
    """Return all sinks but that of the session folder."""
    out: list[Sink] = [] if args.out is None else [open_jsonl(args.out, disk)]
    if page is not None:
        out.append(page.patch(source.info.device, source.info, loaded.bundle, args.hop))
    views = make_views(
        args.view, source, loaded, args.hop, to_stderr=args.out == "-", picture=args.picture, force=args.force,
        page="" if page is None else page.invitation,
    )  # fmt: skip
    return [*out, *plugin_sinks(args.sink), *views, FoundSink(sys.stderr)]


def main(argv: Sequence[str]) -> int:
    """Run the command; see ``anyecg run --help``."""
    p = parser()
    if not {"-h", "--help"}.isdisjoint(argv):
        from edge.cli.devices import with_plugins

        with_plugins(p)
    args = parse_with_config(p, argv)
    if not args.source and not args.patches:
        raise UsageError("no source given", "--source replay:FILE, serial:/dev/ttyACM0, sim: ...")
    if several_patches(args):
        from edge.cli.station import run_station

        return run_station(args)
    many = many_recordings(args.source)
    if many is not None:
        return _run_many(many, args)
    _check(args)
    with page_of(args) as page:
        return _run_one(args, page)


def _run_one(args: argparse.Namespace, page: PageServer | None) -> int:
    """Run one source until it ends."""
    disk = Storage()
    recording = _recording(args.record, args.session_dir)
    source = open_source(source_url(args.source[0], args.speed, recording, wait=args.wait))
    recorder = source.recorder if isinstance(source, WireSource) else None
    if recorder is not None:
        recorder.watch(disk)
    applied: dict[str, Applied] = {}
    if args.device_profile is not None:
        source = profiled(source, Path(args.device_profile), applied)
    loaded = load(args.bundle, args.backend, args.trusted)
    session = replace(session_info(source), applied=applied)
    if args.person is not None:
        session = replace(session, anchored=anchored(Path(args.person), loaded.bundle, applied))
    sinks: list[Sink] = []
    if args.session_dir is not None:
        sinks.append(_session_sink(args, source, loaded.bundle, session.session, recorder, disk))
    answer = AnswerSink()
    sinks += [*_other_sinks(args, source, loaded, disk, page), answer]
    mqtt = _mqtt_sinks(args, source, loaded.bundle, sinks)
    sinks += mqtt
    write_notes(source)
    summary, code = run(source, loaded, sinks, seconds=args.seconds, hop_s=args.hop, session=session)
    stream = sys.stderr if args.out == "-" else sys.stdout
    found = answer_text(answer) + next_text(args.session_dir, recorded=args.record == "")
    stream.write(summary_text(summary, "".join([disk.text(), *(one.text() for one in mqtt)]), found))
    return code


__all__ = ["main", "parser", "source_url"]
