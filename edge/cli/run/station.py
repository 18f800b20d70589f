"""``anyecg run`` with several patches in one process."""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from edge.cli.run.inputs import (
    PATIENT,
    RAW_HZ,
    anchored,
    page_of,
    plugin_sinks,
    source_url,
    with_baseline,
    write_notes,
)
from edge.process.limits import allow_files
from edge.process.signals import EXIT_CODES, Stopper
from edge.process.systemd import Notifier
from edge.session import Loaded, live_reasons, load, session_info
from edge.sinks.jsonl import open_jsonl
from edge.sinks.live.frame import clean
from edge.sources import Source, SourceUrl, open_source
from edge.sources.wire import WireSource
from edge.station.options import PatchOptions, from_sources, from_tables
from edge.station.shared import SharedSink
from edge.station.sinks import PatchSinks
from edge.station.station import Outcome, Patch, Started, Station, exit_code
from edge.station.status import StationStatus
from edge.station.summary import station_text
from edge.store.storage import Storage
from firmware_bridge.errors import EXIT_OK, AnyEcgError, UsageError
from firmware_bridge.reading import resolved

if TYPE_CHECKING:
    from edge.http.server import PageServer
    from edge.person import Anchoring
    from edge.records import Applied
    from edge.sinks.live.table import TableSink
    from edge.sinks.mqtt.sink import MqttLink

FILES_A_PATCH = 16
"""Files, ports and sockets that a patch may have open, with room to spare."""
PLACEHOLDER = "{patch}"
"""Stands for the name of the patch in ``--sink``."""
_ONE_PATCH = {
    "person": "write person = in the [[patch]] table of the person",
    "baseline": "write baseline = in the [[patch]] table of the person",
    "device_profile": "write device-profile = in the [[patch]] table of the board",
    "picture": "leave it out",
}
"""Options that belong to one patch, and what to do."""


def run_station(args: argparse.Namespace) -> int:
    """Run the patches that the options name, until all have ended.

    Raises:
        AnyEcgError: Something is wrong that concerns all patches, or that can be seen before any starts.
    """
    patches = patches_of(args)
    check_station(args, patches)
    with page_of(args) as page:
        return _run_patches(args, patches, page)


def _run_patches(args: argparse.Namespace, patches: Sequence[PatchOptions], page: PageServer | None) -> int:
    """Run the patches that were checked, and print the summary."""
    allow_files(len(patches) * FILES_A_PATCH)
    start = _Start(args, {patch.name: _opened(args, patch) for patch in patches})
    loaded = load(args.bundle, args.backend, args.trusted)
    start.people = {patch.name: _person(patch.person, loaded) for patch in patches if patch.person is not None}
    start.sinks = sinks = _sinks(args, patches, loaded, page)
    if sinks.lines is not None:
        sinks.lines.write(f"{clean(loaded.bundle.manifest.notice)}\n")
    for patch in patches:
        write_notes(start.sources[patch.name], patch.name)
    plans = [Patch(patch.name, partial(start, patch)) for patch in patches]
    outcomes, code = asyncio.run(_run(args, plans, loaded, sinks))
    stream = sys.stderr if args.out == "-" else sys.stdout
    sys.stderr.writelines(sinks.held)
    stream.write(station_text(outcomes, sinks, args.session_dir))
    return code


@dataclass(slots=True)
class _Start:
    """Starts a patch, for the first time or again.

    Attributes:
        args: The options of all patches.
        sources: The sources that are open for the first start, by name of the patch.
        people: How the values of a patch are anchored, and the file that says so, by name of the patch.
        sinks: Makes the sinks.
    """

    args: argparse.Namespace
    sources: dict[str, Source]
    people: dict[str, tuple[Anchoring, Mapping[str, Applied]]] = field(default_factory=dict)
    sinks: PatchSinks = field(init=False)

    def __call__(self, patch: PatchOptions) -> Started:
        records = self.args.record is not None
        source, recorder = self.sources.pop(patch.name, None), None
        if source is None or records:
            source = _opened(self.args, patch, self.sinks.folders.get(patch.name) if records else None)
        if isinstance(source, WireSource):
            recorder = source.recorder
        applied: dict[str, Applied] = {}
        session = replace(session_info(source), patch=patch.name, applied=applied)
        if patch.device_profile is not None:
            from edge.device_profile import profiled

            source = profiled(source, Path(patch.device_profile), applied)
        if patch.name in self.people:
            anchoring, file = self.people[patch.name]
            session = replace(session, anchored=anchoring)
            applied |= file
        if patch.baseline is not None:
            session = with_baseline(session, source, Path(patch.baseline), applied)
        return Started(source, session, self.sinks.of(patch, source, session, recorder))


