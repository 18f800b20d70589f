"""What an iteration over a stream gives: samples, gaps, beats and waves. Estimates are those of the runtime."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge.grid.timeline import Gap
from edge.records import Estimate
from firmware_bridge.errors import InputError
from firmware_bridge.samples import LinkEvent, Unit


@dataclass(frozen=True, slots=True, eq=False)
class Samples:
    """Consecutive samples of the ECG, as the source gave them: at its own rate, unfiltered, never interpolated.

    Attributes:
        start_s: Signal time of the first sample, in seconds since the first sample of the stream.
        end_s: Signal time just after the last sample, s.
        fs_hz: Nominal sampling rate, Hz.
        values: Samples, shape ``(n,)``, float64.
        unit: ``"mV"``, or ``"counts"`` if the source does not know its scale.
        first: Whether these samples begin a segment: at the start, and after every gap.
    """

    start_s: float
    end_s: float
    fs_hz: float
    values: NDArray[np.float64]
    unit: Unit
    first: bool

    @property
    def ecg_mv(self) -> NDArray[np.float64]:
        """The samples in millivolts, shape ``(n,)``.

        Raises:
            InputError: The source does not know its scale.
        """
        if self.unit != "mV":
            raise InputError("the scale of this source is unknown", "read .values, or state lsb_mv= in the source URL")
        return self.values

    @property
    def time_s(self) -> NDArray[np.float64]:
        """Signal time of every sample, s, shape ``(n,)``."""
        step_s = (self.end_s - self.start_s) / max(len(self.values), 1)
        return self.start_s + step_s * np.arange(len(self.values), dtype=np.float64)

    def __len__(self) -> int:
        return len(self.values)


@dataclass(frozen=True, slots=True)
class Beat:
    """One heartbeat.

    Attributes:
        time_s: Signal time of its R peak, s.
        rr_s: Time since the beat before, s; ``None`` for the first beat, after a gap, and after more than 3 s.
    """

    time_s: float
    rr_s: float | None


@dataclass(frozen=True, slots=True)
class Waves:
    """Intervals and heights of the average beat of one ten-second window.

    They describe the average of the beats that look alike, not every beat. The values of `Estimate.waves` are the same;
    ``docs/waves.md`` says how they are measured, and ``docs/ecg-intervals.md`` lists the features besides them.

    Attributes:
        start_s: Signal time of the first sample of the window, s.
        end_s: Signal time of the last sample of the window, s.
        features: Value by name, such as ``qt_ms``, ``pr_ms``, ``qrs_ms``, ``t_mv``; NaN if it cannot be measured.
        rejected: Reason why the window was not measured, as in `Estimate.abstained`; ``None`` if it was.
    """

    start_s: float
    end_s: float
    features: Mapping[str, float]
    rejected: str | None = None

    def __getitem__(self, name: str) -> float:
        return self.features[name]


Item = Samples | Gap | Beat | Waves | Estimate | LinkEvent
"""Everything that an iteration can give."""
