"""Spans without an estimate, from the records of a session."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from edge.records import Estimate
from edge.sessions.folder import MAX_RUN_S


@dataclass(frozen=True, slots=True)
class Abstention:
    """A span for which there is no estimate.

    Attributes:
        run: Number of the run, from 1.
        start_s: Signal time of the hop before, or of the start of the gap, s.
        end_s: Signal time of the last hop without an estimate, s.
        reason: Reason, as in ``abstained.reason``.
    """

    run: int
    start_s: float
    end_s: float
    reason: str


def abstentions(estimates: Iterable[Estimate], runs: Mapping[str, int]) -> Iterator[Abstention]:
    """Join the abstentions of neighbouring hops with the same reason.

    Args:
        estimates: The records of a session, in order.
        runs: Number of each run by its identifier.
    """
    held: Abstention | None = None
    last_run, last_s = 0, 0.0
    for e in estimates:
        run = runs.get(e.session, 0)
        if not 0.0 <= e.window.end_s < MAX_RUN_S:
            continue  # damaged
        if run != last_run:
            last_run, last_s = run, 0.0
        start_s, end_s = last_s, max(last_s, e.window.end_s)
        last_s = end_s
        if held is not None and e.abstained == held.reason and run == held.run:
            held = replace(held, end_s=end_s)
            continue
        if held is not None:
            yield held
        held = None if e.abstained is None else Abstention(run, start_s, end_s, e.abstained)
    if held is not None:
        yield held
