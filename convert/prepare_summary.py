"""What was prepared, for people: a table, and plots. ``summary.json`` has the same for machines."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from convert.prepare_sources import PARTS
from firmware_bridge.errors import OutputError

SUMMARY = "summary.json"


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
        (out / SUMMARY).write_text(json.dumps(summary_of(manifest), indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        raise OutputError(
            f"cannot write {out / SUMMARY}: {error.strerror}", "free some space and start again"
        ) from error
