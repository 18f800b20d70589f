"""The curves of fused outputs as one page of a bundle: what each measurement adds to the network, in logits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from calibration.report.text import number, signed, span
from convert.pages.render import picture, render
from convert.pages.svg import GREY, ORANGE, Plot
from edge.bundle.schema import OutputHead
from edge.bundle.words import head_words, sentence
from edge.records import NOTICE
from edge.sessions.waves_view import SHOWN

TEMPLATE = Path(__file__).parent / "templates" / "fusion.html.j2"
MEASUREMENTS: Mapping[str, tuple[str, str]] = {
    **SHOWN,
    "rr_ms": ("RR interval", "ms"),
    "p_mv": ("P amplitude", "mV"),
    "r_mv": ("R amplitude", "mV"),
}
"""Name and unit of each measurement."""
BEYOND = 0.1
"""Share of the range of the knots that is drawn beyond them, where a curve is constant."""


def fusion_page(
    outputs: Sequence[OutputHead],
    entries: Mapping[str, Mapping[str, Any]],
    said: Mapping[str, Mapping[str, Any]],
    about: str,
) -> str:
    """Return the page, self-contained: it loads nothing.

    Args:
        outputs: Outputs of the bundle.
        entries: The new entries of ``calibration.json``, by key.
        said: Report of each output, by key.
        about: The bundle and the data, in a few words.
    """
    heads, left = [], []
    for head in outputs:
        one, words = said[head.key], sentence(head_words(head))
        if "left" in one:
            left.append((words, one["left"]))
            continue
        fusion = entries[head.key]["fusion"]
        heads.append({
            "name": words,
            "plots": [picture(svg) for svg in curves(fusion)],
            "weight": number(fusion["weight"], 2),
            "finding": f"AUROC {number(one['auroc_fused'])} fused, {number(one['auroc_network'])} network alone, "
            f"difference {signed(one['difference'])} ({span(one['difference_ci'])})",
        })  # fmt: skip
    return render(
        TEMPLATE,
        title=f"{len(heads)} of {len(outputs)} outputs {'reads' if len(heads) == 1 else 'read'} the waves of the ECG",
        about=about,
        notice=NOTICE,
        heads=heads,
        left=left,
    )


def curves(fusion: Mapping[str, Any]) -> list[str]:
    """Draw the curve of each measurement; all have the same vertical axis, so that their sizes can be compared.

    Args:
        fusion: ``fusion`` of an output in ``calibration.json``.
    """
    terms = fusion["terms"]
    reach = 1.1 * max([0.1, *(abs(y) for t in terms for y in (*t["y"], t["missing"]))])
    return [_curve(term, reach) for term in terms]


def _curve(term: Mapping[str, Any], reach: float) -> str:
    name, unit = MEASUREMENTS[term["feature"]]
    x, y = term["x"], term["y"]
    margin = BEYOND * (x[-1] - x[0])
    low, high = x[0] - margin, x[-1] + margin
    alt = f"{name}: " + ", ".join(f"{v:+.2f} logits at {at:g} {unit}".rstrip() for at, v in zip(x, y, strict=True))
    plot = Plot(name, (low, high), (-reach, reach), (unit or "ratio", "logits"), alt=alt)
    plot.level(0.0, GREY).line([(low, y[0]), *zip(x, y, strict=True), (high, y[-1])])
    plot.dots(list(zip(x, y, strict=True)))
    if term["missing"]:
        plot.level(term["missing"], ORANGE, f"not measured: {term['missing']:+.2f}", dash=False)
    return plot.svg()
