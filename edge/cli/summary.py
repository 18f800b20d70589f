"""The summary of a run as text."""

from __future__ import annotations

from edge.records import NOTICE, RunSummary

FIRST_ESTIMATE_S = 13.0
"""Signal before the first estimate, s: 10 s of window, 2.2 s of filter, and the hop."""

MIN_RECORDING_S = 9.5
"""Shortest recording that counts as ten seconds, s (``edge.tensecond``)."""

_STAGES = ("front_end", "quality", "heart_rate", "prepare", "inference", "estimate", "total", "written")

_THROWN = {
    "bytes": "bytes without a valid frame",
    "events": "events joined with others",
    "impossible_samples": "samples stated as missing in too short a time",
    "queue_samples": "samples received too fast",
    "recording_bytes": "damaged bytes of the recording",
    "recording_samples": "samples lost by them",
}


def summary_text(s: RunSummary, disk: str = "") -> str:
    """Return the summary of a run as text, ending with a newline.

    Args:
        s: The summary.
        disk: Lines about the disk (`edge.store.storage.Storage.text`).
    """
    speed = s.signal_s / s.wall_s if s.wall_s > 0 else 0.0
    lines = [
        "",
        f"signal      {s.signal_s:.1f} s in {s.wall_s:.1f} s ({speed:.1f} x real time); ended by: {s.ended_by}",
        f"estimates   {s.estimates} of {s.hops} hops{_abstentions(s)}",
        f"link        {s.lost_samples} samples lost, {s.frames_corrupt} corrupt frames, {s.reconnects} reconnections",
    ]
    lines += disk.splitlines()
    if s.thrown_away:
        lines.append(f"thrown away {', '.join(f'{n} {_THROWN.get(kind, kind)}' for kind, n in s.thrown_away.items())}")
    if not s.estimates and s.signal_s < FIRST_ESTIMATE_S:
        needs = f"the first estimate needs {FIRST_ESTIMATE_S:g} s of signal without a gap"
        lines.append(f"            {needs}, or a whole recording of at least {MIN_RECORDING_S:g} s")
    if s.latency_ms:
        lines.append("latency ms      p50      p95      p99      max")
    for stage in sorted(s.latency_ms, key=lambda name: _STAGES.index(name) if name in _STAGES else len(_STAGES)):
        t = s.latency_ms[stage]
        lines.append(f"  {stage:<10} {t.p50:7.2f}  {t.p95:7.2f}  {t.p99:7.2f}  {t.max:7.2f}")
    lines.append(f"memory      {s.peak_rss_mib:.1f} MiB (peak)")
    lines += [f"budget      {b.name}: {b.value:.1f} of {b.limit:g}: {_verdict(b.ok)}" for b in s.budgets]
    lines += [NOTICE, ""]
    return "\n".join(lines)


def _verdict(ok: bool) -> str:
    return "ok" if ok else "EXCEEDED"


def _abstentions(s: RunSummary) -> str:
    if not s.abstentions:
        return ""
    return "; abstentions: " + ", ".join(f"{reason} {n}" for reason, n in sorted(s.abstentions.items()))
