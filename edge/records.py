"""The records that leave the runtime: one estimate per hop and one summary per run.

``docs/estimate-schema.md`` describes the JSON. Numbers are rounded when they are written, not when they are
computed, so that two runs over the same bytes write the same text.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, Literal, NamedTuple, cast, get_args

from edge.baseline.record import Change, change_dict, change_from
from edge.explain.record import LabReasons, reasons_dict, reasons_from
from edge.rhythm.record import RhythmRecord, rhythm_dict, rhythm_from
from edge.rounding import fixed, significant, significant_pair
from edge.waves.network_answer import NetworkAnswer, network_dict, network_from
from edge.waves.record import WaveRecord, waves_dict, waves_from
from firmware_bridge.errors import InputError

SCHEMA = "anyecg.estimate/2"
"""Name of the schema that is written."""
SCHEMA_WITHOUT_WAVES = "anyecg.estimate/1"
"""Name of the schema before it; a reader takes both and refuses any other."""

NOTICE = "Research software, no medical device. An ECG estimate is no laboratory result."
"""Notice in every estimate and on every screen."""

MAX_LINE_BYTES = 1 << 20
"""Longest line that a reader accepts: 108 labs take about 25 KB."""

AbstainReason = Literal[
    "warming_up", "gap", "poor_signal", "flat", "saturated", "lead_off", "scale_unknown", "stalled", "rhythm"
]
"""Reason of an abstention."""
ABSTAIN_REASONS: tuple[AbstainReason, ...] = get_args(AbstainReason)

OutputReason = Literal["rhythm"]
"""Reason for which a single output abstains, while others answer."""

Tier = Literal["strong", "moderate", "limited"]
"""Evidence level of an output: AUROC > 0.65, 0.55-0.65, < 0.55 (arXiv 2510.22301)."""

YEARS_MS = (-62_135_596_800_000, 253_402_300_799_999)  # the years 1 to 9999
NO_LATENCY: Mapping[str, float] = MappingProxyType({})
NOTHING_APPLIED: Mapping[str, Applied] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class WindowSpan:
    """The newest window of an estimate, in seconds of signal since the session began."""

    start_s: float
    end_s: float


@dataclass(frozen=True, slots=True)
class BundleRef:
    """The bundle that made an estimate.

    Attributes:
        name: Name and version in the manifest.
        sha256: Hash of the manifest, 64 hexadecimal digits.
    """

    name: str
    sha256: str


@dataclass(frozen=True, slots=True)
class QualityRecord:
    """Signal quality of the newest window: ``score`` from 0 (useless) to 1 (clean), and flags."""

    score: float
    flags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Applied:
    """A file of this device or person that was applied: name, SHA-256, time of creation (ISO 8601 UTC), and effect."""

    file: str
    sha256: str
    made: str
    what: str


class Anchor(NamedTuple):
    """A measured laboratory result that moved a value.

    Attributes:
        offset: Offset added to the value, in its unit.
        results: Number of results that determine it.
        newest: Time of the newest result, ISO 8601 UTC.
        expires: Time after which the offset is no longer used, ISO 8601 UTC.
    """

    offset: float
    results: int
    newest: str
    expires: str


class LabEstimate(NamedTuple):
    """One output of the model, aggregated over the accepted windows of the last minutes.

    It is a named tuple because the foundation tier creates 108 of them per window, and a dataclass is slower to create.

    Attributes:
        key: Output key of the bundle, such as ``potassium_high``.
        loinc: LOINC code of the measured lab that the estimate refers to; ``None`` if the bundle names none.
        unit: UCUM unit of ``value``; ``"1"`` for a probability.
        value: The estimate; ``None`` if there is none.
        interval: Lower and upper bound, in ``unit``; ``None`` if there is none.
        threshold: Decision threshold in ``unit``; ``None`` for an output without one.
        flag: Whether ``value`` reaches the threshold; ``None`` without one.
        windows: Number of accepted windows in the value.
        tier: Evidence level of the output in the bundle.
        anchor: The person's own results that moved the value; ``None`` without.
        network: The network's own answer, where the value is fused with the waves; ``None`` elsewhere.
        abstained: Why this output has no value while others have; ``None`` if it has one.
        reasons: What the output rests on; ``None`` in a run without reasons, before the first ones, and for an output
            that is not flagged and has none.
    """

    key: str
    loinc: str | None
    unit: str
    value: float | None
    interval: tuple[float, float] | None
    threshold: float | None
    flag: bool | None
    windows: int
    tier: Tier
    anchor: Anchor | None = None
    network: NetworkAnswer | None = None
    abstained: OutputReason | None = None
    reasons: LabReasons | None = None


@dataclass(frozen=True, slots=True)
class Estimate:
    """The answer to one hop: an estimate or an abstention.

    Attributes:
        time: End of the window on the host's wall clock, ISO 8601 UTC with milliseconds (:func:`utc_text`).
        clock_synced: Whether the wall clock was synchronised when the estimate was written.
        session: Identifier of the run.
        device: Name of the device or recording.
        window: The newest window.
        bundle: The bundle that made the estimate.
        quality: Quality of the newest window.
        heart_rate_bpm: Heart rate, beats per minute; ``None`` if too few beats were found.
        labs: The outputs in the order of the bundle; empty while abstaining.
        abstained: The reason; ``None`` for a real estimate.
        lost_samples: Samples known to be lost since the session began.
        latency_ms: Latency by stage, ms.
        notice: The statement that this is not a medical device.
        applied: Files applied besides the bundle, by kind: ``device_profile``, ``person``, ``baseline``.
        patch: Name of the patch, if the run reads several; ``None`` otherwise.
        waves: Waves of the newest window; ``None`` without an accepted one, and in files of schema 1.
        rhythm: Rhythm of the newest window and of the last minutes; ``None`` without a window, and in schema 1.
        estimated_by: ``host`` or ``patch``, whose outputs these are, in a run with ``--trust-patch``; else ``None``.
        change: Change against the wearer's own quiet hour; ``None`` without a baseline.
    """

    time: str
    clock_synced: bool
    session: str
    device: str
    window: WindowSpan
    bundle: BundleRef
    quality: QualityRecord
    heart_rate_bpm: float | None
    labs: tuple[LabEstimate, ...] = ()
    abstained: AbstainReason | None = None
    lost_samples: int = 0
    latency_ms: Mapping[str, float] = field(default_factory=lambda: NO_LATENCY)
    notice: str = NOTICE
    applied: Mapping[str, Applied] = field(default_factory=lambda: NOTHING_APPLIED)
    patch: str | None = None
    waves: WaveRecord | None = None
    rhythm: RhythmRecord | None = None
    estimated_by: Literal["host", "patch"] | None = None
    change: Change | None = None


class LatencyStats(NamedTuple):
    """Latency of one stage over a run, in milliseconds."""

    p50: float
    p95: float
    p99: float
    max: float


@dataclass(frozen=True, slots=True)
class BudgetLine:
    """One budget of the bundle or the kit, and whether this run kept it."""

    name: str
    value: float
    limit: float
    ok: bool


@dataclass(frozen=True, slots=True)
class RunSummary:
    """The summary of a run, written and printed at its end.

    Attributes:
        hops: Estimates and abstentions together.
        estimates: Hops with outputs.
        abstentions: Number of abstentions by reason.
        latency_ms: Latency statistics by stage.
        peak_rss_mib: Highest resident memory of the process, MiB.
        lost_samples: Samples known to be lost.
        frames_corrupt: Frames discarded for a bad checksum or an impossible length.
        reconnects: Number of reconnections of the link.
        signal_s: Length of the processed signal, s.
        wall_s: Duration of the run, s.
        budgets: The checked budgets.
        ended_by: Reason for the end of the run, such as ``end``, ``seconds``, ``SIGINT``.
        thrown_away: What was received and not used one by one, by kind; docs/running.md explains each.
    """

    hops: int = 0
    estimates: int = 0
    abstentions: Mapping[str, int] = field(default_factory=dict)
    latency_ms: Mapping[str, LatencyStats] = field(default_factory=dict)
    peak_rss_mib: float = 0.0
    lost_samples: int = 0
    frames_corrupt: int = 0
    reconnects: int = 0
    signal_s: float = 0.0
    wall_s: float = 0.0
    budgets: tuple[BudgetLine, ...] = ()
    ended_by: str = ""
    thrown_away: Mapping[str, int] = field(default_factory=dict)


def utc_text(unix_ns: int) -> str:
    """Format a wall-clock time as ISO 8601 UTC with milliseconds and ``Z``.

    Args:
        unix_ns: Nanoseconds since 1970-01-01 UTC; a time outside the years 1 to 9999 becomes the nearest one inside.
    """
    ms = min(max(unix_ns // 1_000_000, YEARS_MS[0]), YEARS_MS[1])
    return f"{datetime.fromtimestamp(ms // 1000, UTC).isoformat()[:19]}.{ms % 1000:03d}Z"


def _lab_dict(lab: LabEstimate) -> dict[str, object]:
    out: dict[str, object] = {
        "key": lab.key,
        "loinc": lab.loinc,
        "unit": lab.unit,
        "value": significant(lab.value),
        "interval": significant_pair(lab.interval),
        "threshold": significant(lab.threshold),
        "flag": None if lab.flag is None else bool(lab.flag),
        "windows": int(lab.windows),
        "tier": lab.tier,
    }
    if lab.anchor is not None:
        out["anchor"] = {**lab.anchor._asdict(), "offset": significant(lab.anchor.offset)}
    if lab.network is not None:
        out["network"] = network_dict(lab.network)
    if lab.abstained is not None:
        out["abstained"] = {"reason": lab.abstained}
    return out if lab.reasons is None else out | {"reasons": reasons_dict(lab.reasons)}


def to_dict(e: Estimate) -> dict[str, object]:
    """Return an estimate as a JSON object with the keys in the order of the schema.

    Seconds keep 6 decimals, the quality score 3, the heart rate 1, milliseconds 3; values, intervals and thresholds 6
    significant digits. NaN and infinities become ``None``.
    """
    out: dict[str, object] = {
        "schema": SCHEMA,
        "time": e.time,
        "clock_synced": bool(e.clock_synced),
        "session": e.session,
        "device": e.device,
        "window": {"start_s": fixed(e.window.start_s, 6), "end_s": fixed(e.window.end_s, 6)},
        "bundle": {"name": e.bundle.name, "sha256": e.bundle.sha256},
        "quality": {"score": fixed(e.quality.score, 3), "flags": list(e.quality.flags)},
        "heart_rate_bpm": fixed(e.heart_rate_bpm, 1),
        "waves": None if e.waves is None else waves_dict(e.waves),
        "rhythm": None if e.rhythm is None else rhythm_dict(e.rhythm),
        "labs": [_lab_dict(lab) for lab in e.labs],
        "abstained": None if e.abstained is None else {"reason": e.abstained},
        "lost_samples": int(e.lost_samples),
        "latency_ms": {stage: fixed(ms, 3) for stage, ms in e.latency_ms.items()},
        "notice": e.notice,
    }
    if e.applied:
        out["applied"] = {name: asdict(one) for name, one in e.applied.items()}
    if e.patch is not None:
        out["patch"] = e.patch
    if e.estimated_by is not None:
        out["estimated_by"] = e.estimated_by
    if e.change is not None:
        out["change"] = change_dict(e.change)
    return out


def to_json(e: Estimate) -> str:
    """Return one line of JSON Lines without the newline: ASCII, the same text for the same estimate."""
    return json.dumps(to_dict(e), separators=(",", ":"), allow_nan=False)


def _lab_from(d: Mapping[str, object]) -> LabEstimate:
    bounds = cast("list[float] | None", d["interval"])
    anchor = cast("Mapping[str, Any] | None", d.get("anchor"))
    return LabEstimate(
        key=cast("str", d["key"]),
        loinc=cast("str | None", d["loinc"]),
        unit=cast("str", d["unit"]),
        value=cast("float | None", d["value"]),
        interval=None if bounds is None else (bounds[0], bounds[1]),
        threshold=cast("float | None", d["threshold"]),
        flag=cast("bool | None", d["flag"]),
        windows=cast("int", d["windows"]),
        tier=cast("Tier", d["tier"]),
        anchor=None if anchor is None else Anchor(*(anchor[k] for k in Anchor._fields)),
        network=network_from(d.get("network")),
        abstained=_output_reason(cast("Mapping[str, object] | None", d.get("abstained"))),
        reasons=reasons_from(d.get("reasons")),
    )


def _output_reason(d: Mapping[str, object] | None) -> OutputReason | None:
    if d is None:
        return None
    if d["reason"] != "rhythm":
        raise ValueError(f"an output abstains for an unknown reason {str(d['reason'])[:60]!r}")
    return "rhythm"


def _applied_from(d: Mapping[str, Mapping[str, str]] | None) -> Mapping[str, Applied]:
    return {k: Applied(v["file"], v["sha256"], v["made"], v["what"]) for k, v in (d or {}).items()}


def _estimate_from(d: Mapping[str, object]) -> Estimate:
    window = cast("Mapping[str, float]", d["window"])
    bundle = cast("Mapping[str, str]", d["bundle"])
    quality = cast("Mapping[str, object]", d["quality"])
    abstained = cast("Mapping[str, AbstainReason] | None", d["abstained"])
    score = cast("float | None", quality["score"])
    return Estimate(
        time=cast("str", d["time"]),
        clock_synced=cast("bool", d["clock_synced"]),
        session=cast("str", d["session"]),
        device=cast("str", d["device"]),
        window=WindowSpan(window["start_s"], window["end_s"]),
        bundle=BundleRef(bundle["name"], bundle["sha256"]),
        quality=QualityRecord(math.nan if score is None else score, tuple(cast("list[str]", quality["flags"]))),
        heart_rate_bpm=cast("float | None", d["heart_rate_bpm"]),
        labs=tuple(_lab_from(lab) for lab in cast("list[Mapping[str, object]]", d["labs"])),
        abstained=None if abstained is None else abstained["reason"],
        lost_samples=cast("int", d["lost_samples"]),
        latency_ms=dict(cast("Mapping[str, float]", d["latency_ms"])),
        notice=cast("str", d["notice"]),
        applied=_applied_from(cast("Mapping[str, Mapping[str, str]] | None", d.get("applied"))),
        patch=cast("str | None", d.get("patch")),
        waves=waves_from(cast("Mapping[str, object] | None", d.get("waves"))),
        rhythm=rhythm_from(cast("Mapping[str, object] | None", d.get("rhythm"))),
        estimated_by=cast('Literal["host", "patch"] | None', d.get("estimated_by")),
        change=change_from(cast("Mapping[str, object] | None", d.get("change"))),
    )


def from_json(line: str) -> Estimate:
    """Read one line of an estimates file. Keys that are not in the schema are ignored.

    Raises:
        InputError: The line is not JSON, has another schema, or lacks a key.
    """
    if len(line) > MAX_LINE_BYTES:
        raise InputError(f"a line of {len(line)} characters is too long for an estimate", "remove the line")
    try:
        d = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise InputError(f"a line is not JSON: {error}", "remove the line; a power failure may leave one") from None
    schema = d.get("schema") if isinstance(d, dict) else None
    if schema not in (SCHEMA, SCHEMA_WITHOUT_WAVES):
        raise InputError(f"a line has schema {schema!r}, not {SCHEMA!r}", "use the version that wrote it")
    try:
        return _estimate_from(d)
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        raise InputError(f"an estimate has a missing or invalid key: {error}", "remove the line") from None
