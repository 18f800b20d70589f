"""The chapter of a session's page about the change against the wearer's quiet hour."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from edge.baseline.words import NAMES, WHY, judged_text, quantity_text

if TYPE_CHECKING:
    from edge.baseline.record import Quantity, QuantityChange
    from edge.sessions.chart import Chart
    from edge.sessions.curve import ChangeTrends

_POSTURE = {
    "measured": "measured on this person",
    "published": "published, for 95 % of persons",
    "unknown": "unknown: the band has scatter alone",
}
"""Sources of the part of posture in words."""


def change_chapter(trends: ChangeTrends, chart: Chart) -> str:
    """Return the chapter as HTML."""
    if not trends.hops:
        return (
            "<p>There is no baseline: <code>anyecg baseline</code> writes one, and <code>anyecg report "
            "--baseline</code> shows the change against it.</p>"
        )
    rows = "".join(_row(trends, name, found) for name, found in trends.last.items())
    figures = "".join(_figure(trends, name, chart) for name in trends.last)
    missing = "".join(
        f"<li>{NAMES[name][0]}: {WHY[reason]} ({_share(count, trends.hops)} of the hops)</li>"
        for (name, reason), count in trends.missing.most_common()
    )
    heads = "".join(
        f'<th scope="col"{" class=num" if i in {1, 2, 4} else ""}>{name}</th>'
        for i, name in enumerate(("Quantity", "Last change", "Band", "", "Outside", "Effect of posture"))
    )
    table = f'<div class="scroll"><table><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table></div>'
    return (
        '<p class="soft">Median of five minutes less the median of the quiet hour. The band is what scatter, posture '
        "and an error of the rate correction change alone.</p>"
        + (table if rows else "")
        + (f"<p>Not compared:</p><ul>{missing}</ul>" if missing else "")
        + figures
    )


def change_finding(trends: ChangeTrends) -> str:
    """Return what was found, for the heading."""
    if not trends.hops or not trends.last:
        return ""
    outside = [NAMES[name][0] for name in trends.last if trends.outside[name]]
    return f"{', '.join(outside)} outside of posture and motion" if outside else "Nothing outside of posture and motion"


def _row(trends: ChangeTrends, name: Quantity, found: QuantityChange) -> str:
    band = f"{quantity_text(name, found.low)} to {quantity_text(name, found.high)}"
    outside = trends.outside[name]
    share = f"in {_share(outside, trends.counted[name])}" if outside else "never"
    flag = ' class="flag"' if found.within is False else ""
    return (
        f'<tr><th scope="row">{NAMES[name][0]}</th><td class="num">{quantity_text(name, found.value)}</td>'
        f'<td class="num">{band}</td><td{flag}>{escape(judged_text(found))}</td>'
        f'<td class="num">{share}</td><td>{_POSTURE[found.posture]}</td></tr>'
    )


def _figure(trends: ChangeTrends, name: Quantity, chart: Chart) -> str:
    title, unit = NAMES[name]
    facts = f"change, {unit}" if unit else "change"
    svg = chart.draw(trends.curves[name], f"Change of {title} against the quiet hour, {unit}", limit=0.0, ends=None)
    return (
        f'<figure><h3>{title} <span class="soft">{facts}; band: scatter, posture and rate; dashed: quiet hour</span>'
        f"</h3>{svg}</figure>"
    )


def _share(count: int, whole: int) -> str:
    return "all" if count == whole else f"{max(100 * count / whole, 1):.0f} %"
