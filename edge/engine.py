"""The synchronous engine: link items in, one estimate per hop out. No I/O; time comes only from its arguments.

Estimates depend only on the samples, not on the size of the pieces or the time of the calls; only times and latencies
do. The exceptions are gaps whose length only arrival tells: after a restart of the device, after a lost link of a
device without a clock, and where a stated loss is longer than the host's time allows (docs/architecture.md, "The split
does not matter").

``pipeline.py`` runs the engine next to the event loop; tests and batch jobs call it directly.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from edge.beats.rate import first_rate_bpm
from edge.beats.track import HeartRate
from edge.bundle.reader import Bundle
from edge.bundle.tensors import Steps
from edge.chain import SignalChain
from edge.estimate import Estimator
from edge.frontend.stream import FS_HZ, INPUT_SCALE, WINDOW_S, normalise_window, window_input_int8
from edge.grid.room import GapRoom
from edge.grid.timeline import Gap, Timeline, TimelineItem, Uniform
from edge.model import Model
from edge.quality.gate import Quality
from edge.records import (
    NOTHING_APPLIED,
    AbstainReason,
    Applied,
    BundleRef,
    Estimate,
    LabEstimate,
    QualityRecord,
    WindowSpan,
    utc_text,
)
from edge.rhythm.minutes import RhythmMeter
from edge.rhythm.record import RhythmRecord
from edge.tensecond import PADDED, ShortRecording, WholeWindow
from edge.waves.measure import WaveMeter, band_of, st_reason
from edge.waves.record import WaveReason, WaveRecord
from edge.window import NoWindow, Window
from firmware_bridge.samples import LinkEvent, LinkEventKind, LinkItem, SampleBlock

if TYPE_CHECKING:
    from edge.baseline.record import Change
    from edge.baseline.trend import Trend

STALL_S = 15.0
"""Silence after which hops are answered with ``stalled``, s."""

GATHER_S = 0.2
"""Signal that waits until it is resampled and filtered together, s, unless an answer depends on it: one block of the
R-peak detector. Small blocks of a device then cost no more than large ones; signal and beats come that much later."""


@dataclass(frozen=True, slots=True)
class SessionInfo:
    """Values that every estimate of a session carries.

    Attributes:
        session: Identifier of the session.
        device: Name of the device or recording.
        wall_ns: Maps host monotonic time to Unix time, both ns.
        clock_synced: Function that returns whether the wall clock is synchronised.
        stalls: Whether arrival times are real, so that silence on the link can be detected.
        applied: Files applied besides the bundle, by kind.
        anchored: Function that anchors values to the person's results: takes labs and Unix time, ns, returns labs.
        patch: Name of the patch, if the run reads several; ``None`` otherwise.
        st_reason: Reason why ST is not measured; ``None`` if the pass band of the source allows it, as far as known
            before the first sample.
        trend: What compares windows with the wearer's quiet hour; ``None`` without a baseline. It belongs to one run.
    """

    session: str
    device: str
    wall_ns: Callable[[int], int]
    clock_synced: Callable[[], bool]
    stalls: bool
    applied: Mapping[str, Applied] = field(default_factory=lambda: NOTHING_APPLIED)
    anchored: Callable[[tuple[LabEstimate, ...], int], tuple[LabEstimate, ...]] | None = None
    patch: str | None = None
    st_reason: WaveReason | None = None
    trend: Trend | None = None


class Explains(Protocol):
    """Adds reasons to estimates; `edge.explain.live.LiveReasons`, which the engine does not import."""

    def step(self, meter: WaveMeter, end_s: float) -> None:
        """Spend the budget of one hop on the window that was just measured."""

    def put(self, labs: tuple[LabEstimate, ...], end_s: float) -> tuple[LabEstimate, ...]:
        """Return outputs with their reasons."""


class Seen(NamedTuple):
    """What the ECG itself shows in a window."""

    waves: WaveRecord | None
    rhythm: RhythmRecord | None


NOTHING_SEEN = Seen(None, None)


@dataclass(slots=True)
class Output:
    """The results of one push, in order.

    Attributes:
        estimates: One estimate or abstention per hop.
        signal: Pairs of signal time of the first sample, s, and filtered samples, for display.
        beats_s: Signal times of R peaks, s.
        parts: What the timeline gave, with the samples of the source before resampling.
        events: What a stage found that a user should know, for the sinks.
    """

    estimates: list[Estimate] = field(default_factory=list)
    signal: list[tuple[float, NDArray[np.float64]]] = field(default_factory=list)
    beats_s: list[float] = field(default_factory=list)
    parts: list[Uniform] = field(default_factory=list)
    events: list[LinkEvent] = field(default_factory=list)


class Engine:
    """All stages behind one ``push``.

    Args:
        bundle: A verified bundle.
        model: The loaded model of the bundle.
        session: Values that every estimate carries.
        hop_s: Seconds between estimates.
        gather_s: Signal that waits until it is processed together, s, unless an answer depends on it. The answers are
            the same with any value.
        reasons: What adds reasons to the estimates; ``None`` for none.
        heart_rate: Tracker of the heart rate; by default one of its own.
    """

    def __init__(
        self, bundle: Bundle, model: Model, session: SessionInfo, hop_s: float = 1.0, gather_s: float = GATHER_S,
        reasons: Explains | None = None, heart_rate: HeartRate | None = None,
    ) -> None:  # fmt: skip
        front_end = bundle.manifest.front_end
        room = GapRoom() if session.stalls else None
        self.timeline = Timeline(front_end.grid_hz, round(gather_s * front_end.grid_hz), room)
        self.session = session
        self._chain = SignalChain(front_end.grid_hz, hop_s)
        self._heart_rate = HeartRate() if heart_rate is None else heart_rate
        self._wave_meter = WaveMeter(front_end.grid_hz)
        self._wave_meter.st_reason = session.st_reason
        self._rhythm = RhythmMeter()
        self._short = ShortRecording(front_end.grid_hz)
        self._pads = front_end.name == "stream/1"
        self._prepare = make_front_end(bundle)
        self._model, self._reasons = model, reasons
        self._estimator = Estimator(bundle)
        self._reads_amplitude = front_end.reads_amplitude
        self._bundle_ref = BundleRef(f"{bundle.manifest.name} {bundle.manifest.version}", bundle.sha256)
        self._notice = bundle.manifest.notice
        self._last_data_ns: int | None = None
        self._stalled = False
        self._first_beats_s: list[float] = []
        """Beats of the segment until it has a window."""
        self._warming = True

    def push(self, item: LinkItem) -> Output:
        """Take the next item of the link.

        Raises:
            InputError: A block has a sampling rate outside the supported range.
        """
        out = Output()
        self._check_silence(item.arrival_ns, out)
        self._take(self.timeline.push(item), out)
        if isinstance(item, SampleBlock):
            self._last_data_ns, self._stalled = item.arrival_ns, False
        if isinstance(item, LinkEvent) and item.kind is LinkEventKind.END:
            self._finish(out)
        if isinstance(item, LinkEvent) and item.kind is LinkEventKind.HELLO and "band_hz" in item.data:
            self._wave_meter.st_reason = st_reason(band_of(item.data["band_hz"]), is_device=True)
        return out

    def idle(self, now_ns: int) -> Output:
        """Note the time without new data: release what waits, and answer ``stalled`` after 15 s of silence."""
        out = Output()
        self._take(self.timeline.flush(), out)
        self._check_silence(now_ns, out)
        return out

    def _take(self, parts: list[TimelineItem], out: Output) -> None:
        for part in parts:
            if isinstance(part, Gap):
                self._abstain_all(self._chain.gap(part, "stalled" if self._stalled else None), out)
            else:
                self._uniform(part, out)
        if parts:
            self.timeline.due = self._chain.due

    def finish(self) -> Output:
        """End the recording: if it was too short for a window of the chain, answer with its middle ten seconds.

        An END event does the same, and a second call does nothing.
        """
        out = Output()
        self._take(self.timeline.flush(), out)
        self._finish(out)
        return out

    def too_short(self) -> Estimate:
        """Return the abstention of a recording without a hop."""
        span = WindowSpan(0.0, self.timeline.end_s)
        return self._estimate(span, QualityRecord(0.0, ("warming_up",)), None, (), "warming_up", {})

    def _finish(self, out: Output) -> None:
        if not self._short.needed:
            return
        whole = self._short.finish()
        self._short.formed()
        if isinstance(whole, WholeWindow):
            out.estimates.append(self._answer_whole(whole))
        elif whole != "short" and whole != "gap":  # their hops have been answered
            span = WindowSpan(max(0.0, self.timeline.end_s - WINDOW_S), self.timeline.end_s)
            flag = {"flat": "flat_signal", "saturated": "clipped", "poor_signal": "poor_signal"}[whole]
            out.estimates.append(self._estimate(span, QualityRecord(0.0, (flag,)), None, (), whole, {}))

    def _check_silence(self, now_ns: int, out: Output) -> None:
        """Answer ``stalled`` once per silence: for its first 15 s. Its whole length is known when data return."""
        if not self.session.stalls or self._last_data_ns is None or self._stalled:
            return
        if (now_ns - self._last_data_ns) * 1e-9 > STALL_S:
            self._stalled = True
            end_s = self.timeline.end_s
            self._abstain_all(self._chain.miss_span(end_s, end_s + STALL_S, "stalled"), out)

    def _uniform(self, part: Uniform, out: Output) -> None:
        if part.first:
            self._heart_rate.reset()
            self._first_beats_s, self._warming = [], True
        out.parts.append(part)
        self._short.push(part)
        for answer in self._chain.push(part):
            out.estimates.append(self._answer(answer))
        if self._chain.signal is not None:
            out.signal.append(self._chain.signal)
        out.beats_s += self._chain.beats_s
        if self._warming:
            self._first_beats_s += self._chain.beats_s

    def _abstain_all(self, answers: list[NoWindow], out: Output) -> None:
        self._warming = False
        out.estimates += [self._answer(answer) for answer in answers]

    def _answer(self, answer: Window | NoWindow) -> Estimate:
        if isinstance(answer, NoWindow):
            start_s = answer.end_s - WINDOW_S if answer.start_s is None else answer.start_s
            span = WindowSpan(max(0.0, start_s), answer.end_s)
            # In a gap, too, hops are answered as warming up, but the beats before it are over.
            warming = answer.reason == "warming_up" and self._warming
            rate_bpm = self._first_rate_bpm(answer.end_s) if warming else None
            return self._estimate(span, QualityRecord(0.0, (answer.reason,)), rate_bpm, (), answer.reason, {})
        self._short.formed()
        self._warming = False
        times = {"front_end": self._chain.spent_ms}
        self._chain.spent_ms = 0.0
        mark = time.perf_counter()
        quality = self._chain.assess(answer)
        mark = _lap(times, "quality", mark)
        rate_bpm = self._heart_rate.update(answer.end_s, answer.filtered, answer.beats, quality.score)
        _lap(times, "heart_rate", mark)
        return self._judged(answer, quality, rate_bpm, times)

    def _first_rate_bpm(self, end_s: float) -> float | None:
        known_s = (*self._first_beats_s, *self._chain.beats_s)
        beats_s = np.array([b for b in known_s if b > end_s - WINDOW_S - 0.5 / FS_HZ])
        if not len(beats_s):
            return None
        # Distances are whole samples; the times themselves depend on the clock of the device.
        return first_rate_bpm(np.rint((beats_s - beats_s[0]) * FS_HZ).astype(np.int64), FS_HZ)

    def _answer_whole(self, whole: WholeWindow) -> Estimate:
        """Answer with the ten seconds of a recording that is too short for the chain."""
        window, quality = whole.window, whole.quality
        if self._pads or whole.missing_s:
            quality = replace(quality, flags=(*quality.flags, PADDED))
        return self._judged(window, quality, whole.rate_bpm, {})

    def _judged(self, window: Window, quality: Quality, rate_bpm: float | None, times: dict[str, float]) -> Estimate:
        """Run the model on a window that the gate accepts, and return the estimate or the abstention."""
        span, record = WindowSpan(window.start_s, window.end_s), QualityRecord(quality.score, quality.flags)
        if quality.reason is not None:
            seen = Seen(None, self._rhythm.refused(window.end_s))
            return self._estimate(span, record, rate_bpm, (), quality.reason, times, seen)
        mark = time.perf_counter()
        waves = self._wave_meter.measure(window.raw, window.beats, scale_known=window.scale_known)
        mark = _lap(times, "waves", mark)
        rhythm = self._rhythm.judge(window.start_s, window.end_s, self._wave_meter, window.beats)
        seen = Seen(waves, rhythm)
        mark = _lap(times, "rhythm", mark)
        if self._reads_amplitude and not window.scale_known:
            return self._estimate(span, record, rate_bpm, (), "scale_unknown", times, seen)
        steps = self._prepare(window)
        mark = _lap(times, "prepare", mark)
        outputs = self._model.run(steps)
        mark = _lap(times, "inference", mark)
        self._estimator.add(window.end_s, outputs, quality.score, waves, rhythm.name)
        labs = self._estimator.labs()
        if all(lab.abstained == "rhythm" for lab in labs):
            _lap(times, "estimate", mark)
            return self._estimate(span, record, rate_bpm, (), "rhythm", times, seen)
        if self.session.anchored is not None:
            labs = self.session.anchored(labs, self.session.wall_ns(self.timeline.host_time_ns(span.end_s)))
        mark = _lap(times, "estimate", mark)
        if self._reasons is not None:
            self._reasons.step(self._wave_meter, span.end_s)
            labs = self._reasons.put(labs, span.end_s)
            _lap(times, "reasons", mark)
        return self._estimate(span, record, rate_bpm, labs, None, times, seen)

    def _estimate(
        self,
        span: WindowSpan,
        quality: QualityRecord,
        rate_bpm: float | None,
        labs: tuple[LabEstimate, ...],
        abstained: AbstainReason | None,
        times: dict[str, float],
        seen: Seen = NOTHING_SEEN,
    ) -> Estimate:
        change = self._change(span.end_s, quality.score, seen, times)
        if times:
            times["total"] = sum(times.values())
        return Estimate(
            time=utc_text(self.session.wall_ns(self.timeline.host_time_ns(span.end_s))),
            clock_synced=self.session.clock_synced(),
            session=self.session.session,
            device=self.session.device,
            window=span,
            bundle=self._bundle_ref,
            quality=quality,
            heart_rate_bpm=rate_bpm,
            labs=labs,
            abstained=abstained,
            lost_samples=self.timeline.lost_samples,
            latency_ms=times,
            notice=self._notice,
            applied=self.session.applied,
            patch=self.session.patch,
            waves=seen.waves,
            rhythm=seen.rhythm,
            change=change,
        )

    def _change(self, end_s: float, score: float, seen: Seen, times: dict[str, float]) -> Change | None:
        trend = self.session.trend
        if trend is None:
            return None
        mark = time.perf_counter()
        trend.add(end_s, seen.waves, seen.rhythm, score)
        change = trend.at(end_s)
        if times:  # what has no window has no latency
            _lap(times, "change", mark)
        return change


def make_front_end(bundle: Bundle) -> Callable[[Window], Steps]:
    """Return the function that turns a window into the model's input in steps, as the manifest of the bundle requires.

    Raises:
        MissingExtraError: The bundle has the foundation tier and scipy is not installed.
    """
    spec, tensor = bundle.manifest.front_end, bundle.manifest.input
    if spec.name == "stream/1":
        if tensor.dtype == "int8" and (tensor.scale, tensor.zero_point) == (INPUT_SCALE, 0):
            return lambda window: window_input_int8(window.filtered)
        return lambda window: tensor.to_steps(normalise_window(window.filtered))
    from edge.frontend.ecgfounder import EcgFounderFrontEnd, quantized

    front_end, dtype = EcgFounderFrontEnd(), tensor.steps_dtype
    return lambda window: quantized(front_end(window.raw), tensor.scale, tensor.zero_point, spec.clamp, dtype)


def _lap(times: dict[str, float], stage: str, since: float) -> float:
    now = time.perf_counter()
    times[stage] = (now - since) * 1e3
    return now
