"""Windows of recordings as model inputs: some set the ranges, the others judge."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

import numpy as np
from numpy.typing import NDArray

from convert.datasets import representative
from convert.datasets.described import RecordingOptions
from convert.datasets.representative import Covered
from convert.datasets.windows import WindowSet, collect_windows
from convert.foundation.config import Choice
from edge.frontend.ecgfounder import CLAMP
from edge.frontend.stream import WINDOW_S
from firmware_bridge.errors import InputError

MIN_WINDOWS = 2
DENSE_HOP_S = 1.0
"""Hop between windows, seconds, if the usual hop gives too few windows."""

PEAK_ROOM = 1.1
MIN_CLAMP = 8.0
"""Smallest clamp of an int8 input; that of ``stream/1``."""

MIN_TO_SPLIT = 8
"""Smallest number of windows that are split; fewer do both."""


@dataclass(frozen=True, slots=True, eq=False)
class Windows:
    """Model inputs of recordings.

    Attributes:
        values: z-scores, clamped, ``(n, samples)`` float32.
    """

    values: NDArray[np.float32]

    def beyond(self, clamp: float) -> float:
        """Return the share of the z-scores at or beyond a clamp, 0 to 1."""
        return float(np.mean(np.abs(self.values) >= clamp))


def enough_windows(data: Path, count: int, stream: TextIO | None, options: RecordingOptions | None = None) -> WindowSet:
    """Return windows of a folder, with a shorter hop if the usual one gives too few.

    Raises:
        InputError: The folder has fewer than two usable windows.
    """
    found = collect_windows(data, count, stream=stream, options=options)
    if len(found.windows) < count:
        found = collect_windows(data, count, hop_s=DENSE_HOP_S, stream=stream, options=options)
    if len(found.windows) < MIN_WINDOWS:
        raise InputError(f"{data} has {len(found.windows)} usable windows", f"at least {MIN_WINDOWS} are needed")
    return found


def prepare(raw: NDArray[np.float64], clamp: float) -> Windows:
    """Apply ``ecgfounder/1`` and the clamp to raw windows, as the device does.

    Args:
        raw: Raw windows, ``(n, 5000)`` at 500 Hz.
        clamp: Largest absolute z-score.
    """
    from edge.frontend.ecgfounder import EcgFounderFrontEnd

    front_end = EcgFounderFrontEnd()
    z = np.stack([front_end(window) for window in raw])
    return Windows(np.clip(z, -clamp, clamp).astype(np.float32))


def int8_clamp(windows: NDArray[np.float32]) -> float:
    """Return the clamp of an int8 input: a tenth above the largest z-score of the windows, a whole number.

    The steps of the input are the clamp divided by 128, and finer steps lose less, but R peaks must not be clipped.

    Args:
        windows: z-scores, ``(n, samples)``.
    """
    return float(np.clip(np.ceil(PEAK_ROOM * np.abs(windows).max()), MIN_CLAMP, CLAMP))


@dataclass(frozen=True, slots=True, eq=False)
class Split:
    """Windows for calibration and for evaluation.

    Attributes:
        calibration: Indices of the windows that set the ranges and the scaling of the heads.
        evaluation: Indices of the windows that judge.
        tuning: Indices of further windows for tuning, none of which overlaps one that judges.
        coverage: How much of the data the calibration windows cover.
    """

    calibration: NDArray[np.intp]
    evaluation: NDArray[np.intp]
    tuning: NDArray[np.intp]
    coverage: Covered


def split(found: WindowSet, choice: Choice, calibration: int, evaluation: int) -> Split:
    """Divide windows; very few windows do both.

    Args:
        found: The windows.
        choice: ``coverage``, or ``alternate`` for every second window.
        calibration: Largest number of calibration windows.
        evaluation: Largest number of evaluation windows.
    """
    n = len(found.windows)
    described = representative.describe(
        np.stack([w.filtered for w in found.windows]), found.raw(), [w.recording.parent.name for w in found.windows]
    )
    if n < MIN_TO_SPLIT:
        chosen = rest = np.arange(n)
    else:
        alternate = np.arange(0, n, 2)[:calibration]
        # At most half of the windows, because the others must judge.
        covering = representative.choose(described, min(calibration, max(1, n // 2)))
        chosen = alternate if choice == "alternate" else covering
        others = np.setdiff1d(np.arange(n), chosen)
        rest = others[np.linspace(0, len(others) - 1, min(evaluation, len(others))).astype(int)]
    return Split(chosen, rest, _apart(found, rest), representative.coverage(described, chosen))


def _apart(found: WindowSet, judging: NDArray[np.intp]) -> NDArray[np.intp]:
    """Return the windows that overlap none of the judging ones."""
    ends: dict[Path, list[float]] = {}
    for i in judging:
        ends.setdefault(found.windows[i].recording, []).append(found.windows[i].end_s)
    free = [
        i
        for i, w in enumerate(found.windows)
        if all(abs(w.end_s - end_s) >= WINDOW_S for end_s in ends.get(w.recording, ()))
    ]
    return np.array(free, dtype=np.intp)
