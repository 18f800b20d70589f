"""Estimates, heart rate and ECG as FHIR R4 resources, as plain JSON objects."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from edge.records import NOTICE, Applied, Estimate, LabEstimate
from edge.sessions.ecg import Segment
from edge.sessions.folder import unix_s, utc_of
from edge.sessions.formats import fhir_codes as codes
from edge.sessions.formats.digits import digits_for
from edge.sessions.formats.fhir_codes import Json, coded, part, quantity, urn, value_of
from edge.sessions.formats.fhir_parts import change_parts, network_parts, reasons_part
from edge.sinks.live.state import RHYTHM_TEXT
from edge.waves.record import interval_values
from firmware_bridge.text import printable

ALL_HEADS = "all_estimates"
"""Code of an abstention in a session without a single estimate, whose outputs are therefore unknown."""
CHANGE = "change-against-quiet-hour"
"""Code of the change against the wearer's own quiet hour."""
_METHOD = coded(
    codes.KIT_SYSTEM,
    "ecg-neural-network",
    "Estimate of a neural network from a single-lead ECG",
    "Estimated by a neural network from a single-lead ECG. Not measured in a specimen.",
)
_R_PEAKS = coded(codes.KIT_SYSTEM, "r-peaks", "R peaks of a single-lead ECG")
_AVERAGE_BEAT = coded(
    codes.KIT_SYSTEM,
    "average-beat",
    "Average beat of ten seconds of a single-lead ECG",
    "Average beat of ten seconds of a single-lead ECG; boundaries marked by a neural network; QTc by Fridericia.",
)
_QUIET_HOUR = coded(
    codes.KIT_SYSTEM,
    "quiet-hour",
    "Median of the last minutes less that of the wearer's own quiet hour",
    "Median of the last minutes less that of the wearer's own quiet hour, from the average beats of a single-lead ECG. "
    "The band is what scatter, posture and heart rate alone change.",
)
_RHYTHM_RULES = coded(codes.KIT_SYSTEM, "rhythm-rules", "Rules from RR intervals, shapes of beats and P waves")
_UNSYNCED = "The clock of the device was not synchronised, so the time may be wrong."


@dataclass(frozen=True, slots=True)
class Context:
    """What all Observations of an export share.

    Attributes:
        subject: Reference to the patient; empty for none.
        software: Version of the kit that made the estimates.
        patch: Name of the ECG device.
        patch_urn: Its identifier.
    """

    subject: str
    software: str
    patch: str
    patch_urn: str


def software_device(context: Context, e: Estimate) -> Json:
    """Return the Device that made an estimate: the software with its bundle."""
    versions = [
        ("anyecg-edge", context.software),
        ("bundle", e.bundle.name),
        ("SHA-256 of the bundle's manifest", e.bundle.sha256),
    ]
    return {
        "resourceType": "Device",
        "identifier": [_identifier(software_urn(context, e))],
        "deviceName": [{"name": "anyecg-edge", "type": "model-name"}],
        "type": {"text": "Research software that estimates laboratory values from an ECG"},
        "version": [{"type": {"text": kind}, "value": _text(value)} for kind, value in versions],
        "note": [{"text": NOTICE}],
    }


def software_urn(context: Context, e: Estimate) -> str:
    """Return the identifier of the software with its bundle."""
    return urn("software", context.software, e.bundle.name, e.bundle.sha256)


def patch_device(context: Context) -> Json:
    """Return the Device that recorded the ECG."""
    return {
        "resourceType": "Device",
        "identifier": [_identifier(context.patch_urn)],
        "deviceName": [{"name": _text(context.patch), "type": "model-name"}],
        "type": {"text": "ECG device or recording"},
    }


def lab_observation(context: Context, e: Estimate, lab: LabEstimate, run: str, ecg: Sequence[str]) -> Json:
    """Return one output of an estimate.

    Args:
        context: What all Observations share.
        e: The estimate.
        lab: The output.
        run: Identity of the run.
        ecg: Identifiers of the ECG of its newest window.
    """
    out = _estimate(context, e, lab, urn("estimate", run, e.bundle.sha256, lab.key, f"{e.window.end_s:.3f}"))
    out["effectiveDateTime"] = _time(e)
    _from_ecg(out, ecg)
    if _finite(lab.value):
        out["valueQuantity"] = value_of(lab.value, lab.unit)
    elif lab.abstained is None:
        out["dataAbsentReason"] = coded(codes.ABSENT_SYSTEM, "unknown", "Unknown")
    else:
        out["dataAbsentReason"] = _absent(lab.abstained, f"no estimate: {_text(lab.abstained)}")
    score = quantity(round(e.quality.score, 3), "1") if _finite(e.quality.score) else None
    parts = [part("signal-quality", "Signal quality, from 0 to 1", "valueQuantity", score)]
    low, high = lab.interval or (math.nan, math.nan)
    if low <= high and _finite(low) and _finite(high):
        bounds = {"low": value_of(low, lab.unit), "high": value_of(high, lab.unit)}
        parts.append(part("interval", "Interval of the estimate", "valueRange", bounds))
    if _finite(lab.threshold):
        parts.append(part("threshold", "Decision threshold", "valueQuantity", value_of(lab.threshold, lab.unit)))
    if lab.flag is not None:
        parts.append(part("flag", "The value reaches the decision threshold", "valueBoolean", lab.flag))
    parts.append(part("windows", "Ten-second windows in the estimate", "valueInteger", min(lab.windows, 2**31 - 1)))
    tier = coded(codes.KIT_SYSTEM, f"evidence-{_code(lab.tier)}", text=_text(lab.tier))
    parts.append(part("evidence", "Evidence of the output in the bundle's validation", "valueCodeableConcept", tier))
    if lab.anchor is not None and _finite(lab.anchor.offset):
        offset = value_of(lab.anchor.offset, lab.unit)
        parts.append(part("anchor-offset", "Offset from the person's own results", "valueQuantity", offset))
    parts += network_parts(lab)
    if lab.reasons is not None:
        parts.append(reasons_part(lab.reasons))
    about = out["component"]
    assert isinstance(about, list)
    about += [one for one in parts if one]
    return out


