"""The text that Prometheus scrapes from ``/metrics``: version 0.0.4 of its format."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from edge.api.version import __version__
from edge.http.history import quality_of
from edge.http.patch import ESTIMATE
from edge.process.budget import rss_mib
from edge.records import ABSTAIN_REASONS
from edge.rhythm.record import RHYTHM_NAMES
from edge.waves.record import interval_values

if TYPE_CHECKING:
    from edge.http.patch import PatchSink
    from edge.records import Estimate

_ESCAPES = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})
_FAMILIES: dict[str, tuple[str, str]] = {
    "anyecg_info": ("gauge", "Version of the kit. Research software, not a medical device."),
    "anyecg_link_up": ("gauge", "1 while data arrive from the patch, else 0."),
    "anyecg_heart_rate_bpm": ("gauge", "Heart rate, beats per minute."),
    "anyecg_rhythm": ("gauge", "1 for the rhythm of the newest window, 0 for the others."),
    "anyecg_af_ratio": ("gauge", "Share of atrial fibrillation or flutter in the last minutes, 0 to 1."),
    "anyecg_ecg_interval_seconds": ("gauge", "PR, QRS, QT and QTc (Fridericia) of the newest window."),
    "anyecg_signal_quality_ratio": ("gauge", "Signal quality of the newest window, 0 to 1."),
    "anyecg_hops_total": ("counter", "Hops by result: estimate, or the reason of the abstention."),
    "anyecg_estimate": ("gauge", "Newest estimate of an output, in its unit; 1 stands for a probability."),
    "anyecg_estimate_lower": ("gauge", "Lower bound of the interval of the estimate."),
    "anyecg_estimate_upper": ("gauge", "Upper bound of the interval of the estimate."),
    "anyecg_estimate_flag": ("gauge", "1 if the estimate reaches the threshold of the bundle, else 0."),
    "anyecg_estimate_abstained": ("gauge", "1 for an output that abstains while others answer, by reason."),
    "anyecg_last_estimate_timestamp_seconds": ("gauge", "Time of the newest estimate or abstention."),
    "anyecg_lost_samples_total": ("counter", "Samples known to be lost."),
    "anyecg_corrupt_frames_total": ("counter", "Frames that were discarded as damaged."),
    "anyecg_reconnections_total": ("counter", "Reconnections of the link."),
    "anyecg_latency_seconds": ("summary", "Processing time of a hop by stage."),
    "anyecg_page_viewers": ("gauge", "Viewers of the page."),
    "anyecg_page_dropped_frames_total": ("counter", "Updates that slow viewers of the page did not get."),
    "process_resident_memory_bytes": ("gauge", "Resident memory size in bytes."),
    "process_cpu_seconds_total": ("counter", "Total user and system CPU time spent in seconds."),
}
"""Type and help of each metric, in the order of the text."""


class _Lines:
    """Collects samples by metric, because the format wants them together."""

    def __init__(self) -> None:
        self._found: dict[str, list[str]] = {name: [] for name in _FAMILIES}

    def add(self, name: str, value: float | None, suffix: str = "", **labels: str) -> None:
        if value is None or not math.isfinite(value):
            return
        pairs = ",".join(f'{key}="{text.translate(_ESCAPES)}"' for key, text in labels.items())
        shown = repr(float(value)) if value != int(value) else str(int(value))
        self._found[name].append(f"{name}{suffix}{{{pairs}}} {shown}" if pairs else f"{name}{suffix} {shown}")

    def text(self) -> str:
        out: list[str] = []
        for name, lines in self._found.items():
            if lines:
                kind, words = _FAMILIES[name]
                out += [f"# HELP {name} {words}", f"# TYPE {name} {kind}", *lines]
        return "\n".join(out) + "\n"


def metrics_text(patches: Iterable[PatchSink], *, viewers: int, dropped: int) -> str:
    """Return the metrics of all patches.

    Args:
        patches: The patches.
        viewers: Number of viewers.
        dropped: Updates that slow viewers did not get.
    """
    lines = _Lines()
    lines.add("anyecg_info", 1, version=__version__)
    for patch in patches:
        with patch.lock:
            _patch(lines, patch)
    lines.add("anyecg_page_viewers", viewers)
    lines.add("anyecg_page_dropped_frames_total", dropped)
    lines.add("process_resident_memory_bytes", rss_mib() * 2**20)
    times = os.times()
    lines.add("process_cpu_seconds_total", times.user + times.system)
    return lines.text()


def _patch(lines: _Lines, patch: PatchSink) -> None:
    live, e, name = patch.state, patch.state.latest, patch.name
    lines.add("anyecg_link_up", live.link_now()[0] in {"connected", "receiving"} and not patch.ended, patch=name)
    results: Sequence[str] = (ESTIMATE, *ABSTAIN_REASONS)
    for result in results:
        lines.add("anyecg_hops_total", patch.hops[result], patch=name, result=result)
    lines.add("anyecg_corrupt_frames_total", live.corrupt, patch=name)
    lines.add("anyecg_reconnections_total", live.reconnects, patch=name)
    for stage, (count, total_ms) in patch.latency_ms.items():
        lines.add("anyecg_latency_seconds", total_ms / 1e3, "_sum", patch=name, stage=stage)
        lines.add("anyecg_latency_seconds", count, "_count", patch=name, stage=stage)
    if e is None:
        return
    lines.add("anyecg_lost_samples_total", e.lost_samples, patch=name)
    lines.add("anyecg_last_estimate_timestamp_seconds", datetime.fromisoformat(e.time).timestamp(), patch=name)
    if patch.ended or time.monotonic() - patch.estimated_s > max(60.0, 3 * patch.hop_s):
        return  # an old value must not look like a current one
    lines.add("anyecg_heart_rate_bpm", e.heart_rate_bpm, patch=name)
    lines.add("anyecg_signal_quality_ratio", quality_of(e), patch=name)
    _seen(lines, name, e)
    for lab in e.labs:
        labels = {"patch": name, "output": lab.key, "unit": lab.unit}
        lines.add("anyecg_estimate", lab.value, **labels)
        if lab.interval is not None:
            lines.add("anyecg_estimate_lower", lab.interval[0], **labels)
            lines.add("anyecg_estimate_upper", lab.interval[1], **labels)
        lines.add("anyecg_estimate_flag", None if lab.flag is None else float(lab.flag), **labels)
        if lab.abstained is not None:
            lines.add("anyecg_estimate_abstained", 1, patch=name, output=lab.key, reason=lab.abstained)


def _seen(lines: _Lines, name: str, e: Estimate) -> None:
    """Add what the ECG itself shows."""
    if e.rhythm is not None:
        for rhythm in RHYTHM_NAMES:
            lines.add("anyecg_rhythm", float(rhythm == e.rhythm.name), patch=name, rhythm=rhythm)
        lines.add("anyecg_af_ratio", e.rhythm.minutes.af_share, patch=name)
    if e.waves is not None:
        for interval, ms in interval_values(e.waves):
            lines.add("anyecg_ecg_interval_seconds", None if ms is None else ms / 1e3, patch=name, interval=interval)
