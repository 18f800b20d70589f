"""Run the engine of the device on recordings and keep the outputs of every window.

The chain is not imitated: :class:`edge.engine.Engine` runs as on a device, with a model that records its outputs. An
*estimate* in this module is the last estimate of each aggregation span of a recording. A recording shorter than the
span gives one, and two estimates hardly ever share a window.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, fields
from typing import cast

import numpy as np
from numpy.typing import NDArray

from edge.beats.track import HeartRate
from edge.bundle.reader import Bundle
from edge.bundle.tensors import Steps
from edge.engine import Engine, SessionInfo
from edge.model import Model
from edge.records import ABSTAIN_REASONS, Estimate
from edge.rhythm.record import RHYTHM_NAMES
from edge.waves.fuse import MEASUREMENTS, wave_row
from firmware_bridge.errors import InputError
from firmware_bridge.samples import LinkItem

F64 = NDArray[np.float64]

OUTCOMES = ("accepted", *ABSTAIN_REASONS)
"""Possible outcomes of a hop."""

HOP_EPSILON_S = 1e-3
"""Tolerance for rounding: a window ends at its hop or up to 8 ms later."""

Alter = Callable[[Iterable[LinkItem]], Iterator[LinkItem]]
"""A function that changes the items of a link, such as noise, loss or another clock."""


@dataclass(frozen=True, slots=True, eq=False)
class Observed:
    """Results of the device on recordings: n accepted windows and m estimates.

    Attributes:
        recording: Index of the recording of each accepted window, ``(n,)``.
        hop: Number of the hop of each window, ``(n,)``.
        start_s: Signal time of the first sample of each window, seconds, ``(n,)``.
        score: Quality score of each window, ``(n,)``.
        rate_bpm: Heart rate of each window, beats per minute, ``(n,)``; NaN if unknown.
        outputs: outputs of the model in steps, ``(n, width)``.
        waves: Waves of each window, ``(n, len(MEASUREMENTS))``; NaN where missing.
        rhythm: Rhythm of each window, as an index into `RHYTHM_NAMES`, ``(n,)``.
        est_recording: Index of the recording of each estimate, ``(m,)``.
        est_start_s: Start of the newest window of each estimate, seconds of signal time, ``(m,)``.
        est_score: Mean quality score of the windows of each estimate, ``(m,)``.
        est_rate_bpm: Median heart rate of these windows, beats per minute, ``(m,)``.
        est_rhythm: Rhythm of its last minutes, by the names of ``edge.rhythm``, ``(m,)``; empty if unknown.
        est_windows: Number of windows of each estimate, ``(m,)``.
        est_value: Probability or value of each head, ``(m, heads)``; NaN where the head abstains.
        est_low: Lower end of its interval, ``(m, heads)``; NaN if there is none.
        est_high: Upper end of its interval, ``(m, heads)``; NaN if there is none.
        outcomes: Number of hops by recording and :data:`OUTCOMES`, ``(recordings, len(OUTCOMES))``.
        silent: Number of hops by recording and head in which the head abstains by rhythm, ``(recordings, heads)``.
        sample_inputs: input in steps of the first accepted window of each recording, ``(k, samples)``.
        sample_window: Index of that window, ``(k,)``.
        broken: Indices of the recordings that could not be read, ``(b,)``.
        broken_why: Reason for each of them, ``(b,)``.
    """

    recording: NDArray[np.int32]
    hop: NDArray[np.int64]
    start_s: F64
    score: NDArray[np.float32]
    rate_bpm: NDArray[np.float32]
    outputs: Steps
    waves: F64
    rhythm: NDArray[np.int8]
    est_recording: NDArray[np.int32]
    est_start_s: F64
    est_score: NDArray[np.float32]
    est_rate_bpm: NDArray[np.float32]
    est_rhythm: NDArray[np.str_]
    est_windows: NDArray[np.int32]
    est_value: F64
    est_low: F64
    est_high: F64
    outcomes: NDArray[np.int64]
    silent: NDArray[np.int64]
    sample_inputs: Steps
    sample_window: NDArray[np.int64]
    broken: NDArray[np.int32]
    broken_why: NDArray[np.str_]

    def arrays(self) -> dict[str, NDArray[np.generic]]:
        """Return every array by name, for a file."""
        return {f.name: getattr(self, f.name) for f in fields(self)}


class RecordingModel:
    """A model that records its first input and all its outputs.

    Args:
        model: The model that computes the outputs.
    """

    def __init__(self, model: Model) -> None:
        self.backend = model.backend
        self._model = model
        self.outputs: list[Steps] = []
        self.first_input: Steps | None = None

    def run(self, window: Steps) -> Steps:
        """Run one window; see :class:`edge.model.Model`."""
        if self.first_input is None:
            self.first_input = window.reshape(-1).copy()
        found = self._model.run(window)
        self.outputs.append(found)
        return found


def session(name: str) -> SessionInfo:
    """Return a session without clocks, so that estimates depend only on the samples."""
    return SessionInfo("validate", name, lambda ns: ns, lambda: False, stalls=False)


class NoRate(HeartRate):
    """A tracker without heart rates, for runs that do not need them; no estimate depends on the rate."""

    def update(self, end_s: float, window: F64, beats: NDArray[np.int64], score: float) -> float | None:  # noqa: ARG002  # as HeartRate
        """Return no rate."""
        return None


NO_RATE = NoRate()


def run_engine(
    bundle: Bundle, model: Model, name: str, items: Iterable[LinkItem], hop_s: float, *, rates: bool = True
) -> tuple[list[Estimate], RecordingModel]:
    """Run one recording through the engine of the device.

    Args:
        bundle: The bundle.
        model: Its loaded model.
        name: Name of the recording.
        items: Items of the recording.
        hop_s: Seconds between windows.
        rates: Whether the heart rate is tracked; all else is the same without.

    Raises:
        InputError: The recording is broken.
    """
    recorder = RecordingModel(model)
    engine = Engine(bundle, recorder, session(name), hop_s, heart_rate=None if rates else NO_RATE)
    estimates: list[Estimate] = []
    for item in items:
        estimates += engine.push(item).estimates
    estimates += engine.finish().estimates
    return estimates, recorder


def observe(
    bundle: Bundle,
    model: Model,
    recordings: Iterable[tuple[int, str, Iterable[LinkItem]]],
    hop_s: float,
    *,
    rates: bool = True,
) -> Observed:
    """Run recordings through the engine of the device.

    Args:
        bundle: The bundle.
        model: Its loaded model.
        recordings: Index, name and items of each recording.
        hop_s: Seconds between windows.
        rates: Whether the heart rate is tracked.
    """
    rows = _Rows(bundle, hop_s)
    for index, name, items in recordings:
        try:
            rows.add(index, *run_engine(bundle, model, name, items, hop_s, rates=rates))
        except InputError as error:
            rows.broken.append((index, str(error)))
    return rows.observed()


class _Rows:
    """Collects the results of one recording after the other."""

    def __init__(self, bundle: Bundle, hop_s: float) -> None:
        self._span_s = bundle.manifest.aggregation_minutes * 60.0
        self._hop_s = hop_s
        self._heads = len(bundle.manifest.outputs)
        self._width = bundle.manifest.output.width
        self._types = bundle.manifest.input.steps_dtype, bundle.manifest.output.steps_dtype
        self._samples = math.prod(bundle.manifest.input.shape)
        self._windows: list[tuple[int, int, float, float, float]] = []
        self._outputs: list[Steps] = []
        self._waves: list[F64] = []
        self._rhythm: list[int] = []
        self._estimates: list[tuple[int, float, float, float, int]] = []
        self._rhythms: list[str] = []
        self._shown: list[list[tuple[float, float, float]]] = []
        self._outcomes: list[NDArray[np.int64]] = []
        self._silent: list[NDArray[np.int64]] = []
        self._inputs: list[Steps] = []
        self._input_of: list[int] = []
        self.broken: list[tuple[int, str]] = []

    def add(self, index: int, estimates: list[Estimate], model: RecordingModel) -> None:
        outcomes = np.zeros(len(OUTCOMES), np.int64)
        for e in estimates:
            outcomes[OUTCOMES.index(e.abstained or "accepted")] += 1
        self._outcomes.append(outcomes)
        self._silent.append(_silent(estimates, self._heads))
        # A hop whose outputs all abstain by rhythm has a window, but no estimate.
        accepted = [e for e in estimates if e.abstained in {None, "rhythm"}]
        if not accepted:
            return
        if model.first_input is not None:
            self._inputs.append(model.first_input)
            self._input_of.append(len(self._windows))
        for e in accepted:
            hop = math.floor(e.window.end_s / self._hop_s + HOP_EPSILON_S)
            self._windows.append((index, hop, e.window.start_s, e.quality.score, _rate(e)))
        self._outputs += model.outputs
        self._waves += [wave_row(e.waves) for e in accepted]
        self._rhythm += [RHYTHM_NAMES.index("undetermined" if e.rhythm is None else e.rhythm.name) for e in accepted]
        spans: dict[int, list[Estimate]] = {}
        for e in accepted:
            if e.abstained is None:
                spans.setdefault(int(e.window.start_s // self._span_s), []).append(e)
        for group in spans.values():
            self._judged(index, group)

    def _judged(self, index: int, group: list[Estimate]) -> None:
        last = group[-1]
        rates = [r for r in map(_rate, group) if math.isfinite(r)]
        score = float(np.mean([e.quality.score for e in group]))
        rate = float(np.median(rates)) if rates else math.nan
        self._estimates.append((index, last.window.start_s, score, rate, last.labs[0].windows))
        self._rhythms.append("" if last.rhythm is None else last.rhythm.minutes.name)
        self._shown.append([(_or_nan(lab.value), *(lab.interval or (math.nan, math.nan))) for lab in last.labs])

    def observed(self) -> Observed:
        windows = np.array(self._windows, dtype=np.float64).reshape(-1, 5)
        estimates = np.array(self._estimates, dtype=np.float64).reshape(-1, 5)
        shown = np.array(self._shown, dtype=np.float64).reshape(-1, self._heads, 3)
        return Observed(
            recording=windows[:, 0].astype(np.int32),
            hop=windows[:, 1].astype(np.int64),
            start_s=windows[:, 2],
            score=windows[:, 3].astype(np.float32),
            rate_bpm=windows[:, 4].astype(np.float32),
            outputs=_array(self._outputs, self._types[1], self._width),
            waves=np.array(self._waves, dtype=np.float64).reshape(-1, len(MEASUREMENTS)),
            rhythm=np.array(self._rhythm, dtype=np.int8),
            est_recording=estimates[:, 0].astype(np.int32),
            est_start_s=estimates[:, 1],
            est_score=estimates[:, 2].astype(np.float32),
            est_rate_bpm=estimates[:, 3].astype(np.float32),
            est_rhythm=np.array(self._rhythms, dtype=np.str_),
            est_windows=estimates[:, 4].astype(np.int32),
            est_value=shown[:, :, 0],
            est_low=shown[:, :, 1],
            est_high=shown[:, :, 2],
            outcomes=np.array(self._outcomes, dtype=np.int64).reshape(-1, len(OUTCOMES)),
            silent=np.array(self._silent, dtype=np.int64).reshape(-1, self._heads),
            sample_inputs=_array(self._inputs, self._types[0], self._samples),
            sample_window=np.array(self._input_of, dtype=np.int64),
            broken=np.array([i for i, _ in self.broken], dtype=np.int32),
            broken_why=np.array([why for _, why in self.broken], dtype=np.str_),
        )


def _silent(estimates: list[Estimate], heads: int) -> NDArray[np.int64]:
    """Return the number of hops in which each head abstains by rhythm."""
    count = np.full(heads, sum(e.abstained == "rhythm" for e in estimates), dtype=np.int64)
    for e in estimates:
        if e.labs:
            count += [lab.abstained == "rhythm" for lab in e.labs]
    return count


def _array(rows: list[Steps], dtype: type[np.int8 | np.int16], width: int) -> Steps:
    return cast("Steps", np.array(rows, dtype=dtype).reshape(-1, width))


def _rate(e: Estimate) -> float:
    return math.nan if e.heart_rate_bpm is None else e.heart_rate_bpm


def _or_nan(value: float | None) -> float:
    return math.nan if value is None else value


def joined(parts: list[Observed]) -> Observed:
    """Join several results; their indices of recordings already refer to the whole data set."""
    first = 0
    moved = []
    for part in parts:
        moved.append(part.sample_window + first)
        first += len(part.recording)
    whole = {f.name: np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(Observed)}
    whole["sample_window"] = np.concatenate(moved)
    return Observed(**whole)