def patches_of(args: argparse.Namespace) -> list[PatchOptions]:
    """Return the patches that the options name.

    Raises:
        UsageError: They are named in two ways, or one is invalid.
    """
    if args.patches and args.source:
        raise UsageError(
            "the patches are named by [[patch]] tables and by --source", "remove one of the two; a table has a source"
        )
    if args.patches:
        return from_tables(args.patches, Path(args.config))
    return from_sources(args.source)


def check_station(args: argparse.Namespace, patches: Sequence[PatchOptions]) -> None:
    """Check what can be checked before anything is opened, loaded or made.

    Raises:
        UsageError: An option does not suit several patches.
        MissingExtraError: A library is not installed.
    """
    for option, fix in _ONE_PATCH.items():
        if getattr(args, option) is not None:
            raise UsageError(f"--{option.replace('_', '-')} is for one patch, and there are several", fix)
    if args.record:
        raise UsageError("--record FILE is for one patch", "write --record without a file, and --session-dir DIR")
    folders = session_folders(args, patches)
    if args.record is not None and len(folders) < len(patches):
        raise UsageError("--record needs a session folder for each patch", "add --session-dir DIR")
    if args.keep is not None:
        from edge.store.keep import parse_keep

        if not folders:
            raise UsageError("--keep needs a session folder", "add --session-dir DIR")
        parse_keep(args.keep, len(folders))
    if args.lsl is not None:
        from edge.sinks.lsl import check_lsl

        for patch in patches:
            check_lsl(f"{args.lsl} {patch.name}")
    if args.mqtt is not None:
        from edge.sinks.mqtt.sink import check_mqtt

        if check_mqtt(args.mqtt).name:
            raise UsageError("name= in the broker's URL is for one patch", "remove it; each patch has its own name")


def session_folders(args: argparse.Namespace, patches: Sequence[PatchOptions]) -> dict[str, Path]:
    """Return the session folder of each patch that has one."""
    out = {}
    for patch in patches:
        if patch.session_dir is not None:
            out[patch.name] = Path(patch.session_dir)
        elif args.session_dir is not None:
            out[patch.name] = Path(args.session_dir) / patch.name
    return out


def patch_url(args: argparse.Namespace, patch: PatchOptions, recording: str | None = None) -> SourceUrl:
    """Return the URL of a patch with ``--speed`` and ``--wait``; a device has its own speed.

    Raises:
        UsageError: The URL is invalid.
    """
    paced = SourceUrl.parse(patch.source).scheme not in PATIENT
    return source_url(patch.source, args.speed if paced else None, recording, wait=args.wait)


def _opened(args: argparse.Namespace, patch: PatchOptions, folder: Path | None = None) -> Source:
    """Open the source of a patch; ``folder`` is where its raw frames are recorded.

    Raises:
        AnyEcgError: It cannot be opened; the message names the patch.
    """
    try:
        recording = None
        if folder is not None:
            from edge.sinks.session import make_private, next_raw_path

            make_private(folder)
            recording = str(next_raw_path(folder))
        source = open_source(patch_url(args, patch, recording))
        if args.record is not None and not isinstance(source, WireSource):
            raise UsageError(f"{patch.source!r} cannot be recorded", "leave out --record")
    except AnyEcgError as error:
        error.what = f"{patch.name}: {error.what}"
        raise
    return source


def _person(file: str, loaded: Loaded) -> tuple[Anchoring, Mapping[str, Applied]]:
    applied: dict[str, Applied] = {}
    return anchored(Path(file), loaded.bundle, applied), applied


