"""Parts of HTML reports. Each report is one self-contained file."""

from __future__ import annotations

import html
from collections.abc import Sequence

STYLE = """
body{font:15px/1.5 system-ui,sans-serif;max-width:66em;margin:2em auto;padding:0 1em;color:#22262b}
h1{font-size:1.5em;margin-bottom:.2em}h2{font-size:1.15em;margin-top:2em;border-bottom:1px solid #ccd}
table{border-collapse:collapse;margin:.8em 0;font-size:.92em}
td,th{padding:.2em .6em;border-bottom:1px solid #e3e6ea;text-align:right;vertical-align:top}
td:first-child,th:first-child{text-align:left}th{font-weight:600}
.notice{background:#fdf1e7;border-left:5px solid #c2571a;padding:.6em 1em}
.verdict{padding:.6em 1em;border-left:5px solid #1f5fa8;background:#eef4fb}
.verdict.bad{border-color:#b00020;background:#fbecee}
.bad td:last-child,.no{color:#b00020;font-weight:600}.words td{text-align:left}
code{font-size:.88em;overflow-wrap:anywhere}
.plots{display:flex;flex-wrap:wrap;gap:6px}svg{max-width:100%;height:auto}.small{font-size:.88em;color:#555b63}
"""


def page(title: str, parts: Sequence[str]) -> str:
    """Return a complete page.

    Args:
        title: Title of the browser window.
        parts: Parts of the body, HTML.
    """
    head = f'<meta charset="utf-8"><title>{html.escape(title)}</title><style>{STYLE}</style>'
    return f'<!doctype html><html lang="en"><head>{head}</head><body>{"".join(parts)}</body></html>\n'


def escaped(text: object) -> str:
    """Return a text escaped for HTML."""
    return html.escape(str(text))


def facts_table(facts: Sequence[tuple[str, object]]) -> str:
    """Return a table of names and values, the values in a fixed-width font."""
    rows = "".join(f"<tr><td>{escaped(name)}<td><code>{escaped(value)}</code>" for name, value in facts)
    return f"<table class=words>{rows}</table>"


def table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table of texts."""
    top = "".join(f"<th>{escaped(h)}" for h in headings)
    body = "".join("<tr>" + "".join(f"<td>{escaped(cell)}" for cell in row) for row in rows)
    return f"<table><tr>{top}{body}</table>"