def abstention_observation(
    context: Context, e: Estimate, lab: LabEstimate | None, run: str, span_s: tuple[float, float], hops: Counter[str]
) -> Json:
    """Return a span without an estimate of one output.

    Args:
        context: What all Observations share.
        e: The last hop of the span.
        lab: The output as an earlier or later estimate has it; ``None`` if there is none.
        run: Identity of the run.
        span_s: Start and end of the span, signal time, s.
        hops: Number of hops by reason.
    """
    key = ALL_HEADS if lab is None else lab.key
    name = urn("abstention", run, e.bundle.sha256, key, *(f"{at:.3f}" for at in span_s))
    out = _estimate(context, e, lab, name)
    end_s = unix_s(e.time)
    out["effectivePeriod"] = {"start": utc_of(end_s - (span_s[1] - span_s[0])), "end": utc_of(end_s)}
    reason = hops.most_common(1)[0][0]
    counted = ", ".join(f"{_text(one)} ({n} of {hops.total()} hops)" for one, n in hops.most_common())
    out["dataAbsentReason"] = _absent(reason, f"no estimate: {counted}")
    if not out["component"]:
        del out["component"]
    return out


def heart_rate_observation(context: Context, e: Estimate, bpm: float, run: str, ecg: Sequence[str]) -> Json:
    """Return the heart rate of a hop, which the profile of vital signs describes."""
    # The profile requires a subject; this extension says that it is not known.
    unknown = {"extension": [{"url": codes.ABSENT_EXTENSION, "valueCode": "unknown"}]}
    out: Json = {
        "resourceType": "Observation",
        "meta": {"profile": [codes.HEART_RATE_PROFILE], **_label()},
        "identifier": [_identifier(urn("heart rate", run, f"{e.window.end_s:.3f}"))],
        "status": "preliminary",
        "category": [coded(codes.CATEGORY_SYSTEM, "vital-signs", "Vital Signs")],
        "code": coded(codes.LOINC, "8867-4", "Heart rate"),
        "subject": {"reference": context.subject} if context.subject else unknown,
        "effectiveDateTime": _time(e),
        "valueQuantity": quantity(round(bpm, 1), "/min", "beats/minute"),
        "method": _R_PEAKS,
        "device": {"reference": software_urn(context, e)},
        "note": _notes(e),
    }
    _from_ecg(out, ecg)
    return out


def interval_observations(context: Context, e: Estimate, run: str, ecg: Sequence[str]) -> list[Json]:
    """Return the intervals of the average beat of a window, its rhythm, and the change against the quiet hour.

    Args:
        context: What all Observations share.
        e: The hop.
        run: Identity of the run.
        ecg: Identifiers of the ECG of its window.
    """
    found: list[Json] = []
    for name, ms in () if e.waves is None else interval_values(e.waves):
        if _finite(ms):
            one = _seen(context, e, coded(codes.LOINC, *codes.INTERVALS[name]), name, run, ecg)
            found.append(one | {"valueQuantity": quantity(round(ms or 0.0), "ms"), "method": _AVERAGE_BEAT})
    if e.rhythm is not None and e.rhythm.name != "unreadable":
        one = _seen(context, e, coded(codes.LOINC, *codes.HEART_RHYTHM), "rhythm", run, ecg)
        rhythm = coded(codes.KIT_SYSTEM, e.rhythm.name, RHYTHM_TEXT[e.rhythm.name])
        found.append(one | {"valueCodeableConcept": rhythm, "method": _RHYTHM_RULES})
    if e.change is not None:
        one = _seen(context, e, coded(codes.KIT_SYSTEM, CHANGE, "Change against the quiet hour"), CHANGE, run, ecg)
        found.append(one | {"method": _QUIET_HOUR, "component": change_parts(e.change)})
    return found


