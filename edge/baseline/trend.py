"""The change of the last minutes against the quiet hour, during a run and when a session is read."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from edge.baseline.correction import unsteady
from edge.baseline.limits import band
from edge.baseline.quantities import median, quantities
from edge.baseline.record import DIGITS, QUANTITIES, Change, ChangeReason, Quantity, QuantityChange
from edge.baseline.samples import SLACK_S, STEP_S, Row, Table, row_of, usable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from edge.baseline.file import Baseline
    from edge.records import Applied, Estimate
    from edge.rhythm.record import RhythmRecord
    from edge.waves.record import WaveReason, WaveRecord

MINUTES_S = 300.0
"""Time over which the change is a median, s: that of the estimates and of the rhythm."""
MIN_WINDOWS = 10
"""Fewest windows of a change; at most 30 fit into five minutes."""
MAX_WINDOWS = 64
"""Most windows that are kept: more than fit into the time."""
_AMPLITUDES: tuple[Quantity, ...] = ("t_mv", "r_mv", "t_over_r", "st_mv")


class _Taken(NamedTuple):
    """A window: signal time of its end, s, what it shows, whether it is in sinus rhythm and may be compared."""

    end_s: float
    row: Row
    sinus: bool
    ok: bool


class Trend:
    """Compares the windows of one run with a baseline. Its memory is bounded, and a run that restarts begins anew.

    Args:
        baseline: The wearer's baseline.
        device: Name of the device of the run.
        lead: Name of its lead; ``None`` if it has none.
        applied: Files that are applied to the run, by kind.

    Attributes:
        foreign: Why nothing of this run can be compared; ``None`` if it can.
    """

    def __init__(
        self, baseline: Baseline, device: str, lead: str | None = None, applied: Mapping[str, Applied] | None = None
    ) -> None:
        self._baseline = baseline
        profile = (applied or {}).get("device_profile")
        self.foreign: ChangeReason | None = None
        if device != baseline.device:
            self.foreign = "other_device"
        elif lead != baseline.lead:
            self.foreign = "other_lead"
        self._other_profile = (None if profile is None else profile.sha256) != baseline.profile_sha256
        self._windows: deque[_Taken] = deque(maxlen=MAX_WINDOWS)
        self._next_s = -np.inf
        self._scale: dict[str, WaveReason] = {}
        self._held: tuple[tuple[float, float], Change] | None = None

    def add(self, end_s: float, waves: WaveRecord | None, rhythm: RhythmRecord | None, score: float) -> None:
        """Take a window that the quality gate accepted, unless it overlaps the one before.

        Args:
            end_s: Signal time of its end, s; increasing.
            waves: Its waves.
            rhythm: Its rhythm.
            score: Its quality, 0 to 1.
        """
        if end_s < self._next_s or waves is None or rhythm is None:
            return
        self._next_s = end_s + STEP_S - SLACK_S
        row = row_of(waves)
        self._windows.append(_Taken(end_s, row, rhythm.name == "sinus", usable(row, rhythm, score)))
        self._scale = {str(part): reason for part, reason in waves.missing.items() if part in {"mv", "st"}}

    def at(self, end_s: float) -> Change:
        """Return the change of the minutes before a signal time, s."""
        while self._windows and self._windows[0].end_s <= end_s - MINUTES_S:
            self._windows.popleft()
        key = (self._windows[0].end_s, self._windows[-1].end_s) if self._windows else (0.0, 0.0)
        if self._held is None or self._held[0] != key:
            self._held = key, self._change()
        return self._held[1]

    def take(self, e: Estimate) -> Change:
        """Take the record of a hop and return the change at its end."""
        self.add(e.window.end_s, e.waves, e.rhythm, e.quality.score)
        return self.at(e.window.end_s)

    def _change(self) -> Change:
        good = [taken.row for taken in self._windows if taken.ok]
        reason = self._reason(good)
        if reason is not None:
            return Change(MINUTES_S / 60.0, len(good), missing=dict.fromkeys(QUANTITIES, reason))
        columns = np.array(good).T
        rows = Table(np.zeros(len(good)), np.ones(len(good), dtype=bool), *columns)
        values: dict[Quantity, QuantityChange] = {}
        missing: dict[Quantity, ChangeReason] = {}
        rr_ms = median(rows.rr_ms)
        for name, found in quantities(rows, self._baseline.correction.exponent).items():
            why = self._missing(name, rows, int(np.isfinite(found).sum()))
            if why is None:
                values[name] = self._compared(name, median(found), rr_ms)
            else:
                missing[name] = why
        return Change(MINUTES_S / 60.0, len(good), values, missing)

    def _reason(self, good: list[Row]) -> ChangeReason | None:
        """Return why nothing can be compared."""
        if self.foreign is not None:
            return self.foreign
        if len(self._windows) >= MIN_WINDOWS and 2 * sum(taken.sinus for taken in self._windows) < len(self._windows):
            return "not_sinus"
        if len(good) < MIN_WINDOWS:
            return "few_windows"
        rr_ms, c = median(np.array([row.rr_ms for row in good])), self._baseline.correction
        return None if c.rr_low_ms <= rr_ms <= c.rr_high_ms else "rate_outside"

    def _missing(self, name: Quantity, rows: Table, count: int) -> ChangeReason | None:
        """Return why one quantity cannot be compared."""
        if name in _AMPLITUDES and "mv" in self._scale:
            return "scale_unknown"
        if name == "st_mv" and "st" in self._scale:
            return "band" if self._scale["st"] == "band" else "band_unknown"
        if name in _AMPLITUDES and self._other_profile:
            return "other_profile"
        if name not in self._baseline.levels:
            return "not_in_baseline"
        if count < MIN_WINDOWS:
            return "few_windows"
        return "rate_unsteady" if name == "qtc_ms" and unsteady(rows.rr_ms) else None

    def _compared(self, name: Quantity, value: float, rr_ms: float) -> QuantityChange:
        # What is written decides: a reader of the record must come to the same conclusion.
        low, high, posture = band(self._baseline, name, rr_ms)
        digits = DIGITS[name]
        change, low, high = (round(x, digits) for x in (value - self._baseline.levels[name].median, low, high))
        inside = low <= change <= high
        return QuantityChange(change, low, high, posture, None if not inside and posture == "unknown" else inside)
