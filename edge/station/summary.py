"""The end of a station as text: one line for each patch, what was found last, and the budgets."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import TYPE_CHECKING

from edge.process.budget import peak_rss_mib
from edge.records import NOTICE
from edge.sinks.live.frame import clean
from edge.sinks.live.state import REASON_TEXT
from edge.sinks.plain import estimate_line

if TYPE_CHECKING:
    from edge.station.sinks import PatchSinks
    from edge.station.station import Outcome

NAME_CELLS = 12


def station_text(outcomes: Sequence[Outcome], sinks: PatchSinks, folder: str | None) -> str:
    """Return the summary of a station, ending with a newline.

    Args:
        outcomes: What became of each patch.
        sinks: The sinks, which know what was found, lost and sent.
        folder: The folder of the sessions; ``None`` for none.
    """
    width = max([NAME_CELLS, *(len(one.name) + 2 for one in outcomes)])
    lines = ["", f"{'patch':<{width}}{'signal s':>9} {'estimates':>15} {'lost':>7} {'reconnects':>10}  ended by"]
    lines += [_row(one, width) for one in outcomes]
    for name, disk in sinks.disks.items():
        lines += [line.replace("disk", f"disk        {name}:", 1) for line in _squeezed(disk.text())]
    if sinks.mqtt is not None:
        lines += sinks.mqtt.text().splitlines()
    lines += _latency(outcomes)
    lines.append(f"memory      {peak_rss_mib():.1f} MiB (peak), {len(outcomes)} patches")
    lines += ["", *_answers(sinks, width)]
    if folder is not None:
        place = shlex.quote(folder)
        lines.append(f"next        anyecg sessions {place}; anyecg report {place}/NAME")
    return "\n".join([*lines, NOTICE, ""])


def _squeezed(text: str) -> list[str]:
    """Return lines with single blanks."""
    return [" ".join(line.split()) for line in text.splitlines()]


def _row(one: Outcome, width: int) -> str:
    s = one.summary
    ended = f"failed: {clean(one.failed)}" if one.failed else "" if s is None else s.ended_by
    if one.starts > 1:
        ended += f" (start {one.starts})"
    if s is None:
        return f"{one.name:<{width}}{'-':>9} {'-':>15} {'-':>7} {'-':>10}  {ended}"
    hops = f"{s.estimates}/{s.hops}"
    return f"{one.name:<{width}}{s.signal_s:>9.1f} {hops:>15} {s.lost_samples:>7} {s.reconnects:>10}  {ended}"


def _latency(outcomes: Sequence[Outcome]) -> list[str]:
    """Return the latency of the patch that waited longest."""
    found = [
        (one.summary.latency_ms[stage].p99, stage, one.name)
        for one in outcomes
        if one.summary is not None
        for stage in ("inference", "written")
        if stage in one.summary.latency_ms
    ]
    lines = []
    for stage in ("inference", "written"):
        worst = max((one for one in found if one[1] == stage), default=None)
        if worst is not None:
            lines.append(f"latency     {stage} p99 {worst[0]:.1f} ms ({worst[2]}, the largest)")
    return lines


def _answers(sinks: PatchSinks, width: int) -> list[str]:
    lines = []
    for name, answer in sinks.answers.items():
        e, last = answer.estimate_with_labs, answer.last
        if e is not None:
            lines.append(f"{name:<{width}}{estimate_line(e).strip()}")
        elif last is not None and last.abstained is not None:
            lines.append(f"{name:<{width}}no estimate: {REASON_TEXT[last.abstained]}")
        else:
            lines.append(f"{name:<{width}}no signal")
    return [*lines, ""]
