"""The course of a session in a bounded number of steps: outputs, heart rate and quality."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from edge.explain.record import LabReasons
from edge.records import Estimate, LabEstimate
from edge.sessions.curve import STEPS, ChangeTrends, Curve, WaveTrends
from edge.sessions.folder import MAX_RUN_S, SessionFolder
from edge.sessions.spans import Abstention, abstentions


@dataclass(slots=True)
class HeadTrend:
    """The course of one output.

    Attributes:
        last: Its last estimate with a value, if it has any.
        curve: Its values.
        flagged: Hops with a raised flag.
        hops: Hops with a value.
        silent: Hops in which the output abstained by rhythm while others answered.
        means: The output in words.
        reasons: The reasons of the last flagged estimate that has some; ``None`` without.
    """

    last: LabEstimate
    means: str
    curve: Curve = field(default_factory=Curve)
    flagged: int = 0
    hops: int = 0
    silent: int = 0
    reasons: LabReasons | None = None


class Trends:
    """The course of a session.

    Args:
        session: The session.

    Attributes:
        start_unix_s: Time of its first record, s.
        end_unix_s: Time of its last record, s.
        heads: The outputs, by key, in the order of the bundle.
        rate: Heart rate, beats per minute.
        quality: Quality score.
        waves: Waves of the ECG.
        changes: Change against the wearer's quiet hour.
        hops: Number of records.
        estimates: Number of estimates.
        abstained: Spans without an estimate.
        last: The last estimate with outputs.
        applied: Files that were applied besides the bundle, by kind.
    """

    def __init__(self, session: SessionFolder) -> None:
        starts = {run.session: run.start_unix_s for run in session.runs}
        self.start_unix_s = min(starts.values())
        self.end_unix_s = self._end(session, starts)
        self.heads: dict[str, HeadTrend] = {}
        self.rate, self.quality, self.waves = Curve(), Curve(), WaveTrends()
        self.changes = ChangeTrends()
        self.hops = self.estimates = 0
        self.last: Estimate | None = None
        self.flags: Counter[str] = Counter()
        self.applied: dict[str, str] = {}
        self._means = session.means
        numbers = {name: number for number, name in enumerate(session.names, 1)}
        self.abstained: list[Abstention] = list(abstentions(self._added(session, starts), numbers))

    def step(self, unix_s: float) -> int:
        """Return the step of a time."""
        length_s = max(self.end_unix_s - self.start_unix_s, 1.0)
        return min(max(int((unix_s - self.start_unix_s) / length_s * STEPS), 0), STEPS - 1)

    def unix_s(self, step: int) -> float:
        """Return the time in the middle of a step, s."""
        return self.start_unix_s + (step + 0.5) / STEPS * max(self.end_unix_s - self.start_unix_s, 1.0)

    def _end(self, session: SessionFolder, starts: Mapping[str, float]) -> float:
        end = self.start_unix_s
        for line in session.lines():
            window, start_s = line.get("window"), starts.get(str(line.get("session")))
            end_s = window.get("end_s") if isinstance(window, Mapping) else None
            if start_s is not None and isinstance(end_s, int | float) and 0.0 <= end_s < MAX_RUN_S:
                end = max(end, start_s + end_s)
        return end

    def _added(self, session: SessionFolder, starts: Mapping[str, float]) -> Iterator[Estimate]:
        """Yield the records after they have been added, so that they are read once."""
        for e in session.estimates():
            if e.session in starts and 0.0 <= e.window.end_s < MAX_RUN_S:
                self._add(e, self.step(starts[e.session] + e.window.end_s))
            yield e

    def _add(self, e: Estimate, step: int) -> None:
        self.hops += 1
        self.rate.add(step, e.heart_rate_bpm)
        self.quality.add(step, e.quality.score)
        self.waves.add(step, e.waves)
        self.waves.add_rhythm(e.rhythm)
        self.changes.add(step, e.change)
        self.flags.update(e.quality.flags)
        self.applied |= {kind: f"{one.file}: {one.what}" for kind, one in e.applied.items()}
        if e.abstained is not None:
            return
        self.estimates += 1
        self.last = e
        for lab in e.labs:
            head = self.heads.setdefault(lab.key, HeadTrend(lab, self._means(lab.key)))
            if lab.abstained is not None:
                head.silent += 1
                continue
            head.last = lab
            head.hops += 1
            head.flagged += lab.flag is True
            if lab.flag and lab.reasons is not None:
                head.reasons = lab.reasons
            head.curve.add(step, lab.value, lab.interval)
