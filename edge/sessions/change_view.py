"""The chapter of a session's page about the change against the wearer's quiet hour."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edge.baseline.words import NAMES, WHY, quantity_text, range_text
from edge.sessions.words import share_text

if TYPE_CHECKING:
    from edge.baseline.record import Quantity, QuantityChange
    from edge.sessions.chart import Chart
    from edge.sessions.curve import ChangeTrends

_POSTURE = {
    "measured": "measured on this person",
    "published": "published, for 95 % of persons",
    "unknown": "unknown, so the band has scatter alone",
}
"""Sources of the part of posture in words."""
_HEADS = ("Quantity", "Last change", "Band", "Last", "Outside")


def change_chapter(trends: ChangeTrends, chart: Chart) -> str:
    """Return the chapter as HTML."""
    if not trends.hops:
        return (
            "<p>There is no baseline: <code>anyecg baseline</code> writes one, and <code>anyecg report "
            "--baseline</code> shows the change against it.</p>"
        )
    heads = "".join(f'<th scope="col"{" class=num" if i in {1, 2, 4} else ""}>{x}</th>' for i, x in enumerate(_HEADS))
    rows = "".join(_row(trends, name, found) for name, found in trends.last.items())
    table = f'<div class="scroll"><table><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table></div>'
    figures = "".join(_figure(trends, name, chart) for name in trends.last)
    missing = _missing(trends)
    return (
        '<p class="soft">Median of five minutes less the median of the quiet hour. The band is what scatter, posture '
        f"and an error of the rate correction change alone. {_sources(trends)}</p>"
        + (table if rows else "")
        + (f"<p>Not compared:</p><ul>{missing}</ul>" if missing else "")
        + figures
    )


def _sources(trends: ChangeTrends) -> str:
    """Return where the effect of posture comes from, in a sentence."""
    names: dict[str, list[str]] = {}
    for name, found in trends.last.items():
        names.setdefault(_POSTURE[found.posture], []).append(NAMES[name][0])
    if len(names) == 1:
        return f"The effect of posture is {next(iter(names))}."
    return " ".join(f"The effect of posture on {', '.join(some)} is {source}." for source, some in names.items())


def _missing(trends: ChangeTrends) -> str:
    """Return the reasons, each once, as items of a list."""
    whole = {(reason, count) for (_name, reason), count in trends.missing.items()}
    items = []
    for reason, count in sorted(whole, key=lambda one: -one[1]):
        names = [NAMES[name][0] for name in trends.curves if trends.missing.get((name, reason)) == count]
        what = "everything" if len(names) == len(trends.curves) else ", ".join(names)
        items.append(f"<li>{what}: {WHY[reason]} ({share_text(count, trends.hops)} of the hops)</li>")
    return "".join(items)


def change_finding(trends: ChangeTrends) -> str:
    """Return what was found, for the heading."""
    if not trends.hops or not trends.last:
        return ""
    outside = [NAMES[name][0] for name in trends.last if trends.outside[name]]
    return f"{', '.join(outside)} outside of posture and motion" if outside else "Nothing outside of posture and motion"


def _row(trends: ChangeTrends, name: Quantity, found: QuantityChange) -> str:
    outside = trends.outside[name]
    share = f"in {share_text(outside, trends.counted[name])}" if outside else "never"
    flag = ' class="flag"' if found.within is False else ""
    judged = "posture unknown" if found.within is None else "within" if found.within else "outside"
    return (
        f'<tr><th scope="row">{NAMES[name][0]}</th><td class="num">{quantity_text(name, found.value)}</td>'
        f'<td class="num">{range_text(name, found.low, found.high)}</td><td{flag}>{judged}</td>'
        f'<td class="num">{share}</td></tr>'
    )


def _figure(trends: ChangeTrends, name: Quantity, chart: Chart) -> str:
    title, unit = NAMES[name]
    facts = f"change, {unit}" if unit else "change"
    svg = chart.draw(
        trends.curves[name], f"Change of {title} against the quiet hour, {unit}".rstrip(", "), limit=0.0, ends=None
    )
    return (
        f'<figure><h3>{title} <span class="soft">{facts}; band: scatter, posture and rate; dashed: quiet hour</span>'
        f"</h3>{svg}</figure>"
    )
