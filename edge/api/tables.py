"""Estimates as numpy structured arrays and pandas data frames."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, overload

import numpy as np
from numpy.typing import NDArray

from edge.api.answer import Answers
from edge.records import Estimate, LabEstimate
from edge.waves.record import DIGITS
from firmware_bridge.errors import MissingPackageError

if TYPE_CHECKING:
    import pandas as pd

Table = NDArray[np.void]
"""A structured array, one row for each hop, beat or gap."""

HEAD = np.dtype([("value", "f8"), ("low", "f8"), ("high", "f8"), ("threshold", "f8"), ("flag", "i1")])
"""One head: value, interval and threshold, NaN if there is none; flag 1 or 0, or -1 if there is none."""

FACTS: tuple[tuple[str, str], ...] = (
    ("time", "M8[ms]"),
    ("start_s", "f8"),
    ("end_s", "f8"),
    ("quality", "f8"),
    ("heart_rate_bpm", "f8"),
    ("abstained", "U16"),
    ("lost_samples", "i8"),
    ("rhythm", "U16"),
    ("af_share", "f8"),
    *((name, "f8") for name in DIGITS),
)
"""The columns of every estimate, before one for each head."""


class Estimates(Sequence[Estimate]):
    """Estimates in order: a sequence of `Estimate` that is also a table.

    Args:
        estimates: The estimates, one for each hop.
    """

    def __init__(self, estimates: Iterable[Estimate]) -> None:
        self._estimates = tuple(estimates)

    @property
    def answer(self) -> Estimate | None:
        """The answer for the recording as a whole: the newest estimate, which aggregates the last minutes.

        Without any estimate it is the newest abstention for the most frequent reason; ``None`` if the recording was too
        short for either.
        """
        answers = Answers()
        answers.take(self._estimates)
        return answers.best() or (self._estimates[-1] if self._estimates else None)

    @property
    def heads(self) -> tuple[str, ...]:
        """Keys of the heads, such as ``potassium_high``, in the order of the bundle."""
        found: dict[str, None] = {}
        for e in self._estimates:
            found.update(dict.fromkeys(lab.key for lab in e.labs))
        return tuple(found)

    def to_numpy(self) -> Table:
        """Return a structured array, one row for each hop.

        The columns are ``time`` (UTC), ``start_s`` and ``end_s`` of the window, ``quality``, ``heart_rate_bpm``,
        ``abstained`` (empty if not), ``lost_samples``, ``rhythm`` of the window (empty without one), ``af_share`` of
        the last minutes, each measurement of ``waves`` such as ``qt_ms`` (NaN if there is none), and one for each head,
        itself with ``value``, ``low``, ``high``, ``threshold`` (NaN if there is none) and ``flag`` (1, 0, or -1 if
        there is none).
        """
        heads = self.heads
        out = np.zeros(len(self._estimates), dtype=[*FACTS, *((key, HEAD) for key in heads)])
        for name in heads:
            out[name] = (np.nan, np.nan, np.nan, np.nan, -1)
        for row, e in zip(out, self._estimates, strict=True):
            for (name, _), value in zip(FACTS, _facts(e), strict=True):
                row[name] = value
            for lab in e.labs:
                row[lab.key] = _head(lab)
        return out

    def to_pandas(self) -> pd.DataFrame:
        """Return a data frame, one row for each hop, indexed by time.

        A head has the columns ``KEY.value``, ``KEY.low``, ``KEY.high``, ``KEY.threshold`` and ``KEY.flag``.

        Raises:
            MissingPackageError: pandas is not installed.
        """
        table = self.to_numpy()
        columns: dict[str, Any] = {name: table[name] for name, _ in FACTS[1:]}
        for key in self.heads:
            for part in HEAD.names or ():
                columns[f"{key}.{part}"] = table[key][part]
        return frame(columns, table["time"])

    @overload
    def __getitem__(self, at: int) -> Estimate: ...
    @overload
    def __getitem__(self, at: slice) -> Estimates: ...
    def __getitem__(self, at: int | slice) -> Estimate | Estimates:
        if isinstance(at, slice):
            return Estimates(self._estimates[at])
        return self._estimates[at]

    def __len__(self) -> int:
        return len(self._estimates)

    def __iter__(self) -> Iterator[Estimate]:
        return iter(self._estimates)

    def __repr__(self) -> str:
        made = sum(e.abstained is None for e in self._estimates)
        return f"<Estimates: {len(self)} hops, {made} estimates, {len(self) - made} abstentions>"


def frame(columns: Mapping[str, Any], time: NDArray[np.datetime64] | None = None) -> pd.DataFrame:
    """Return a data frame of columns; ``flag`` columns become nullable booleans.

    Args:
        columns: Column by name, each shape ``(n,)``.
        time: UTC time of each row, for the index; ``None`` for row numbers.

    Raises:
        MissingPackageError: pandas is not installed.
    """
    try:
        import pandas as pd
    except ImportError:
        raise MissingPackageError("to_pandas()", "pandas") from None
    out = pd.DataFrame(dict(columns))
    for name in out.columns:
        if name.endswith(".flag"):
            out[name] = out[name].map({1: True, 0: False}).astype("boolean")
    if time is not None:
        out.index = pd.DatetimeIndex(time, tz="UTC", name="time")
    return out


def _facts(e: Estimate) -> tuple[object, ...]:
    rate = np.nan if e.heart_rate_bpm is None else e.heart_rate_bpm
    time = np.datetime64(e.time.removesuffix("Z"), "ms")
    rhythm = "" if e.rhythm is None else e.rhythm.name
    af_share = np.nan if e.rhythm is None else _or_nan(e.rhythm.minutes.af_share)
    waves = (np.nan if e.waves is None else _or_nan(getattr(e.waves, name)) for name in DIGITS)
    seen = (rhythm, af_share, *waves)
    return time, e.window.start_s, e.window.end_s, e.quality.score, rate, e.abstained or "", e.lost_samples, *seen


def _head(lab: LabEstimate) -> tuple[float, float, float, float, int]:
    low, high = lab.interval or (np.nan, np.nan)
    flag = -1 if lab.flag is None else int(lab.flag)
    return _or_nan(lab.value), low, high, _or_nan(lab.threshold), flag


def _or_nan(x: float | None) -> float:
    return np.nan if x is None else x
