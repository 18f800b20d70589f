"""Many recordings, one after another, with one estimate each."""

from __future__ import annotations

import asyncio
import signal
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TextIO

from edge.api.answer import Answers
from edge.engine import Engine, SessionInfo
from edge.process.signals import EXIT_CODES, Stopper
from edge.records import NOTICE, Estimate
from edge.session import Loaded, live_reasons, session_info
from edge.sinks import Sink, SinkClosedError
from edge.sinks.live.frame import clean
from edge.sinks.plain import estimate_line
from edge.sources import Source, SourceUrl, open_source
from firmware_bridge.errors import EXIT_INTERNAL, EXIT_OK, AnyEcgError, InputError, OutputError


@dataclass(slots=True)
class ManyOptions:
    """Options of a run over many recordings.

    Attributes:
        hop_s: Seconds between the windows of a longer recording.
        seconds: Signal of each recording to process, s; ``None`` for all.
        lines: Stream for one line per recording; ``None`` for none.
        errors: Stream for one line per recording that cannot be read, and for its notes.
        wrap: Function that wraps each source, such as with a device profile.
        session: Function that completes what the estimates of a recording carry.
        reasons: Whether estimates say what they rest on.
    """

    hop_s: float
    seconds: float | None
    lines: TextIO | None
    errors: TextIO
    wrap: Callable[[Source], Source] = lambda source: source
    session: Callable[[SessionInfo], SessionInfo] = lambda session: session
    reasons: bool = False


@dataclass(slots=True)
class ManySummary:
    """What became of the recordings.

    Attributes:
        recordings: Number of recordings that were named.
        estimates: Recordings with an estimate.
        abstentions: Recordings without one, by reason.
        unreadable: Recordings that could not be read.
        signal_s: Length of the processed signal, s.
        wall_s: Duration of the run, s.
        code: Exit code.
    """

    recordings: int
    estimates: int = 0
    abstentions: Counter[str] = field(default_factory=Counter)
    unreadable: int = 0
    signal_s: float = 0.0
    wall_s: float = 0.0
    code: int = EXIT_OK

    def text(self) -> str:
        """Return the summary as text, ending with a newline."""
        reasons = ", ".join(f"{reason} {n}" for reason, n in sorted(self.abstentions.items()))
        done = self.estimates + self.abstentions.total() + self.unreadable
        lines = [
            "",
            f"recordings  {done} of {self.recordings}; {self.signal_s:.0f} s of signal in {self.wall_s:.1f} s",
            f"estimates   {self.estimates}" + (f"; abstentions: {reasons}" if reasons else ""),
        ]
        if self.unreadable:
            lines.append(f"unreadable  {self.unreadable}")
        return "\n".join([*lines, NOTICE, ""])


def run_many(
    recordings: Sequence[tuple[str, SourceUrl]], loaded: Loaded, sinks: Sequence[Sink], options: ManyOptions
) -> ManySummary:
    """Run every recording and give one estimate or abstention of each to the sinks.

    A recording that cannot be read costs one line. The exit code is then that of its error.

    Args:
        recordings: Name and URL of each recording.
        loaded: The bundle and its model.
        sinks: Destinations of the estimates.
        options: Options of the run.

    Raises:
        OutputError: A sink failed; everything before is written.
    """
    return asyncio.run(_run(recordings, loaded, sinks, options))


async def _run(
    recordings: Sequence[tuple[str, SourceUrl]], loaded: Loaded, sinks: Sequence[Sink], options: ManyOptions
) -> ManySummary:
    out, started = ManySummary(len(recordings)), time.monotonic()
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def interrupted(number: signal.Signals) -> None:
        out.code = EXIT_CODES[number]
        stop.set()

    stopper = Stopper(lambda number: loop.call_soon_threadsafe(interrupted, number))
    stopper.install()
    opened: list[Sink] = []
    try:
        for sink in sinks:
            sink.open()
            opened.append(sink)
        for index, (name, url) in enumerate(recordings, 1):
            answer = await _one(name, url, loaded, options, out, stop)
            if stop.is_set():
                break
            if answer is not None:
                _give(answer, sinks, out)
                _line(options.lines, f"[{index}/{len(recordings)}] {clean(name)} {estimate_line(answer)}")
    except SinkClosedError:
        pass
    finally:
        stopper.remove()
        _close(opened)
    out.wall_s = time.monotonic() - started
    return out


def _give(answer: Estimate, sinks: Sequence[Sink], out: ManySummary) -> None:
    out.estimates += answer.abstained is None
    out.abstentions.update([answer.abstained] if answer.abstained else [])
    for sink in sinks:
        sink.estimate(answer)


def _close(sinks: Sequence[Sink]) -> None:
    failed: OutputError | None = None
    for sink in sinks:
        try:
            sink.close(None)
        except OutputError as error:
            failed = failed or error
    if failed is not None:
        raise failed


async def _one(
    name: str, url: SourceUrl, loaded: Loaded, options: ManyOptions, out: ManySummary, stop: asyncio.Event
) -> Estimate | None:
    """Return the answer of one recording; ``None``, with a line, if it cannot be read."""
    try:
        source = options.wrap(open_source(url))
        session = options.session(replace(session_info(source), device=name))
        for note in source.info.notes:
            _line(options.errors, f"note: {clean(name)}: {clean(note)}")
        reasons = live_reasons(loaded.bundle, loaded.model, options.hop_s) if options.reasons else None
        engine = Engine(loaded.bundle, loaded.model, session, options.hop_s, reasons=reasons)
        answers = Answers()
        try:
            async for item in source.items():
                answers.take(engine.push(item).estimates)
                if stop.is_set():
                    return None
                if options.seconds is not None and engine.timeline.end_s >= options.seconds:
                    break
            answers.take(engine.finish().estimates)
        finally:
            await source.close()
        out.signal_s += engine.timeline.end_s
        return answers.best() or engine.too_short()
    except AnyEcgError as error:
        out.code = max(out.code, error.exit_code) if isinstance(error, InputError) else out.code or error.exit_code
        fix = f" ({error.fix})" if error.fix else ""
        _line(options.errors, f"anyecg: {clean(name)}: {clean(error.what)}{clean(fix)}")
    except Exception as error:  # noqa: BLE001  # one recording must not end the others
        out.code = EXIT_INTERNAL
        _line(options.errors, f"anyecg: {clean(name)}: an internal error, {type(error).__name__}: {clean(str(error))}")
    out.unreadable += 1
    return None


def _line(stream: TextIO | None, text: str) -> None:
    if stream is None:
        return
    try:
        stream.write(text + "\n")
        stream.flush()
    except BrokenPipeError:
        raise SinkClosedError("the reader has closed the output") from None
