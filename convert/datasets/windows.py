"""Windows of real recordings, formed and checked by the device's own code.

A recording is any file that ``anyecg run --source replay:...`` can read. Its samples pass the runtime's timeline,
filter, windower and quality gate. So a converted model is quantized and compared on exactly the windows that it would
get on the device. A recording that is too short for the chain gives one window, see ``edge.tensecond``.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path
from typing import TextIO

import numpy as np
from numpy.typing import NDArray

from convert.compute.progress import Progress
from convert.datasets.described import (
    RecordingOptions,
    Stated,
    check_rate_stated,
    items_of,
    open_recording,
    stated_files,
)
from edge.chain import SignalChain
from edge.grid.timeline import Gap, Timeline, Uniform
from edge.sources import SourceUrl
from edge.sources.replay.folder import recording_files
from edge.sources.replay.raw import open_raw
from edge.sources.replay.source import DEFAULT_BLOCK_S
from edge.tensecond import REASONS, ShortRecording, WholeWindow
from edge.window import Window
from firmware_bridge.errors import AnyEcgError, InputError, MissingExtraError, UsageError
from firmware_bridge.rawlog import SUFFIX as RAW_LOG
from firmware_bridge.rawlog import is_rawlog
from firmware_bridge.samples import LinkItem, SampleBlock

GRID_HZ = 500
HOP_S = 5.0
"""Seconds between windows of one recording, half a window: closer windows would show the same beats."""

PER_RECORDING = 24
"""Largest number of windows of one recording, so that a long recording does not dominate."""

MAX_SECONDS = 600.0
"""Seconds of one recording that are read."""

MAX_LEADS = 6
"""Most leads in the summary."""


@dataclass(frozen=True, slots=True, eq=False)
class RecordedWindow:
    """A window that the quality gate accepted.

    Attributes:
        recording: Path of the recording.
        end_s: Signal time of its last sample, s.
        raw: Shape ``(5000,)``, 500 Hz, millivolts or counts, before any filter.
        filtered: Shape ``(1250,)``: the same ten seconds as ``stream/1`` gives them, 125 Hz.
        quality: Score of the gate, 0 to 1.
        lead: Name of the signal; empty if the recording does not name it.
    """

    recording: Path
    end_s: float
    raw: NDArray[np.float64]
    filtered: NDArray[np.float64]
    quality: float
    lead: str = ""


@dataclass(slots=True)
class WindowSet:
    """Windows of many recordings.

    Attributes:
        windows: Windows in the order of the recordings' names, then of time.
        used: Recordings that gave a window.
        skipped: Reason why a recording gave no window, by recording.
    """

    windows: list[RecordedWindow] = field(default_factory=list)
    used: list[Path] = field(default_factory=list)
    skipped: dict[Path, str] = field(default_factory=dict)

    def raw(self) -> NDArray[np.float64]:
        """Return all raw windows, shape ``(n, 5000)``."""
        return np.stack([w.raw for w in self.windows])

    def summary(self) -> str:
        """Return one line: the numbers, the leads that were taken, and the first reason for skipping a recording."""
        leads = Counter({w.recording: w.lead for w in self.windows}.values())
        named = ", ".join(f"{lead or 'unnamed'} of {n}" for lead, n in leads.most_common(MAX_LEADS))
        text = f"{len(self.windows)} windows of {len(self.used)} recordings (lead {named}), {len(self.skipped)} skipped"
        first = next(iter(self.skipped.items()), None)
        return text if first is None else f"{text}; {first[0].name}: {first[1]}"


def accepted_windows(
    recording: Path, *, hop_s: float = HOP_S, seconds: float = MAX_SECONDS, stated: Stated | None = None
) -> Iterator[RecordedWindow]:
    """Yield the windows of one recording that the quality gate accepts.

    Args:
        recording: A file that ``replay:`` reads.
        hop_s: Seconds between windows.
        seconds: Length of the part that is read, s.
        stated: What a table and the options of a command state about the recording.

    Raises:
        InputError: The recording cannot be read, or gives no window; the message gives the reason.
        UsageError: The recording contradicts what is stated.
        MissingExtraError: The format of the recording needs an extra.
    """
    lead, items = _opened(recording, stated or Stated())
    timeline, chain, short = Timeline(GRID_HZ), SignalChain(GRID_HZ, hop_s), ShortRecording(GRID_HZ)
    found = False
    for item in items:
        for part in timeline.push(item):
            short.push(part)
            if isinstance(part, Gap):
                chain.gap(part)
                continue
            for window in _formed(chain, part):
                short.formed()
                quality = chain.assess(window)
                if quality.reason is None:
                    found = True
                    raw, filtered = window.raw.copy(), window.filtered.copy()
                    yield RecordedWindow(recording, window.end_s, raw, filtered, quality.score, lead)
        if timeline.end_s >= seconds:
            break
    if found:
        return
    whole = short.finish()
    if not isinstance(whole, WholeWindow):
        raise InputError(REASONS[whole])
    window = whole.window
    yield RecordedWindow(recording, window.end_s, window.raw.copy(), window.filtered, whole.quality.score, lead)


def collect_windows(
    folder: Path,
    count: int,
    *,
    hop_s: float = HOP_S,
    stream: TextIO | None = None,
    options: RecordingOptions | None = None,
) -> WindowSet:
    """Collect windows that are spread over the recordings of a folder.

    If there are more recordings than windows, evenly spaced recordings are read. The windows of a recording are spread
    over its length. The same folder gives the same windows.

    Args:
        folder: A folder of recordings, or one recording.
        count: Largest number of windows.
        hop_s: Seconds between windows of one recording.
        stream: Stream for progress; ``None`` to show none.
        options: Options of the command about all recordings.

    Returns:
        The windows; at least one.

    Raises:
        InputError: No recording gives a window, with the reason for the first one, or a ``recordings.toml`` is invalid.
        UsageError: A recording, its table and the options contradict each other.
        MissingExtraError: No recording can be read without an extra.
    """
    stated = stated_files(recording_files(folder), folder, options or RecordingOptions())
    recordings = list(stated)
    out = WindowSet()
    taken: dict[Path, list[RecordedWindow]] = {}
    progress = Progress("reading recordings", min(count, len(recordings)), "recordings", stream)
    errors: list[AnyEcgError] = []
    for done, index in enumerate(_spread(len(recordings)), 1):
        recording = recordings[index]
        try:
            windows = list(accepted_windows(recording, hop_s=hop_s, stated=stated[recording]))
        except UsageError:
            raise
        except AnyEcgError as error:
            errors.append(error)
            out.skipped[recording] = str(error).replace(f"{folder}{os.sep}", "")
            continue
        taken[recording] = _evenly(windows, PER_RECORDING)
        progress.step(min(done, count, len(recordings)))
        if len(taken) >= count:
            break
    _share(taken, count, out)
    if not out.windows:
        raise _nothing(folder, next(iter(out.skipped)), errors)
    return out


def _nothing(folder: Path, first: Path, errors: list[AnyEcgError]) -> AnyEcgError:
    """Return the error for a folder without a window, with the reason of its first recording."""
    missing = [error for error in errors if isinstance(error, MissingExtraError)]
    if missing:
        return missing[-1]
    fix = errors[0].fix or "give recordings with at least ten clean seconds"
    why = errors[0].what.replace(f"{folder}{os.sep}", "")
    return InputError(f"no usable recording in {folder}: {first.name}: {why}", fix)


def _formed(chain: SignalChain, part: Uniform) -> Iterator[Window]:
    for answer in chain.push(part):
        if isinstance(answer, Window):
            yield answer


def _opened(recording: Path, stated: Stated) -> tuple[str, Iterator[LinkItem]]:
    """Return the lead of a recording, and its items without pacing."""
    if recording.suffix.lower() == RAW_LOG or is_rawlog(recording):
        return "", _raw_items(recording, stated)
    source = open_recording(recording, stated, DEFAULT_BLOCK_S)
    return source.info.lead or "", items_of(source)


def _raw_items(recording: Path, stated: Stated) -> Iterator[LinkItem]:
    """Yield the items of the kit's own raw recording, which states all but the lead."""
    url = SourceUrl.parse("replay:x?speed=max")
    checked = False
    for _, item in open_raw(url, recording).timed():
        if isinstance(item, SampleBlock) and not checked:
            check_rate_stated(recording, item.fs_hz, stated)
            checked = True
        if item is not None:
            yield item


def _spread(n: int) -> list[int]:
    """Return 0 to n-1 in bit-reversed order, so that the first k are spread over the range for any k."""
    bits = max(1, (n - 1).bit_length())
    return [i for i in (int(f"{k:0{bits}b}"[::-1], 2) for k in range(1 << bits)) if i < n]


def _evenly(windows: list[RecordedWindow], limit: int) -> list[RecordedWindow]:
    if len(windows) <= limit:
        return windows
    return [windows[i] for i in np.linspace(0, len(windows) - 1, limit).astype(int)]


def _share(taken: dict[Path, list[RecordedWindow]], count: int, out: WindowSet) -> None:
    """Take windows from the recordings in turn until there are enough."""
    orders = [[windows[i] for i in _spread(len(windows))] for _, windows in sorted(taken.items())]
    turns = [w for turn in zip_longest(*orders) for w in turn if w is not None][:count]
    out.windows = sorted(turns, key=lambda w: (str(w.recording), w.end_s))
    out.used = sorted({w.recording for w in out.windows})
