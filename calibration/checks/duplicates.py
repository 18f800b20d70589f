"""Find recordings with the same samples under different names, such as a patient who was copied under a second name.

Each recording is read up to its first ten seconds. Only recordings with equal beginnings are read whole.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterator
from typing import TextIO

import numpy as np

from calibration.validate.labelled import Labelled
from convert.compute.progress import Progress
from convert.datasets.csvrows import rows_of
from convert.datasets.pairs import Recording
from convert.teacher.hard_labels import TABLE, by_table
from firmware_bridge.errors import InputError, MissingExtraError, UsageError
from firmware_bridge.samples import SampleBlock

FIRST_S = 10.0
"""Length of the beginning that is compared first, seconds."""

STEP_MV = 1e-3
"""Step to which samples are rounded, mV, so that a change of format or gain does not hide a copy."""


def refuse_duplicates(data: Labelled, progress: TextIO | None = None) -> None:
    """Refuse recordings with the same samples.

    Recordings that cannot be read are left to the run, which reports them.

    Args:
        data: The labelled recordings.
        progress: Stream for the progress line, or ``None``.

    Raises:
        InputError: Two recordings hold the same samples; the message names them and their lines.
    """
    bar = Progress("comparing recordings", len(data.recordings), "recordings", progress)
    alike: dict[bytes, list[int]] = defaultdict(list)
    for i, recording in enumerate(data.recordings):
        found = digest_of(recording, FIRST_S)
        if found is not None:
            alike[found].append(i)
        bar.step(i + 1)
    for group in alike.values():
        if len(group) > 1:
            _compare(data, group)


def _compare(data: Labelled, group: list[int]) -> None:
    seen: dict[bytes, int] = {}
    for i in group:
        found = digest_of(data.recordings[i], None)
        if found is None:
            continue
        other = seen.setdefault(found, i)
        if other != i:
            one, two = data.recordings[other], data.recordings[i]
            patients = "one patient" if one.patient == two.patient else f"patients {one.patient!r} and {two.patient!r}"
            raise InputError(
                f"{_place(data, one)} and {_place(data, two)} of {patients} hold the same samples",
                "remove one of them: a copy makes every interval too narrow",
            )


def _place(data: Labelled, recording: Recording) -> str:
    """Return a recording with the line that names it, where a table of labels does."""
    if not by_table(data.folder):
        return recording.name
    for row in rows_of(data.folder / TABLE, ()):
        column = next((name for name in ("record", "patient") if name in row.columns), None)
        if column is not None and row.text(column) in {recording.name, recording.patient}:
            return f"{recording.name} (line {row.line} of {TABLE})"
    return recording.name


def digest_of(recording: Recording, seconds: float | None) -> bytes | None:
    """Return a hash of the samples of a recording.

    Args:
        recording: The recording.
        seconds: Length of its beginning that is hashed; ``None`` for the whole recording.

    Returns:
        The hash; ``None`` for a recording that cannot be read, or whose samples are all equal.
    """
    found = hashlib.blake2b(digest_size=16)
    varied, left_s = False, float("inf") if seconds is None else seconds
    try:
        for block in _blocks(recording):
            part = block.samples[: round(min(left_s * block.fs_hz, len(block.samples)))]
            scale = 1.0 if block.unit == "mV" else block.lsb_mv or STEP_MV
            steps = np.nan_to_num(np.rint(part.astype(np.float64) * scale / STEP_MV), nan=-1e9)
            varied = varied or (len(steps) > 0 and float(np.ptp(steps)) > 0.0)
            found.update(steps.astype("<i8").tobytes())
            left_s -= len(part) / block.fs_hz
            if left_s <= 0.0:
                break
    except (InputError, UsageError, MissingExtraError):
        return None
    return found.digest() if varied else None


def _blocks(recording: Recording) -> Iterator[SampleBlock]:
    return (item for item in recording.items() if isinstance(item, SampleBlock))
