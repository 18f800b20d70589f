"""A baseline and the change against it in words."""

from __future__ import annotations

from edge.baseline.file import Baseline
from edge.baseline.limits import MIN_POSTURES, posture_range
from edge.baseline.record import Change, ChangeReason, Quantity, QuantityChange
from firmware_bridge.text import printable

NAMES: dict[Quantity, tuple[str, str]] = {
    "qtc_ms": ("QTc", "ms"),
    "t_mv": ("T amplitude", "mV"),
    "r_mv": ("R amplitude", "mV"),
    "t_over_r": ("T over R", ""),
    "st_mv": ("ST", "mV"),
}
"""Name and unit of each quantity."""

SHOWN: tuple[Quantity, ...] = ("qtc_ms", "t_mv")
"""Quantities that fit on one line of a screen."""

WHY: dict[ChangeReason, str] = {
    "other_device": "the baseline is of another device",
    "other_lead": "the baseline is of another lead",
    "other_profile": "the baseline has another device profile, so millivolts differ",
    "few_windows": "too few clean windows in sinus rhythm in the last minutes",
    "not_sinus": "no sinus rhythm in most of the last minutes",
    "rate_outside": "the heart rate is outside of the range of the baseline",
    "rate_unsteady": "the heart rate is not steady enough to correct QT",
    "band": "the device filters the slow part of the ECG",
    "band_unknown": "the pass band of the device is unknown",
    "scale_unknown": "the scale of the device is unknown",
    "not_in_baseline": "the quiet hour has too few values of it",
}
"""Reasons in words."""


def quantity_text(name: Quantity, value: float, *, signed: bool = True) -> str:
    """Return a value with its unit, such as ``+12 ms``."""
    unit = NAMES[name][1]
    digits = 0 if unit == "ms" else 2
    shown = round(value, digits) + 0.0  # + 0.0 turns -0.0 into 0.0
    return f"{shown:{'+' if signed and shown else ''}.{digits}f} {unit}".rstrip()


def range_text(name: Quantity, low: float, high: float) -> str:
    """Return a range with its unit, such as ``-12 to +3 ms``."""
    unit = NAMES[name][1]
    return f"{quantity_text(name, low).removesuffix(unit).rstrip()} to {quantity_text(name, high)}"


def judged_text(change: QuantityChange) -> str:
    """Return where a change lies, in a few words."""
    if change.within is None:
        return "more than scatter, posture unknown"
    return "within posture and motion" if change.within else "OUTSIDE posture and motion"


def change_parts(change: Change, shown: tuple[Quantity, ...] = SHOWN) -> list[tuple[str, bool]]:
    """Return the main changes in words, each with whether it lies outside of the band; the reason if there is none."""
    found = [(name, change.values[name]) for name in shown if name in change.values]
    if not found:
        reason = next(iter(change.missing.values()), None)
        return [] if reason is None else [(f"none shown: {WHY[reason]}", False)]
    return [
        (f"{NAMES[name][0]} {quantity_text(name, one.value)} ({judged_text(one)})", one.within is False)
        for name, one in found
    ]


def change_text(change: Change) -> str:
    """Return the main changes on one line."""
    return "; ".join(text for text, _outside in change_parts(change))


def start_notes(baseline: Baseline, foreign: ChangeReason | None) -> list[str]:
    """Return notes for the start of a run."""
    worn = f", worn as: {baseline.montage}" if baseline.montage else ""
    notes = [f"baseline of {baseline.minutes:.0f} minutes from {baseline.start} at {_rate(baseline):.0f} bpm{worn}"]
    if foreign is not None:
        notes.append(f"changes cannot be told: {WHY[foreign]}; make one with 'anyecg baseline'")
    elif len(baseline.postures) < MIN_POSTURES:
        fix = "name lying, standing and others with 'anyecg baseline --posture'"
        notes.append(f"the effect of posture on amplitudes is unknown; {fix}")
    return notes


def _rate(baseline: Baseline) -> float:
    return 60_000.0 / baseline.rr_ms


def baseline_text(baseline: Baseline, path: str) -> str:
    """Return a baseline as a table for the user."""
    chosen = "stated" if baseline.stated else "chosen by the lowest and steadiest heart rate"
    c = baseline.correction
    fitted = f", fitted to {c.blocks} blocks of 5 minutes" if c.name == "individual" else " (Fridericia)"
    lines = [
        f"{path}: {baseline.minutes:.0f} minutes from {baseline.start}, {chosen}",
        f"{baseline.windows} windows, {_rate(baseline):.0f} bpm, {printable(baseline.device)}"
        + (f", lead {printable(baseline.lead)}" if baseline.lead else ""),
        f"QTc = QT / RR^{c.exponent:.3f}{fitted}, for {60_000 / c.rr_high_ms:.0f} to {60_000 / c.rr_low_ms:.0f} bpm",
        f"{'':<13}{'median':>10}{'scatter':>12}  posture alone",
    ]
    for name, level in baseline.levels.items():
        low, high, source = posture_range(baseline, name)
        told = "unknown" if source == "unknown" else f"{range_text(name, low, high)} ({source})"
        lines.append(
            f"{NAMES[name][0]:<13}{quantity_text(name, level.median, signed=False):>10}"
            f"{'± ' + quantity_text(name, level.scatter, signed=False):>12}  {told}"
        )
    names = ", ".join(f"{printable(p.name)} ({p.windows} windows)" for p in baseline.postures)
    return "\n".join([*lines, *([f"postures: {names}"] if names else [])]) + "\n"
