"""Makes a baseline of the windows of sessions or recordings."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from edge.baseline.choose import MIN_MINUTES, MIN_WINDOWS, Span, quiet_span
from edge.baseline.correction import BLOCK_S, MIN_BLOCK_WINDOWS, fit_correction
from edge.baseline.file import Baseline, Level, Posture
from edge.baseline.quantities import F64, RESOLUTION, median, quantities, spread
from edge.baseline.record import Quantity
from edge.baseline.samples import Table
from edge.records import utc_text
from edge.waves.mean_beat import MAD_TO_SD
from firmware_bridge.errors import InputError

SCATTER_SDS = 3.0
"""Half width of the scatter in robust standard deviations of the medians of five minutes."""
SETTLE_S = 60.0
"""Start of a posture that is not used, s: QT follows the rate with a time constant of a minute (Razak et al., Ann
Noninvasive Electrocardiol 2011;16:148)."""
MIN_POSTURE_WINDOWS = 6
"""Fewest windows of a posture: a minute."""
MIN_MEASURED = 0.5
"""Smallest share of the windows in which a quantity must have been measured."""
_CLEAN = "clean windows in sinus rhythm with a T wave"


@dataclass(frozen=True, slots=True)
class Worn:
    """What a baseline says of the recording.

    Attributes:
        device: Name of the device.
        lead: Name of the lead; ``None`` if it has none.
        profile_sha256: Hash of the device profile that was applied; ``None`` without one.
        montage: Where the electrodes were; may be empty.
        sources: Names of the sessions and recordings.
    """

    device: str
    lead: str | None = None
    profile_sha256: str | None = None
    montage: str = ""
    sources: tuple[str, ...] = ()


def fit_baseline(
    rows: Table,
    worn: Worn,
    stated: Span | None = None,
    postures: Sequence[tuple[str, Span]] = (),
    zero_s: float | None = None,
) -> Baseline:
    """Return the baseline of a wearer.

    Args:
        rows: All windows, in the order of time.
        worn: What is known of the recording.
        stated: The quiet hour, if the user has stated it.
        postures: Name and time of each posture; one that comes again is joined.
        zero_s: Time of the rows at the start of a recording without a clock, s; ``None`` if the rows have Unix time.

    Raises:
        InputError: There are too few clean windows in sinus rhythm, at rest or in a posture.
    """
    span = _chosen(rows) if stated is None else stated
    quiet = rows.between(*span).usable()
    if len(quiet.rr_ms) < MIN_WINDOWS:
        raise InputError(
            f"the stated span has {len(quiet.rr_ms)} {_CLEAN}, fewer than {MIN_WINDOWS}", "state a longer span"
        )
    rr_ms = median(quiet.rr_ms)
    correction = fit_correction(_without(rows, postures, span).usable(), rr_ms)
    levels = {
        name: _level(name, values, quiet.unix_s)
        for name, values in quantities(quiet, correction.exponent).items()
        if np.isfinite(values).sum() >= MIN_MEASURED * len(values)
    }
    return Baseline(
        device=worn.device,
        lead=worn.lead,
        profile_sha256=worn.profile_sha256,
        montage=worn.montage,
        made=utc_text(time.time_ns()),
        start=utc_text(round(span.start_s * 1e9)) if zero_s is None else after_start(span.start_s - zero_s),
        minutes=(span.end_s - span.start_s) / 60.0,
        windows=len(quiet.rr_ms),
        stated=stated is not None,
        rr_ms=rr_ms,
        correction=correction,
        levels=levels,
        postures=_postures(rows, correction.exponent, postures, levels),
        sources=worn.sources,
    )


def _without(rows: Table, postures: Sequence[tuple[str, Span]], quiet: Span) -> Table:
    """Return the rows outside of postures, but for one that the wearer had in the quiet hour."""
    left = np.ones(len(rows.unix_s), dtype=bool)
    for _name, (start_s, end_s) in postures:
        if end_s <= quiet.start_s or start_s >= quiet.end_s:
            left &= (rows.unix_s <= start_s) | (rows.unix_s > end_s)
    return rows.where(left)


def _chosen(rows: Table) -> Span:
    span = quiet_span(rows)
    if span is None:
        minutes = (rows.unix_s[-1] - rows.unix_s[0]) / 60.0 if len(rows.unix_s) else 0.0
        raise InputError(
            f"no {MIN_MINUTES} minutes have {MIN_WINDOWS} {_CLEAN} (all: {int(rows.ok.sum())} of {len(rows.ok)} in "
            f"{minutes:.0f} minutes)",
            "record an hour at rest, with a hop of at most 10 s, or state a span with --from and --to",
        )
    return span


def after_start(seconds: float) -> str:
    """Return a time since the start of a recording, such as ``+1:30:00``, as --from takes it."""
    whole = max(0, round(seconds))
    return f"+{whole // 3600}:{whole // 60 % 60:02d}:{whole % 60:02d}"


def _level(name: Quantity, values: F64, unix_s: F64) -> Level:
    """Return median and scatter of a quantity in the quiet hour."""
    centre = median(values)
    block = np.floor((unix_s - unix_s[0]) / BLOCK_S)
    inside = [values[block == one] for one in np.unique(block)]
    medians = np.array([median(x) for x in inside if np.isfinite(x).sum() >= MIN_BLOCK_WINDOWS])
    away = np.abs(medians - centre)
    scatter = RESOLUTION[name]
    if len(away):
        scatter = max(scatter, SCATTER_SDS * MAD_TO_SD * float(np.median(away)), float(away.max()))
    return Level(centre, spread(values), scatter, int(np.isfinite(values).sum()))


def _postures(
    rows: Table, exponent: float, postures: Sequence[tuple[str, Span]], levels: Mapping[Quantity, Level]
) -> tuple[Posture, ...]:
    out = []
    for name in dict.fromkeys(name for name, _span in postures):
        chosen = np.zeros(len(rows.unix_s), dtype=bool)
        for _name, (start_s, end_s) in (one for one in postures if one[0] == name):
            chosen |= (rows.unix_s >= start_s + SETTLE_S) & (rows.unix_s < end_s)
        inside = rows.where(chosen & rows.ok)
        if len(inside.rr_ms) < MIN_POSTURE_WINDOWS:
            raise InputError(
                f"the posture '{name}' has {len(inside.rr_ms)} {_CLEAN} after its first minute, fewer than "
                f"{MIN_POSTURE_WINDOWS}",
                "hold each posture still for three minutes or more",
            )
        medians = {
            key: median(values)
            for key, values in quantities(inside, exponent).items()
            if key in levels and np.isfinite(values).sum() >= max(MIN_POSTURE_WINDOWS, MIN_MEASURED * len(values))
        }
        out.append(Posture(name, len(inside.rr_ms), median(inside.rr_ms), medians))
    return tuple(out)
