"""Components of FHIR Observations: reasons, the network's own answer, and the change against the quiet hour."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edge.baseline.words import NAMES, WHY
from edge.explain.record import because
from edge.sessions.formats import fhir_codes as codes
from edge.sessions.formats.fhir_codes import Json, coded, part, quantity, value_of

if TYPE_CHECKING:
    from edge.baseline.record import Change, Quantity, QuantityChange
    from edge.explain.record import LabReasons
    from edge.records import LabEstimate


def reasons_part(reasons: LabReasons) -> Json:
    """Return what an output rests on, in words."""
    words = because(reasons)
    if reasons.shares:
        way = "raise" if reasons.effect > 0.0 else "lower"
        noun = "beat" if reasons.windows == 1 else "beats"
        words += f"; they {way} the estimate; {reasons.windows} average {noun}, the newest {reasons.age_s:.0f} s old"
    return part("reasons", "Parts of the heartbeat on which the estimate rests", "valueString", words)


def network_parts(lab: LabEstimate) -> list[Json]:
    """Return the network's own answer, where the value is fused with waves."""
    if lab.network is None:
        return []
    return [
        part(
            "network", "Answer of the network without the waves", "valueQuantity", value_of(lab.network.value, lab.unit)
        ),
        part("network-flag", "The network's own answer reaches its threshold", "valueBoolean", lab.network.flag),
    ]


def change_parts(change: Change) -> list[Json]:
    """Return the change of each quantity with its band, or the reason why there is none."""
    found: list[Json] = [part("windows", "Ten-second windows in the median", "valueInteger", change.windows)]
    for name, one in change.values.items():
        found += _quantity_parts(name, one)
    for name, reason in change.missing.items():
        kit = {"system": codes.KIT_SYSTEM, "code": reason}
        why = {"coding": [{"system": codes.ABSENT_SYSTEM, "code": "unknown"}, kit], "text": WHY[reason]}
        found.append(part(f"change-{name}", f"Change of {NAMES[name][0]}", "dataAbsentReason", why))
    return found


def _quantity_parts(name: Quantity, one: QuantityChange) -> list[Json]:
    words, unit = NAMES[name]
    value, low, high = (quantity(x, unit or "1", unit or "ratio") for x in (one.value, one.low, one.high))
    source = coded(codes.KIT_SYSTEM, f"posture-{one.posture}", text=one.posture)
    parts = [
        part(f"change-{name}", f"Change of {words}", "valueQuantity", value),
        part(
            f"band-{name}",
            f"Band of {words}: scatter, posture and heart rate",
            "valueRange",
            {"low": low, "high": high},
        ),
        part(f"within-{name}", f"The change of {words} lies in its band", "valueBoolean", one.within),
        part(
            f"posture-{name}", f"Source of the part of posture in the band of {words}", "valueCodeableConcept", source
        ),
    ]
    return [made for made in parts if made]
