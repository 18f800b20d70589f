"""What an estimate says of the waves of its newest window, and its JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal, cast, get_args

from edge.rounding import written
from firmware_bridge.reading import is_integer, is_number

WaveReason = Literal["few_beats", "unclear", "absent", "flat", "band", "band_unknown", "scale_unknown"]
"""Reason of a missing measurement: docs/waves.md explains each."""
WAVE_REASONS: tuple[WaveReason, ...] = get_args(WaveReason)

WavePart = Literal["beat", "p", "qrs", "t", "st", "mv"]
"""What a reason refers to; ``beat`` is everything and ``mv`` all amplitudes."""
WAVE_PARTS: tuple[WavePart, ...] = get_args(WavePart)

MAX_VALUE = 1e6
"""Largest measurement that a reader accepts, in any unit."""

NOTHING_MISSING: Mapping[WavePart, WaveReason] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class WaveRecord:
    """Intervals and amplitudes of the average beat of a window; ``None`` where not measured.

    Attributes:
        beats: Number of averaged beats; 0 without an average beat.
        rr_ms: Median RR interval, ms.
        pr_ms: P onset to QRS onset, ms.
        p_ms: P duration, ms.
        qrs_ms: QRS duration, ms.
        qt_ms: QRS onset to T end, ms.
        qtc_fridericia_ms: QT over the cube root of RR, ms (Fridericia, Acta Med Scand 1920;53:469).
        qtc_bazett_ms: QT over the square root of RR, ms (Bazett, Heart 1920;7:353).
        jt_ms: QRS end to T end, ms.
        st_mv: Level 60 ms after the end of QRS, above the level before QRS, mV.
        st_slope_mv_s: Slope of the first 80 ms after QRS, mV/s.
        p_mv: P amplitude, mV.
        r_mv: R amplitude, mV.
        t_mv: T amplitude, mV, negative if inverted.
        t_width_ms: Width of T at half its height, ms.
        t_symmetry: Time from half height to the peak of T over that from the peak to half height.
        missing: Reason for each part that was not measured.
    """

    beats: int = 0
    rr_ms: float | None = None
    pr_ms: float | None = None
    p_ms: float | None = None
    qrs_ms: float | None = None
    qt_ms: float | None = None
    qtc_fridericia_ms: float | None = None
    qtc_bazett_ms: float | None = None
    jt_ms: float | None = None
    st_mv: float | None = None
    st_slope_mv_s: float | None = None
    p_mv: float | None = None
    r_mv: float | None = None
    t_mv: float | None = None
    t_width_ms: float | None = None
    t_symmetry: float | None = None
    missing: Mapping[WavePart, WaveReason] = field(default_factory=lambda: NOTHING_MISSING)


DIGITS: Mapping[str, int] = MappingProxyType(
    {
        "rr_ms": 0, "pr_ms": 0, "p_ms": 0, "qrs_ms": 0, "qt_ms": 0, "qtc_fridericia_ms": 0, "qtc_bazett_ms": 0,
        "jt_ms": 0, "st_mv": 3, "st_slope_mv_s": 2, "p_mv": 3, "r_mv": 3, "t_mv": 3, "t_width_ms": 0, "t_symmetry": 2,
    }
)  # fmt: skip
"""Names of the measurements in order, with the decimals that are written."""


def interval_values(waves: WaveRecord) -> tuple[tuple[str, float | None], ...]:
    """Return the intervals that a clinician asks for by their short names, ms; QTc by Fridericia."""
    return (("PR", waves.pr_ms), ("QRS", waves.qrs_ms), ("QT", waves.qt_ms), ("QTc", waves.qtc_fridericia_ms))


def waves_dict(waves: WaveRecord) -> dict[str, object]:
    """Return the JSON object of ``waves``: fixed keys, rounded numbers."""
    out: dict[str, object] = {"beats": int(waves.beats)}
    for name, digits in DIGITS.items():
        out[name] = written(getattr(waves, name), digits)
    out["missing"] = dict(waves.missing)
    return out


def waves_from(d: Mapping[str, object] | None) -> WaveRecord | None:
    """Read the JSON object of ``waves``; ``None`` for ``None``.

    Raises:
        KeyError: A key is missing.
        TypeError: A value has the wrong type.
        ValueError: A reason or part is unknown.
    """
    if d is None:
        return None
    numbers = {name: _number(d[name]) for name in DIGITS}
    missing = cast("Mapping[WavePart, WaveReason]", d["missing"])
    for part, reason in missing.items():
        if part not in WAVE_PARTS or reason not in WAVE_REASONS:
            raise ValueError(f"unknown reason {reason!r:.60} of {part!r:.60}")
    beats = d["beats"]
    if not is_integer(beats, 0, round(MAX_VALUE)):
        raise ValueError("beats is no possible number of beats")
    return WaveRecord(beats, **numbers, missing=dict(missing))


def _number(x: object) -> float | None:
    if x is None:
        return None
    if not is_number(x, -MAX_VALUE, MAX_VALUE):
        raise ValueError("a measurement is no possible number")
    return x
