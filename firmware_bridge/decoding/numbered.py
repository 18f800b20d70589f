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
        first, steps[0] = self.follow(int(numbers[0]), 1, damaged)
        unwrapped = first + np.concatenate([[0], np.cumsum(steps[1:] + 1)])
        self._last = int(unwrapped[-1])
        return unwrapped, steps

    def follow(self, number: int, count: int, damaged: float = 0.0) -> tuple[int, int]:
        """Places frames whose numbers follow each other; the same as `place`, without arrays.

        Args:
            number: Of the first.
            count: How many there are.
            damaged: As for `place`.

        Returns:
            Unwrapped number of the first, and missing frames before it.
        """
        missing = 0
        if self._last is None:
            self._last = number - 1
        else:
            missing = (number - self._last - 1) % self._modulus
            missing += self._modulus * max(0, round((damaged - missing) / self._modulus))
        first = self._last + 1 + missing
        self._last = first + count - 1
        return first, missing
