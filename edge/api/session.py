"""A session folder as numpy arrays."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal, cast

import numpy as np
from numpy.typing import NDArray

from edge.api.session_ecg import RawEcg, read_raw
from edge.api.session_files import parts, read_beats, read_estimates, read_events, read_object
from edge.api.tables import Estimates, Table, frame
from edge.records import Estimate
from firmware_bridge.errors import InputError, UsageError

if TYPE_CHECKING:
    import pandas as pd

SCHEMA = "anyecg.session/1"

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
        self.path = Path(path)
        self.about: Mapping[str, object] = read_object(self.path / "session.json")
        if self.about.get("schema") != SCHEMA:
            raise InputError(
                f"{self.path} has schema {self.about.get('schema')!r}, not {SCHEMA!r}", "update anyecg-edge"
            )
        ended = self.path / "summary.json"
        self.summary: Mapping[str, object] | None = read_object(ended) if ended.exists() else None

    @cached_property
    def estimates(self) -> Estimates:
        """All estimates and abstentions, one for each hop; ``.to_numpy()`` gives a structured array."""
        return Estimates(self.iter_estimates())

    def iter_estimates(self) -> Iterator[Estimate]:
        """Yield the estimates one by one, for a session that is too large for the memory.

        Raises:
            InputError: The file cannot be read.
        """
        return read_estimates(self.path)

    @cached_property
    def beats(self) -> Table:
        """The R peaks: ``run``, ``time_s``, and ``rr_s`` since the beat before (NaN after a pause over 3 s)."""
        found = np.array(list(read_beats(self.path)), dtype=BEAT)
        found["time_s"] += self._offsets_s(found["run"])
        return found

    @cached_property
    def events(self) -> tuple[Mapping[str, object], ...]:
        """The events of the link, each with ``time``, ``session``, ``kind``, ``detail`` and ``data``."""
        return tuple(read_events(self.path))

    @property
    def ecg_mv(self) -> NDArray[np.float32]:
        """The ECG in mV, shape ``(n,)``, as the device sent it: unfiltered, without the samples that are missing.

        Raises:
            InputError: The session has no raw recording, or the scale of the device is unknown.
        """
        if not all(ecg.scale_known for _, ecg in self._ecg):
            raise InputError(f"the scale of the device in {self.path} is unknown", "read .ecg_counts")
        return self.ecg_counts

    @property
    def ecg_counts(self) -> NDArray[np.float32]:
        """The same in the unit of the device: counts, or mV if it states its scale.

        Raises:
            InputError: The session has no raw recording.
        """
        return self._values

    @cached_property
    def time(self) -> NDArray[np.float64]:
        """Time of every sample of the ECG, s since the session began, shape ``(n,)``.

        Raises:
            InputError: The session has no raw recording.
        """
        return np.concatenate([np.empty(0), *(t + self._offset_s(run) for run, ecg in self._ecg for t in ecg.times_s)])

    @cached_property
    def gaps(self) -> Table:
        """Missing and unusable signal: ``run``, ``start_s``, ``end_s``, ``reason``.

        The reason is ``gap``, ``lead_off``, or ``restart`` for the time between two runs.

        Raises:
            InputError: The session has no raw recording.
        """
        rows: list[tuple[int, float, float, str]] = []
        end_s = 0.0
        for at, (run, ecg) in enumerate(self._ecg):
            offset_s = self._offset_s(run)
            if at:
                rows.append((run, end_s, max(end_s, offset_s), "restart"))
            rows += [(run, offset_s + gap.start_s, offset_s + gap.end_s, gap.reason) for gap in ecg.gaps]
            end_s = offset_s + (float(ecg.times_s[-1][-1]) if ecg.times_s else 0.0)
        return np.array(rows, dtype=GAP)

    @property
    def fs_hz(self) -> float:
        """Nominal sampling rate of the ECG, Hz.

        Raises:
            InputError: The session has no raw recording.
        """
        return self._ecg[-1][1].fs_hz

    @property
    def start(self) -> np.datetime64:
        """Time of the first sample, UTC."""
        return self.runs[0].start

    @cached_property
    def runs(self) -> tuple[SessionRun, ...]:
        """The runs of the session, in order; more than one after a power failure."""
        starts = self._starts()
        first = starts[0][2]
        return tuple(
            SessionRun(name, url, start, float((start - first) / np.timedelta64(1, "s"))) for name, url, start in starts
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
    def _values(self) -> NDArray[np.float32]:
        return np.concatenate([np.empty(0, np.float32), *(piece for _, ecg in self._ecg for piece in ecg.values)])

    @cached_property
    def _ecg(self) -> list[tuple[int, RawEcg]]:
        files = parts(self.path, "raw.aer")
        if not files:
            raise InputError(f"{self.path} holds no raw recording, so no ECG", "record it with anyecg run --record")
        names = [run.session for run in self.runs]
        return [(names.index(ecg.session) + 1, ecg) for ecg in read_raw(files) if ecg.session in names]

    def _starts(self) -> list[tuple[str, str, np.datetime64]]:
        """Return identifier, source and time of the first sample of every run.

        Estimates have the time of a sample; a run without any began, as far as known, when it was started.
        """
        try:
            listed = [
                (str(run["session"]), str(run["source"]), np.datetime64(str(run["started"]).removesuffix("Z"), "ms"))
                for run in cast("list[dict[str, object]]", self.about["runs"])
            ]
        except (KeyError, TypeError, ValueError):
            listed = []
        if not listed:
            raise InputError(f"{self.path}/session.json lists no run", "the file is damaged")
        exact: dict[str, np.datetime64] = {}
        for e in self.iter_estimates():
            if len(exact) == len(listed):
                break
            if e.session not in exact:
                end = np.datetime64(e.time.removesuffix("Z"), "ms")
                exact[e.session] = end - np.timedelta64(round(e.window.end_s * 1000), "ms")
        return [(name, url, exact.get(name, started)) for name, url, started in listed]

    def _offset_s(self, run: int) -> float:
        return self.runs[run - 1].offset_s if 0 < run <= len(self.runs) else 0.0

    def _offsets_s(self, run: NDArray[np.int32]) -> NDArray[np.float64]:
        known = np.array([0.0, *(one.offset_s for one in self.runs)])
        return known[np.where(run < len(known), run, 0).astype(np.intp)]


def read_session(path: Path | str) -> Session:
    """Read a session folder; see `Session`.

    Args:
        path: The folder that ``anyecg run --session-dir`` wrote.

    Raises:
        InputError: The folder is not a session.
    """
    return Session(path)
