"""What the lines before a table state: sampling rate, unit, lead, start, and the columns of known programs."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from edge.sources.replay.text.cells import TIME_UNITS_NS, voltage_mv
from edge.sources.replay.text.clock import stamp_unix_ns
from firmware_bridge.samples import MAX_FS_HZ, MIN_FS_HZ

_PAIR = re.compile(r"^\s*(?P<key>[^:=,;\t]{1,60}?)\s*[:=,;\t]\s*(?P<value>.+?)\s*$")
_VALUE = r"(?P<value>\d[\d.,]*(?:e[+]?\d+)?)"
_RATE_WORD = (
    r"(?:sampl\w*[\s_\-]*(?:rate|freq\w*)|sampling|abtast\w*|s?_?freq\w*|frecuencia\w*|fréquence\w*|frequenza\w*|"
    r"\bfs\b|srate|s?fs_?hz|ecg[\s_]*rate)"
)
_RATE = re.compile(
    rf"(?P<key>[^:=,;\t]*{_RATE_WORD}[^:=,;\t\d]*)[:=,;\t\s\"']+{_VALUE}\s*(?P<unit>k?hz|k?sps|hertz|samples)?",
    re.IGNORECASE,
)
_HERTZ = re.compile(
    rf"(?P<key>.*?){_VALUE}\s*(?P<unit>k?hz|hertz|k?sps|samples?\s*(?:/|per)\s*s(?:ec(?:onds?)?)?)\b", re.IGNORECASE
)
_INTERVAL = re.compile(
    rf"(?P<key>.*?sampl\w*[\s_\-]*(?:interval|period|time)[^\d]*?){_VALUE}\s*\(?(?P<unit>ns|us|µs|μs|ms|msec|s|sec|seconds)\b",
    re.IGNORECASE,
)
_OTHER_RATES = re.compile(
    r"filter|notch|mains|cut.?off|band|\blow|\bhigh|\blp\b|\bhp\b|accel|\bacc\b|gyro|magn|ppg|spo2|heart|\bhr\b|pulse|resp|"
    r"temp|refresh|display|baud|cpu|clock|update",
    re.IGNORECASE,
)
_PER_COUNT = re.compile(
    rf"{_VALUE}\s*(?P<unit>nv|uv|µv|μv|mv)\s*(?:/|per)\s*(?:lsb|bit|counts?|adu|digit|unit)\b", re.IGNORECASE
)
_GAIN = re.compile(rf"gain\D{{0,12}}?{_VALUE}\s*\(?(?:adu|counts?|lsbs?|units?)\s*(?:/|per)\s*mv", re.IGNORECASE)
_LEAD_KEY = re.compile(r"^(lead|ableitung|dérivation|derivación|derivazione|channel|kanal)$", re.IGNORECASE)
_START_KEY = re.compile(r"record|start|date|datum|time|fecha|aufgezeichnet|begin", re.IGNORECASE)
_BIRTH = re.compile(r"birth|geburt|naiss|nacim|nascita|dob", re.IGNORECASE)
_MARKS = " \t#%/;!*'\""
MAX_JSON_CHARS = 1 << 15

BITALINO_VCC_V, BITALINO_ECG_GAIN = 3.3, 1100.0
"""Transfer of BITalino's ECG sensor: mV = (count / 2^bits - 1/2) * 3.3 V / 1100. Source: its data sheet."""

PLUX_VCC_V, PLUX_ECG_GAIN = 3.0, 1000.0
"""The same for biosignalsplux. Source: the sensor's data sheet."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What a header states.

    Attributes:
        format: Name of the program or format.
        rate_hz: Sampling rate, Hz; ``None`` if it states none.
        rates_hz: All rates, if they contradict each other.
        scale_mv: Millivolts per unit of every signal; ``None`` if it states none.
        lead: Name of the only signal; empty if it states none.
        start_unix_ns: Start of the recording, Unix ns; ``None`` if it states none.
        names: Names of the columns; empty if the table has its own header.
        scales_mv: Millivolts per unit, and the value that means 0 mV, by column.
        ecg: Columns that are stated to be an ECG.
        signals: Columns that can be an ECG; empty if it does not say.
    """

    format: str = "text"
    rate_hz: float | None = None
    rates_hz: tuple[float, ...] = ()
    scale_mv: float | None = None
    lead: str = ""
    start_unix_ns: int | None = None
    names: tuple[str, ...] = ()
    scales_mv: dict[int, tuple[float, float]] = field(default_factory=dict)
    ecg: tuple[int, ...] = ()
    signals: tuple[int, ...] = ()


def read_header(lines: Sequence[str], width: int) -> Facts:
    """Return what the lines before the data state.

    Args:
        lines: All lines before the first row of data, comments included.
        width: Number of columns.
    """
    bare = [line.strip(_MARKS) for line in lines]
    facts = Facts()
    for line in bare:
        facts = _pair(facts, line)
    rate_hz, rates_hz = _rate_of(bare)
    facts = replace(facts, rate_hz=rate_hz, rates_hz=rates_hz)
    text = "\n".join(lines)
    if "opensignals" in text.lower():
        return _open_signals(facts, bare)
    if "openbci" in text.lower():
        return _openbci(facts, bare, width)
    return replace(facts, format="Apple Watch CSV") if "hertz" in text.lower() and "watch" in text.lower() else facts


