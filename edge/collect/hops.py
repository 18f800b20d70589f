"""What a store holds of each message: checked values of bounded size, and the key that makes a repetition harmless.

The hop of a patch is identified by patch, session, end of its window and time. Within a session the end grows with
every hop. The time tells apart two runs of the same recording, which have the same session.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple, get_args

from edge.baseline.record import change_dict
from edge.explain.record import reasons_dict
from edge.records import ABSTAIN_REASONS, Estimate, LabEstimate, Tier, from_json
from edge.store.well_typed import well_typed
from edge.waves.network_answer import network_dict
from edge.waves.record import DIGITS
from firmware_bridge.errors import InputError

MAX_PAYLOAD_BYTES = 1 << 18
"""Largest message: 108 outputs take about 25 KB."""
MAX_OUTPUTS = 1024
MAX_NAME_CHARS = 64
MAX_TEXT_CHARS = 200
MAX_FLAGS = 16
MAX_SIGNAL_S = 1e9
MAX_COUNT = 1 << 62
MAX_SMALL = 1 << 30
MAX_NUMBER = 1e30
"""Larger values do not fit the four-byte numbers of a database."""
YEARS = (1970, 2100)
"""A computer without a network may start in 1970."""
DETAILS = ("change", "reasons", "network")
"""Columns that hold JSON, as it is in an estimate; reasons and answers of the network by key of the output."""
PATCH = re.compile(r"[A-Za-z0-9_-]{1,64}")
"""Name of a patch in topics."""

_TIERS = frozenset(get_args(Tier))
_REASONS = frozenset(ABSTAIN_REASONS)


class RefusedError(Exception):
    """A message that is not stored.

    Args:
        kind: Short name of the reason, for the counts.
        what: The reason in words.
    """

    def __init__(self, kind: str, what: str) -> None:
        super().__init__(what)
        self.kind = kind


class HeadFacts(NamedTuple):
    """What does not change about an output of a bundle."""

    key: str
    loinc: str | None
    unit: str
    threshold: float | None
    evidence: str


class Layout(NamedTuple):
    """The bundle of an estimate, and the outputs to which its values belong."""

    bundle: str
    sha256: str
    heads: tuple[HeadFacts, ...]

    def digest(self) -> str:
        """Return a name that only the same bundle with the same outputs has."""
        return hashlib.blake2b(json.dumps(self).encode(), digest_size=16).hexdigest()


class Hop(NamedTuple):
    """One estimate or abstention, ready to be stored.

    Attributes:
        patch: Name of the patch, as in its topics.
        session: Identifier of the session.
        device: Kind of the device; the name of the patch for a recording.
        time: End of the window on the wall clock, UTC.
        start_us: Start of the window in signal time, microseconds.
        end_us: End of the window in signal time, microseconds.
        synced: Whether the wall clock was synchronised.
        layout: The outputs; ``None`` for an abstention.
        quality: Signal quality from 0 to 1; ``None`` if unknown.
        flags: Findings about the signal, joined by commas; ``None`` for none.
        rate_bpm: Heart rate, beats per minute.
        reason: Reason of an abstention.
        lost: Samples known to be lost since the session began.
        latency_ms: Time that the chain took for the hop, ms.
        windows: Accepted windows behind the values.
        value: Value of each output.
        low: Lower bound of each interval.
        high: Upper bound of each interval.
        flag: Flag of each output.
        applied: Profiles and anchors that were applied, as JSON; ``None`` for none.
        rhythm: Rhythm of the window; ``None`` without one.
        af_share: Share of atrial fibrillation or flutter in the last minutes; ``None`` if unknown.
        ectopic_share: Share of ectopic beats in the last minutes; ``None`` if unknown.
        waves: Measurements of the window in the order of `DIGITS`; ``None`` without an accepted window.
        change: Change against the wearer's quiet hour, as JSON; ``None`` without a baseline.
        reasons: What outputs rest on, as JSON by output; ``None`` for none.
        network: The network's own answers beside fused ones, as JSON by output; ``None`` for none.
    """

    patch: str
    session: str
    device: str
    time: datetime
    start_us: int
    end_us: int
    synced: bool
    layout: Layout | None
    quality: float | None
    flags: str | None
    rate_bpm: float | None
    reason: str | None
    lost: int
    latency_ms: float | None
    windows: int | None
    value: Sequence[float | None] | None
    low: Sequence[float | None] | None
    high: Sequence[float | None] | None
    flag: Sequence[bool | None] | None
    applied: str | None
    rhythm: str | None = None
    af_share: float | None = None
    ectopic_share: float | None = None
    waves: tuple[float | None, ...] | None = None
    change: str | None = None
    reasons: str | None = None
    network: str | None = None

    def columns(self) -> dict[str, Any]:
        """Return the values by name, the measurements each by its own."""
        row = self._asdict()
        waves = row.pop("waves")
        return row | dict(zip(DIGITS, waves or (None,) * len(DIGITS), strict=True))

    @property
    def key(self) -> tuple[str, str, int, datetime]:
        """Identity of the hop."""
        return self.patch, self.session, self.end_us, self.time


class Event(NamedTuple):
    """An event of the link, from a session folder.

    Attributes:
        patch: Name of the patch.
        session: Identifier of the run.
        digest: Hash of the event, by which a repetition is recognised.
        time: When it was written, UTC.
        kind: Kind of the event.
        detail: One sentence.
        repeats: Number of events that the line stands for.
    """

    patch: str
    session: str
    digest: str
    time: datetime
    kind: str
    detail: str
    repeats: int


class Availability(NamedTuple):
    """A patch came online or went offline, at the time at which the collector learned of it, UTC."""

    patch: str
    time: datetime
    online: bool


def hop_of_message(patch: str, payload: bytes) -> Hop:
    """Return the hop in a message.

    Args:
        patch: Name of the patch in the topic. Only it counts: the broker's access list protects it.
        payload: The message.

    Raises:
        RefusedError: The message is not an estimate of the schema, or has an impossible value.
    """
    if len(payload) > MAX_PAYLOAD_BYTES:
        raise RefusedError("size", f"{len(payload):,} bytes are too many for an estimate")
    try:
        text = payload.decode("utf-8")
    except UnicodeDecodeError:
        raise RefusedError("json", "the message is not UTF-8") from None
    try:
        estimate = well_typed(from_json(text))
    except InputError as error:
        kind = "schema" if "has schema" in error.what else "json" if "not JSON" in error.what else "value"
        raise RefusedError(kind, error.what) from None
    return hop_of_estimate(patch, estimate, estimate.device)


def hop_of_estimate(patch: str, e: Estimate, device: str) -> Hop:
    """Return an estimate as a hop.

    Args:
        patch: Name of the patch.
        e: The estimate.
        device: Kind of the device.

    Raises:
        RefusedError: A value is impossible or too long.
    """
    if len(e.labs) > MAX_OUTPUTS:
        raise RefusedError("value", f"{len(e.labs):,} outputs are too many")
    if e.abstained is not None and e.abstained not in _REASONS:
        raise RefusedError("value", "the reason of the abstention is unknown")
    start_us, end_us = (_whole(s, MAX_SIGNAL_S, 1e6, "window") for s in (e.window.start_s, e.window.end_s))
    if end_us < start_us:
        raise RefusedError("value", "the window ends before it starts")
    if len(e.quality.flags) > MAX_FLAGS:
        raise RefusedError("value", "there are too many flags")
    flags = ",".join(_text(flag, MAX_NAME_CHARS, "flag") for flag in e.quality.flags)
    score = None if math.isnan(e.quality.score) else _within(e.quality.score, 0.0, 1.0, "quality")
    layout = None if not e.labs else _layout(e)
    intervals = [lab.interval or (None, None) for lab in e.labs]
    return Hop(
        patch=patch,
        session=_text(e.session, MAX_NAME_CHARS, "session"),
        device=_text(device, MAX_TEXT_CHARS, "device"),
        time=time_of(e.time),
        start_us=start_us,
        end_us=end_us,
        synced=e.clock_synced,
        layout=layout,
        quality=score,
        flags=flags or None,
        rate_bpm=None if e.heart_rate_bpm is None else _within(e.heart_rate_bpm, 0.0, 1000.0, "heart rate"),
        reason=e.abstained,
        lost=_whole(e.lost_samples, MAX_COUNT, 1.0, "lost_samples"),
        latency_ms=_latency(e.latency_ms),
        windows=None if layout is None else max(_whole(lab.windows, MAX_SMALL, 1.0, "windows") for lab in e.labs),
        value=None if layout is None else [_number(lab.value, "value") for lab in e.labs],
        low=None if layout is None else [_number(low, "interval") for low, _high in intervals],
        high=None if layout is None else [_number(high, "interval") for _low, high in intervals],
        flag=None if layout is None else [lab.flag for lab in e.labs],
        applied=_applied(e),
        **_seen(e),
        **_details(e),
    )


def _seen(e: Estimate) -> dict[str, Any]:
    """Return what the ECG itself shows: rhythm and waves."""
    found: dict[str, Any] = {}
    if e.rhythm is not None:
        minutes = e.rhythm.minutes
        found = {"rhythm": e.rhythm.name, "af_share": minutes.af_share, "ectopic_share": minutes.ectopic_share}
    if e.waves is not None:
        found["waves"] = tuple(getattr(e.waves, name) for name in DIGITS)
    return found


def _details(e: Estimate) -> dict[str, Any]:
    """Return the columns of JSON: what goes beside the values of a hop."""
    return {
        "change": None if e.change is None else _json(change_dict(e.change)),
        "reasons": _json({lab.key: reasons_dict(lab.reasons) for lab in e.labs if lab.reasons is not None}),
        "network": _json({lab.key: network_dict(lab.network) for lab in e.labs if lab.network is not None}),
    }


def _json(record: Mapping[str, object]) -> str | None:
    return json.dumps(record, separators=(",", ":"), allow_nan=False) if record else None


def time_of(text: str) -> datetime:
    """Return a time of the kit (ISO 8601, UTC).

    Raises:
        RefusedError: It is not one, or outside the years from 1970 to 2100.
    """
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise RefusedError("time", "the time is not ISO 8601") from None
    if time.tzinfo is None or not YEARS[0] <= time.year <= YEARS[1]:
        raise RefusedError("time", "the time is outside of the years 1970 to 2100, or has no zone")
    return time.astimezone(UTC)


def event_of(patch: str, line: Mapping[str, object]) -> Event:
    """Return a line of ``events.jsonl`` as an event.

    Raises:
        RefusedError: A value is of the wrong kind, impossible or too long.
    """
    time, session, kind, detail = (line.get(key) for key in ("time", "session", "kind", "detail"))
    count = line.get("count", 1)
    texts = [text for text in (time, session, kind, detail) if isinstance(text, str)]
    if len(texts) < 4 or not isinstance(count, int):
        raise RefusedError("value", "an event has a value of the wrong kind")
    digest = hashlib.blake2b(json.dumps(line, sort_keys=True).encode(), digest_size=16).hexdigest()
    return Event(
        patch,
        _text(texts[1], MAX_NAME_CHARS, "session"),
        digest,
        time_of(texts[0]),
        _text(texts[2], MAX_NAME_CHARS, "kind"),
        _text(texts[3], 2 * MAX_TEXT_CHARS, "detail"),
        _whole(count, MAX_SMALL, 1.0, "count"),
    )


def _layout(e: Estimate) -> Layout:
    heads = tuple(_head(lab) for lab in e.labs)
    if len({head.key for head in heads}) < len(heads):
        raise RefusedError("value", "two outputs have the same key")
    bundle = _text(e.bundle.name, MAX_TEXT_CHARS, "bundle")
    return Layout(bundle, _text(e.bundle.sha256, MAX_NAME_CHARS, "bundle"), heads)


def _head(lab: LabEstimate) -> HeadFacts:
    if lab.tier not in _TIERS:
        raise RefusedError("value", "the evidence of an output is unknown")
    return HeadFacts(
        _text(lab.key, MAX_NAME_CHARS, "key"),
        None if lab.loinc is None else _text(lab.loinc, MAX_NAME_CHARS, "loinc"),
        _text(lab.unit, MAX_NAME_CHARS, "unit"),
        _number(lab.threshold, "threshold"),
        lab.tier,
    )


def _applied(e: Estimate) -> str | None:
    anchors = {lab.key: [lab.anchor.offset, lab.anchor.results] for lab in e.labs if lab.anchor is not None}
    if not e.applied and not anchors:
        return None
    if len(e.applied) > MAX_FLAGS:
        raise RefusedError("value", "too many files were applied")
    for offset, results in anchors.values():
        _number(offset, "anchor")
        _whole(results, MAX_SMALL, 1.0, "anchor")
    files = sorted(_text(kind, MAX_NAME_CHARS, "applied") for kind in e.applied)
    return _json({"files": files, "anchors": anchors})


def _latency(latency_ms: Mapping[str, float]) -> float | None:
    total = latency_ms.get("total")
    return None if total is None else _within(total, 0.0, 1e9, "latency")


def _text(text: str, most: int, what: str) -> str:
    if len(text) > most or not text.isprintable():
        raise RefusedError("value", f"the text '{what}' is too long, or has characters that cannot be printed")
    return text


def _within(x: float, low: float, high: float, what: str) -> float:
    if not low <= x <= high:  # also refuses NaN
        raise RefusedError("value", f"{what} is outside {low:g} to {high:g}")
    return float(x)


def _number(x: float | None, what: str) -> float | None:
    return None if x is None else _within(x, -MAX_NUMBER, MAX_NUMBER, what)


def _whole(x: float, most: float, scale: float, what: str) -> int:
    return round(_within(x, 0.0, most, what) * scale)
