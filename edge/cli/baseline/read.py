"""Reads the windows of sessions and recordings for a baseline."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from edge.baseline.choose import Span
from edge.baseline.fit import Worn
from edge.baseline.marks import read_marks
from edge.baseline.samples import NOTHING, STEP_S, Samples, Table, row_of, usable
from edge.baseline.worn import of_session, of_source
from edge.chain import SignalChain
from edge.grid.timeline import Gap, Timeline, TimelineItem
from edge.rhythm.minutes import RhythmMeter
from edge.sessions.folder import MAX_RUN_S, SessionFolder
from edge.sources import Source, SourceUrl, open_source
from edge.waves.measure import WaveMeter, band_of, st_reason
from edge.waves.path import FS_HZ
from edge.window import NoWindow, Window
from firmware_bridge.errors import InputError, UsageError
from firmware_bridge.samples import LinkEvent, LinkEventKind

GATHER_S = 1
"""Signal that the timeline takes together, s."""
APART_S = 60.0
"""Time between two recordings without a clock, s."""


class Read(NamedTuple):
    """The windows of sessions and recordings.

    Attributes:
        rows: The windows in the order of time.
        worn: What the inputs share.
        zero_s: Time of the rows at which the first input starts, s.
        has_clock: Whether the rows have Unix time.
        damage: What was found damaged, one line each.
        dropped: Windows left out because there are too many, the oldest.
        postures: Name and time of each posture that was marked in a session.
    """

    rows: Table
    worn: Worn
    zero_s: float
    has_clock: bool
    damage: tuple[str, ...]
    dropped: int
    postures: tuple[tuple[str, Span], ...]


def read_inputs(names: Sequence[str]) -> Read:
    """Read sessions and recordings of one person and one device.

    Args:
        names: Session folders, files of recordings, or source URLs.

    Raises:
        InputError: One cannot be read, or they do not have the same device and lead.
    """
    rows, worn, damage, starts_s, has_clock = Samples(), None, list[str](), list[float](), True
    postures: list[tuple[str, Span]] = []
    for name in names:
        session = _session(name)
        if session is not None:
            found, end_s = _read_session(session, rows)
            damage += session.damage
            starts_s.append(min(run.start_unix_s for run in session.runs))
            postures += read_marks(session.path, end_s)
        else:
            found, start_s, timed = _read_recording(name, rows, starts_s)
            starts_s.append(start_s)
            has_clock &= timed
        if worn is not None and replace(found, sources=worn.sources) != worn:
            raise InputError(
                f"{name} has another device, lead or device profile ({_words(found)}) than {names[0]} ({_words(worn)})",
                "make a baseline for each",
            )
        worn = found if worn is None else replace(worn, sources=(*worn.sources, *found.sources))
    if worn is None:
        raise InputError("there is no session and no recording", "name one")
    return Read(rows.table(), worn, min(starts_s), has_clock, tuple(damage), rows.dropped, tuple(postures))


def _words(worn: Worn) -> str:
    parts = (worn.device, worn.lead, worn.profile_sha256 and f"profile {worn.profile_sha256[:8]}")
    return ", ".join(part for part in parts if part)


def _session(name: str) -> SessionFolder | None:
    path = Path(name)
    return SessionFolder(path) if path.is_dir() and (path / "session.json").exists() else None


def _read_session(session: SessionFolder, rows: Samples) -> tuple[Worn, float]:
    """Read a session; return what it says, and the time of its end, s."""
    starts = {run.session: run.start_unix_s for run in session.runs}
    profile: str | None = None
    last_s = 0.0
    for e in session.estimates():
        start_s = starts.get(e.session)
        if start_s is None or not 0.0 <= e.window.end_s < MAX_RUN_S:
            continue  # damaged
        if "device_profile" in e.applied:
            profile = e.applied["device_profile"].sha256
        row, unix_s = row_of(e.waves), start_s + e.window.end_s
        last_s = max(last_s, unix_s)
        ok = usable(row, e.rhythm, e.quality.score)
        rows.add((session.path, e.session), e.window.end_s, unix_s, row, ok=ok)
    device, lead = of_session(session.about)
    return Worn(device, lead, profile, sources=(session.path.name or str(session.path),)), last_s


def _read_recording(name: str, rows: Samples, before_s: Sequence[float]) -> tuple[Worn, float, bool]:
    """Read a recording; return what it says, the time of its start, s, and whether it has a clock."""
    from edge.cli.explain import source_of

    url = source_of(name)
    if url.scheme == "sim" and "seconds" not in url.params:
        raise UsageError(f"{name} has no end", "add seconds=1500 to the URL")
    source = open_source(url)
    if source.info.live:
        raise InputError(f"{name} is a device", "record a session with 'anyecg run --session-dir DIR', then name DIR")
    timed = source.info.start_unix_ns is not None
    start_s = (source.info.start_unix_ns or 0) * 1e-9
    if not timed and before_s:
        start_s = max(rows.last_s, *before_s) + APART_S
    asyncio.run(_read(source, name, start_s, rows))
    device, lead = of_source(source.info)
    return (
        Worn(device, lead, sources=(Path(SourceUrl.parse(name).path).name if ":" in name else Path(name).name,)),
        start_s,
        timed,
    )


async def _read(source: Source, name: str, start_s: float, rows: Samples) -> None:
    """Measure the windows of a source, without a model."""
    timeline, chain = Timeline(round(FS_HZ), round(GATHER_S * FS_HZ)), SignalChain(round(FS_HZ), STEP_S)
    meter, rhythm = WaveMeter(round(FS_HZ)), RhythmMeter()
    meter.st_reason = st_reason(source.info.band_hz, is_device=source.info.of_device)
    try:
        async for item in source.items():
            if isinstance(item, LinkEvent) and item.kind is LinkEventKind.HELLO and "band_hz" in item.data:
                meter.st_reason = st_reason(band_of(item.data["band_hz"]), is_device=True)
            for part in timeline.push(item):
                for answer in _answers(chain, part):
                    row, ok = NOTHING, False
                    if isinstance(answer, Window):
                        quality = chain.assess(answer)
                        if quality.reason is None:
                            waves = meter.measure(answer.raw, answer.beats, scale_known=answer.scale_known)
                            found = rhythm.judge(answer.start_s, answer.end_s, meter, answer.beats)
                            row = row_of(waves)
                            ok = usable(row, found, quality.score)
                    rows.add(name, answer.end_s, start_s + answer.end_s, row, ok=ok)
                timeline.due = chain.due
    finally:
        await source.close()


def _answers(chain: SignalChain, part: TimelineItem) -> Iterator[Window | NoWindow]:
    if isinstance(part, Gap):
        yield from chain.gap(part)
    else:
        yield from chain.push(part)
