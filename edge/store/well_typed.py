"""The kinds of the values of an estimate that was read from a file: JSON may hold anything in every place."""

from __future__ import annotations

import math

from edge.records import Estimate, LabEstimate
from firmware_bridge.errors import InputError
from firmware_bridge.reading import is_integer, is_number


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
    score: object = e.quality.score
    scored = is_number(score) or (isinstance(score, float) and math.isnan(score))  # null in the file
    times = (e.window.start_s, e.window.end_s)
    optional = (e.heart_rate_bpm, *e.latency_ms.values())
    if not (scored and all(map(is_number, times)) and all(x is None or is_number(x) for x in optional)):
        return "a number"
    if not is_integer(e.lost_samples):
        return "lost_samples"
    return next((f"output '{str(lab.key)[:60]}'" for lab in e.labs if not _is_lab(lab)), "")


def _is_lab(lab: LabEstimate) -> bool:
    anchor = () if lab.anchor is None else (lab.anchor.newest, lab.anchor.expires)
    return (
        all(isinstance(text, str) for text in (lab.key, lab.unit, lab.tier, *anchor))
        and (lab.loinc is None or isinstance(lab.loinc, str))
        and all(x is None or is_number(x) for x in (lab.value, lab.threshold))
        and all(map(is_number, lab.interval or ()))
        and (lab.anchor is None or (is_number(lab.anchor.offset) and is_number(lab.anchor.results)))
        and (lab.flag is None or isinstance(lab.flag, bool))
        and is_integer(lab.windows)
    )
