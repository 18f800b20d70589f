"""A wearer whose waves are written by hand, window by window: rows, records, and session folders without a signal."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from edge.baseline.samples import Samples, Table, row_of, usable
from edge.records import BundleRef, Estimate, QualityRecord, WindowSpan, to_json, utc_text
from edge.rhythm.record import RhythmMinutes, RhythmName, RhythmRecord
from edge.waves.record import WaveRecord

START_UNIX_S = 1_795_000_000
"""2026-11-18 11:06:40 UTC."""


@dataclass(frozen=True)
class Wearer:
    """What the ECG of a wearer shows at a time.

    Attributes:
        bpm: Heart rate, 1/min.
        qtc_ms: QT at 60 beats per minute, ms.
        exponent: Exponent of RR in QT.
        t_mv: T amplitude, mV.
        r_mv: R amplitude, mV.
        st_mv: ST, mV; ``None`` if the band does not allow it.
        scatter_ms: Standard deviation of QT of a window, ms.
        rhythm: Rhythm.
        score: Quality.
    """

    bpm: float = 60.0
    qtc_ms: float = 400.0
    exponent: float = 1.0 / 3.0
    t_mv: float = 0.3
    r_mv: float = 1.0
    st_mv: float | None = 0.02
    scatter_ms: float = 3.0
    rhythm: RhythmName = "sinus"
    score: float = 0.95

    def waves(self, rng: np.random.Generator) -> WaveRecord:
        """Return the waves of a window."""
        rr_ms = 60_000.0 / self.bpm * float(1.0 + 0.01 * rng.standard_normal())
        qt_ms = self.qtc_ms * (rr_ms / 1000.0) ** self.exponent + self.scatter_ms * float(rng.standard_normal())
        t_mv, r_mv = (x + 0.01 * float(rng.standard_normal()) for x in (self.t_mv, self.r_mv))
        missing = {"st": "band"} if self.st_mv is None else {}
        return WaveRecord(10, rr_ms, qt_ms=qt_ms, t_mv=t_mv, r_mv=r_mv, st_mv=self.st_mv, missing=missing)

    def rhythm_record(self, ectopic: float = 0.0) -> RhythmRecord:
        """Return the rhythm of a window."""
        minutes = RhythmMinutes(self.rhythm, 1, None, 10, ectopic, 0, 0)
        return RhythmRecord(
            self.rhythm, 0.01, ectopic, 0, bigeminy=False, pauses=0, longest_rr_ms=None, minutes=minutes
        )


AT_REST = Wearer()
Course = Callable[[float], Wearer | None]
"""The wearer at a signal time, s; ``None`` for a window that the gate refuses."""


def estimates(
    course: Course, seconds: float, hop_s: float = 10.0, *, run: str = "run1", seed: int = 1, device: str = "patch"
) -> Iterator[Estimate]:
    """Yield the records of a run."""
    rng = np.random.default_rng(seed)
    for k in range(1, int(seconds / hop_s) + 1):
        end_s = k * hop_s
        one = course(end_s)
        plain = Estimate(
            utc_text(round((START_UNIX_S + end_s) * 1e9)), True, run, device, WindowSpan(end_s - 10.0, end_s),
            BundleRef("demo 1", "0" * 64), QualityRecord(0.2, ("poor_signal",)), None, abstained="poor_signal",
        )  # fmt: skip
        if one is None:
            yield plain
            continue
        quality = QualityRecord(one.score)
        yield replace(
            plain, abstained=None, quality=quality, waves=one.waves(rng), rhythm=one.rhythm_record(),
            heart_rate_bpm=one.bpm,
        )  # fmt: skip


def rows(course: Course, seconds: float, hop_s: float = 10.0, seed: int = 1) -> Table:
    """Return the windows of a run as rows with Unix time."""
    out = Samples()
    for e in estimates(course, seconds, hop_s, seed=seed):
        row = row_of(e.waves)
        out.add(1, e.window.end_s, START_UNIX_S + e.window.end_s, row, ok=usable(row, e.rhythm, e.quality.score))
    return out.table()


def write_records(folder: Path, records: Iterator[Estimate], *, device: str = "patch") -> Path:
    """Write a session folder of one or several runs that is still running."""
    folder.mkdir(parents=True)
    names: list[str] = []
    with (folder / "estimates.jsonl").open("w", encoding="utf-8") as file:
        for e in records:
            names += [] if e.session in names else [e.session]
            file.write(to_json(e) + "\n")
    runs = [{"session": name, "source": "x:", "started": utc_text(START_UNIX_S * 10**9)} for name in names]
    about = {
        "schema": "anyecg.session/1",
        "device": device,
        "decided": None,
        "bundle": {"name": "demo 1"},
        "runs": runs,
    }
    (folder / "session.json").write_text(json.dumps(about), encoding="utf-8")
    return folder
