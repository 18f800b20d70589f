"""What ``anyecg run`` does with its options: one source, or many recordings."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from edge.cli.run.inputs import RAW_HZ, anchored, page_of, plugin_sinks, source_url, with_baseline, write_notes
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
from firmware_bridge.errors import UsageError

if TYPE_CHECKING:
    from edge.bundle.reader import Bundle
    from edge.http.server import PageServer
    from edge.sinks.mqtt.sink import MqttSink
    from firmware_bridge.rawlog import RawLogWriter


def run_sources(args: argparse.Namespace) -> int:
    """Run what the options name, unless that is several patches, and return the exit code.

    Raises:
        AnyEcgError: The run could not start or failed.
    """
    many = many_recordings(args.source)
    if many is not None:
        return _run_many(many, args)
    _check(args)
    with page_of(args) as page:
        return _run_one(args, page)


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
    sink = SessionSink(
        folder, source.info, bundle, session,
        keep=keep, others=args.keep is not None, storage=disk, patch=_patch_name(args, source),
    )  # fmt: skip
    if source.info.host_clock:
        a_day = session_a_day(len(bundle.manifest.outputs), args.hop, RAW_HZ if inside else None)
        sys.stderr.write(f"note: {start_line(folder, a_day, keep)}\n")
    return sink


def _patch_name(args: argparse.Namespace, source: Source) -> str | None:
    """Return the name under which the run publishes, so that its session can be added to what a collector stores."""
    if args.mqtt is None:
        return None
    from edge.sinks.mqtt.address import Broker
    from edge.sinks.mqtt.names import node_id

    return node_id(Broker.parse(args.mqtt).name, source.info.url)


def _mqtt_sinks(args: argparse.Namespace, source: Source, bundle: Bundle, others: Sequence[Sink]) -> list[MqttSink]:
    """Return the sink for ``--mqtt``. On a live screen it says nothing: lines between the frames would damage it."""
    if args.mqtt is None:
        return []
    from edge.sinks.mqtt.sink import open_mqtt

    on_screen = sys.stderr.isatty() and any(isinstance(one, Interactive) for one in others)
    return [open_mqtt(args.mqtt, source.info, bundle, args.hop, quiet=on_screen)]


def _lsl_sinks(args: argparse.Namespace, source: Source, bundle: Bundle) -> list[Sink]:
    if args.lsl is None:
        return []
    from edge.sinks.lsl import open_lsl

    return [open_lsl(args.lsl, source.info, bundle)]


def _run_many(recordings: Sequence[tuple[str, SourceUrl]], args: argparse.Namespace) -> int:
    """Run every recording of a folder, a pattern or a list, with one estimate each."""
    from edge.cli.run.many import ManyOptions, run_many

    for option in ("session_dir", "keep", "record", "picture", "speed", "mqtt", "lsl", "http", "baseline"):
        if getattr(args, option) not in (None, "max"):
            raise UsageError(f"--{option.replace('_', '-')} takes one recording", "give one, or leave out the option")
    applied: dict[str, Applied] = {}
    loaded = load(args.bundle, args.backend, args.trusted)
    own = None if args.person is None else anchored(Path(args.person), loaded.bundle, applied)
    stream = sys.stderr if args.out == "-" else sys.stdout
    options = ManyOptions(args.hop, args.seconds, None if args.view == "none" else stream, sys.stderr)
    if args.device_profile is not None:
        from edge.device_profile import profiled

        options.wrap = lambda source: profiled(source, Path(args.device_profile), applied)
    options.reasons = args.reasons
    options.session = lambda session: replace(session, applied=applied, anchored=own)
    sinks = [*([] if args.out is None else [open_jsonl(args.out, Storage())]), *plugin_sinks(args.sink)]
    summary = run_many(recordings, loaded, sinks, options)
    stream.write(summary.text())
    return summary.code


def _check(args: argparse.Namespace) -> None:
    """Check what can be checked before anything is read, loaded or made."""
    if args.keep is not None and args.session_dir is None:
        raise UsageError("--keep needs a session folder", "add --session-dir DIR")
    if args.keep is not None:
        from edge.store.keep import parse_keep

        parse_keep(args.keep)
    if args.picture is not None:
        from edge.sinks.live.svg import check_picture

        check_picture(Path(args.picture), overwrite=args.force)
    if args.mqtt is not None:
        from edge.sinks.mqtt.sink import check_mqtt

        check_mqtt(args.mqtt)
    if args.lsl is not None:
        from edge.sinks.lsl import check_lsl

        check_lsl(args.lsl)


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
    return [*out, *_lsl_sinks(args, source, loaded.bundle), *plugin_sinks(args.sink), *views, FoundSink(sys.stderr)]


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
        from edge.device_profile import profiled

        source = profiled(source, Path(args.device_profile), applied)
    loaded = load(args.bundle, args.backend, args.trusted)
    session = replace(session_info(source), applied=applied)
    if args.person is not None:
        session = replace(session, anchored=anchored(Path(args.person), loaded.bundle, applied))
    if args.baseline is not None:
        session = with_baseline(session, source, Path(args.baseline), applied)
    sinks: list[Sink] = []
    if args.session_dir is not None:
        sinks.append(_session_sink(args, source, loaded.bundle, session.session, recorder, disk))
    answer = AnswerSink()
    sinks += [*_other_sinks(args, source, loaded, disk, page), answer]
    mqtt = _mqtt_sinks(args, source, loaded.bundle, sinks)
    sinks += mqtt
    write_notes(source)
    summary, code = run(
        source, loaded, sinks, seconds=args.seconds, hop_s=args.hop, session=session, trust_patch=args.trust_patch,
        with_reasons=args.reasons,
    )  # fmt: skip
    stream = sys.stderr if args.out == "-" else sys.stdout
    found = answer_text(answer, loaded.bundle.manifest.outputs) + next_text(
        args.session_dir, recorded=args.record == ""
    )
    stream.write(summary_text(summary, "".join([disk.text(), *(one.text() for one in mqtt)]), found))
    return code
