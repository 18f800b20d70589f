"""Front end ``stream/1``: causal, linear phase, output at 125 Hz, the same bits for any block size.

The chain for a 250 Hz grid is a 49-tap low-pass, decimation by two, and the subtraction of a baseline that two
cascaded 128-sample boxcars form (a triangle of 2.04 s). Both are symmetric FIR filters, so ST segment and T wave keep
their shape. A causal 0.5 Hz IIR high-pass would distort the ST segment after every QRS complex (IEC 60601-2-47 allows
such cut-offs only with zero phase, which a symmetric filter has, at the cost of its delay).

The bits do not depend on the block size, because every output results from the same sequence of element-wise operations
on the same operands, for any number of outputs per call. No sum has a length that the caller chooses, no state is
accumulated (a running sum would drift over weeks), and no BLAS kernel chooses its order by shape. A C version that adds
in the same order gives the same doubles.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

FS_HZ = 125.0
"""Sampling rate of the filtered stream, Hz."""

WINDOW_S = 10.0
"""Length of a window, s: the length with which the teacher was trained."""
WINDOW_SAMPLES = 1250

GROUP_DELAY_S = 1.112
"""Group delay of the whole chain, s: 24 samples at 250 Hz (or 48 at 500 Hz) + 127 samples at 125 Hz."""

CLAMP = 8.0
"""Largest z-score; larger ones are clamped. The R peak of a quiet recording has 5 to 8."""

INPUT_SCALE = 1.0 / 16.0
"""int8 step of the input: ±8 over 256 steps, a power of two, so that scaling is exact on every machine."""

CUTOFF_HZ = 40.5
"""-6 dB point of the low-pass, Hz. -1 dB at 36 Hz, -40 dB at 48 Hz, below -53 dB from 50 Hz on, which removes mains hum
at 50 and 60 Hz and everything that could alias at 125 Hz."""

KAISER_BETA = 4.9
"""Parameter of the Kaiser window for 50 dB; with a half length of 97 ms the transition is 36 to 50 Hz."""

LOWPASS_HALF_S = 0.096
"""Half the length of the low-pass, s: 24 samples at 250 Hz."""

BOXCAR_LOG2 = 7
"""log2 of the length of the baseline boxcars: 128 samples (1.024 s); two in cascade have -3 dB at 0.6 Hz, no ripple."""

PIECE = 512
"""Most outputs of the low-pass per call of numpy, so that the intermediate products of a long recording stay small."""

_SUPPORT_AT_125 = 2 * (2**BOXCAR_LOG2) - 1
_HALF_AT_125 = 2**BOXCAR_LOG2 - 1


def lowpass_taps(grid_hz: int) -> NDArray[np.float64]:
    """Return the symmetric low-pass of ``stream/1``.

    Args:
        grid_hz: Input sampling rate, 250 or 500 Hz.

    Returns:
        Shape ``(2 h + 1,)``, float64, sum 1, with ``h = 0.096 s``. A Kaiser-windowed sinc, as ``scipy.signal.firwin``
        makes it (Oppenheim & Schafer, Discrete-Time Signal Processing, 7.5.3).
    """
    half = round(LOWPASS_HALF_S * grid_hz)
    n = np.arange(-half, half + 1, dtype=np.float64)
    cutoff = CUTOFF_HZ / (grid_hz / 2.0)
    taps = cutoff * np.sinc(cutoff * n) * np.kaiser(2 * half + 1, KAISER_BETA)
    return np.asarray(taps / np.sum(taps), dtype=np.float64)


class StreamFilter:
    """The filter of ``stream/1``, from uniform samples at ``grid_hz`` to 125 Hz.

    Args:
        grid_hz: Sampling rate of the grid, 250 or 500 Hz (500 Hz for the display of the foundation tier).

    Attributes:
        group_delay_s: Delay, s. The centre of output ``j`` of a segment is ``group_delay_s + j / 125`` after its first
            input sample.
        warmup_samples: Input samples of a segment before its first output.
    """

    fs_hz = FS_HZ
    group_delay_s = GROUP_DELAY_S

    def __init__(self, grid_hz: int = 250) -> None:
        if grid_hz not in (250, 500):
            msg = f"stream/1 takes a grid of 250 or 500 Hz, not {grid_hz}"
            raise ValueError(msg)
        self.grid_hz = grid_hz
        self._decimation = grid_hz // 125
        self._taps = lowpass_taps(grid_hz)
        self._half = (len(self._taps) - 1) // 2
        self._weights = self._taps[self._half + 1 :, None].copy()
        self.warmup_samples = 2 * self._half + self._decimation * (_SUPPORT_AT_125 - 1)
        self.reset()

    def reset(self) -> None:
        """Begin a new segment; the old one does not affect the next output."""
        self._input = np.empty(0, dtype=np.float64)
        self._low = np.empty(0, dtype=np.float64)

    def push(self, samples: NDArray[np.float64]) -> NDArray[np.float64]:
        """Filter the next samples of the segment.

        Args:
            samples: Samples of the grid, shape ``(n,)``, float64, any ``n``.

        Returns:
            The outputs whose inputs have all arrived, shape ``(m,)``, float64, 125 Hz.
        """
        x = np.concatenate((self._input, samples))
        n_low = max(0, (len(x) - 2 * self._half + self._decimation - 1) // self._decimation)
        low = np.concatenate((self._low, self._lowpass(x, n_low)))
        self._input = x[n_low * self._decimation :].copy()
        n_out = max(0, len(low) - _SUPPORT_AT_125 + 1)
        if n_out == 0:
            self._low = low
            return np.empty(0, dtype=np.float64)
        self._low = low[n_out:].copy()
        return low[_HALF_AT_125 : _HALF_AT_125 + n_out] - _triangle(low)

    def _lowpass(self, x: NDArray[np.float64], n_out: int) -> NDArray[np.float64]:
        out = np.empty(n_out)
        for first in range(0, n_out, PIECE):
            self._lowpass_piece(x[first * self._decimation :], out[first : first + PIECE])
        return out

    def _lowpass_piece(self, x: NDArray[np.float64], out: NDArray[np.float64]) -> None:
        step, half = self._decimation, self._half
        middle = x[half : half + (len(out) - 1) * step + 1 : step]
        rows = np.empty((half + 1, len(out)))
        np.multiply(middle, self._taps[half], out=rows[0])
        # Row k: the samples k before and k after the middle of each output, as two views of the same memory.
        size, shape = x.itemsize, (half, len(out))
        before: NDArray[np.float64] = np.ndarray(shape, np.float64, x, (half - 1) * size, (-size, step * size))
        after: NDArray[np.float64] = np.ndarray(shape, np.float64, x, (half + 1) * size, (size, step * size))
        np.add(before, after, out=rows[1:])
        rows[1:] *= self._weights
        if len(out) == 1:
            # numpy would add a single column in pairs, in another order.
            out[:] = np.add.accumulate(rows[:, 0])[-1:]
        else:
            np.add.reduce(rows, axis=0, out=out)


def _triangle(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Apply two cascaded boxcars of ``2**BOXCAR_LOG2`` samples by doubling: 14 additions per sample."""
    for _ in range(2):
        for power in range(BOXCAR_LOG2):
            shift = 1 << power
            x = x[shift:] + x[:-shift]
    return x * (1.0 / (1 << (2 * BOXCAR_LOG2)))


def normalise_window(window: NDArray[np.float64]) -> NDArray[np.float64]:
    """Z-score and clamp a window, so that the gain of the patch does not matter.

    Args:
        window: Shape ``(..., n)``, any unit.

    Returns:
        The same shape, float64, within ±8; all zeros for a window without variation.
    """
    centred = window - np.mean(window, axis=-1, keepdims=True)
    sd = np.sqrt(np.mean(centred * centred, axis=-1, keepdims=True))
    safe = np.where(sd > 0.0, sd, 1.0)
    return np.asarray(np.clip(centred / safe, -CLAMP, CLAMP), dtype=np.float64)


def window_input_int8(window: NDArray[np.float64]) -> NDArray[np.int8]:
    """Quantize a window to the model's input: z-score, clamp, step 1/16, zero point 0.

    Args:
        window: Shape ``(..., n)``, any unit.

    Returns:
        The same shape, int8.
    """
    scaled = np.rint(normalise_window(window) / INPUT_SCALE)
    return np.clip(scaled, -128, 127).astype(np.int8)
