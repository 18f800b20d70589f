"""What was prepared, for people: a table, and plots. ``summary.json`` has the same for machines."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from convert.prepare.sources import PARTS
from firmware_bridge.errors import OutputError

SUMMARY = "summary.json"
PLOTS = "plots"

SHOWN_HEADS = 60
"""Heads in the plot of prevalences: more cannot be read."""

_COLOURS = {"train": "#4477aa", "val": "#ccbb44", "test": "#ee6677"}
"""Told apart by the colour-blind too (Paul Tol, bright)."""


def summary_of(manifest: dict[str, Any]) -> dict[str, Any]:
    """The figures of the summary, without the shards."""
    heads = [
        {
            "key": head["key"],
            "kept": head["kept"],
            "dropped": head["dropped"],
            **{part: head["counts"][part] | {"prevalence": _share(head, part)} for part in PARTS},
        }
        for head in manifest["heads"]
    ]
    names = (
        "source",
        "simulated",
        "segments",
        "patients",
        "excluded_segments",
        "excluded_visits",
        "lab_rows",
        "broken",
    )
    return {name: manifest[name] for name in names} | {"heads": heads}


def _share(head: dict[str, Any], part: str) -> float | None:
    counts = head["counts"][part]
    if head["kind"] == "value" or not counts["segments"]:
        return None
    return float(counts["positive_segments"] / counts["segments"])


def as_text(manifest: dict[str, Any], out: Path) -> str:
    """The table for the terminal."""
    lines = [f"{out}: {manifest['source']}{', simulated' if manifest['simulated'] else ''}"]
    for what in ("segments", "patients"):
        total = manifest[what]
        lines.append(f"{what:9} {sum(total.values()):>9}   " + ", ".join(f"{part} {total[part]}" for part in PARTS))
    kept = [h for h in manifest["heads"] if h["kept"]]
    lines += ["", f"{'head':32} {'segments':>9} {'patients':>9} {'results':>8} {'positive':>9}"]
    for head in kept:
        sums = {k: sum(head["counts"][part][k] for part in PARTS) for k in head["counts"]["train"]}
        share = "" if head["kind"] == "value" else f"{100 * sums['positive_segments'] / max(1, sums['segments']):.1f} %"
        lines.append(
            f"{head['key']:32} {sums['segments']:>9} {sums['patients']:>9} {sums['results']:>8} {share:>9}".rstrip()
        )
    lines.append(f"{len(kept)} heads; {len(manifest['heads']) - len(kept)} have too few results and are left out")
    for title, counts in (
        ("segments left out", manifest["excluded_segments"]),
        ("visits left out", manifest["excluded_visits"]),
        ("laboratory rows left out", manifest["lab_rows"]["excluded"]),
        ("laboratory rows used, but", manifest["lab_rows"]["notes"]),
    ):
        if counts:
            lines += ["", title, *(f"  {reason:30} {n:>9}" for reason, n in counts.items())]
    return "\n".join(lines) + "\n"


def write_summary(out: Path, manifest: dict[str, Any]) -> None:
    """Writes ``summary.json`` and the plots.

    Raises:
        OutputError: The folder cannot be written.
    """
    try:
        _plots(out / PLOTS, manifest)
        (out / SUMMARY).write_text(json.dumps(summary_of(manifest), indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        raise OutputError(
            f"cannot write {out / SUMMARY}: {error.strerror}", "free some space and start again"
        ) from error


def _plots(folder: Path, manifest: dict[str, Any]) -> None:
    """Prevalence of every head by part, and what was left out, as SVG; the same numbers give the same bytes."""
    import matplotlib as mpl

    folder.mkdir(exist_ok=True)
    with mpl.rc_context({"svg.hashsalt": "anyecg", "font.size": 8}):
        heads = [h for h in manifest["heads"] if h["kept"] and h["kind"] == "probability"]
        heads.sort(key=lambda h: (h["horizon_min"] or 0, -(_share(h, "train") or 0.0)))
        for i in range(0, max(1, len(heads)), SHOWN_HEADS):
            name = f"prevalence-{i // SHOWN_HEADS + 1}.svg"
            _save(_prevalence(heads[i : i + SHOWN_HEADS]), folder / name)
        _save(_left_out(manifest), folder / "left-out.svg")


def _save(figure: Any, path: Path) -> None:
    figure.savefig(path, metadata={"Date": None}, bbox_inches="tight")


def _prevalence(heads: list[dict[str, Any]]) -> Any:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.0, 1.2 + 0.17 * len(heads)))
    axes = figure.subplots()
    for k, part in enumerate(PARTS):
        shares = [100.0 * (_share(h, part) or 0.0) for h in heads]
        known = [j for j, h in enumerate(heads) if h["counts"][part]["segments"]]
        places = [j + 0.25 * (k - 1) for j in known]
        axes.plot(
            [shares[j] for j in known],
            places,
            "os^"[k],
            color=_COLOURS[part],
            markersize=3.5,
            label=part,
            clip_on=False,
        )
    axes.set_yticks(range(len(heads)), [h["key"] for h in heads])
    axes.set_ylim(len(heads) - 0.4, -0.6)
    axes.set_xlim(0.0, None)
    axes.set_xlabel("abnormal among labelled segments, %")
    axes.grid(visible=True, axis="x", alpha=0.3)
    axes.legend(loc="lower right", ncols=3, frameon=False, bbox_to_anchor=(1.0, 1.0))
    return figure


def _left_out(manifest: dict[str, Any]) -> Any:
    from matplotlib.figure import Figure

    groups = {
        "segments": {"kept": sum(manifest["segments"].values()), **manifest["excluded_segments"]},
        "visits": manifest["excluded_visits"],
        "lab rows": {"used": manifest["lab_rows"]["used"], **manifest["lab_rows"]["excluded"]},
    }
    good = {"kept", "used"}
    rows = [(f"{group}: {reason}", n, reason in good) for group, c in groups.items() for reason, n in c.items()]
    figure = Figure(figsize=(7.0, 0.8 + 0.24 * len(rows)))
    axes = figure.subplots()
    axes.barh(range(len(rows)), [n for _, n, _ in rows], color=["#4477aa" if kept else "#bbbbbb" for *_, kept in rows])
    for j, (_, n, _) in enumerate(rows):
        axes.annotate(f" {n}", (n, j), va="center")
    axes.set_yticks(range(len(rows)), [name for name, _, _ in rows])
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.set_xscale("symlog", linthresh=10)
    axes.margins(x=0.12)
    axes.set_xlabel("how many (logarithmic above 10)")
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    return figure
