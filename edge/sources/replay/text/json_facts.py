"""What a JSON document states beside its samples: rate, unit, scale, start."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from edge.sources.replay.text.cells import TIME_UNITS_NS, voltage_mv
from edge.sources.replay.text.clock import stamp_unix_ns
from edge.sources.replay.text.header import Facts
from firmware_bridge.samples import MAX_FS_HZ, MIN_FS_HZ

MAX_DEPTH = 8
"""Deepest object in which samples are searched."""

MAX_SAMPLED_CHARS = 16 << 20

_RATE_KEYS = frozenset(
    {
        "fs",
        "fshz",
        "frequency",
        "freq",
        "sfreq",
        "srate",
        "hz",
        "rate",
        "ratehz",
        "sps",
        "frequencyhz",
        "freqhz",
        "ecgrate",
    }
)
_ABOUT = frozenset({"meta", "metadata", "header", "info", "attributes", "settings", "config", "recording", "device"})
_PATH_RATE = re.compile(r"/meas/ecg/(\d{2,4})", re.IGNORECASE)
_NUMBER = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(k?hz|hertz|sps)?\s*$", re.IGNORECASE)
_START_KEYS = ("recordedat", "start", "starttime", "startdate", "starttimestamp", "date", "datetime", "recordingdate")


def as_facts(above: Sequence[object], facts: Facts) -> Facts:
    """Return the facts with those that the objects around the samples state; the nearest object counts most.

    Args:
        above: Objects, the outermost first.
        facts: Facts so far.
    """
    for node in above:
        if isinstance(node, dict):
            for key, beside in node.items():
                if str(key).lower() in _ABOUT and isinstance(beside, dict):
                    facts = _of(beside, facts)
            facts = _of(node, facts)
    return facts


def sampled_data(node: dict[str, object]) -> dict[str, list[object]]:
    """Return the samples of a FHIR SampledData element in millivolts; empty for any other object."""
    data, origin = node.get("data"), node.get("origin")
    if not isinstance(data, str) or not isinstance(origin, dict) or len(data) > MAX_SAMPLED_CHARS:
        return {}
    scale = voltage_mv(str(origin.get("code") or origin.get("unit") or ""))
    zero, factor = (
        v if isinstance(v, int | float) and not isinstance(v, bool) else d
        for v, d in ((origin.get("value"), 0.0), (node.get("factor"), 1.0))
    )
    values: list[object] = []
    for cell in data.split():
        try:
            values.append((float(cell) * factor + zero) * (scale or 1.0))
        except (ValueError, OverflowError):
            values.append(None)
    return {f"ecg{'_mv' if scale else ''}": values} if values else {}


def _of(node: dict[str, object], facts: Facts) -> Facts:
    for key, value in node.items():
        plain = re.sub(r"[^a-z0-9]", "", str(key).lower())
        if isinstance(value, str) and (found := _PATH_RATE.search(value[:200])):
            facts = _with_rate(facts, float(found[1]))
        if plain in _RATE_KEYS or (plain.startswith(("sampl", "ecgsampl")) and ("rate" in plain or "freq" in plain)):
            facts = _with_rate(facts, _number(value))
        elif "interval" in plain or plain.endswith(("period", "periodms")):
            facts = _with_rate(facts, _from_interval(plain, value, fhir="origin" in node))
        elif plain in {"unit", "units", "ecgunit", "voltageunit"} and isinstance(value, str):
            scale = voltage_mv(value[:20])
            facts = facts if scale is None else replace(facts, scale_mv=scale)
        elif plain == "amplituderesolution" and isinstance(value, int | float) and 0 < value < 1e9:
            facts = replace(facts, format="Kardia JSON", scale_mv=float(value) * 1e-6)
        elif plain in {"lsbmv", "mvperlsb", "mvpercount"} and isinstance(value, int | float) and 0 < value < 1e3:
            facts = replace(facts, scale_mv=float(value))
        elif plain in _START_KEYS and isinstance(value, str):
            facts = replace(facts, start_unix_ns=stamp_unix_ns(value) or facts.start_unix_ns)
    return facts


def _number(value: object) -> float:
    if isinstance(value, str) and (found := _NUMBER.match(value[:40])):
        return float(found[1]) * (1e3 if (found[2] or "").lower() == "khz" else 1.0)
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e9 else 0.0


def _from_interval(key: str, value: object, *, fhir: bool) -> float:
    """Return the rate of a sampling interval whose unit its key states; FHIR states milliseconds."""
    number = _number(value)
    unit = next((u for u in ("ms", "us", "ns") if key.endswith(u)), "ms" if fhir else "s" if key.endswith("s") else "")
    return 1e9 / (number * TIME_UNITS_NS[unit]) if number > 0 and unit else 0.0


def _with_rate(facts: Facts, rate_hz: float) -> Facts:
    return replace(facts, rate_hz=rate_hz, rates_hz=()) if MIN_FS_HZ <= rate_hz <= MAX_FS_HZ else facts
