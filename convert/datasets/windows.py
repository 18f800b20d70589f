"""Windows of real recordings, formed and checked by the device's own code.

A recording is any file that ``anyecg run --source replay:...`` can read. Its samples pass the runtime's timeline,
filter, windower and quality gate. So a converted model is quantized and compared on exactly the windows that it would
get on the device.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path
from typing import TextIO, cast

import numpy as np
from numpy.typing import NDArray

from convert.compute.progress import Progress
from edge.chain import SignalChain
from edge.grid.timeline import Gap, Timeline, Uniform
from edge.sources import SourceUrl
from edge.sources.replay.source import ReplaySource, open_replay
from edge.window import Window
from firmware_bridge.errors import AnyEcgError, InputError, MissingExtraError
from firmware_bridge.samples import LinkItem

GRID_HZ = 500
HOP_S = 5.0
"""Seconds between windows of one recording, half a window: closer windows would show the same beats."""

SUFFIXES = frozenset({".hea", ".edf", ".bdf", ".csv", ".mat", ".aer"})
MAX_FILES = 200_000
"""Largest number of recordings in a folder. MC-MED has fewer lead II recordings in each part."""

PER_RECORDING = 24
"""Largest number of windows of one recording, so that a long recording does not dominate."""

MAX_SECONDS = 600.0
"""Seconds of one recording that are read."""

_ANNOTATIONS = re.compile(r"(_|-)(ann|annotations|peaks|rr|labels)$", re.IGNORECASE)


@dataclass(frozen=True, slots=True, eq=False)
class RecordedWindow:
    """A window that the quality gate accepted.

    Attributes:
        recording: Path of the recording.
        end_s: Signal time of its last sample, s.
        raw: Shape ``(5000,)``, 500 Hz, millivolts or counts, before any filter.
        filtered: Shape ``(1250,)``: the same ten seconds as ``stream/1`` gives them, 125 Hz.
        quality: Score of the gate, 0 to 1.
    """

    recording: Path
    end_s: float
    raw: NDArray[np.float64]
    filtered: NDArray[np.float64]
    quality: float


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


def recording_files(folder: Path) -> list[Path]:
    """Return the recordings under a folder, sorted. Symbolic links to folders are not followed.

    Args:
        folder: A folder, or one recording.

    Raises:
        InputError: The folder does not exist, or holds no recording.
    """
    if folder.is_file():
        return [folder]
    if not folder.is_dir():
        raise InputError(f"no such folder: {folder}", "give a folder of recordings to --data")
    found: list[Path] = []
    for root, folders, files in os.walk(folder):
        folders.sort()
        here = [Path(root, name) for name in sorted(files) if Path(name).suffix.lower() in SUFFIXES]
        headers = {p.stem for p in here if p.suffix == ".hea"}
        found += [p for p in here if (p.suffix == ".hea" or p.stem not in headers) and not _ANNOTATIONS.search(p.stem)]
        if len(found) > MAX_FILES:
            raise InputError(f"{folder} holds more than {MAX_FILES} recordings", "give a smaller folder")
    if not found:
        raise InputError(f"{folder} holds no recording", f"recordings are files with {', '.join(sorted(SUFFIXES))}")
    return found


def accepted_windows(
    recording: Path, *, hop_s: float = HOP_S, seconds: float = MAX_SECONDS
) -> Iterator[RecordedWindow]:
    """Yield the windows of one recording that the quality gate accepts.

    Args:
        recording: A file that ``replay:`` reads.
        hop_s: Seconds between windows.
        seconds: Length of the part that is read, s.

    Raises:
        InputError: The recording cannot be read.
        MissingExtraError: The format of the recording needs an extra.
    """
    url = SourceUrl.parse(f"replay:{recording}")
    source = open_replay(SourceUrl(url.text, url.scheme, str(recording), str(recording), {"speed": "max"}))
    timeline, chain = Timeline(GRID_HZ), SignalChain(GRID_HZ, hop_s)
    for item in _items(source):
        for part in timeline.push(item):
            if isinstance(part, Gap):
                chain.gap(part)
            else:
                yield from _accepted(chain, part, recording)
        if timeline.end_s >= seconds:
            return


def collect_windows(folder: Path, count: int, *, hop_s: float = HOP_S, stream: TextIO | None = None) -> WindowSet:
    """Collect windows that are spread over the recordings of a folder.

    If there are more recordings than windows, evenly spaced recordings are read. The windows of a recording are spread
    over its length. The same folder gives the same windows.

    Args:
        folder: A folder of recordings, or one recording.
        count: Largest number of windows.
        hop_s: Seconds between windows of one recording.
        stream: Stream for progress; ``None`` to show none.

    Returns:
        The windows; at least one.

    Raises:
        InputError: No recording gives a window; the message gives the reason for the first one.
        MissingExtraError: No recording can be read without an extra.
    """
    recordings = recording_files(folder)
    order = _spread(len(recordings))
    out = WindowSet()
    taken: dict[Path, list[RecordedWindow]] = {}
    progress = Progress("reading recordings", min(count, len(recordings)), "recordings", stream)
    missing: MissingExtraError | None = None
    for done, index in enumerate(order, 1):
        recording = recordings[index]
        try:
            windows = list(accepted_windows(recording, hop_s=hop_s))
        except MissingExtraError as error:
            missing = error
            out.skipped[recording] = str(error)
            continue
        except AnyEcgError as error:
            out.skipped[recording] = str(error)
            continue
        if windows:
            taken[recording] = _evenly(windows, PER_RECORDING)
        else:
            out.skipped[recording] = "no window of good quality"
        progress.step(min(done, count, len(recordings)))
        if len(taken) >= count:
            break
    _share(taken, count, out)
    if not out.windows:
        if missing is not None:
            raise missing
        first, why = next(iter(out.skipped.items()))
        raise InputError(
            f"no usable recording in {folder}: {first.name}: {why}", "give recordings with at least ten clean seconds"
        )
    return out


def _accepted(chain: SignalChain, part: Uniform, recording: Path) -> Iterator[RecordedWindow]:
    for answer in chain.push(part):
        if isinstance(answer, Window):
            quality = chain.assess(answer)
            if quality.reason is None:
                yield RecordedWindow(recording, answer.end_s, answer.raw.copy(), answer.filtered.copy(), quality.score)


def _items(source: object) -> Iterator[LinkItem]:
    """Return the items of a recording without pacing."""
    if isinstance(source, ReplaySource):
        for _due_s, item in source.blocks():
            yield item
        return
    import asyncio

    async def gather() -> list[LinkItem]:
        from edge.sources import Source

        return [item async for item in cast("Source", source).items()]

    yield from asyncio.run(gather())


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
