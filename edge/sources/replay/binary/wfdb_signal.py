"""One signal in its WFDB signal file: where its samples are, and how many exist."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge.sources.replay.base import CHUNK_SAMPLES, check_file
from edge.sources.replay.binary.wfdb_formats import (
    FLAC_BITS,
    KNOWN,
    NO_SAMPLE,
    flac_blocks,
    flac_length,
    plain_blocks,
    samples_in,
)
from edge.sources.replay.binary.wfdb_header import WfdbHeader, WfdbSignal
from edge.sources.replay.labels import clean_name
from firmware_bridge.errors import InputError


@dataclass(frozen=True, slots=True, eq=False)
class SignalFile:
    """The samples of a signal in a record, or in a segment of it.

    Attributes:
        path: The file.
        signal: The signal line of the header.
        group: Samples of all signals of the file in a frame.
        at: Where the signal begins in a frame, samples; its channel in a compressed file.
        stored: Frames in the file.
        frames: Frames to replay, after the skew.
        complete: Whether these are all frames that the header announces, from the first.
    """

    path: Path
    signal: WfdbSignal
    group: int
    at: int
    stored: int
    frames: int
    complete: bool

    @property
    def no_sample(self) -> int | None:
        """The count that means "no sample"."""
        return NO_SAMPLE.get(self.signal.fmt)

    def blocks(self) -> Iterator[NDArray[np.int64]]:
        """Yield the counts as stored, in order.

        Raises:
            InputError: The file is damaged.
        """
        signal, per_frame = self.signal, self.signal.per_frame
        first, stop = signal.skew, signal.skew + self.frames
        if signal.fmt in FLAC_BITS:
            begin = signal.byte_offset
            yield from flac_blocks(self.path, self.at, begin + first * per_frame, begin + stop * per_frame)
            return
        differences = signal.fmt == 8
        level, skip = signal.initial, first * per_frame if differences else 0
        first = 0 if differences else first
        step = max(1, CHUNK_SAMPLES // self.group) * self.group
        for block in plain_blocks(
            self.path, signal.fmt, signal.byte_offset, first * self.group, stop * self.group, step
        ):
            found = block.reshape(-1, self.group)[:, self.at : self.at + per_frame].ravel()
            if differences:
                found = level + np.cumsum(found)
                level = int(found[-1])
            if skip < len(found):
                yield found[skip:]
            skip = max(0, skip - len(found))


def open_signal(header: WfdbHeader, channel: int, frames: int | None) -> SignalFile | None:
    """Return a signal's file; ``None`` for a signal without samples (format 0).

    Args:
        header: Header of the record or segment.
        channel: Index of the signal.
        frames: Frames of the record or segment; ``None`` for all that the file has.

    Raises:
        InputError: The file is missing, is too short for one frame, or has a format that the kit does not know.
        MissingExtraError: It is compressed, and the ``replay`` extra is not installed.
    """
    signal = header.signals[channel]
    if signal.fmt == 0:
        return None
    if signal.fmt not in KNOWN:
        raise InputError(
            f"{header.path} has a signal in format {signal.fmt}, which is no format of WFDB",
            "convert the record with xform or wrsamp",
        )
    if signal.file in {"~", "-"}:
        raise InputError(f"{header.path} names no signal file: {signal.file!r}", "do not trust this record")
    path = header.path.with_name(signal.file)
    size = check_file(path)
    together = [s for s in header.signals if s.file == signal.file]
    if any((s.fmt, s.byte_offset) != (signal.fmt, signal.byte_offset) for s in together):
        raise InputError(f"{header.path} gives {clean_name(signal.file)} two formats", "download it again")
    before = [s for s in header.signals[:channel] if s.file == signal.file]
    group, at = sum(s.per_frame for s in together), sum(s.per_frame for s in before)
    if signal.fmt in FLAC_BITS:
        if any(s.per_frame != signal.per_frame for s in together):
            raise InputError(f"{header.path} gives the channels of {signal.file} several rates", "download it again")
        at = len(before)
        stored = flac_length(path, signal.fmt, len(together), signal.byte_offset) // signal.per_frame
    else:
        stored = samples_in(signal.fmt, size - signal.byte_offset) // group
    if stored <= signal.skew:
        raise InputError(f"{path} holds no samples of {header.names[channel]}", "download it again")
    there = stored - signal.skew
    return SignalFile(
        path=path,
        signal=signal,
        group=group,
        at=at,
        stored=stored if frames is None else min(stored, frames),
        frames=there if frames is None else min(there, frames),
        complete=frames is not None and stored >= frames and not signal.skew,
    )
