"""The parity report as a table for the terminal, as HTML with plots, and as JSON."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from typing import Any

from convert.bundle.writer import NOTICE, to_json
from convert.parity.forms import TITLES, Link, ParityReport
from convert.parity.layers import LayerRow, short_name, worst_layers
from convert.parity.plots import plots

_STYLE = (
    "body{font:15px/1.5 system-ui,sans-serif;max-width:70em;margin:2em auto;padding:0 1em;color:#1a1a1a}"
    "table{border-collapse:collapse;margin:1em 0}"
    "td,th{padding:.25em .7em;border-bottom:1px solid #ddd;text-align:right}"
    "td:first-child,th:first-child{text-align:left}.bad{color:#b00020;font-weight:600}img{max-width:100%}"
)


def number(value: float | None, form: str = ".2e") -> str:
    """Format a number; a dash for ``None``."""
    return "-" if value is None else format(value, form)


def link_cells(link: Link) -> list[str]:
    """Return the cells of a link in the table."""
    return [
        f"{TITLES[link.before]} - {TITLES[link.after]}",
        str(link.windows),
        number(link.max),
        number(link.mean),
        number(link.lsb, ".3g"),
        number(link.correlation_median, ".5f"),
        number(link.correlation_min, ".5f"),
        link.limit or "-",
        "ok" if link.ok else "NOT FINITE" if not link.finite else "FAILED",
    ]


HEADINGS = ["link", "windows", "max", "mean", "LSB", "corr median", "corr min", "allowed", ""]


def text_table(report: ParityReport) -> str:
    """Return the links and the worst layers as lines for a terminal."""
    lines = _aligned([HEADINGS, *[link_cells(link) for link in report.links]])
    lines += [f"{what}: not run, {why}" for what, why in report.not_run.items()]
    if forms := report.facts.get("forms"):
        lines += ["", *_aligned([FORM_HEADINGS, *map(form_cells, forms)])]
    if steps := report.facts.get("int8 steps"):
        lines += ["", *_aligned([STEP_HEADINGS, *map(step_cells, steps)])]
    if values := value_rows(report):
        lines += ["", *_aligned([["values", "max", "mean", "corr"], *values])]
    if report.layers:
        rows = [["worst layers", "op", "SQNR dB", "own loss dB", "saturated"]]
        rows += [_layer_cells(row) for row in worst_layers(report.layers)]
        lines += ["", *_aligned(rows)]
    return "\n".join(lines) + "\n"


def report_files(report: ParityReport) -> dict[str, bytes]:
    """Return the files of the report: ``parity.html`` and ``parity.json``."""
    return {"parity.html": html_page(report).encode(), "parity.json": to_json(report.as_json())}


def html_page(report: ParityReport) -> str:
    """Return the report as one HTML page without external files."""
    body = [f"<h1>{html.escape(report.title)}</h1>", f"<p>{html.escape(NOTICE)}</p>"]
    verdict = "Every link holds." if report.ok else "<span class=bad>At least one link does not hold.</span>"
    body.append(f"<p>{verdict}</p><h2>Links</h2>")
    body.append(_table(HEADINGS, [link_cells(link) for link in report.links]))
    body += [f"<p>{html.escape(str(k))}: not run, {html.escape(why)}</p>" for k, why in report.not_run.items()]
    if forms := report.facts.get("forms"):
        body.append("<h2>Forms</h2>" + _table(FORM_HEADINGS, [form_cells(row) for row in forms]))
    if steps := report.facts.get("int8 steps"):
        body.append("<h2>Steps of full int8</h2>" + _table(STEP_HEADINGS, [step_cells(row) for row in steps]))
    if report.facts:
        rows = [[str(k), _shown(v)] for k, v in report.facts.items() if k not in {"forms", "int8 steps"}]
        body.append("<h2>Facts</h2>" + _table(["what", ""], rows))
    body += [f'<img alt="{alt}" src="data:image/png;base64,{data}">' for alt, data in plots(report, main_link(report))]
    if report.layers:
        rows = [_layer_cells(row) for row in worst_layers(report.layers)]
        body.append("<h2>Worst layers</h2>" + _table(["layer", "op", "SQNR dB", "own loss dB", "saturated"], rows))
    main = main_link(report)
    for link in report.links:
        if link is main or link.before == "teacher":
            body.append(f"<h2>Heads: {TITLES[link.before]} - {TITLES[link.after]}</h2>" + _heads(link))
    page = "\n".join(body)
    head = f'<meta charset="utf-8"><title>parity</title><style>{_STYLE}</style>'
    return f'<!doctype html><html lang="en">{head}{page}</html>\n'


def _heads(link: Link) -> str:
    rows = [
        [
            h.key, number(h.max), number(h.mean), number(h.lsb, ".3g"), number(h.correlation, ".5f"),
            number(h.probability_max, ".4f"), number(h.probability_mean, ".4f"), h.unit or "",
        ]
        for h in link.heads
    ]  # fmt: skip
    headings = ["head", "max", "mean", "LSB", "corr", "probability max", "probability mean", "unit"]
    if not any(h.unit for h in link.heads):
        headings, rows = headings[:-1], [row[:-1] for row in rows]
    return _table(headings, rows)


def value_rows(report: ParityReport) -> list[list[str]]:
    """Return the differences that quantization causes in value heads, in their units; no rows without such heads."""
    link = main_link(report)
    return [
        [f"{h.key}, {h.unit}", number(h.max, ".3g"), number(h.mean, ".3g"), number(h.correlation, ".5f")]
        for h in (link.heads if link is not None else ())
        if h.unit
    ]


FORM_HEADINGS = ["form", "gate", "MB", "ms", "x float32", "corr median", "corr min", "head"]


def form_cells(row: Mapping[str, Any]) -> list[str]:
    """Return the cells of a form of the model; see :class:`convert.foundation.records.FormRow`."""
    return [
        row["form"],
        row["gate"],
        f"{row['bytes'] / 1e6:.1f}",
        f"{row['ms']:.1f}",
        f"{row['times_float32']:.2f}",
        number(row["correlation_median"], ".4f"),
        number(row["correlation_min"], ".4f"),
        row["worst_head"] or "-",
    ]


STEP_HEADINGS = ["full int8, step", "corr median", "corr min", "noise to signal"]


def step_cells(row: Mapping[str, Any]) -> list[str]:
    """Return the cells of a step of full int8; see :class:`convert.quantization.records.StepRow`."""
    return [
        row["step"],
        number(row["correlation_median"], ".4f"),
        number(row["correlation_min"], ".4f"),
        number(row["noise_to_signal"], ".4f"),
    ]


def link_table(report: ParityReport) -> list[str]:
    """Return the links as lines of a Markdown table, for a model card."""
    lines = ["| link | windows | max | mean | correlation, median | minimum |", "|---|---|---|---|---|---|"]
    for link in report.links:
        numbers = [link.max, link.mean, link.correlation_median, link.correlation_min]
        shown = " | ".join(number(n, ".5f") for n in numbers)
        lines.append(f"| {TITLES[link.before]} - {TITLES[link.after]} | {link.windows} | {shown} |")
    return lines


def main_link(report: ParityReport) -> Link | None:
    """Return the link from float to the form of the bundle, else the last link."""
    for link in report.links:
        if link.before == "float" or (link.before, link.after) == ("student", "quantized"):
            return link
    return report.links[-1] if report.links else None


def _layer_cells(row: LayerRow) -> list[str]:
    shown = number(row.sqnr_db, ".1f") if row.finite else "NOT FINITE"
    return [short_name(row.name), row.op, shown, number(row.lost_db, ".1f"), f"{row.saturated:.2%}"]


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    padded = [
        [c.ljust(w) if i == 0 else c.rjust(w) for i, (c, w) in enumerate(zip(row, widths, strict=True))] for row in rows
    ]
    return ["  ".join(row).rstrip() for row in padded]


def _table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    head = "".join(f"<th>{html.escape(h)}</th>" for h in headings)
    body = "".join("<tr>" + "".join(f"<td>{html.escape(c)}</td>" for c in row) + "</tr>" for row in rows)
    return f"<table><tr>{head}</tr>{body}</table>"


def _shown(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    return f"{value:.4g}" if isinstance(value, float) else str(value)
