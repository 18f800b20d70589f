"""The start of a run that compares its windows with a baseline, for the command and for programs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from edge.baseline.file import applied, load_baseline
from edge.baseline.trend import Trend
from edge.baseline.words import start_notes
from edge.baseline.worn import of_source

if TYPE_CHECKING:
    from edge.records import Applied
    from edge.sources import SourceInfo


def compared(info: SourceInfo, path: Path, out: dict[str, Applied]) -> tuple[Trend, list[str]]:
    """Return what compares the windows of one run with a baseline, and notes for its start.

    Args:
        info: What is known about the source.
        path: File of the baseline.
        out: The files that are applied, by kind; the baseline is added. A device profile must already be there.

    Raises:
        UsageError: The file is not a baseline.
    """
    baseline = load_baseline(path)
    device, lead = of_source(info)
    trend = Trend(baseline, device, lead, out)
    out["baseline"] = applied(baseline, path)
    return trend, start_notes(baseline, trend.foreign)
