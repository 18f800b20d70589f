"""The answer for a whole recording."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from edge.records import Estimate


class Answers:
    """Keeps the newest estimate of a recording, and the newest abstention for each reason."""

    def __init__(self) -> None:
        self._estimate: Estimate | None = None
        self._abstained: dict[str, Estimate] = {}
        self._counts: Counter[str] = Counter()

    def take(self, answers: Iterable[Estimate]) -> None:
        """Take the next answers."""
        for answer in answers:
            if answer.abstained is None:
                self._estimate = answer
            else:
                self._abstained[answer.abstained] = answer
                # A recording begins with a few such hops, which say nothing about it.
                self._counts[answer.abstained] += answer.abstained != "warming_up"

    def best(self) -> Estimate | None:
        """Return the newest estimate, else the newest abstention for the most frequent reason."""
        if self._estimate is not None or not self._counts:
            return self._estimate
        return self._abstained[self._counts.most_common(1)[0][0]]
