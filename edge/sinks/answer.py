"""A sink that keeps what the end of a run says: the last estimate, and how it stands now."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edge.sinks import BaseSink

if TYPE_CHECKING:
    from edge.records import Estimate


class AnswerSink(BaseSink):
    """Keeps the last estimate and the last record of a run.

    Attributes:
        estimate_with_labs: The last estimate with outputs; ``None`` if there was none.
        last: The last estimate or abstention; ``None`` if there was none.
    """

    def __init__(self) -> None:
        self.estimate_with_labs: Estimate | None = None
        self.last: Estimate | None = None

    def estimate(self, e: Estimate) -> None:
        """Keep it."""
        self.last = e
        if e.abstained is None:
            self.estimate_with_labs = e
