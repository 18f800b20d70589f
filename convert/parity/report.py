"""The parity report as a table for the terminal, as HTML with plots, and as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from convert.bundle.writer import NOTICE, to_json
from convert.pages.render import picture, render
from convert.pages.words import CUT_OFFS
from convert.parity.forms import TITLES, Link, ParityReport
from convert.parity.layers import LayerRow, short_name, worst_layers
from convert.parity.plots import FLOOR, layers_plot, lost_correlation, lost_plot, outputs_plot
from edge.bundle.words import key_words, sentence

TEMPLATE = Path(__file__).parents[1] / "pages" / "templates" / "parity.html.j2"
LAYER_HEADINGS = ["layer", "op", "SQNR dB", "own loss dB", "saturated"]


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


HEADINGS = ["link", "windows", "max", "mean", "LSB", "corr median", "corr min", "allowed", "result"]


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
        rows += [layer_cells(row) for row in worst_layers(report.layers)]
        lines += ["", *_aligned(rows)]
    return "\n".join(lines) + "\n"


def report_files(report: ParityReport) -> dict[str, bytes]:
    """Return the files of the report: ``parity.html`` and ``parity.json``."""
    return {"parity.html": html_page(report).encode(), "parity.json": to_json(report.as_json())}


def html_page(report: ParityReport) -> str:
    """Return the report as one HTML page without external files."""
    main = main_link(report)
    return render(
        TEMPLATE,
        title=finding(report),
        about=report.title,
        notice=NOTICE,
        report=report,
        titles=TITLES,
        sentence=sentence,
        links=[link_cells(link) for link in report.links],
        failed=[i for i, link in enumerate(report.links) if not link.ok],
        link_headings=HEADINGS,
        forms=[form_cells(row) for row in report.facts.get("forms") or ()],
        form_headings=FORM_HEADINGS,
        steps=[step_cells(row) for row in report.facts.get("int8 steps") or ()],
        step_headings=STEP_HEADINGS,
        facts_rows=[(str(k), _shown(v)) for k, v in report.facts.items() if k not in {"forms", "int8 steps"}],
        main=main,
        outputs=picture(outputs_plot(report.outputs, main)) if main is not None else "",
        lost=picture(lost_plot(main)) if main is not None else "",
        worst_head=worst_head(main),
        layers=picture(layers_plot(report.layers)),
        worst=[layer_cells(row) for row in worst_layers(report.layers)] if report.layers else [],
        layer_headings=LAYER_HEADINGS,
        heads=[(link, *head_table(link)) for link in report.links if link is main or link.before == "teacher"],
        cut_offs=CUT_OFFS,
    )


def finding(report: ParityReport) -> str:
    """Return the result of the report in one line."""
    bad = [link for link in report.links if not link.ok]
    if bad:
        names = f"{TITLES[bad[0].before]} and {TITLES[bad[0].after]} do not agree"
        return names if len(bad) == 1 else f"{names}, nor do {len(bad) - 1} more pairs of forms"
    if not report.ok:
        return "A layer of the quantized network is not finite"
    n = len(report.links)
    pairs = {1: "The two forms agree", 2: "Both pairs of forms agree"}.get(n, f"All {n} pairs of forms agree")
    return f"{pairs} within the limits"


def worst_head(link: Link | None) -> str:
    """Return the head that lost most correlation over a link, in words; empty without such a head."""
    lost = lost_correlation(link.heads) if link is not None and link.finite else []
    if not lost:
        return ""
    key, most = lost[0]
    if most < FLOOR:
        return "No output loses correlation"
    return f"{sentence(key_words(key))} has the lowest correlation, {1.0 - most:.4f}"


def head_table(link: Link) -> tuple[list[str], list[list[str]]]:
    """Return headings and rows of the differences of each head over a link."""
    rows = [
        [
            sentence(key_words(h.key)), number(h.max), number(h.mean), number(h.lsb, ".3g"),
            number(h.correlation, ".5f"), number(h.probability_max, ".4f"),
            number(h.probability_mean, ".4f"), h.unit or "",
        ]
        for h in link.heads
    ]  # fmt: skip
    headings = ["head", "max", "mean", "LSB", "corr", "probability max", "probability mean", "unit"]
    if not any(h.unit for h in link.heads):
        return headings[:-1], [row[:-1] for row in rows]
    return headings, rows


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


def layer_cells(row: LayerRow) -> list[str]:
    """Return the cells of a layer in the table of the worst layers."""
    shown = number(row.sqnr_db, ".1f") if row.finite else "NOT FINITE"
    return [short_name(row.name), row.op, shown, number(row.lost_db, ".1f"), f"{row.saturated:.2%}"]


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    padded = [
        [c.ljust(w) if i == 0 else c.rjust(w) for i, (c, w) in enumerate(zip(row, widths, strict=True))] for row in rows
    ]
    return ["  ".join(row).rstrip() for row in padded]


def _shown(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    return f"{value:.4g}" if isinstance(value, float) else str(value)
