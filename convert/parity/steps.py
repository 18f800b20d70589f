"""Differences between two interpreters of the same int8 model, in steps of its output.

Correct interpreters round differently inside of a network, which moves most outputs of a student by one step or not at
all. Where these differences add up it is two steps, and very rarely three (``benchmarks/bench_interpreters.py``). An
interpreter that computes something else is off by many steps, or in many windows.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

SLACK = 1e-3
"""Steps are whole numbers; this covers the rounding of a division by the step."""


class StepLimit(NamedTuple):
    """How much two interpreters may differ.

    Attributes:
        usual: Largest difference in all windows but a few, steps.
        most: Largest difference in those few, steps.
        few: Share of the windows that may exceed ``usual``; above 0 it is at least one window.
    """

    usual: float
    most: float
    few: float

    @classmethod
    def of(cls, limits: Mapping[str, Any], name: str) -> Self:
        """Return the limit that a table of limits has under ``name`` with ``_lsb``, ``_most_lsb`` and ``_few``."""
        return cls(*(limits[f"{name}_{part}"] for part in ("lsb", "most_lsb", "few")))


class StepsFound(NamedTuple):
    """Differences of two interpreters, and whether they are within the limit.

    Attributes:
        largest: Largest difference, steps.
        limit: The limit in words.
        holds: Whether the differences are within it.
    """

    largest: float
    limit: str
    holds: bool


def exactly(steps: float) -> StepLimit:
    """Return a limit that holds in every window."""
    return StepLimit(steps, steps, 0.0)


def judge_steps(differences: NDArray[Any], limit: StepLimit) -> StepsFound:
    """Compare differences with a limit.

    Args:
        differences: Differences in steps, ``(windows, outputs)``, at least one window.
        limit: The limit.
    """
    windows = np.max(np.abs(differences), axis=1)
    largest, n = float(windows.max()), len(windows)
    few = max(1, int(limit.few * n)) if limit.few > 0.0 else 0
    words = f"{limit.usual:g} LSB" + (f" ({limit.most:g} in {few} of {n} windows)" if few else "")
    beyond = int(np.count_nonzero(~(windows <= limit.usual + SLACK)))  # NaN is beyond every limit
    return StepsFound(largest, words, beyond <= few and (not beyond or largest <= limit.most + SLACK))
