"""Windows of recordings for the golden vectors and the report."""

from __future__ import annotations

from pathlib import Path
from typing import TextIO

import numpy as np

from convert.bundle.golden_windows import Shapes
from convert.datasets.described import RecordingOptions
from convert.foundation.windows import enough_windows


def recorded(
    data: Path, count: int, stream: TextIO | None, options: RecordingOptions | None = None
) -> tuple[Shapes, list[str]]:
    """Return windows of recordings, and the names of the recordings.

    Raises:
        InputError: The recordings give fewer than two usable windows.
    """
    found = enough_windows(data, count, stream, options)
    return (found.raw(), np.stack([w.filtered for w in found.windows])), [p.name for p in found.used]
