"""What a session folder holds, read with the kit's own readers."""

from __future__ import annotations

import json
from pathlib import Path

from edge.store import EstimateReader


def estimate_lines(folder: Path) -> list[str]:
    """Every estimate in a session folder, as the line of JSON that the run made."""
    return list(EstimateReader(folder).lines()) if any(folder.glob("estimates*")) else []


def comparable(line: str) -> dict[str, object]:
    """An estimate without what may differ in a replay."""
    made = json.loads(line)
    return {key: value for key, value in made.items() if key not in {"time", "latency_ms", "clock_synced"}}


def raw_recordings(folder: Path) -> list[Path]:
    """The raw recordings of a session folder, in the order of their numbers."""

    def number(path: Path) -> int:
        middle = path.name.removeprefix("raw").removesuffix(".aer").strip(".")
        return int(middle) if middle else 1

    return sorted(folder.glob("raw*.aer"), key=number)
