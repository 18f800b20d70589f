"""Reasons of an estimate by occlusion: each part of the person's beat is replaced by that of a reference beat.

The deployed model runs again, in its deployed form; nothing else is asked. The contribution of a part is the mean of
what the estimate loses when the person's part is replaced, and what the reference gains when it gets the person's part:
the Shapley value with the two coalitions that are the easiest to imagine. Contributions are in logits, or in the unit
of a value.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge.bundle.reader import Bundle
from edge.engine import make_front_end
from edge.estimate import IsotonicCurves
from edge.explain.parts import Parts, reference_parts, take_apart
from edge.explain.record import MAX_WINDOWS, PARTS, LabReasons, Part, because
from edge.frontend.stream import WINDOW_S, WINDOW_SAMPLES, StreamFilter
from edge.model import Model
from edge.stats import sigmoid
from edge.waves.delineate import Delineation
from edge.waves.mean_beat import MeanBeat
from edge.waves.measure import WaveMeter
from edge.waves.path import FS_HZ
from edge.window import Window

F64 = NDArray[np.float64]

MIN_EFFECT = 0.5
"""Smallest difference of the person's beat to the reference beat with which a probability has reasons, logits. A
network with random weights reaches 0.2."""
MIN_SHARE = 0.10
"""Smallest share of a part that is named."""
MIN_EXPLAINED = 0.5
"""Smallest share of the difference that all parts together explain. Less means that the parts act only together, or
that the model does not read the beat, as one with random weights."""
EARLY_S = 0.02
"""Time by which a window may end before the ten seconds are over, s: ends are whole samples of the stream."""


@dataclass(frozen=True, slots=True)
class Reasons:
    """The reasons of one output.

    Attributes:
        key: Key of the output.
        value: Value of the person's average beat, in the unit of the output.
        reference: Value of the reference beat.
        effect: Difference of the two, logits, or the unit of a value.
        parts: Contribution of each part, in the unit of ``effect``.
        flagged: Whether the value reaches the threshold; ``None`` without one, or with limited evidence.
        told: Whether the parts explain the difference, so that they may be told as reasons.
    """

    key: str
    value: float
    reference: float
    effect: float
    parts: Mapping[Part, float]
    flagged: bool | None
    told: bool

    @property
    def shares(self) -> dict[Part, float]:
        """Share of each part that pushes in the direction of the effect, the largest first; empty if not told."""
        if not self.told:
            return {}
        pushes = {part: max(value * np.sign(self.effect), 0.0) for part, value in self.parts.items()}
        total = sum(pushes.values())
        ordered = sorted(pushes.items(), key=lambda one: -one[1])
        return {part: float(push / total) for part, push in ordered if push >= MIN_SHARE * total > 0.0}


class Occlusion:
    """The runs of the model for one beat, so that they can be spread over time.

    Args:
        person: The person's beat.
        end_s: Signal time of the end of its window, s.
        reference: The reference beat.
        normal: Calibrated outputs of the reference beat, ``(outputs,)``.
        run: Function from a beat to calibrated outputs, ``(outputs,)``.
    """

    STEPS = 1 + len(PARTS)

    def __init__(self, person: Parts, end_s: float, reference: Parts, normal: F64, run: Callable[[Parts], F64]) -> None:
        self.person, self.end_s = person, end_s
        self._reference, self._normal, self._run = reference, normal, run
        self._rows: list[F64] = []

    @property
    def runs(self) -> int:
        """Number of runs of the model in the next step."""
        return 2 if self._rows else 1

    def step(self) -> bool:
        """Run the model for the next part; return whether nothing is left to do."""
        done = len(self._rows)
        if done == 0:
            self._rows.append(self._run(self.person))
        elif done < self.STEPS:
            part = PARTS[done - 1]
            lost = self._rows[0] - self._run(self.person.with_part(part, self._reference))
            gained = self._run(self._reference.with_part(part, self.person)) - self._normal
            self._rows.append(0.5 * (lost + gained))
        return len(self._rows) == self.STEPS

    def rows(self) -> F64:
        """Return rows of person, reference, and the contribution of each part, ``(2 + parts, outputs)``."""
        return np.array([self._rows[0], self._normal, *self._rows[1:]])


class Explainer:
    """Explains the estimates of a bundle.

    Args:
        bundle: A verified bundle.
        model: Its loaded model.

    Attributes:
        reference: The reference beat.
        person: The parts of the newest window, or ``None``.
        end_s: Signal time of the end of that window, s.
    """

    def __init__(self, bundle: Bundle, model: Model) -> None:
        m = bundle.manifest
        self._bundle, self._model, self._prepare = bundle, model, make_front_end(bundle)
        self._grid_hz = m.front_end.grid_hz
        self._meter = WaveMeter(self._grid_hz)
        self._index = np.array([head.index for head in m.outputs])
        calibration = [bundle.calibration[head.key] for head in m.outputs]
        self._zero_point = m.output.zero_point
        self._slope = np.array([c.slope for c in calibration]) * m.output.scale
        self._offset = np.array([c.offset for c in calibration])
        self._is_probability = np.array([head.kind == "probability" for head in m.outputs])
        self._curves = IsotonicCurves.of(calibration)
        self.reference = reference_parts()
        self._normal = self._run(self.reference)
        self.person: Parts | None = None
        self.end_s = self._begun_s = -np.inf
        self._found: deque[tuple[float, F64]] = deque(maxlen=MAX_WINDOWS)

    def due(self, end_s: float) -> bool:
        """Return whether a window that ends at ``end_s`` is to be explained: windows do not overlap."""
        return end_s >= self._begun_s + WINDOW_S - EARLY_S

    def add(self, window: Window) -> bool:
        """Explain an accepted window; return whether its beat could be taken apart."""
        self._meter.measure(window.raw, window.beats, scale_known=window.scale_known)
        begun = self.begin(self._meter.beat, self._meter.found, window.end_s)
        if begun is None:
            return False
        while not begun.step():
            pass
        self.take(begun)
        return True

    def begin(self, beat: MeanBeat | None, found: Delineation | None, end_s: float) -> Occlusion | None:
        """Take the average beat of an accepted window apart.

        Args:
            beat: The average beat, as `edge.waves.measure.WaveMeter` measures it.
            found: Its waves.
            end_s: Signal time of the end of the window, s.

        Returns:
            The runs of the model that explain it, or ``None`` if it cannot be taken apart.
        """
        parts = None if beat is None or found is None else take_apart(beat, found, self.reference)
        if parts is None:
            return None
        self._begun_s = end_s
        return self.occlusion(parts, end_s)

    def occlusion(self, person: Parts, end_s: float = 0.0) -> Occlusion:
        """Return the runs of the model that explain a beat."""
        return Occlusion(person, end_s, self.reference, self._normal, self._run)

    def take(self, done: Occlusion) -> None:
        """Take the result of all runs of a beat."""
        self.person, self.end_s = done.person, done.end_s
        self._found.append((done.end_s, done.rows()))

    def forget(self, until_s: float) -> None:
        """Forget the windows that end at or before a signal time."""
        while self._found and self._found[0][0] <= until_s:
            self._found.popleft()

    @property
    def windows(self) -> int:
        """Number of windows that were taken."""
        return len(self._found)

    def restart(self) -> None:
        """Forget all windows, for another person."""
        self._found.clear()
        self.person = None
        self.end_s = self._begun_s = -np.inf

    def reasons(self) -> list[Reasons]:
        """Return the reasons of every output, in the order of the bundle, over all windows; empty without a window."""
        if not self._found:
            return []
        mean = np.mean([rows for _end_s, rows in self._found], axis=0)
        shown = self._shown(mean[:2])
        return [self._reasons(i, mean[:, i], shown[:, i]) for i in range(mean.shape[1])]

    def _shown(self, raw: F64) -> F64:
        """Return calibrated outputs in the units of the outputs, as an estimate shows them, both ``(n, outputs)``."""
        shown = np.where(self._is_probability, sigmoid(raw), raw)
        if self._curves is not None:
            self._curves.put(raw, shown)
        return shown

    def _run(self, parts: Parts) -> F64:
        """Return the calibrated outputs of a train of beats, ``(outputs,)``, logits or units."""
        steps = self._model.run(self._prepare(self._window(parts.train())))
        return np.asarray(self._slope * (steps[self._index].astype(np.float64) - self._zero_point) + self._offset)

    def _window(self, train: F64) -> Window:
        factor = self._grid_hz // round(FS_HZ)
        grid = (
            train if factor == 1 else np.interp(np.arange(len(train) * factor) / factor, np.arange(len(train)), train)
        )
        filtered = StreamFilter(self._grid_hz).push(grid)[:WINDOW_SAMPLES]
        first = (len(grid) - round(WINDOW_S * self._grid_hz)) // 2
        raw = grid[first : first + round(WINDOW_S * self._grid_hz)]
        nothing = np.zeros(0, dtype=np.int64)
        return Window(0.0, WINDOW_S, filtered, raw, nothing, scale_known=True)

    def _reasons(self, i: int, rows: F64, shown: F64) -> Reasons:
        head = self._bundle.manifest.outputs[i]
        limit = None if head.evidence.tier == "limited" else self._bundle.calibration[head.key].threshold
        value, normal = shown.tolist()
        effect = float(rows[0] - rows[1])
        parts = {part: float(x) for part, x in zip(PARTS, rows[2:], strict=True)}
        explained = sum(parts.values()) / effect if effect else 0.0
        large = abs(effect) >= MIN_EFFECT or head.kind == "value"
        told = large and limit is not None and MIN_EXPLAINED <= explained <= 1.0 / MIN_EXPLAINED
        return Reasons(head.key, value, normal, effect, parts, value >= limit if limit is not None else None, told)


def looks(part: Part, person: Parts, reference: Parts) -> str:
    """Return how a part of the person differs from the reference, in a few words; empty if hardly."""
    gain = person.height / reference.height
    match part:
        case "P":
            return _words(_ratio(np.ptp(person.p) if len(person.p) else 0.0, gain * np.ptp(reference.p)), "tall", "low")
        case "PR":
            return _words(person.pr_s / reference.pr_s, "long", "short", 1.08)
        case "QRS":
            return _words(len(person.qrs) / len(reference.qrs), "wide", "narrow", 1.08)
        case "ST":
            level = float(np.mean(person.st)) - gain * float(np.mean(reference.st))
            return "" if abs(level) < 0.03 * person.height else "raised" if level > 0 else "lowered"
        case "QT":
            return _words(person.qtc_s / reference.qtc_s, "long", "short", 1.03)
        case "rate":
            return _words(float(np.mean(reference.rr_s) / np.mean(person.rr_s)), "fast", "slow", 1.08)
        case "T":
            return _t_words(person, reference, gain)


def _t_words(person: Parts, reference: Parts, gain: float) -> str:
    mine, normal = (float(x[np.abs(x).argmax()]) for x in (person.t, gain * reference.t))
    if mine * normal < 0.0:
        return "inverted"
    high = _words(_ratio(mine, normal), "tall", "flat")
    wide = _words(_width(person.t) / _width(reference.t), "wide", "narrow", 1.08)
    return " and ".join(filter(None, (wide, high)))


def _width(hump: F64) -> float:
    """Return the area of a wave over its height: its width at about half height, samples."""
    return float(np.abs(hump).sum() / max(np.abs(hump).max(), 1e-9))


def _ratio(mine: float, normal: float) -> float:
    return mine / normal if normal else 1.0


def _words(ratio: float, more: str, less: str, limit: float = 1.15) -> str:
    return more if ratio >= limit else less if ratio <= 1.0 / limit else ""


def sentence_of(reasons: Reasons, words: str, person: Parts, reference: Parts) -> str:
    """Return the reasons of an output in one line: ``potassium above 5.0 mmol/L: 71 % T wave (narrow and tall)``."""
    return f"{words}: {because(record_of(reasons, person, reference))}"


def record_of(reasons: Reasons, person: Parts, reference: Parts, windows: int = 1, age_s: float = 0.0) -> LabReasons:
    """Return the reasons of an output as an estimate carries them.

    Args:
        reasons: The reasons.
        person: The person's beat.
        reference: The reference beat.
        windows: Number of windows over which they are averaged.
        age_s: Signal time since the end of the newest of them, s.
    """
    shares = reasons.shares
    found = {part: looks(part, person, reference) for part in shares}
    return LabReasons(shares, {part: how for part, how in found.items() if how}, reasons.effect, windows, age_s)


def strongest(all_reasons: Sequence[Reasons]) -> Reasons | None:
    """Return the told reasons with the largest effect; ``None`` without any."""
    told = [one for one in all_reasons if one.told]
    return max(told, key=lambda one: abs(one.effect), default=None)
