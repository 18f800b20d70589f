"""The rhythm among the candidates of a window: the best chain of beats for each rate, by dynamic programming.

After the beat tracker of Ellis (J New Music Res 2007;36:51): a chain gains the likeness of the candidates that it takes
and loses for intervals that differ from the period. Beats hidden by noise may be missing at a cost, so that half the
period never scores better than the period; a false candidate is skipped without a cost.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from edge.beats.shape import Candidates

LOWEST_BPM = 25.0
"""Lowest rate to search, beats per minute (`RATE_LIMITS_BPM` in ``rate.py``)."""
HIGHEST_BPM = 240.0
"""Highest rate to search, beats per minute."""
STEP = 0.02
"""Relative difference of two neighbouring rates."""
NEUTRAL = 0.6
"""Likeness with a gain of zero: false beats from electrode motion have a median of 0.65."""
MISSED = 0.3
"""Cost of a missing beat, that of a beat with half the neutral likeness."""
MAX_INTERVALS = 3
"""Most periods between two beats of a chain: two missing beats in a row."""
JITTER = 0.08
"""Standard deviation of an interval relative to the period: sinus rhythm with breathing and early beats."""
SHORTEST = 0.6
"""Shortest interval, as a fraction of the period."""

_NEVER = -1e6
_PIECE = 64


@dataclass(frozen=True, slots=True, eq=False)
class Chains:
    """The best chain for each rate.

    Attributes:
        score: Score of each chain, one per rate of ``ChainFinder.log_rate``.
    """

    score: NDArray[np.float64]
    _at: NDArray[np.int64]
    _totals: NDArray[np.float64]
    _before: NDArray[np.int64]

    def beats(self, rate: int) -> NDArray[np.int64]:
        """Return the candidates in the chain for a rate, as increasing sample numbers."""
        chain: list[int] = []
        i = int(self._totals[:, rate].argmax()) if len(self._at) else -1
        while i >= 0:
            chain.append(int(self._at[i]))
            i = int(self._before[i, rate])
        return np.array(chain[::-1], dtype=np.int64)


class ChainFinder:
    """Finds chains. Holds only constant tables.

    Args:
        fs_hz: Sampling rate of the windows, Hz.

    Attributes:
        log_rate: Natural logarithms of the searched rates, per minute.
        period: Periods of these rates, samples.
    """

    def __init__(self, fs_hz: float) -> None:
        self.log_rate, self.period, self._price = _tables(fs_hz)

    def find(self, found: Candidates, n: int) -> Chains:
        """Find the best chain for each rate.

        Args:
            found: The candidates of a window.
            n: Length of the window, samples.
        """
        at, rates = found.at, np.arange(len(self.period))
        totals = np.zeros((len(at), len(rates)))
        before = np.full((len(at), len(rates)), -1, dtype=np.int64)
        if not len(at):
            return Chains(-MISSED * np.floor(n / self.period), at, totals, before)
        for i in range(len(at)):
            best = -MISSED * np.floor(at[i] / self.period)
            first = int(np.searchsorted(at, at[i] - len(self._price) + 1))
            if first < i:
                linked = totals[first:i] + self._price[at[i] - at[first:i]]
                link = linked.argmax(axis=0)
                value = linked[link, rates]
                before[i] = np.where(value > best, link + first, -1)
                best = np.maximum(value, best)
            totals[i] = best + (found.likeness[i] - NEUTRAL)
        totals -= MISSED * np.floor((n - at)[:, None] / self.period)
        return Chains(totals.max(axis=0), at, totals, before)


@lru_cache(maxsize=2)
def _tables(fs_hz: float) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float32]]:
    """Return logarithms of the rates, periods, and the cost of each interval, negative; rows: samples, columns: rates.

    Built once per process: it takes as long as an hour of beats, and every recording of a folder has its own finder.
    """
    log_rate = np.log(LOWEST_BPM) + STEP * np.arange(int(np.log(HIGHEST_BPM / LOWEST_BPM) / STEP) + 1)
    period = 60.0 * fs_hz / np.exp(log_rate)
    longest = int(MAX_INTERVALS * period[0])
    price = np.full((longest + 1, len(period)), _NEVER, dtype=np.float32)
    # In pieces, because the intermediate results would otherwise set the peak memory of a device (4 MiB).
    for first in range(1, longest + 1, _PIECE):
        interval = np.arange(first, min(first + _PIECE, longest + 1))[:, None]
        count = np.maximum(1.0, np.rint(interval / period))
        off = np.log(interval / (count * period)) / JITTER
        piece = -0.5 * off * off - MISSED * (count - 1.0)
        piece[(count > MAX_INTERVALS) | (interval <= SHORTEST * period)] = _NEVER
        price[first : first + len(piece)] = piece
    for table in (log_rate, period, price):
        table.flags.writeable = False
    return log_rate, period, price
