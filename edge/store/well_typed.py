"""The kinds of the values of an estimate that was read from a file: JSON may hold anything in every place."""

from __future__ import annotations

from edge.records import Estimate, LabEstimate
from firmware_bridge.errors import InputError


def well_typed(e: Estimate) -> Estimate:
    """Return an estimate whose values are all of the kinds that the schema says.

    Raises:
        InputError: One is not.
    """
    wrong = _wrongly_typed(e)
    if wrong:
        raise InputError(f"an estimate has a value of the wrong kind: {wrong}", "remove the line")
    return e


def _wrongly_typed(e: Estimate) -> str:
    texts: list[object] = [e.time, e.session, e.device, e.bundle.name, e.bundle.sha256, e.notice, *e.quality.flags]
    texts += [text for one in e.applied.values() for text in (one.file, one.sha256, one.made, one.what)]
    texts += [] if e.abstained is None else [e.abstained]
    if not all(isinstance(text, str) for text in texts):
        return "a text"
    booleans: tuple[object, ...] = (e.clock_synced,)
    if not all(isinstance(flag, bool) for flag in booleans):
        return "clock_synced"
    numbers = (e.window.start_s, e.window.end_s, e.quality.score, e.lost_samples)
    optional = (e.heart_rate_bpm, *e.latency_ms.values())
    if not (all(map(_is_number, numbers)) and all(x is None or _is_number(x) for x in optional)):
        return "a number"
    return next((f"output '{str(lab.key)[:60]}'" for lab in e.labs if not _is_lab(lab)), "")


def _is_lab(lab: LabEstimate) -> bool:
    anchor = () if lab.anchor is None else (lab.anchor.newest, lab.anchor.expires)
    return (
        all(isinstance(text, str) for text in (lab.key, lab.unit, lab.tier, *anchor))
        and (lab.loinc is None or isinstance(lab.loinc, str))
        and all(x is None or _is_number(x) for x in (lab.value, lab.threshold))
        and all(map(_is_number, lab.interval or ()))
        and (lab.anchor is None or (_is_number(lab.anchor.offset) and _is_number(lab.anchor.results)))
        and (lab.flag is None or isinstance(lab.flag, bool))
        and _is_number(lab.windows)
    )


def _is_number(x: object) -> bool:
    """Return whether a value is a number that fits a double."""
    return isinstance(x, int | float) and not isinstance(x, bool) and not (isinstance(x, int) and abs(x) >= 1 << 63)
