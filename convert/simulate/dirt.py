"""Dirt for a simulated cohort: faults of real data, planted and counted.

The counts give the exact increase of each number in the summary of ``anyecg prepare``, so that a test can compare them
(with ``keep_unlabelled``, so that every segment is read).
"""

from __future__ import annotations

import csv
import json
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convert.datasets.mcmed import parse_value
from convert.datasets.wfdb16 import Header, read_header
from edge.process.files import written_beside

COUNTS = "DIRT.json"
"""File in the data set with the counts of the planted dirt."""

WINDOW = 5000
_ROW_SHARE = 0.12
_CLEAN_MV = (0.3, 5.0)
"""Range of the peak-to-peak amplitude of a segment that may get dirt, mV: only good segments get dirt."""

_FEW = 2
"""Minimum number of recordings with each kind of dirt; larger cohorts have one for every hundred recordings."""


@dataclass(slots=True)
class Planted:
    """Counts of the planted dirt by reason.

    Attributes:
        segments: Expected increase of ``excluded_segments``.
        visits: Expected increase of ``excluded_visits``.
        rows: Expected increase of the excluded rows of ``labs.csv``.
        notes: Expected increase of the notes on used rows.
    """

    segments: Counter[str] = field(default_factory=Counter)
    visits: Counter[str] = field(default_factory=Counter)
    rows: Counter[str] = field(default_factory=Counter)
    notes: Counter[str] = field(default_factory=Counter)

    def as_dict(self) -> dict[str, dict[str, int]]:
        """Return all counts by name."""
        return {name: dict(sorted(getattr(self, name).items())) for name in ("segments", "visits", "rows", "notes")}


