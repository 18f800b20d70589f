"""The sample formats of WFDB signal files.

The formats: https://physionet.org/physiotools/wag/signal-5.htm. The samples of all signals of a file follow each other,
frame by frame. Formats 508, 516 and 524 are FLAC with one channel for each signal.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.sources.replay.base import CHUNK_SAMPLES, READER_FAULTS, first_line
from firmware_bridge.errors import InputError, MissingExtraError
from firmware_bridge.reading import open_regular

NO_SAMPLE = {16: -(1 << 15), 61: -(1 << 15), 160: -(1 << 15), 212: -(1 << 11), 80: -(1 << 7), 24: -(1 << 23),
             32: -(1 << 31), 310: -(1 << 9), 311: -(1 << 9), 508: -(1 << 7), 516: -(1 << 15),
             524: -(1 << 23)}  # fmt: skip
"""The count that means "no sample". Format 8 has none."""

_GROUPS = {8: (1, 1), 16: (1, 2), 24: (1, 3), 32: (1, 4), 61: (1, 2), 80: (1, 1), 160: (1, 2), 212: (2, 3),
           310: (3, 4), 311: (3, 4)}  # fmt: skip
"""Samples and bytes that are stored together."""

FLAC_BITS = {508: 8, 516: 16, 524: 24}
"""Most bits of a sample in a compressed file."""

KNOWN = frozenset(_GROUPS) | frozenset(FLAC_BITS)

_SUBTYPE_BITS = {"PCM_S8": 8, "PCM_16": 16, "PCM_24": 24}


def samples_in(fmt: int, size: int) -> int:
    """Return the number of samples in ``size`` bytes of a format without compression."""
    together, width = _GROUPS[fmt]
    groups, rest = divmod(max(0, size), width)
    return groups * together + (rest * 8 // _BITS.get(fmt, 8 * width) if together > 1 else 0)


_BITS = {212: 12, 310: 16, 311: 10}
"""Bits after which a sample of an incomplete group can be read; format 310 stores two in 16 bits each."""


def plain_blocks(path: Path, fmt: int, offset: int, first: int, stop: int, step: int) -> Iterator[NDArray[np.int64]]:
    """Yield the samples ``first`` to ``stop`` of a file, all signals, at most ``step`` at a time.

    Format 8 gives differences.

    Raises:
        InputError: The file ends before ``stop``.
    """
    together, width = _GROUPS[fmt]
    with open_regular(path) as file:
        for start in range(first, stop, step):
            end = min(stop, start + step)
            begin, more = divmod(start, together)
            file.seek(offset + begin * width)
            raw = file.read(-(-end // together) * width - begin * width)
            found = _decode(raw, fmt)[more : more + end - start]
            if len(found) != end - start:
                raise InputError(f"{path} became shorter while it was read", "copy it again")
            yield found


def _decode(raw: bytes, fmt: int) -> NDArray[np.int64]:
    together, width = _GROUPS[fmt]
    raw += bytes(-len(raw) % width) if together > 1 else b""
    u1 = np.frombuffer(raw[: len(raw) // width * width], np.uint8)
    if fmt in _DIRECT:
        return u1.view(_DIRECT[fmt]).astype(np.int64) - _BIAS.get(fmt, 0)
    groups = u1.reshape(-1, width).astype(np.int64)
    if fmt == 24:
        return _signed(groups[:, 0] | groups[:, 1] << 8 | groups[:, 2] << 16, 24)
    if fmt == 212:
        first, second = groups[:, 0] | (groups[:, 1] & 15) << 8, groups[:, 2] | (groups[:, 1] >> 4) << 8
        return _signed(np.stack([first, second], 1).ravel(), 12)
    low, high = groups[:, 0] | groups[:, 1] << 8, groups[:, 2] | groups[:, 3] << 8
    if fmt == 310:
        parts = [low >> 1 & 1023, high >> 1 & 1023, low >> 11 | high >> 11 << 5]
    else:
        word = low | high << 16
        parts = [word & 1023, word >> 10 & 1023, word >> 20 & 1023]
    return _signed(np.stack(parts, 1).ravel(), 10)


_DIRECT = {8: "i1", 16: "<i2", 32: "<i4", 61: ">i2", 80: "u1", 160: "<u2"}
_BIAS = {80: 1 << 7, 160: 1 << 15}


def _signed(values: NDArray[np.int64], bits: int) -> NDArray[np.int64]:
    sign = 1 << (bits - 1)
    return (values ^ sign) - sign


def flac_length(path: Path, fmt: int, channels: int, offset: int) -> int:
    """Return the number of samples of each channel after ``offset`` samples.

    Raises:
        MissingExtraError: The library that reads FLAC is not installed.
        InputError: The file is not FLAC, or not as the header says.
    """
    try:
        with _flac(path) as sound:
            bits, found, length = _SUBTYPE_BITS.get(sound.subtype, 99), int(sound.channels), int(sound.frames)
    except READER_FAULTS as error:
        raise InputError(f"{path} is not a readable FLAC file: {first_line(error)}", "download it again") from None
    if found != channels or bits > FLAC_BITS[fmt]:
        raise InputError(
            f"{path} has {found} channels of {bits} bits, and its header says {channels} in format {fmt}",
            "download it again",
        )
    return max(0, length - offset)


def flac_blocks(path: Path, channel: int, first: int, stop: int) -> Iterator[NDArray[np.int64]]:
    """Yield the samples ``first`` to ``stop`` of a channel.

    Raises:
        InputError: The file is damaged.
    """
    try:
        with _flac(path) as sound:
            shift = 32 - _SUBTYPE_BITS[sound.subtype]
            sound.seek(first)
            for start in range(first, stop, CHUNK_SAMPLES):
                count = min(CHUNK_SAMPLES, stop - start)
                found = sound.read(count, dtype="int32", always_2d=True)[:, channel].astype(np.int64) >> shift
                if len(found) != count:
                    raise InputError(f"{path} is broken at sample {start + len(found)}", "download it again")
                yield found
    except READER_FAULTS as error:
        raise InputError(f"{path} is broken: {first_line(error)}", "download it again") from None


def _flac(path: Path) -> Any:
    with open_regular(path) as file:
        if file.read(4) != b"fLaC":
            raise InputError(f"{path} is not a FLAC file", "download it again")
    try:
        soundfile = importlib.import_module("soundfile")
    except (ImportError, OSError):
        raise MissingExtraError("reading compressed (FLAC) WFDB signals", "replay") from None
    return soundfile.SoundFile(str(path))
