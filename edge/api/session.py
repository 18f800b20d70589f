"""A session folder as numpy arrays."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from edge.api.tables import Estimates, Table, frame
from edge.records import Estimate
from edge.sessions.ecg import Missing, read_ecg
from edge.sessions.folder import SessionFolder, unix_ms
from firmware_bridge.errors import InputError, UsageError

if TYPE_CHECKING:
    import pandas as pd

BEAT = np.dtype([("run", "i4"), ("time_s", "f8"), ("rr_s", "f8")])
GAP = np.dtype([("run", "i4"), ("start_s", "f8"), ("end_s", "f8"), ("reason", "U16")])

What = Literal["estimates", "beats", "gaps", "ecg"]


@dataclass(frozen=True, slots=True)
class SessionRun:
    """One run of a session. A run that continues a session after a power failure is another one.

    Attributes:
        session: Identifier of the run, as in its estimates.
        source: The source URL.
        start: Time of its first sample, UTC.
        offset_s: Time from the start of the session to the start of this run, s.
    """

    session: str
    source: str
    start: np.datetime64
    offset_s: float


class Session:
    """A session folder that ``anyecg run --session-dir`` wrote, also while it is being written.

    Arrays are read when they are first used. All times are in seconds since the session began, across its runs.
    ``ecg_mv``, ``time`` and ``gaps`` need the raw recording (``--record``). Eight hours at 250 Hz are 86 MB.

    Args:
        path: The folder.

    Attributes:
        path: The folder.
        about: ``session.json``: device, source, bundle, versions.
        summary: ``summary.json``: hops, losses, latencies; ``None`` while the run lasts, and after a power failure.

    Raises:
        InputError: The folder is not a session.
    """

    def __init__(self, path: Path | str) -> None:
        self._folder = SessionFolder(path)
        self.path = self._folder.path
        self.about: Mapping[str, object] = self._folder.about
        self.summary: Mapping[str, object] | None = self._folder.summary

    @cached_property
    def estimates(self) -> Estimates:
        """All estimates and abstentions, one for each hop; ``.to_numpy()`` gives a structured array."""
        return Estimates(self.iter_estimates())

    def iter_estimates(self) -> Iterator[Estimate]:
        """Yield the estimates one by one, for a session that is too large for the memory.

        Raises:
            InputError: The file cannot be read.
        """
        return self._folder.estimates()

    @cached_property
    def beats(self) -> Table:
        """The R peaks: ``run``, ``time_s``, and ``rr_s`` since the beat before (NaN after a pause over 3 s)."""
        found = np.array(list(self._folder.beats()), dtype=BEAT)
        found["time_s"] += self._offsets_s(found["run"])
        return found

    @cached_property
    def events(self) -> tuple[Mapping[str, object], ...]:
        """The events of the link, each with ``time``, ``session``, ``kind``, ``detail`` and ``data``."""
        return tuple(self._folder.events())

    @property
    def ecg_mv(self) -> NDArray[np.float32]:
        """The ECG in mV, shape ``(n,)``, as the device sent it: unfiltered, without the samples that are missing.

        Raises:
            InputError: The session has no raw recording, or the scale of the device is unknown.
        """
        if not self._ecg.scale_known:
            raise InputError(f"the scale of the device in {self.path} is unknown", "read .ecg_counts")
        return self.ecg_counts

    @property
    def ecg_counts(self) -> NDArray[np.float32]:
        """The same in the unit of the device: counts, or mV if it states its scale.

        Raises:
            InputError: The session has no raw recording.
        """
        return self._ecg.values

    @property
    def time(self) -> NDArray[np.float64]:
        """Time of every sample of the ECG, s since the session began, shape ``(n,)``.

        Raises:
            InputError: The session has no raw recording.
        """
        return self._ecg.time_s

    @property
    def gaps(self) -> Table:
        """Missing and unusable signal: ``run``, ``start_s``, ``end_s``, ``reason``.

        The reason is ``gap``, ``lead_off``, or ``restart`` for the time between two runs.

        Raises:
            InputError: The session has no raw recording.
        """
        return self._ecg.gaps

    @property
    def fs_hz(self) -> float:
        """Nominal sampling rate of the ECG, Hz.

        Raises:
            InputError: The session has no raw recording.
        """
        return self._ecg.fs_hz

    @property
    def start(self) -> np.datetime64:
        """Time of the first sample, UTC."""
        return self.runs[0].start

    @cached_property
    def runs(self) -> tuple[SessionRun, ...]:
        """The runs of the session, in order; more than one after a power failure."""
        starts = [np.datetime64(unix_ms(run.start_unix_s), "ms") for run in self._folder.runs]
        return tuple(
            SessionRun(run.session, run.source, start, float((start - starts[0]) / np.timedelta64(1, "s")))
            for run, start in zip(self._folder.runs, starts, strict=True)
        )

    def to_pandas(self, what: What = "estimates") -> pd.DataFrame:
        """Return a part of the session as a data frame.

        Args:
            what: ``estimates`` (indexed by time), ``beats``, ``gaps``, or ``ecg`` (``time_s`` and ``ecg_mv``).

        Raises:
            MissingPackageError: pandas is not installed.
            InputError: The part cannot be read.
            UsageError: There is no such part.
        """
        if what == "estimates":
            return self.estimates.to_pandas()
        if what == "ecg":
            return frame({"time_s": self.time, "ecg_mv": self.ecg_mv})
        if what not in {"beats", "gaps"}:
            raise UsageError(f"a session has no {what!r}", "use estimates, beats, gaps or ecg")
        table = self.beats if what == "beats" else self.gaps
        return frame({name: table[name] for name in table.dtype.names or ()})

    def __repr__(self) -> str:
        return f"<edge.Session {str(self.path)!r}: {self.about.get('device')}>"

    @cached_property
    def _ecg(self) -> _Ecg:
        return _Ecg(self._folder, [run.offset_s for run in self.runs])

    def _offsets_s(self, run: NDArray[np.int32]) -> NDArray[np.float64]:
        known = np.array([0.0, *(one.offset_s for one in self.runs)])
        return known[np.where((run > 0) & (run < len(known)), run, 0).astype(np.intp)]


class _Ecg:
    """The ECG of a session in memory, on its time axis."""

    def __init__(self, folder: SessionFolder, offsets_s: list[float]) -> None:
        values, times_s = [np.empty(0, np.float32)], [np.empty(0)]
        gaps: list[tuple[int, float, float, str]] = []
        self.fs_hz, self.scale_known = math.nan, True
        run, end_s = 0, 0.0
        for part in read_ecg(folder):
            offset_s = offsets_s[part.run - 1]
            if run and part.run != run:
                gaps.append((part.run, end_s, max(end_s, offset_s), "restart"))
            run, end_s = part.run, offset_s + part.end_s
            if isinstance(part, Missing):
                gaps.append((run, offset_s + part.start_s, end_s, part.reason))
                continue
            values.append(part.samples.astype(np.float32))
            times_s.append(offset_s + part.times_s(0, len(part.samples)))
            self.fs_hz = part.nominal_hz
            self.scale_known &= part.unit == "mV"
        self.values, self.time_s = np.concatenate(values), np.concatenate(times_s)
        self.gaps: Table = np.array(gaps, dtype=GAP)


def read_session(path: Path | str) -> Session:
    """Read a session folder; see `Session`.

    Args:
        path: The folder that ``anyecg run --session-dir`` wrote.

    Raises:
        InputError: The folder is not a session.
    """
    return Session(path)
