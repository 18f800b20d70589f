"""Samples as integers with a scale, as WFDB and EDF store them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

CHUNK = 1 << 16
"""Samples that are converted together."""


@dataclass(frozen=True, slots=True)
class Digits:
    """Integers that stand for samples: ``sample = (digit - baseline) * step``.

    Attributes:
        step: Size of one step in the unit of the samples.
        baseline: Integer that stands for 0.
        exact: Whether the steps are those of the device, so that nothing is rounded.
        bits: Bits of an integer.
    """

    step: float
    baseline: int
    exact: bool
    bits: int

    def of(self, samples: NDArray[np.float64]) -> NDArray[np.int32]:
        """Return the integers of samples."""
        limit = 2 ** (self.bits - 1) - 1
        digits = np.clip(np.rint(samples / self.step) + self.baseline, -limit, limit)
        return np.asarray(digits, dtype=np.int32)


def digits_for(samples: NDArray[np.float64], step: float, bits: int, other_step: float = 0.0) -> Digits:
    """Return integers of a width that hold all samples, with the steps of the device if they fit.

    Args:
        samples: Samples, shape ``(n,)``.
        step: Step of the device; 0 if unknown.
        bits: Width of the integers, at most 24.
        other_step: Step to use if that of the device is unknown and the samples fit; 0 for the smallest that fits.
    """
    low = min((float(chunk.min()) for chunk in chunks(samples)), default=0.0)
    high = max((float(chunk.max()) for chunk in chunks(samples)), default=0.0)
    limit = 2 ** (bits - 1) - 1
    for size in (step, other_step):
        if size > 0.0 and max(-low, high) / size <= limit:
            return Digits(size, 0, exact=size == step, bits=bits)
    if step > 0.0 and (high - low) / step <= 2 * limit:
        return Digits(step, -round((low + high) / 2 / step), exact=True, bits=bits)
    return Digits((max(-low, high) / limit) or 1.0, 0, exact=False, bits=bits)


def chunks(samples: NDArray[np.float64]) -> Iterator[NDArray[np.float64]]:
    """Yield samples in pieces of bounded size."""
    for at in range(0, len(samples), CHUNK):
        yield samples[at : at + CHUNK]