def _seen(context: Context, e: Estimate, code: Json, name: str, run: str, ecg: Sequence[str]) -> Json:
    out: Json = {
        "resourceType": "Observation",
        "meta": _label(),
        "identifier": [_identifier(urn("interval", run, name, f"{e.window.end_s:.3f}"))],
        "status": "preliminary",
        "category": [coded(codes.CATEGORY_SYSTEM, "procedure", "Procedure")],
        "code": code,
        **_subject(context),
        "effectiveDateTime": _time(e),
        "device": {"reference": software_urn(context, e)},
        "note": _notes(e),
    }
    _from_ecg(out, ecg)
    return out


def ecg_observation(context: Context, segment: Segment, start_unix_s: float, name: str) -> Json:
    """Return a gap-free piece of ECG as SampledData.

    Args:
        context: What all Observations share.
        segment: The piece.
        start_unix_s: Unix time of its first sample, s.
        name: Its identifier.
    """
    digits = digits_for(segment.samples, segment.step, 24, 1e-5 if segment.unit == "mV" else 0.0)
    values = digits.of(segment.samples)
    zero = quantity(-digits.baseline * digits.step + 0.0, "mV" if segment.unit == "mV" else "{counts}")
    length_s = segment.end_s - segment.start_s
    code = coded(codes.MDC, "131328", "MDC_ECG_ELEC_POTL", "Single-lead ECG of a chest patch")
    code["coding"] = [*_list(code["coding"]), {"system": codes.LOINC, "code": "11524-6", "display": "EKG study"}]
    return {
        "resourceType": "Observation",
        "identifier": [_identifier(name)],
        "status": "preliminary",
        "category": [coded(codes.CATEGORY_SYSTEM, "procedure", "Procedure")],
        "code": code,
        **_subject(context),
        "effectivePeriod": {"start": utc_of(start_unix_s), "end": utc_of(start_unix_s + length_s)},
        "device": {"reference": context.patch_urn},
        "valueSampledData": {
            "origin": zero,
            "period": round(1000.0 / segment.fs_hz, 9),
            "factor": float(f"{digits.step:.12g}"),
            "dimensions": 1,
            "data": " ".join(map(str, values.tolist())),
        },
    }


def _estimate(context: Context, e: Estimate, lab: LabEstimate | None, name: str) -> Json:
    key = ALL_HEADS if lab is None else lab.key
    words = _text(key).replace("_", " ")
    related: list[Json] = []
    if lab is not None and lab.loinc:
        measured = coded(codes.LOINC, _code(lab.loinc))
        related = [part("related-laboratory-code", "Laboratory test it refers to", "valueCodeableConcept", measured)]
    return {
        "resourceType": "Observation",
        "meta": _label(),
        "identifier": [_identifier(name)],
        "status": "preliminary",
        "category": [coded(codes.CATEGORY_SYSTEM, "procedure", "Procedure")],
        "code": coded(codes.KIT_SYSTEM, _code(key), f"{words}, estimated from the ECG"),
        **_subject(context),
        "method": _METHOD,
        "device": {"reference": software_urn(context, e)},
        "note": _notes(e),
        "component": related,
    }


def _absent(reason: str, words: str) -> Json:
    """Return why there is no value: FHIR's code for a reason of an abstention, and the kit's own."""
    why = coded(codes.ABSENT_SYSTEM, codes.ABSENT.get(reason, "unknown"))
    kit = {"system": codes.KIT_SYSTEM, "code": _code(reason)}
    return {"coding": [*_list(why["coding"]), kit], "text": words}


def _subject(context: Context) -> Json:
    return {"subject": {"reference": context.subject}} if context.subject else {}


def _from_ecg(out: Json, ecg: Sequence[str]) -> None:
    # By identifier: the ECG is in another Bundle, where a URL of this one would not resolve.
    if ecg:
        out["derivedFrom"] = [{"type": "Observation", "identifier": _identifier(name)} for name in ecg]


def _label() -> Json:
    label = {"system": codes.LABEL_SYSTEM, "code": "AIAST", "display": "Artificial Intelligence asserted"}
    return {"security": [label]}


def _notes(e: Estimate) -> list[Json]:
    applied: Mapping[str, Applied] = e.applied
    texts = [NOTICE] if e.clock_synced else [NOTICE, _UNSYNCED]
    # Without the name of the file, which may be that of a person.
    texts += [f"Applied: {_text(kind)} file with SHA-256 {_text(one.sha256)}" for kind, one in applied.items()]
    return [{"text": text} for text in texts]


def _identifier(name: str) -> Json:
    return {"system": codes.URI_SYSTEM, "value": name}


def _time(e: Estimate) -> str:
    return utc_of(unix_s(e.time))


def _finite(x: float | None) -> bool:
    return x is not None and math.isfinite(x)


def _text(text: str) -> str:
    return printable(text).strip() or "?"


def _code(text: str) -> str:
    """Return a text as FHIR allows a code: without spaces at its ends, and without double ones."""
    return " ".join(_text(text).split())


def _list(found: object) -> list[object]:
    assert isinstance(found, list)
    return found