def plant_dirt(root: Path, seed: int) -> Planted:
    """Plant dirt in a simulated cohort, in place.

    Args:
        root: Folder of the data set; no other process may use it.
        seed: Seed of the dirt.

    Raises:
        OSError: A file cannot be read or written.
        InputError: A header cannot be read.
    """
    rng = np.random.default_rng([seed, 0xD1E7])
    planted = Planted()
    headers = [read_header(path) for path in sorted(root.glob("waveforms/*/*/II/*.hea"))]
    order = [headers[i] for i in rng.permutation(len(headers)).tolist()]
    # One kind of dirt for each visit, so that no dirt hides another.
    todo = _one_a_visit(order)
    few = max(_FEW, len(headers) // 100)
    gone: set[int] = set()
    for make in (_flat, _clipped, _gap, _short, _no_lead, _no_start_time):
        for _ in range(few):
            header = next(todo, None)
            if header is not None:
                make(header, planted, rng)
    for _ in range(few):
        header = next(todo, None)
        if header is not None:
            gone.add(_remove_recordings(root, header, planted, listed=False))
        header = next(todo, None)
        if header is not None:
            _remove_recordings(root, header, planted, listed=True)
    _dirty_labs(root, gone, planted, rng)
    (root / COUNTS).write_text(json.dumps(planted.as_dict(), indent=1) + "\n", encoding="utf-8")
    return planted


def _csn(header: Header) -> int:
    return int(header.path.parent.parent.name)


def _one_a_visit(order: list[Header]) -> Iterator[Header]:
    seen: set[int] = set()
    for header in order:
        if header.n >= 2 * WINDOW and _csn(header) not in seen:
            seen.add(_csn(header))
            yield header


def _data(header: Header) -> Path:
    return header.path.with_suffix(".dat")


def _in_window(
    header: Header, rng: np.random.Generator, change: Callable[[NDArray[np.int16]], NDArray[np.int16]]
) -> bool:
    """Change one good segment of a record; return false if it has none."""
    numbers = np.fromfile(_data(header), dtype="<i2")
    gain = header.signals[0].gain
    for k in rng.permutation(header.n // WINDOW).tolist():
        window = numbers[k * WINDOW : (k + 1) * WINDOW]
        if (window > -32768).all() and _CLEAN_MV[0] <= np.ptp(window.astype(np.int32)) / gain <= _CLEAN_MV[1]:
            numbers[k * WINDOW : (k + 1) * WINDOW] = change(window)
            numbers.tofile(_data(header))
            return True
    return False


def _flat(header: Header, planted: Planted, rng: np.random.Generator) -> None:
    planted.segments["flat"] += _in_window(header, rng, lambda w: np.full_like(w, w[0]))


def _clipped(header: Header, planted: Planted, rng: np.random.Generator) -> None:
    def clip(window: NDArray[np.int16]) -> NDArray[np.int16]:
        out = window.copy()
        # An amplifier that saturates twice, for 0.8 s each.
        out[700:1100] = out[3000:3400] = 12_000
        return out

    planted.segments["clipped"] += _in_window(header, rng, clip)


def _gap(header: Header, planted: Planted, rng: np.random.Generator) -> None:
    def lose(window: NDArray[np.int16]) -> NDArray[np.int16]:
        out = window.copy()
        out[2000:2003] = -32768
        return out

    planted.segments["gap"] += _in_window(header, rng, lose)


def _edit_header(header: Header, change: Callable[[list[str]], list[str]]) -> None:
    lines = header.path.read_text(encoding="ascii").splitlines()
    header.path.write_text("\n".join(change(lines)) + "\n", encoding="ascii")


def _short(header: Header, planted: Planted, rng: np.random.Generator) -> None:
    n = int(rng.integers(500, WINDOW - 1))
    np.fromfile(_data(header), dtype="<i2")[:n].tofile(_data(header))
    _edit_header(header, lambda lines: [lines[0].replace(f" {header.n} ", f" {n} "), *lines[1:]])
    planted.segments["short"] += 1


def _no_lead(header: Header, planted: Planted, rng: np.random.Generator) -> None:
    del rng
    _edit_header(header, lambda lines: [lines[0], lines[1].rsplit(" ", 1)[0] + " Resp"])
    planted.segments["no_lead"] += 1


def _no_start_time(header: Header, planted: Planted, rng: np.random.Generator) -> None:
    del rng
    _edit_header(header, lambda lines: [" ".join(lines[0].split()[:4]), *lines[1:]])
    planted.segments["no_start_time"] += header.n // WINDOW


def _remove_recordings(root: Path, header: Header, planted: Planted, *, listed: bool) -> int:
    """Remove the recordings of a visit; if ``listed``, the summary of waveforms still lists them."""
    csn = _csn(header)
    shutil.rmtree(header.path.parent.parent)
    if listed:
        planted.segments["no_record"] += 1
        return csn
    path = root / "waveform_summary.csv"
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    path.write_text("".join(line for line in lines if not line.startswith(f"{csn},")), encoding="utf-8")
    planted.visits["visit_without_waveform"] += 1
    return csn


def _dirty_labs(root: Path, gone: set[int], planted: Planted, rng: np.random.Generator) -> None:
    path = root / "labs.csv"
    listed = (root / "waveform_summary.csv").read_text(encoding="utf-8").splitlines()[1:]
    with_ecg = {int(line.split(",")[0]) for line in listed}
    with (
        written_beside(path) as partial,
        path.open(encoding="utf-8", newline="") as old,
        partial.open("w", encoding="utf-8", newline="") as new,
    ):
        reader = csv.DictReader(old)
        writer = csv.DictWriter(new, reader.fieldnames or (), lineterminator="\n")
        writer.writeheader()
        for row in reader:
            csn = int(row["CSN"])
            value = parse_value(row["Component_value"])
            if csn in gone and value is not None:
                planted.rows["visit_without_waveform"] += 1
                planted.notes["censored"] -= bool(value.censored)
            usable = csn in with_ecg and value is not None and not value.censored
            if usable and rng.random() < _ROW_SHARE:
                _KINDS[int(rng.integers(len(_KINDS)))](row, planted)
            again = row.pop("again", "")
            writer.writerows([row, row] if again else [row])


Row = dict[str, Any]


def _above(row: Row, planted: Planted) -> None:
    row["Component_value"] = f">{row['Component_value']}"
    planted.notes["censored"] += 1


def _below(row: Row, planted: Planted) -> None:
    row["Component_value"] = f"<{row['Component_value']}"
    planted.notes["censored"] += 1


def _text(row: Row, planted: Planted) -> None:
    row["Component_value"] = "SEE COMMENT"
    planted.rows["not_a_number"] += 1


def _no_range(row: Row, planted: Planted) -> None:
    if row["Component_nml_low"] or row["Component_nml_high"]:
        planted.notes["no_range"] += 1
    row["Component_nml_low"] = row["Component_nml_high"] = ""


def _no_unit(row: Row, planted: Planted) -> None:
    row["Component_units"] = ""
    planted.rows["no_unit"] += 1


def _no_time(row: Row, planted: Planted) -> None:
    row["Order_time"] = row["Result_time"] = ""
    planted.rows["no_time"] += 1


def _backwards(row: Row, planted: Planted) -> None:
    row["Order_time"], row["Result_time"] = row["Result_time"], row["Order_time"]
    planted.rows["result_before_order"] += 1


def _unknown_component(row: Row, planted: Planted) -> None:
    row["Component_name"] = "CORRECTED CALCIUM"
    planted.rows["unknown_component"] += 1


def _other_name(row: Row, planted: Planted) -> None:
    del planted
    row["Component_name"] = _OTHER_NAMES.get(row["Component_name"], row["Component_name"].lower())


def _other_unit(row: Row, planted: Planted) -> None:
    found = _OTHER_UNITS.get(row["Component_name"])
    if found is None:
        return
    unit, factor = found
    row["Component_units"] = unit
    for column in ("Component_value", "Component_nml_low", "Component_nml_high"):
        if row[column]:
            row[column] = repr(float(row[column]) / factor)
    planted.notes["converted"] += factor != 1.0


def _repeated(row: Row, planted: Planted) -> None:
    row["again"] = "yes"
    planted.rows["repeated"] += 1


_OTHER_NAMES = {
    "HEMOGLOBIN (HGB)": "HEMOGLOBIN",
    "PLATELET COUNT (PLT)": "PLATELETS",
    "WHITE BLOOD CELLS (WBC)": "WBC",
    "ALT (SGPT)": "ALT",
    "AST (SGOT)": "AST",
    "HEMATOCRIT (HCT)": "HEMATOCRIT",
}
_OTHER_UNITS = {
    "SODIUM": ("mEq/L", 1.0),
    "POTASSIUM": ("mEq/L", 1.0),
    "GLUCOSE": ("mmol/L", 18.016),
    "CALCIUM": ("mmol/L", 4.0078),
    "MAGNESIUM": ("mmol/L", 2.4305),
    "CREATININE": ("umol/L", 0.011312),
    "HEMOGLOBIN (HGB)": ("g/L", 0.1),
    "ALBUMIN": ("g/L", 0.1),
}

_KINDS: tuple[Callable[[Row, Planted], None], ...] = (
    _above, _below, _text, _no_range, _no_unit, _no_time, _backwards, _unknown_component, _other_name, _other_unit,
    _repeated,
)  # fmt: skip