def _sinks(
    args: argparse.Namespace, patches: Sequence[PatchOptions], loaded: Loaded, page: PageServer | None
) -> PatchSinks:
    """Make what the patches share."""
    folders = session_folders(args, patches)
    to_stderr = args.out == "-"
    table = _table(args, patches, loaded, to_stderr=to_stderr)
    on_screen = table is not None and sys.stderr.isatty()
    stream = sys.stderr if to_stderr else sys.stdout
    sinks = PatchSinks(
        loaded.bundle,
        args.hop,
        len(patches),
        StationStatus(),
        folders=folders,
        out=None if args.out is None else SharedSink(open_jsonl(args.out, Storage())),
        mqtt=None if args.mqtt is None else _link(args.mqtt, patches, quiet=on_screen),
        lsl=args.lsl,
        page=page,
        plugins=lambda name: plugin_sinks([url.replace(PLACEHOLDER, name) for url in args.sink or ()]),
        table=table,
        lines=stream if table is None and args.view != "none" else None,
        errors=None if on_screen else sys.stderr,
    )
    if folders:
        _keep(args, sinks, loaded)
    return sinks


def _keep(args: argparse.Namespace, sinks: PatchSinks, loaded: Loaded) -> None:
    """Make the limit that all session folders share, and say how much they grow."""
    from edge.sinks.session import make_private
    from edge.store.forecast import session_a_day, start_line
    from edge.store.keep import DEFAULT, Keeper, parse_keep

    folders = list(sinks.folders.values())
    sinks.keep = parse_keep(args.keep or DEFAULT, len(folders))
    given = args.keep is not None
    roots = [resolved(Path(args.session_dir)).parent] if given and args.session_dir is not None else []
    sinks.keeper = Keeper(sinks.keep, folders, Storage(), others=given, roots=roots)
    if args.session_dir is not None:
        make_private(Path(args.session_dir))
        raw_hz = None if args.record is None else RAW_HZ
        a_day = session_a_day(len(loaded.bundle.manifest.outputs), args.hop, raw_hz) * len(folders)
        sys.stderr.write(f"note: {start_line(Path(args.session_dir), a_day, sinks.keep)}\n")


def _link(url: str, patches: Sequence[PatchOptions], *, quiet: bool) -> MqttLink:
    from edge.sinks.mqtt.names import node_id
    from edge.sinks.mqtt.sink import open_link

    return open_link(url, quiet=quiet, station=node_id("", " ".join(sorted(patch.source for patch in patches))))


def _table(
    args: argparse.Namespace, patches: Sequence[PatchOptions], loaded: Loaded, *, to_stderr: bool
) -> TableSink | None:
    from edge.sinks.live.view import can_draw

    stream = sys.stderr if to_stderr else sys.stdout
    if args.view not in {"auto", "live"} or (args.view == "auto" and not can_draw(stream)):
        return None
    from edge.sinks.live.table import TableSink

    manifest = loaded.bundle.manifest
    table = TableSink(f"{manifest.name} {manifest.version}", stream, colour=not os.environ.get("NO_COLOR"))
    for patch in patches:
        table.patch(patch.name)  # in their order, whichever starts first
    return table


async def _run(
    args: argparse.Namespace, plans: Sequence[Patch], loaded: Loaded, sinks: PatchSinks
) -> tuple[list[Outcome], int]:
    """Run the station, until it ends or is told to stop by a signal or a key."""
    notifier, code = Notifier(), EXIT_OK
    loop = asyncio.get_running_loop()
    station = Station(
        plans,
        loaded,
        seconds=args.seconds,
        hop_s=args.hop,
        again=args.wait,
        said=sinks.ended,
        notifier=notifier,
        status=sinks.status,
        explain=(lambda model: live_reasons(loaded.bundle, model, args.hop)) if args.reasons else None,
    )

    def interrupted(number: signal.Signals) -> None:
        nonlocal code
        code = EXIT_CODES[number]
        notifier.stopping()
        station.stop(number.name)

    stopper = Stopper(lambda number: loop.call_soon_threadsafe(interrupted, number))
    stopper.install()
    if sinks.table is not None:
        sinks.table.on_quit(lambda: loop.call_soon_threadsafe(station.stop, "q"))
        sinks.table.open()
    try:
        outcomes = await station.run()
    finally:
        stopper.remove()
        if sinks.table is not None:
            sinks.table.close(None)
    return outcomes, exit_code(outcomes, code)
