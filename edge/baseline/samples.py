"""Windows of a session or recording, one row for each ten seconds, in bounded memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edge.waves.record import DIGITS as WAVE_DIGITS

if TYPE_CHECKING:
    from edge.rhythm.record import RhythmRecord
    from edge.waves.record import WaveRecord

F64 = NDArray[np.float64]

STEP_S = 10.0
"""Windows that are taken do not overlap, s: those of a shorter hop bring nothing new."""
SLACK_S = 0.5
"""Overlap that is allowed, s: windows of a resampled clock do not begin at whole seconds."""
MIN_QUALITY = 0.6
"""Lowest quality score of a window that is compared."""
MAX_ECTOPIC = 0.1
"""Largest share of ectopic beats of a window that is compared."""
MAX_ROWS = 14 * 8640
"""Most rows that are kept, the newest: 14 days, 7 MB."""


class Row(NamedTuple):
    """What a window shows, rounded as in estimates; NaN where it was not measured.

    Attributes:
        rr_ms: Median RR interval, ms.
        qt_ms: QT interval, ms.
        t_mv: T amplitude, mV.
        r_mv: R amplitude, mV.
        st_mv: ST level, mV.
    """

    rr_ms: float
    qt_ms: float
    t_mv: float
    r_mv: float
    st_mv: float


NOTHING = Row(*[float("nan")] * len(Row._fields))


def row_of(waves: WaveRecord | None) -> Row:
    """Return what a window shows, rounded as it is written, so that a session gives the same numbers as the run."""
    if waves is None:
        return NOTHING
    values = (getattr(waves, name) for name in Row._fields)
    digits = (WAVE_DIGITS[name] for name in Row._fields)
    return Row(*(float("nan") if x is None else round(x, n) for x, n in zip(values, digits, strict=True)))


def usable(row: Row, rhythm: RhythmRecord | None, score: float) -> bool:
    """Return whether a window may be compared: clean, in sinus rhythm, with few ectopic beats and a QT."""
    return (
        rhythm is not None
        and rhythm.name == "sinus"
        and (rhythm.ectopic_share or 0.0) <= MAX_ECTOPIC
        and round(score, 3) >= MIN_QUALITY  # as it is written, so that a session gives the same windows as the run
        and row.rr_ms > 0.0
        and row.qt_ms > 0.0
    )


class Samples:
    """Rows in the order of time; the oldest are dropped.

    Args:
        limit: Most rows that are kept.

    Attributes:
        dropped: Rows that were dropped.
        last_s: Time of the newest row, s.
    """

    def __init__(self, limit: int = MAX_ROWS) -> None:
        self._limit = limit
        self._rows = np.empty((0, 2 + len(Row._fields)))
        self._n = 0
        self._run: object = None
        self._next_s = -np.inf
        self.dropped = 0
        self.last_s = -np.inf

    def add(self, run: object, end_s: float, unix_s: float, row: Row, *, ok: bool) -> None:
        """Take a window, unless it overlaps the one before.

        Args:
            run: The run to whose signal time ``end_s`` belongs.
            end_s: Signal time of its end, s.
            unix_s: Time of its end on any clock that all rows share, s.
            row: What it shows.
            ok: Whether it may be compared.
        """
        if run != self._run:
            self._run, self._next_s = run, -np.inf
        if end_s < self._next_s:
            return
        self._next_s = end_s + STEP_S - SLACK_S
        if self._n == len(self._rows):
            kept = self._rows[max(0, self._n - self._limit // 2) :] if self._n >= self._limit else self._rows
            self.dropped += self._n - len(kept)
            self._rows = np.concatenate((kept, np.empty((max(64, len(kept)), kept.shape[1]))))[: self._limit]
            self._n = len(kept)
        self._rows[self._n] = (unix_s, float(ok), *row)
        self._n += 1
        self.last_s = max(self.last_s, unix_s)

    def table(self) -> Table:
        """Return the rows, in the order of time."""
        rows = self._rows[: self._n]
        rows = rows[np.argsort(rows[:, 0], kind="stable")]
        return Table(rows[:, 0], rows[:, 1] > 0.5, *rows[:, 2:].T)


class Table(NamedTuple):
    """Rows as columns, each ``(n,)``.

    Attributes:
        unix_s: Time of the end of each window, s, increasing.
        ok: Which windows may be compared.
        rr_ms: Median RR intervals, ms.
        qt_ms: QT intervals, ms.
        t_mv: T amplitudes, mV.
        r_mv: R amplitudes, mV.
        st_mv: ST levels, mV.
    """

    unix_s: F64
    ok: NDArray[np.bool_]
    rr_ms: F64
    qt_ms: F64
    t_mv: F64
    r_mv: F64
    st_mv: F64

    def where(self, chosen: NDArray[np.bool_] | slice) -> Table:
        """Return some rows."""
        return Table(self.unix_s[chosen], self.ok[chosen], *(column[chosen] for column in self[2:]))

    def usable(self) -> Table:
        """Return the rows that may be compared."""
        return self.where(self.ok)

    def between(self, start_s: float, end_s: float) -> Table:
        """Return the rows whose windows end after a time, up to another."""
        first, stop = np.searchsorted(self.unix_s, (start_s, end_s), side="right").tolist()
        return self.where(slice(first, stop))