def _pair(facts: Facts, line: str) -> Facts:
    """Take a line of the form ``key: value``."""
    for pattern in (_PER_COUNT, _GAIN):
        if found := pattern.search(line):
            number = float(found["value"].rstrip(".,").replace(",", "."))
            unit = voltage_mv(found["unit"]) if pattern is _PER_COUNT else None
            if number > 0 and facts.scale_mv is None:
                return replace(facts, scale_mv=1 / number if unit is None else number * unit)
    pair = _PAIR.match(line)
    if pair is None:
        return facts
    key, value = pair["key"].strip(_MARKS), pair["value"].strip(_MARKS)
    scale = voltage_mv(value) if len(value) > 1 else None
    if scale is not None and not any(c in pair["value"] for c in ",;\t"):
        return replace(facts, scale_mv=scale)
    if _LEAD_KEY.match(key) and len(value) <= 40 and not any(c in value for c in ",;\t"):
        return replace(facts, lead=value)
    if _START_KEY.search(key) and not _BIRTH.search(key) and facts.start_unix_ns is None:
        return replace(facts, start_unix_ns=stamp_unix_ns(value))
    return facts


def _rate_of(lines: Sequence[str]) -> tuple[float | None, tuple[float, ...]]:
    """Return the rate of the most specific statements, or all of them if they contradict each other."""
    found: dict[int, list[float]] = {}
    for line in lines:
        if len(line) > 400:
            continue
        for pattern, rank in ((_RATE, 2), (_INTERVAL, 2), (_HERTZ, 1)):
            match = pattern.search(line)
            if match is None or _OTHER_RATES.search(match["key"]):
                continue
            rate = _rate(match["value"], match["unit"] or "", interval=pattern is _INTERVAL)
            if rate is not None:
                found.setdefault(rank + ("ecg" in match["key"].lower()), []).append(rate)
                break
    if not found:
        return None, ()
    rates = found[max(found)]
    if max(rates) > 1.01 * min(rates):
        return None, tuple(rates)
    return rates[0], ()


def _rate(text: str, unit: str, *, interval: bool) -> float | None:
    """Return a rate in Hz. A comma is a decimal sign unless only thousands make sense."""
    text = text.rstrip(".,")
    for number in (text.replace(",", "."), text.replace(",", ""), text.replace(".", "").replace(",", ".")):
        try:
            value = float(number)
        except ValueError:
            continue
        if interval:
            value = 1e9 / (value * TIME_UNITS_NS[unit.lower()]) if value > 0 else 0.0
        elif unit.lower().startswith("k"):
            value *= 1e3
        if MIN_FS_HZ <= value <= MAX_FS_HZ:
            return value
    return None


def _open_signals(facts: Facts, lines: Sequence[str]) -> Facts:
    """Read the header of OpenSignals (BITalino, biosignalsplux): a JSON object for each device."""
    devices = next((d for d in map(_json_object, lines) if d), {})
    names: list[str] = []
    ecg: list[int] = []
    signals: list[int] = []
    scales: dict[int, tuple[float, float]] = {}
    rates = []
    for device in (d for d in devices.values() if isinstance(d, dict)):
        columns, labels, sensors = (_texts(device.get(key)) for key in ("column", "label", "sensor"))
        kinds = dict(zip(labels, sensors, strict=False))
        bits = device.get("resolution")
        for at, name in enumerate(columns):
            column = len(names) + at
            if name not in kinds:
                continue
            signals.append(column)
            if "ECG" not in kinds[name].upper():
                continue
            ecg.append(column)
            depth = bits[at] if isinstance(bits, list) and len(bits) == len(columns) else None
            if scale := _transfer(device, depth):
                scales[column] = scale
        names += columns
        rate = device.get("sampling rate")
        if isinstance(rate, int | float) and MIN_FS_HZ <= rate <= MAX_FS_HZ:
            rates.append(float(rate))
    rate_hz = rates[0] if rates and max(rates) == min(rates) else None
    return replace(
        facts, format="OpenSignals", rate_hz=rate_hz, rates_hz=() if rate_hz else tuple(rates), names=tuple(names),
        ecg=tuple(ecg), signals=tuple(signals), scales_mv=scales,
    )  # fmt: skip


def _transfer(device: dict[str, object], bits: object) -> tuple[float, float] | None:
    """Return millivolts per count and the count of 0 mV of an ECG sensor."""
    if device.get("convertedValues") == 1:
        return 1.0, 0.0
    name = str(device.get("device", "")).lower()
    if not isinstance(bits, int) or not 6 <= bits <= 24:
        return None
    if name.startswith("bitalino"):
        volts = BITALINO_VCC_V / BITALINO_ECG_GAIN
    elif name.startswith(("biosignalsplux", "channeller")):
        volts = PLUX_VCC_V / PLUX_ECG_GAIN
    else:
        return None
    return volts * 1e3 / (1 << bits), float(1 << (bits - 1))


def _openbci(facts: Facts, lines: Sequence[str], width: int) -> Facts:
    """Read the header of the OpenBCI GUI: channels are in microvolts; before version 5 the columns have no names."""
    facts = replace(facts, format="OpenBCI")
    channels = next((int(m[1]) for m in (re.search(r"channels\s*=\s*(\d{1,2})$", s) for s in lines) if m), 0)
    if not 1 <= channels < width:
        return facts
    columns = range(1, channels + 1)
    old = not any("EXG Channel" in line for line in lines)
    names = (
        "Sample Index",
        *(f"EXG Channel {i}" for i in range(channels)),
        *("Other" for _ in range(channels + 1, width)),
    )
    return replace(
        facts, names=names if old else (), signals=tuple(columns), scales_mv=dict.fromkeys(columns, (1e-3, 0.0))
    )


def _json_object(line: str) -> dict[str, object]:
    if not line.startswith("{") or len(line) > MAX_JSON_CHARS:
        return {}
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _texts(value: object) -> list[str]:
    return [str(v) for v in value] if isinstance(value, list) else []
