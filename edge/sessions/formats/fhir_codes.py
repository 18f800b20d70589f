"""Codes and identifiers of the FHIR export. ``docs/sessions.md`` gives the reasons."""

from __future__ import annotations

import math
from types import MappingProxyType
from typing import Final
from uuid import UUID, uuid5

Json = dict[str, object]

NAMESPACE: Final = UUID("1d7c2d0e-8a52-5f5b-9a55-6f0a2f7c9e31")
"""Namespace of the identifiers (UUID version 5)."""
KIT_SYSTEM: Final = "urn:uuid:6c0f6f1e-3b1d-4c0e-9d43-2f2f3a1f8b70"
"""The kit's own code system: heads, components, reasons of abstentions."""
URI_SYSTEM: Final = "urn:ietf:rfc3986"
LOINC: Final = "http://loinc.org"
UCUM: Final = "http://unitsofmeasure.org"
MDC: Final = "urn:oid:2.16.840.1.113883.6.24"
"""ISO/IEEE 11073-10101, whose terms FHIR uses for the ECG of a device."""
CATEGORY_SYSTEM: Final = "http://terminology.hl7.org/CodeSystem/observation-category"
ABSENT_SYSTEM: Final = "http://terminology.hl7.org/CodeSystem/data-absent-reason"
LABEL_SYSTEM: Final = "http://terminology.hl7.org/CodeSystem/v3-ObservationValue"
ABSENT_EXTENSION: Final = "http://hl7.org/fhir/StructureDefinition/data-absent-reason"
HEART_RATE_PROFILE: Final = "http://hl7.org/fhir/StructureDefinition/heartrate"

INTERVALS: Final = MappingProxyType(
    {
        "PR": ("8625-6", "P-R interval"),
        "QRS": ("8633-0", "QRS duration"),
        "QT": ("8634-8", "Q-T interval"),
        "QTc": ("8636-3", "Q-T interval corrected"),
    }
)
"""LOINC code and display of each interval, and below of the rhythm, as in HL7's US Core 5 (clinical test codes)."""
HEART_RHYTHM: Final = ("8884-9", "Heart rate rhythm")

ABSENT: Final = MappingProxyType(
    {
        "warming_up": "temp-unknown",
        "gap": "not-performed",
        "stalled": "not-performed",
        "lead_off": "error",
        "poor_signal": "error",
        "flat": "error",
        "saturated": "error",
        "scale_unknown": "unsupported",
        "rhythm": "unsupported",
    }
)
"""FHIR's code for each reason of an abstention."""


def coded(system: str, code: str, display: str = "", text: str = "") -> Json:
    """Return a CodeableConcept with one code."""
    coding: Json = {"system": system, "code": code}
    if display:
        coding["display"] = display
    return {"coding": [coding], "text": text or display or code}


def quantity(value: float, unit: str, text: str = "") -> Json:
    """Return a Quantity in a UCUM unit.

    Args:
        value: The value.
        unit: Its unit, UCUM.
        text: The unit for people; by default the UCUM code.
    """
    return {"value": value, "unit": text or unit, "system": UCUM, "code": unit}


def value_of(value: float | None, unit: str) -> Json | None:
    """Return a Quantity with six significant digits; ``None`` without a finite value."""
    if value is None or not math.isfinite(value):
        return None
    return quantity(float(f"{value:.6g}") + 0.0, unit, "probability" if unit == "1" else "")


def part(code: str, display: str, kind: str, value: object) -> Json:
    """Return a component; an empty object without a value."""
    return {} if value is None else {"code": coded(KIT_SYSTEM, code, display), kind: value}


def urn(*what: object) -> str:
    """Return the identifier of a thing: the same text for the same thing in every export."""
    return f"urn:uuid:{uuid5(NAMESPACE, chr(0).join(map(str, what)))}"
