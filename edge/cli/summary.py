"""The end of a run as text: how it went, what was found last, and what to do next."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from edge.records import NOTICE, RunSummary

if TYPE_CHECKING:
    from edge.bundle.schema import OutputHead
    from edge.records import AbstainReason, Estimate, LabEstimate
    from edge.sinks.answer import AnswerSink

FIRST_ESTIMATE_S = 13.0
"""Signal before the first estimate, s: 10 s of window, 2.2 s of filter, and the hop."""

MIN_RECORDING_S = 9.5
"""Shortest recording that counts as ten seconds, s (``edge.tensecond``)."""

MAX_ROWS = 12
"""Most outputs named one by one at the end; the session folder has them all."""

_HELP: dict[AbstainReason, str] = {
    "warming_up": "record for longer; the first estimate needs 13 s of signal without a gap",
    "gap": "move nearer to the receiver, or use a cable; a window of ten seconds must have no gap",
    "poor_signal": "move less, and look at the electrodes",
    "flat": "put the patch on the skin, and look at the electrodes",
    "saturated": "look at the electrodes and at the gain of the device",
    "lead_off": "moisten the electrodes and press them on",
    "scale_unknown": "state the scale of the device with lsb_mv= in the URL",
    "stalled": "look at the patch: is it on, near, and charged?",
    "rhythm": "nothing on this device: the evidence of the bundle holds for other rhythms",
}

_STAGES = (
    "front_end",
    "quality",
    "heart_rate",
    "waves",
    "rhythm",
    "prepare",
    "inference",
    "estimate",
    "total",
    "written",
)

MANY_EVENTS = 20
"""Joined events from which a summary mentions them; a few are in every run, and nothing of them is missing."""

_THROWN = {
    "bytes": "bytes without a valid frame",
    "events": "events joined with others",
    "impossible_samples": "samples stated as missing in too short a time",
    "queue_samples": "samples received too fast",
    "recording_bytes": "damaged bytes of the recording",
    "recording_samples": "samples lost by them",
}


def summary_text(s: RunSummary, disk: str = "", answer: str = "") -> str:
    """Return the summary of a run as text, ending with a newline.

    Args:
        s: The summary.
        disk: Lines about the disk (`edge.store.storage.Storage.text`).
        answer: What was found (`answer_text`); it stands last.
    """
    speed = s.signal_s / s.wall_s if s.wall_s > 0 else 0.0
    lines = [
        "",
        f"signal      {s.signal_s:.1f} s in {s.wall_s:.1f} s ({speed:.1f} x real time); ended by: {s.ended_by}",
        f"estimates   {s.estimates} of {s.hops} hops{_abstentions(s)}",
        f"link        {s.lost_samples} samples lost, {s.frames_corrupt} corrupt frames, {s.reconnects} reconnections",
    ]
    lines += disk.splitlines()
    if s.thrown_away and (set(s.thrown_away) != {"events"} or s.thrown_away["events"] >= MANY_EVENTS):
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
    if answer:
        lines += ["", answer.rstrip("\n"), ""]
    lines += [NOTICE, ""]
    return "\n".join(lines)


def answer_text(found: AnswerSink, heads: Sequence[OutputHead] = ()) -> str:
    """Return the last estimates of a run in words, or why there are none; empty if the run gave nothing at all.

    Args:
        found: What was found.
        heads: Outputs of the bundle, which name the estimates.
    """
    e, last = found.estimate_with_labs, found.last
    if last is None:
        return ""
    from edge.bundle.words import head_words
    from edge.sinks.live.state import REASON_TEXT

    why = "" if last.abstained is None else REASON_TEXT[last.abstained]
    what_helps = "" if last.abstained is None else _HELP[last.abstained]
    if e is None:
        return f"answer      no estimate: {why}\n            what helps: {what_helps}\n"
    lines = [
        f"answer      {e.time[11:19]} UTC{_rate(e)}, signal quality {e.quality.score:.2f}",
        *_lab_lines(e, {head.key: head_words(head) for head in heads}),
    ]
    if last.abstained is not None:
        age_s = max(0.0, last.window.end_s - e.window.end_s)
        lines.append(f"            {age_s:.0f} s old; since then: {why}")
        lines.append(f"            what helps: {what_helps}")
    return "\n".join([*lines, ""])


def next_text(session_dir: str | None, *, recorded: bool = True) -> str:
    """Return what to do next with a run, as lines.

    Args:
        session_dir: The session folder of the run, if it has one.
        recorded: Whether the folder has the raw recording.
    """
    if session_dir is None:
        return (
            "next        --session-dir DIR --record keeps a run; 'anyecg report DIR' then shows all of it on a page\n"
        )
    folder = shlex.quote(session_dir)
    return (
        f"next        anyecg report {folder}            all of it on one page\n"
        f"            anyecg export {folder} --to csv   or wfdb, edf, parquet, for other programs\n"
        + ("" if recorded else "            with --record, the next run keeps the ECG, too\n")
    )


def lab_text(lab: LabEstimate) -> str:
    """Return the value of an output with its interval and unit, such as ``6.4 mmol/L (5.9 to 6.8)``."""
    from edge.sinks.live.layout import number, with_unit

    if lab.interval is None:
        return with_unit(lab.value, lab.unit)
    low, high = (number(bound, lab.unit) for bound in lab.interval)
    return f"{with_unit(lab.value, lab.unit)} ({low} to {high})"


def _rate(e: Estimate) -> str:
    return "" if e.heart_rate_bpm is None else f", {e.heart_rate_bpm:.0f} bpm"


def _lab_lines(e: Estimate, names: Mapping[str, str]) -> list[str]:
    """Return flagged outputs first, then values; the others are only named, with the short names of the live view."""
    from edge.bundle.words import key_words, label, sentence
    from edge.explain.record import flag_because
    from edge.sinks.live.frame import clean
    from edge.sinks.live.layout import network_text, with_unit
    from edge.sinks.live.state import OUTPUT_REASON_TEXT

    flagged = [lab for lab in e.labs if lab.flag]
    values = [lab for lab in e.labs if not lab.flag and lab.unit != "1" and lab.abstained is None]
    lines = []
    for lab in (flagged + values)[:MAX_ROWS]:
        limit = "" if lab.threshold is None else f", threshold {with_unit(lab.threshold, lab.unit)}"
        limit += f", network alone {network_text(lab)}" if lab.network is not None else ""
        mark = "FLAG" if lab.flag else ""
        name = clean(sentence(names.get(lab.key) or key_words(lab.key)))
        lines.append(f"  {mark:<10}{name}: {lab_text(lab)}{limit}, {lab.tier} evidence")
        if lab.flag and lab.reasons is not None:
            lines.append(f"            {clean(flag_because(lab.reasons))}")
    if len(flagged) + len(values) > MAX_ROWS:
        lines.append(f"            and {len(flagged) + len(values) - MAX_ROWS} more")
    calm = [lab for lab in e.labs if lab.flag is False and lab.unit == "1"]
    silent = [lab for lab in e.labs if lab.abstained is not None]
    for what, some in (("below the threshold", calm), (OUTPUT_REASON_TEXT["rhythm"], silent)):
        if some:
            short = ", ".join(clean(label(lab.key)) for lab in some[:MAX_ROWS])
            more = f" and {len(some) - MAX_ROWS} more" if len(some) > MAX_ROWS else ""
            lines.append(f"            {what}: {short}{more}")
    return lines


def _verdict(ok: bool) -> str:
    return "ok" if ok else "EXCEEDED"


def _abstentions(s: RunSummary) -> str:
    if not s.abstentions:
        return ""
    return "; abstentions: " + ", ".join(f"{reason} {n}" for reason, n in sorted(s.abstentions.items()))
