"""The last seconds of signal as braille characters: 2 by 4 dots per cell, 156 by 28 dots on a small terminal."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

SECONDS = 6.0
"""Signal on the screen, s: enough to show the rhythm, few enough to see a QRS complex."""

MIN_SPAN_MV = 0.3
"""Smallest vertical span, mV, so that small noise does not fill the screen."""

SHRINK = 0.08
"""Share by which the scale approaches a smaller signal with each frame; it follows a larger one at once."""

_DOTS = np.array([[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]], dtype=np.uint32)
"""Bits of the dots of a braille cell. Source: Unicode, block Braille Patterns."""


class WaveBuffer:
    """Holds the newest seconds of signal by time, so that a gap stays visible."""

    def __init__(self) -> None:
        self._fs_hz = 0.0
        self._ring: NDArray[np.float64] = np.zeros(0)
        self._next = 0
        self._low = math.nan
        self._high = math.nan

    @property
    def end_s(self) -> float:
        """Signal time just after the newest sample, s."""
        return self._next / self._fs_hz if self._fs_hz else 0.0

    def push(self, samples: NDArray[np.float64], fs_hz: float, start_s: float) -> None:
        """Take samples.

        Args:
            samples: Shape ``(n,)``.
            fs_hz: Their sampling rate, Hz.
            start_s: Signal time of the first sample, s.
        """
        if fs_hz != self._fs_hz:
            self._fs_hz = fs_hz
            self._ring = np.full(math.ceil(SECONDS * fs_hz) + 1, np.nan)
            self._next = round(start_s * fs_hz)
        size = len(self._ring)
        start = round(start_s * fs_hz)
        if start < self._next - size or start > self._next + size:
            self._ring[:] = np.nan
        elif start > self._next:
            self._ring[np.arange(self._next, start) % size] = np.nan
        tail = samples[-size:]
        stop = start + len(samples)
        self._ring[np.arange(stop - len(tail), stop) % size] = tail
        self._next = stop

    def scale(self) -> tuple[float, float]:
        """Return the lowest and the highest value on the screen."""
        return self._low, self._high

    def draw(self, columns: int, rows: int, *, millivolts: bool) -> list[str]:
        """Return the picture as ``rows`` strings of ``columns`` characters.

        Args:
            columns: Width, cells.
            rows: Height, cells.
            millivolts: Whether the samples are in millivolts; it sets the smallest span.
        """
        blank = [" " * columns] * rows
        if not self._fs_hz or columns < 1 or rows < 1:
            return blank
        low, high = self._dot_ranges(columns * 2)
        seen = np.isfinite(low)
        if not seen.any():
            return blank
        self._rescale(float(low[seen].min()), float(high[seen].max()), MIN_SPAN_MV if millivolts else 1e-9)
        height = rows * 4
        with np.errstate(invalid="ignore"):
            per_unit = (height - 1) / (self._high - self._low)
            top = np.rint((self._high - high) * per_unit)
            bottom = np.rint((self._high - low) * per_unit)
            level = np.arange(height, dtype=np.float64)[:, None]
            dots = (level >= top) & (level <= bottom)
        cells = (dots.reshape(rows, 4, columns, 2) * _DOTS[None, :, None, :]).sum(axis=(1, 3), dtype=np.uint32)
        codes = np.where(cells == 0, np.uint32(0x20), cells + np.uint32(0x2800)).astype("<u4")
        return [row.tobytes().decode("utf-32-le") for row in codes]

    def _dot_ranges(self, dots: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return lowest and highest value in each column of dots, joined to its neighbour; NaN without signal.

        The columns have fixed times, so that the picture moves by whole dots and does not flicker.
        """
        per_dot = SECONDS * self._fs_hz / dots
        last = math.floor((self._next - 1) / per_dot)
        edges = np.ceil(np.arange(last - dots + 1, last + 2) * per_dot).astype(
            np.intp
        )  # reduceat accepts no other type
        edges[-1] = max(int(edges[-1]), self._next)  # rounding may leave out the newest sample
        first = max(int(edges[0]), self._next - len(self._ring))
        values = np.full(int(edges[-1]) - int(edges[0]), np.nan)
        wanted = np.arange(first, self._next)
        values[wanted - int(edges[0])] = self._ring[wanted % len(self._ring)]
        starts = np.minimum(edges[:-1] - edges[0], len(values) - 1)
        low = np.fmin.reduceat(values, starts)
        high = np.fmax.reduceat(values, starts)
        joined_low = np.minimum(low[1:], np.where(np.isfinite(high[:-1]), high[:-1], np.inf))
        joined_high = np.maximum(high[1:], np.where(np.isfinite(low[:-1]), low[:-1], -np.inf))
        return np.concatenate([low[:1], joined_low]), np.concatenate([high[:1], joined_high])

    def _rescale(self, low: float, high: float, min_span: float) -> None:
        if high - low < min_span:
            low, high = (low + high - min_span) / 2, (low + high + min_span) / 2
        if math.isnan(self._low):
            self._low, self._high = low, high
            return
        self._low = low if low < self._low else self._low + SHRINK * (low - self._low)
        self._high = high if high > self._high else self._high + SHRINK * (high - self._high)
