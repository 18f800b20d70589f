"""What is published: the newest state for displays, and every estimate as an event. Neither says who the patient is."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

from edge.baseline.record import change_dict
from edge.explain.record import reasons_dict
from edge.records import NOTICE, to_dict
from edge.sinks.mqtt.names import slugs
from edge.waves.record import WaveRecord, interval_values

if TYPE_CHECKING:
    from edge.bundle.reader import Bundle
    from edge.bundle.schema import OutputHead
    from edge.records import Estimate, LabEstimate

MAX_ENTITIES = 512
"""Most outputs of a bundle in the state and in discovery; events have all."""
WAITING = "waiting"
"""Status while there is no estimate yet."""
OK = "ok"
NOTHING_SEEN: dict[str, object] = {
    "rhythm": None,
    **{name.lower(): None for name, _ in interval_values(WaveRecord())},
    "change": None,
}


def event(e: Estimate, node: str, *, live: bool) -> str:
    """Return an estimate as one line of its schema, without what could name the patient.

    The name of a recording may be that of a person, and so may the name of a person's file; a hash of that file would
    connect the person's estimates across devices.

    Args:
        e: The estimate.
        node: Identifier of the patch.
        live: Whether the device is a patch; its kind is then kept.
    """
    record = to_dict(e)
    record["device"] = e.device if live else node
    record["node"] = node
    if e.applied:
        record["applied"] = {
            kind: {"file": kind, "sha256": "", "made": "", "what": "applied"} for kind in sorted(e.applied)
        }
    return json.dumps(record, separators=(",", ":"), allow_nan=False)


class StateMaker:
    """Makes the state: flat enough for templates, with every output of the bundle at any time.

    Args:
        bundle: The bundle that makes the estimates.
    """

    def __init__(self, bundle: Bundle) -> None:
        self.heads = bundle.manifest.outputs[:MAX_ENTITIES]
        self.slugs = slugs(head.key for head in self.heads)
        self._estimated: str | None = None

    def waiting(self) -> str:
        """Return the state before the first estimate, and when the newest one is too old."""
        return self._text({"time": None, "clock_synced": False, "status": WAITING, **NOTHING_SEEN}, None, None, {})

    def state(self, e: Estimate) -> str:
        """Return the state after an estimate or abstention. An abstention has no values, not those before it."""
        head: dict[str, object] = {"time": e.time, "clock_synced": e.clock_synced, "status": e.abstained or OK}
        quality = None if not math.isfinite(e.quality.score) else round(100.0 * e.quality.score)
        head |= _seen(e)
        if e.abstained is not None:
            return self._text(head, None, quality, {})
        self._estimated = e.time
        rate = None if e.heart_rate_bpm is None else round(e.heart_rate_bpm)
        return self._text(head, rate, quality, {lab.key: lab for lab in e.labs})

    def _text(
        self, head: dict[str, object], rate: int | None, quality: int | None, labs: Mapping[str, LabEstimate]
    ) -> str:
        record = head | {
            "estimated": self._estimated,
            "heart_rate": rate,
            "quality": quality,
            "labs": {self.slugs[one.key]: _lab(one, labs.get(one.key)) for one in self.heads},
            "notice": NOTICE,
        }
        return json.dumps(record, separators=(",", ":"), allow_nan=False)


def _seen(e: Estimate) -> dict[str, object]:
    """Return rhythm and intervals of the newest window, unknown without an accepted one, and the change of minutes."""
    rhythm = None if e.rhythm is None else e.rhythm.name
    found = () if e.waves is None else interval_values(e.waves)
    intervals = {name.lower(): None if ms is None else round(ms) for name, ms in found}
    change = None if e.change is None else change_dict(e.change)
    return NOTHING_SEEN | {"rhythm": rhythm, "change": change} | intervals


def _lab(head: OutputHead, lab: LabEstimate | None) -> dict[str, object]:
    scale = 100.0 if head.unit == "1" else 1.0
    about: dict[str, object] = {"refers_to_loinc": head.loinc, "evidence": head.evidence.tier}
    if lab is None:
        return {"value": None, "flag": None, "about": about | {"interval": None, "threshold": None}}
    bounds = None if lab.interval is None else [_number(bound, scale) for bound in lab.interval]
    about |= {"interval": bounds, "threshold": _number(lab.threshold, scale)}
    if lab.anchor is not None:
        about["anchored"] = True
    if lab.network is not None:
        about["network"] = _number(lab.network.value, scale)
        about["network_flag"] = lab.network.flag
    if lab.reasons is not None:
        about["reasons"] = reasons_dict(lab.reasons)
    if lab.abstained is not None:
        about["abstained"] = lab.abstained
    flag = None if lab.flag is None else "ON" if lab.flag else "OFF"
    return {"value": _number(lab.value, scale), "flag": flag, "about": about}


def _number(value: float | None, scale: float) -> float | None:
    if value is None or not math.isfinite(value):
        return None
    return float(f"{value * scale:.4g}") + 0.0
