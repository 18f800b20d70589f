"""Frame numbers that wrap: unwrapped, and how many are missing before each frame."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


class Numbered:
    """Counts through a number of few bits.

    Args:
        modulus: Numbers run from 0 to one less.
    """

    def __init__(self, modulus: int) -> None:
        self._modulus = modulus
        self._last: int | None = None

    def forget(self) -> None:
        """What follows does not continue what came before."""
        self._last = None

    def place(
        self, numbers: NDArray[np.integer[Any]], damaged: float = 0.0
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Places frames behind those before.

        Args:
            numbers: Of each frame, in order; shape ``(n,)``, at least one.
            damaged: Frames whose bytes came damaged just before the first of these. Of all counts of missing frames
                that the numbers allow, the nearest to it is taken.

        Returns:
            Unwrapped numbers and missing frames before each, both ``int64`` of shape ``(n,)``.
        """
        steps = np.empty(len(numbers), np.int64)
        steps[1:] = (numbers[1:].astype(np.int64) - numbers[:-1] - 1) % self._modulus
        first = int(numbers[0])
        if self._last is None:
            self._last = first - 1
            steps[0] = 0
        else:
            steps[0] = (first - self._last - 1) % self._modulus
            steps[0] += self._modulus * max(0, round((damaged - int(steps[0])) / self._modulus))
        unwrapped = self._last + np.cumsum(steps + 1)
        self._last = int(unwrapped[-1])
        return unwrapped, steps
