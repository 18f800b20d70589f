"""Summary of a prepared data set: a table for the terminal, ``summary.json`` and plots."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from convert.datasets.mcmed import Part
from convert.prepare.records import (
    HeadSummary,
    Manifest,
    ManifestHead,
    PartCounts,
    PartSummary,
    Summary,
    json_text,
)
from convert.prepare.sources import PARTS
from edge.process.files import output_error, write_atomically

SUMMARY = "summary.json"
PLOTS = "plots"
FREE_DISK = "free some space and run the command again"

SHOWN_HEADS = 60
"""Maximum number of heads in one plot of prevalences; more would not be readable."""

_COLOURS = {"train": "#4477aa", "val": "#ccbb44", "test": "#ee6677"}
"""Colours that colour-blind readers can tell apart (Paul Tol, bright)."""


def summary_of(manifest: Manifest) -> Summary:
    """Return the figures of the manifest, without the shards."""
    return {
        "source": manifest["source"],
        "simulated": manifest["simulated"],
        "segments": manifest["segments"],
        "patients": manifest["patients"],
        "visits": manifest["visits"],
        "recordings": manifest["recordings"],
        "excluded_segments": manifest["excluded_segments"],
        "excluded_visits": manifest["excluded_visits"],
        "lab_rows": manifest["lab_rows"],
        "broken": manifest["broken"],
        "heads": [_head_summary(head) for head in manifest["heads"]],
    }


def _head_summary(head: ManifestHead) -> HeadSummary:
    return {
        "key": head["key"],
        "kept": head["kept"],
        "dropped": head["dropped"],
        "train": _part_summary(head, "train"),
        "val": _part_summary(head, "val"),
        "test": _part_summary(head, "test"),
    }


def _part_summary(head: ManifestHead, part: Part) -> PartSummary:
    return {**head["counts"][part], "prevalence": _share(head, part)}


def _share(head: ManifestHead, part: Part) -> float | None:
    counts = head["counts"][part]
    if head["kind"] == "value" or not counts["segments"]:
        return None
    return float(counts["positive_segments"] / counts["segments"])


def as_text(manifest: Manifest, out: Path) -> str:
    """Return the table for the terminal."""
    lines = [f"{out}: {manifest['source']}{', simulated' if manifest['simulated'] else ''}"]
    counts_of: dict[str, PartCounts] = {
        "segments": manifest["segments"], "recordings": manifest["recordings"], "visits": manifest["visits"],
        "patients": manifest["patients"],
    }  # fmt: skip
    for what, total in counts_of.items():
        lines.append(f"{what:10} {sum(total.values()):>9}   " + ", ".join(f"{part} {total[part]}" for part in PARTS))
    kept = [h for h in manifest["heads"] if h["kept"]]
    lines += ["", f"{'head':32} {'segments':>9} {'patients':>9} {'results':>8} {'positive':>9}"]
    for head in kept:
        counts = [head["counts"][part] for part in PARTS]
        segments = sum(c["segments"] for c in counts)
        patients, results = sum(c["patients"] for c in counts), sum(c["results"] for c in counts)
        positive = sum(c["positive_segments"] for c in counts)
        share = "" if head["kind"] == "value" else f"{100 * positive / max(1, segments):.1f} %"
        lines.append(f"{head['key']:32} {segments:>9} {patients:>9} {results:>8} {share:>9}".rstrip())
    lines.append(f"{len(kept)} heads; {len(manifest['heads']) - len(kept)} have too few results and are left out")
    for title, reasons in (
        ("segments left out", manifest["excluded_segments"]),
        ("visits left out", manifest["excluded_visits"]),
        ("laboratory rows left out", manifest["lab_rows"]["excluded"]),
        ("laboratory rows used, but", manifest["lab_rows"]["notes"]),
    ):
        if reasons:
            lines += ["", title, *(f"  {reason:30} {n:>9}" for reason, n in reasons.items())]
    return "\n".join(lines) + "\n"


def write_summary(out: Path, manifest: Manifest) -> None:
    """Write ``summary.json`` and the plots.

    Raises:
        OutputError: The folder cannot be written.
    """
    try:
        _plots(out / PLOTS, manifest)
    except OSError as error:
        raise output_error(out / PLOTS, error, FREE_DISK) from error
    write_atomically(out / SUMMARY, json_text(summary_of(manifest)), advice=FREE_DISK)


def _plots(folder: Path, manifest: Manifest) -> None:
    """Plot the prevalence of every head by part, and what was left out, as SVG; equal numbers give equal bytes."""
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


def _prevalence(heads: list[ManifestHead]) -> Any:
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


def _left_out(manifest: Manifest) -> Any:
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
