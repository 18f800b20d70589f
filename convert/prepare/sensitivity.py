"""How much the labels depend on the pairing window and on the clock of the ECG machines.

The clocks of ECG machines are not synchronised with the hospital's (usage notes of MIMIC-IV-ECG), so a result may
belong to another minute than it seems. The report says how many pairs each window gives, and how many labels change if
all ECG clocks are off by some minutes.
"""

from __future__ import annotations

import bisect
from collections.abc import Mapping, Sequence
from typing import TypedDict

WINDOWS_MIN = (15, 30, 60, 120, 240)
SHIFTS_MIN = (-60, -30, -15, 15, 30, 60)
MAX_ROWS = 500_000
"""Results in the sample: the first of the table, 100 MB. They are sorted by patient, so whole patients are kept."""


class WindowRecord(TypedDict):
    """Pairs of an ECG and the nearest result of a lab within a window."""

    minutes: float
    pairs: int
    ecgs: int
    median_minutes: float | None


class ShiftRecord(TypedDict):
    """Pairs if all ECG clocks were off by some minutes: the share with the same, another or no result."""

    minutes: float
    same: float | None
    another: float | None
    lost: float | None
    change_median: float | None


class SensitivityRecord(TypedDict):
    """Dependence of the pairs on the window and on the clocks."""

    window_min: float
    results: int
    complete: bool
    ecgs: int
    windows: list[WindowRecord]
    shifts: list[ShiftRecord]


class PairingSample:
    """Times and values of the results near an ECG."""

    def __init__(self) -> None:
        self._rows: dict[tuple[int, str], list[tuple[float, float]]] = {}
        self.results = 0
        self.complete = True

    def add(self, visit: int, lab: str, time_s: float, value: float) -> None:
        """Add a result.

        Args:
            visit: Its visit.
            lab: Key of its lab.
            time_s: Time of the blood draw, seconds since 1970.
            value: Its value, in any unit of the lab.
        """
        if self.results >= MAX_ROWS:
            self.complete = False
            return
        self._rows.setdefault((visit, lab), []).append((time_s, value))
        self.results += 1

    def report(self, ecg_times: Mapping[int, Sequence[float]], window_min: float) -> SensitivityRecord:
        """Return how the pairs depend on window and clocks.

        Args:
            ecg_times: Times of the ECGs of each visit, seconds since 1970.
            window_min: Window of the label plan, minutes.
        """
        pairs: list[tuple[float, list[tuple[float, float]]]] = []
        ecgs: list[tuple[int, int]] = []
        for (visit, _), rows in self._rows.items():
            rows.sort()
            for i, at in enumerate(ecg_times.get(visit, ())):
                pairs.append((at, rows))
                ecgs.append((visit, i))
        windows = [_window(pairs, ecgs, float(minutes)) for minutes in sorted({*WINDOWS_MIN, window_min})]
        return {
            "window_min": window_min,
            "results": self.results,
            "complete": self.complete,
            "ecgs": sum(map(len, ecg_times.values())),
            "windows": windows,
            "shifts": [_shift(pairs, window_min, float(minutes)) for minutes in SHIFTS_MIN],
        }


def _nearest(rows: list[tuple[float, float]], at: float, window_min: float) -> tuple[float, float] | None:
    place = bisect.bisect_left(rows, (at, float("-inf")))
    near = rows[max(0, place - 1) : place + 1]
    best = min(near, key=lambda row: abs(row[0] - at)) if near else None
    return best if best is not None and abs(best[0] - at) <= 60.0 * window_min else None


def _window(
    pairs: list[tuple[float, list[tuple[float, float]]]], ecgs: list[tuple[int, int]], minutes: float
) -> WindowRecord:
    found = [
        (row[0] - at, ecg) for (at, rows), ecg in zip(pairs, ecgs, strict=True) if (row := _nearest(rows, at, minutes))
    ]
    apart = sorted(abs(gap) / 60.0 for gap, _ in found)
    return {
        "minutes": minutes,
        "pairs": len(found),
        "ecgs": len({ecg for _, ecg in found}),
        "median_minutes": round(apart[len(apart) // 2], 1) if apart else None,
    }


def _shift(pairs: list[tuple[float, list[tuple[float, float]]]], window_min: float, minutes: float) -> ShiftRecord:
    same = another = lost = 0
    changes: list[float] = []
    for at, rows in pairs:
        before = _nearest(rows, at, window_min)
        if before is None:
            continue
        after = _nearest(rows, at + 60.0 * minutes, window_min)
        if after is None:
            lost += 1
        elif after == before:
            same += 1
        else:
            another += 1
            changes.append(abs(after[1] - before[1]) / max(abs(before[1]), 1e-9))
    total = same + another + lost
    changes.sort()
    return {
        "minutes": minutes,
        "same": round(same / total, 4) if total else None,
        "another": round(another / total, 4) if total else None,
        "lost": round(lost / total, 4) if total else None,
        "change_median": round(changes[len(changes) // 2], 4) if changes else None,
    }


def sensitivity_text(found: SensitivityRecord) -> str:
    """Return the report for a terminal."""
    part = "" if found["complete"] else f", of the first {found['results']} results"
    lines = ["", f"pairing window and clocks{part}", f"  {'window':>10} {'pairs':>9} {'ECGs':>7}  median distance"]
    for w in found["windows"]:
        mark = "  (label plan)" if w["minutes"] == found["window_min"] else ""
        middle = "-" if w["median_minutes"] is None else f"{w['median_minutes']:g} min"
        lines.append(f"  {w['minutes']:>6g} min {w['pairs']:>9} {w['ecgs']:>7}  {middle}{mark}")
    lines.append(
        f"  {'ECG clock':>10} {'same':>9} {'other':>7} {'lost':>7}  result of the {found['window_min']:g} min pairs"
    )
    for s in found["shifts"]:
        cells = ["-" if x is None else f"{x:.1%}" for x in (s["same"], s["another"], s["lost"])]
        lines.append(f"  {s['minutes']:>+6g} min {cells[0]:>9} {cells[1]:>7} {cells[2]:>7}")
    return "\n".join(lines) + "\n"
