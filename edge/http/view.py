"""What the page gets of a patch, in words, as JSON. Text of devices and bundles is cleaned of control characters."""

from __future__ import annotations

import json
import math
import time
from typing import TYPE_CHECKING

import numpy as np

from edge.bundle.words import sentence, shown_unit
from edge.explain.record import flag_because
from edge.http.history import quality_of
from edge.http.patch import ESTIMATE, MAX_TEXT_CHARS, Piece
from edge.process.budget import FOUNDATION_RSS_MIB, MICRO_RSS_MIB, rss_mib
from edge.records import NOTICE
from edge.sinks.live.layout import measured_text, network_text, number, rhythm_text, with_unit
from edge.sinks.live.state import OUTPUT_REASON_TEXT, REASON_TEXT
from firmware_bridge.text import printable, shortened

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from edge.http.patch import Head, PatchSink
    from edge.records import Estimate, LabEstimate
    from edge.waves.record import WaveRecord

NO_BREAK = "\u00a0"
"""A space at which a line does not break."""
_REASONS: dict[str, str] = {str(key): words for key, words in REASON_TEXT.items()}
_ENDED = {
    "failed": "the run has failed",
    "end": "the recording is at its end",
    "seconds": "the run is over",
    "q": "the run was ended with a key",
}


def text(value: object) -> str:
    """Return JSON of one line."""
    return json.dumps(value, separators=(",", ":"), allow_nan=False)


def about(patch: PatchSink) -> dict[str, object]:
    """Return what stays the same about a patch."""
    return {
        "id": patch.number,
        "name": patch.name,
        "device": patch.device,
        "bundle": patch.bundle,
        "heads": [
            {
                "key": head.key,
                "words": head.words,
                "title": sentence(head.words),
                "unit": shown_unit(head.unit),
                "percent": head.unit == "1",
                "evidence": head.evidence,
                "threshold": head.threshold,
                "limit": "" if head.threshold is None else with_unit(head.threshold, head.unit),
            }
            for head in patch.heads
        ],
    }


def state(patch: PatchSink) -> dict[str, object]:
    """Return the newest state of a patch. Its lock must be held."""
    live, e = patch.state, patch.state.latest
    link, style = live.link_now()
    out: dict[str, object] = {
        "id": patch.number,
        "link": printable(link),
        "linkStyle": style,
        "remark": shortened(printable(live.lost or live.remark), MAX_TEXT_CHARS),
        "ended": "" if not patch.ended else _ENDED.get(patch.ended, "the run was ended"),
        "millivolts": patch.millivolts,
        "corrupt": live.corrupt,
        "reconnects": live.reconnects,
        "hops": live.hops,
        "estimates": patch.hops[ESTIMATE],
        "refused": [[_reason(reason), count] for reason, count in patch.hops.items() if reason != ESTIMATE],
        "limitMs": live.limit_ms,
        "limitMib": MICRO_RSS_MIB if patch.tier == "micro" else FOUNDATION_RSS_MIB,
    }
    return out if e is None else out | _newest(patch, e)


def _newest(patch: PatchSink, e: Estimate) -> dict[str, object]:
    """Return what the newest record says, and the newest values, which may be older."""
    quality, shown = quality_of(e), patch.state.outputs
    out: dict[str, object] = {
        "time": e.time,
        "clock": e.clock_synced,
        "end_s": _finite(e.window.end_s),
        "age_s": _finite(max(0.0, time.monotonic() - patch.estimated_s), 1),
        "rate": _finite(e.heart_rate_bpm, 0),
        "quality": _finite(100 * quality, 0),
        "rhythm": "" if e.rhythm is None else sentence(rhythm_text(e.rhythm)),
        "waves": "" if e.waves is None else _waves(e.waves),
        "change": _change(e),
        "flags": [printable(flag).replace("_", " ") for flag in e.quality.flags],
        "reason": "" if e.abstained is None else _reason(e.abstained),
        "lost": e.lost_samples,
        "latencyMs": _total(e.latency_ms),
    }
    if shown is not None:
        labs = {lab.key: lab for lab in shown.labs}
        out["labsAge_s"] = _finite(max(0.0, e.window.end_s - shown.window.end_s), 1)
        out["labs"] = [_lab(head, labs.get(head.key)) for head in patch.heads]
    return out


def _waves(waves: WaveRecord) -> str:
    """Return the measurements in one line, which may break between two of them, but not inside of one."""
    return " · ".join(f"{name} {value}".replace(" ", NO_BREAK) for name, value in measured_text(waves))


def _change(e: Estimate) -> str:
    if e.change is None:
        return ""
    from edge.baseline.words import change_text

    return change_text(e.change)


def signal(patch: PatchSink, pieces: Sequence[Piece], beats_s: Sequence[float]) -> list[object]:
    """Return ECG and beats: number of the patch, pieces of start, rate and samples in µV or counts, and beats."""
    scale = 1000.0 if patch.millivolts else 1.0
    return [
        patch.number,
        [[round(p.start_s, 4), p.fs_hz, _whole(p, scale)] for p in pieces],
        [round(t_s, 3) for t_s in beats_s],
    ]


def host(viewers: int) -> dict[str, object]:
    """Return what is the same for all patches."""
    return {"mib": round(rss_mib(), 1), "viewers": viewers, "notice": NOTICE}


def _whole(piece: Piece, scale: float) -> list[int]:
    finite = np.nan_to_num(piece.samples * np.float32(scale), posinf=0.0, neginf=0.0)
    whole: list[int] = np.rint(np.clip(finite, -2e9, 2e9)).astype(np.int32).tolist()
    return whole


def _lab(head: Head, lab: LabEstimate | None) -> list[object] | None:
    """Return value, interval, flag, number of windows, whether it is anchored, a remark, and reasons."""
    if lab is None:
        return None
    interval = ""
    if lab.interval is not None:
        interval = " to ".join(number(bound, head.unit) for bound in lab.interval)
    flag = None if lab.flag is None else bool(lab.flag)
    remark = "" if lab.abstained is None else OUTPUT_REASON_TEXT[lab.abstained]
    if lab.network is not None:
        remark = f"network alone {network_text(lab)}"
    why = f"{flag_because(lab.reasons)}, {lab.reasons.age_s:.0f} s ago" if flag and lab.reasons is not None else ""
    shown = with_unit(lab.value, head.unit)
    return [shown, interval, flag, int(lab.windows), lab.anchor is not None, remark, printable(why)]


def _reason(reason: str) -> str:
    return _REASONS.get(reason, reason.replace("_", " "))


def _total(latency_ms: Mapping[str, float]) -> float | None:
    return _finite(latency_ms.get("total", sum(latency_ms.values())), 1) if latency_ms else None


def _finite(value: float | None, digits: int = 3) -> float | None:
    """Return a rounded number; ``None`` where JSON has no number for it."""
    if value is None or not math.isfinite(value):
        return None
    return round(value, digits) if digits else round(value)
