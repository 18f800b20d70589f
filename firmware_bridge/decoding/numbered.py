"""Frame numbers that wrap around: unwraps them and counts the missing frames."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


class Numbered:
    """Follows a frame counter of a few bits.

    Args:
        modulus: Frame numbers run from 0 to ``modulus - 1``.
    """

    def __init__(self, modulus: int) -> None:
        self._modulus = modulus
        self._last: int | None = None

    def forget(self) -> None:
        """Forget the last number: the next frame does not continue the sequence."""
        self._last = None

    def place(
        self, numbers: NDArray[np.integer[Any]], damaged: float = 0.0
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Unwrap the numbers of consecutive frames.

        Args:
            numbers: Frame numbers in order; shape ``(n,)``, at least one.
            damaged: Frames that arrived damaged just before the first of these. Of all possible counts of missing
                frames the one nearest to it is chosen.

        Returns:
            Unwrapped numbers, and the missing frames before each, both ``int64`` of shape ``(n,)``.
        """
        steps = np.empty(len(numbers), np.int64)
        steps[1:] = (numbers[1:].astype(np.int64) - numbers[:-1] - 1) % self._modulus
        first, steps[0] = self.follow(int(numbers[0]), 1, damaged)
        unwrapped = first + np.concatenate([[0], np.cumsum(steps[1:] + 1)])
        self._last = int(unwrapped[-1])
        return unwrapped, steps

    def follow(self, number: int, count: int, damaged: float = 0.0) -> tuple[int, int]:
        """Unwrap the numbers of frames without a gap between them; the same as `place`, without arrays.

        Args:
            number: Number of the first frame.
            count: Number of frames.
            damaged: As in `place`.

        Returns:
            Unwrapped number of the first frame, and the missing frames before it.
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
