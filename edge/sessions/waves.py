"""P, QRS and T of every beat: those of the average beat of its ten seconds (``edge.waves``), placed at its R peak."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from edge.chain import SignalChain
from edge.grid.timeline import Gap, Timeline
from edge.sessions.ecg import room_of, run_sources
from edge.sessions.folder import SessionFolder
from edge.sessions.marks import Mark, MarkKind
from edge.sources.replay.raw import RawReplaySource
from edge.waves.mean_beat import BEFORE
from edge.waves.measure import WaveMeter
from edge.waves.path import FS_HZ
from edge.window import NoWindow, Window

STEP_S = 4.0
"""Seconds between two windows, which overlap: each beat is taken from the first one that has all of it."""
EDGE_S = 1.0
"""Part at the end of a window in which a beat may be incomplete, s."""
GATHER_S = 1
"""Signal that the timeline takes together, s."""


def measure_waves(session: SessionFolder) -> Iterator[Mark]:
    """Yield the waves of the beats in accepted windows of ten seconds, in order.

    Raises:
        InputError: A recording cannot be read.
    """
    meter = WaveMeter(round(FS_HZ))
    for run, source in run_sources(session):
        chain = SignalChain(round(FS_HZ), 1.0)
        done_s = 0.0
        for window in _windows(source, chain):
            soon = window.end_s - EDGE_S < done_s + STEP_S
            if not (soon and window.start_s < done_s) and chain.assess(window).reason is None:
                yield from _waves(meter, window, run, done_s)
                done_s = window.end_s - EDGE_S


def _windows(source: RawReplaySource, chain: SignalChain) -> Iterator[Window]:
    timeline = Timeline(round(FS_HZ), round(GATHER_S * FS_HZ), room_of(source))
    for _due_s, item in source.timed():
        if item is None:
            continue
        for part in timeline.push(item):
            answers = chain.gap(part) if isinstance(part, Gap) else chain.push(part)
            timeline.due = chain.due
            for answer in answers:
                if not isinstance(answer, NoWindow):
                    yield answer


def _waves(meter: WaveMeter, window: Window, run: int, done_s: float) -> Iterator[Mark]:
    meter.measure(window.raw, window.beats, scale_known=window.scale_known)
    beat, waves = meter.beat, meter.found
    if beat is None or waves is None:
        return
    qrs, p, t = waves.qrs, waves.p, waves.t
    found: list[tuple[MarkKind, float, float, float]] = [("QRS", qrs.onset, BEFORE, qrs.offset)]
    if p.clear:
        found.insert(0, ("P", p.begin, p.peak, p.end))
    if t.clear:
        found.append(("T", t.begin, t.peak, t.end))
    for peak, following in pairwise([*beat.peaks.tolist(), len(window.raw)]):
        if not done_s <= window.start_s + peak / FS_HZ < window.end_s - EDGE_S:
            continue
        for kind, *at in found:
            onset, top, end = (window.start_s + (peak + place - BEFORE) / FS_HZ for place in at)
            # A wave that would reach into the next beat is that of a slower rhythm.
            if onset >= window.start_s and end < window.start_s + following / FS_HZ:
                yield Mark(run, onset, top, end, kind)
