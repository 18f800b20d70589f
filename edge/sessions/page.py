"""The page of a session: what was found first, then its course, the ECG, gaps, events, and how it was made."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from html import escape
from pathlib import Path

from edge.bundle.words import sentence, shown_unit
from edge.explain.record import flag_because
from edge.records import NOTICE
from edge.sessions import chart as charts
from edge.sessions.change_view import change_chapter, change_finding
from edge.sessions.chart import Chart
from edge.sessions.ecg_view import EcgView
from edge.sessions.folder import SessionFolder
from edge.sessions.trends import HeadTrend, Trends
from edge.sessions.waves_view import waves_chapter
from edge.sessions.words import length_text, share_text
from edge.sinks.live.layout import network_text, number, with_unit
from edge.sinks.live.state import OUTPUT_REASON_TEXT, REASON_TEXT
from firmware_bridge.reading import resolved
from firmware_bridge.text import printable, shortened

MAX_EVENTS = 200
"""Most events on the page, the newest; events.jsonl has all."""
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'"
_CHAPTERS = (
    ("found", "What was found"),
    ("course", "Course of each output"),
    ("rate", "Heart rate and quality"),
    ("waves", "Rhythm and waves"),
    ("change", "Change against the quiet hour"),
    ("ecg-part", "ECG"),
    ("gaps", "Time without an estimate"),
    ("events", "Events of the link"),
    ("made", "How it was made"),
)


def session_page(session: SessionFolder, trends: Trends, view: EcgView | None) -> str:
    """Return the page, self-contained: it loads nothing.

    Args:
        session: The session.
        trends: Its course.
        view: Its ECG; ``None`` without a raw recording.
    """
    starts = {run.number: run.start_unix_s for run in session.runs}
    shades = [(starts[s.run] + s.start_s, starts[s.run] + s.end_s) for s in trends.abstained if s.run in starts]
    chart = Chart(trends, shades)
    title, events = _title(session, trends), list(session.events())
    contents = "".join(f'<li><a href="#{key}">{name}</a></li>' for key, name in _CHAPTERS)
    body = [
        f"<h1>{escape(title)}</h1>{_lead(session, trends)}",
        f'<p class="notice">{escape(NOTICE)}</p><nav aria-label="Contents"><ul>{contents}</ul></nav>',
        _chapter("found", _found(trends), _flags(trends)),
        _chapter("course", _courses(trends, chart)),
        _chapter("rate", _rate(trends, chart)),
        _chapter("waves", waves_chapter(trends.waves, chart)),
        _chapter("change", change_chapter(trends.changes, chart), change_finding(trends.changes)),
        _chapter("ecg-part", _ecg(trends, view)),
        _chapter("gaps", _gaps(session, trends, view), _missing(trends)),
        _chapter("events", _events(events), _happened(len(events))),
        _chapter("made", _made(session, trends)),
    ]
    folder = Path(__file__).parent
    style, own, script = (
        (folder / name).read_text(encoding="utf-8") for name in ("look.css", "report.css", "report.js")
    )
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="color-scheme" '
        f'content="light dark"><title>{escape(title)}</title><style>{style}{own}</style></head>\n<body><main>'
        f"{''.join(body)}</main>\n{_data(trends, view)}<script>{script}</script></body></html>\n"
    )


def _chapter(key: str, content: str, finding: str = "") -> str:
    """Return a chapter whose heading says what was found, where there is a finding."""
    name = dict(_CHAPTERS)[key]
    heading = f'<span class="topic">{name}</span> {escape(finding)}' if finding else name
    return f'<section aria-labelledby="{key}"><h2 id="{key}">{heading}</h2>{content}</section>\n'


def _flags(trends: Trends) -> str:
    if not trends.heads:
        return ""
    flagged = len(_ordered(trends, flagged=True))
    return f"{flagged or 'None'} of {len(trends.heads)} outputs {'was' if flagged < 2 else 'were'} flagged"


def _missing(trends: Trends) -> str:
    seconds = sum(span.end_s - span.start_s for span in trends.abstained)
    return f"No estimate for {length_text(seconds)} in all" if seconds else ""


def _happened(events: int) -> str:
    return f"{events} {'event' if events == 1 else 'events'} of the link" if events else ""


def _title(session: SessionFolder, trends: Trends) -> str:
    name = printable(resolved(session.path).name)
    flagged = _ordered(trends, flagged=True)
    if not trends.estimates:
        return f"{name}: no estimate"
    if not flagged:
        return f"{name}: nothing flagged in {trends.estimates} estimates"
    more = f" and {len(flagged) - 2} more" if len(flagged) > 2 else ""
    what = ", ".join(f"{head.means} flagged in {share_text(head.flagged, head.hops)}" for head in flagged[:2])
    return f"{name}: {what}{more} of {trends.estimates} estimates"


def _lead(session: SessionFolder, trends: Trends) -> str:
    length = length_text(trends.end_unix_s - trends.start_unix_s)
    runs = "" if len(session.runs) == 1 else f", in {len(session.runs)} runs"
    unsure = "" if all(run.synced for run in session.runs) else " The clock was not synchronised: dates may be wrong."
    return (
        f"<p>{escape(printable(session.device))}, {_clock(trends.start_unix_s)} UTC, {length}{runs}. "
        f"{trends.estimates} estimates in {trends.hops} hops. All times are UTC.{unsure}</p>"
    )


def _clock(unix_s: float) -> str:
    return f"{datetime.fromtimestamp(unix_s, UTC):%Y-%m-%d %H:%M:%S}"


def _ordered(trends: Trends, *, flagged: bool | None = None) -> list[HeadTrend]:
    """Return the outputs, flagged ones first, the longest flagged at the top."""
    heads = sorted(trends.heads.values(), key=lambda head: -head.flagged)
    return [head for head in heads if flagged is None or bool(head.flagged) == flagged]


def _found(trends: Trends) -> str:
    if not trends.heads:
        return "<p>There is no estimate in this session.</p>"
    rows = []
    for head in _ordered(trends):
        lab = head.last
        interval = "-" if lab.interval is None else " to ".join(number(bound, lab.unit) for bound in lab.interval)
        flag = _flagged(head)
        limit = "-" if lab.threshold is None else with_unit(lab.threshold, lab.unit)
        network = f'<br><span class="soft">network alone {escape(network_text(lab))}</span>' if lab.network else ""
        cells = f'<td class="num">{escape(with_unit(lab.value, lab.unit))}{network}</td>'
        cells += "".join(f'<td class="num">{escape(text)}</td>' for text in (interval, limit))
        mark = ' class="flag"' if head.flagged else ""
        why = "" if head.reasons is None else f'<br><span class="soft">{escape(flag_because(head.reasons))}</span>'
        rows.append(
            f'<tr><th scope="row">{escape(sentence(head.means))}{why}</th><td{mark}>{flag}</td>{cells}'
            f"<td>{escape(lab.tier)}</td></tr>"
        )
    # A phone shows the first columns; the others are reached by scrolling.
    return (
        '<p class="soft">The last estimate of each output, and in how many of its estimates it was flagged. A flag is '
        "raised where the value reaches the threshold of the bundle; with limited evidence it is not judged. Evidence "
        "says how well the output did in the validation of the bundle.</p>"
        + _table(("Output", "Flagged", "Last estimate", "Interval", "Threshold", "Evidence"), rows, (2, 3, 4))
    )


def _flagged(head: HeadTrend) -> str:
    silent = f"; {OUTPUT_REASON_TEXT['rhythm']} in {head.silent} of {head.silent + head.hops}" if head.silent else ""
    return _judged(head) + silent


def _judged(head: HeadTrend) -> str:
    if head.flagged:
        return f"in {share_text(head.flagged, head.hops)}"
    if head.last.threshold is None:
        return "no threshold"
    return "not judged" if head.last.tier == "limited" else "never"


def _table(heads: Sequence[str], rows: Sequence[str], right: Sequence[int] = ()) -> str:
    top = "".join(f'<th scope="col"{" class=num" if i in right else ""}>{name}</th>' for i, name in enumerate(heads))
    return f'<div class="scroll"><table><thead><tr>{top}</tr></thead><tbody>{"".join(rows)}</tbody></table></div>'


def _courses(trends: Trends, chart: Chart) -> str:
    figures = []
    for head in _ordered(trends):
        lab = head.last
        name, percent = head.means, lab.unit == "1"
        unit = "probability, %" if percent else shown_unit(lab.unit)
        limit = "" if lab.threshold is None else f"threshold {with_unit(lab.threshold, lab.unit)}"
        facts = ", ".join(filter(None, (unit, limit)))
        last = f"last estimate {with_unit(lab.value, lab.unit)}"
        alt = f"Course of {', '.join(filter(None, (name, unit)))}; {', '.join(filter(None, (last, limit)))}"
        svg = chart.draw(
            head.curve,
            alt,
            scale=100.0 if percent else 1.0,
            limit=lab.threshold,
            ends=(0.0, _top(head)) if percent else None,
        )
        heading = f'<h3>{escape(sentence(name))} <span class="soft">{escape(facts)}</span></h3>'
        figures.append(f"<figure>{heading}{svg}</figure>")
    return (
        '<p class="soft">Line: mean of the estimates; band: their interval; dashed: threshold; grey: no estimate. '
        "Click into a chart to see the ECG of that moment.</p>" + "".join(figures)
    )


def _top(head: HeadTrend) -> float:
    """Return the end of the axis of a probability: room for the interval and the threshold, and no more."""
    values = [high for run in head.curve.runs() for _step, _mean, _low, high in run]
    return min(1.0, max(1.2 * max([*values, head.last.threshold or 0.0]), 0.01))


def _rate(trends: Trends, chart: Chart) -> str:
    rate = chart.draw(trends.rate, "Heart rate, beats per minute", ends=None)
    quality = chart.draw(trends.quality, "Signal quality from 0, useless, to 1, clean", ends=(0.0, 1.0))
    return (
        f'<figure><h3>Heart rate <span class="soft">beats per minute</span></h3>{rate}</figure>'
        f'<figure><h3>Signal quality <span class="soft">0 useless, 1 clean</span></h3>{quality}</figure>'
    )


def _ecg(trends: Trends, view: EcgView | None) -> str:
    if view is None or not view.pieces:
        return "<p>There is no ECG in this session: it was run without <code>--record</code>.</p>"
    at = trends.last
    left_out = f" The oldest {length_text(view.left_out_s)} are left out." if view.left_out_s else ""
    unit = "mV" if view.unit == "mV" else "counts of the device, whose scale is unknown"
    alt = "Ten seconds of ECG" + (f" at the last estimate, {at.time}" if at is not None else "")
    buttons = "".join(
        f'<button type="button" data-by="{by}">{text}</button>'
        for by, text in ((-60, "- 1 min"), (-10, "- 10 s"), (10, "+ 10 s"), (60, "+ 1 min"))
    )
    return (
        f'<figure><svg id="ecg" viewBox="0 0 1000 260" role="img" aria-label="{escape(alt)}">'
        f"{_strip(view, trends)}</svg>"
        f'<div id="ecg-bar" class="controls js">{buttons}<input id="ecg-at" type="range" '
        'aria-label="Time of the ECG"><output id="ecg-time" for="ecg-at"></output></div>'
        f'<figcaption class="soft">Ten seconds, {unit}, about {round(view.pieces[0].fs_hz)} samples per second; '
        f"triangles: R peaks. For viewing only: <code>anyecg export</code> writes every sample.{left_out}"
        "</figcaption></figure>"
    )


def _strip(view: EcgView, trends: Trends) -> str:
    found = view.strip(trends.end_unix_s)
    if found is None or not len(found[2]):
        return ""
    _start, fs_hz, values = found
    low, high = float(values.min()), float(values.max())
    spread = max(high - low, 1e-6)
    points = " ".join(
        f"{46 + i / fs_hz / 10 * 948:.1f},{236 - (value - low) / spread * 220:.1f}" for i, value in enumerate(values)
    )
    return f'<polyline class="line" points="{points}"/>'


def _gaps(session: SessionFolder, trends: Trends, view: EcgView | None) -> str:
    lengths: dict[str, float] = {}
    counts: Counter[str] = Counter()
    for span in trends.abstained:
        lengths[span.reason] = lengths.get(span.reason, 0.0) + span.end_s - span.start_s
        counts[span.reason] += 1
    rows = [
        f'<tr><th scope="row">{escape(reason.replace("_", " "))}</th><td>{escape(_reason(reason))}</td>'
        f'<td class="num">{counts[reason]}</td><td class="num">{length_text(length)}</td></tr>'
        for reason, length in sorted(lengths.items(), key=lambda one: -one[1])
    ]
    missing = sum(gap.end_s - gap.start_s for gap in view.gaps) if view is not None else 0.0
    gaps = "" if view is None else f"<p>{len(view.gaps)} gaps in the ECG, {length_text(missing)} in all.</p>"
    flags = ", ".join(f"{escape(printable(flag))} ({n})" for flag, n in trends.flags.most_common(12))
    table = _table(("Reason", "Meaning", "Times", "Together"), rows, (2, 3)) if rows else "<p>None.</p>"
    damage = "".join(f"<li>{escape(printable(text))}</li>" for text in session.damage)
    gaps += f"<p>Damaged files:</p><ul>{damage}</ul>" if damage else ""
    return f"{table}{gaps}" + (f'<p class="soft">Findings of the quality gate, in hops: {flags}.</p>' if flags else "")


def _reason(reason: str) -> str:
    return {str(key): text for key, text in REASON_TEXT.items()}.get(reason, "")


def _events(events: Sequence[Mapping[str, object]]) -> str:
    rows = []
    for event in events[-MAX_EVENTS:]:
        detail = shortened(printable(str(event.get("detail", ""))), 300)
        rows.append(
            f"<tr><td>{escape(printable(str(event.get('time', '')))[:19].replace('T', ' '))}</td>"
            f"<td>{escape(printable(str(event.get('kind', ''))))}</td><td>{escape(detail)}</td></tr>"
        )
    more = f'<p class="soft">The newest {MAX_EVENTS} of {len(events)}.</p>' if len(events) > MAX_EVENTS else ""
    return (_table(("Time", "Event", "Detail"), rows) if rows else "<p>None.</p>") + more


def _made(session: SessionFolder, trends: Trends) -> str:
    bundle = session.about.get("bundle")
    versions = session.about.get("versions")
    facts: list[tuple[str, object]] = [
        ("Session", resolved(session.path)),
        ("Source", session.about.get("device_url")),
        ("Bundle", session.bundle),
        ("SHA-256 of the bundle", bundle.get("sha256") if isinstance(bundle, Mapping) else None),
        *((f"Applied: {kind.replace('_', ' ')}", what) for kind, what in trends.applied.items()),
        *((f"Run {run.number}", f"{run.session}, from {_clock(run.start_unix_s)} UTC") for run in session.runs),
        *(versions.items() if isinstance(versions, Mapping) else ()),
    ]
    rows = [
        f'<tr><th scope="row">{escape(printable(str(name)))}</th>'
        f"<td><code>{escape(printable(str(value)))}</code></td></tr>"
        for name, value in facts
        if value is not None
    ]
    return _table(("What", "Value"), rows)


def _data(trends: Trends, view: EcgView | None) -> str:
    pieces = [] if view is None else [piece.as_list() for piece in view.pieces]
    at = trends.end_unix_s - 10.0
    facts = {
        "start": trends.start_unix_s, "end": max(trends.end_unix_s, trends.start_unix_s + 1.0), "at": at,
        "mv": view is not None and view.unit == "mV",
        "width": charts.WIDTH, "left": charts.LEFT, "right": charts.RIGHT,
    }  # fmt: skip
    return "".join(
        f'<script type="application/json" id="{key}">{json.dumps(value, separators=(",", ":"))}</script>\n'
        for key, value in (("facts", facts), ("ecg-data", pieces))
    )
