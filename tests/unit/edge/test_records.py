"""Estimates as JSON: fixed keys, fixed order, no value that JSON cannot represent."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.records import (
    ABSTAIN_REASONS,
    BudgetLine,
    BundleRef,
    Estimate,
    LabEstimate,
    LatencyStats,
    QualityRecord,
    RunSummary,
    WindowSpan,
    from_json,
    to_json,
    utc_text,
)
from edge.sinks.summary_json import summary_dict
from firmware_bridge.errors import InputError

LAB = LabEstimate(
    key="potassium_high",
    loinc="2823-3",
    unit="1",
    value=0.123456789,
    interval=(0.1, 0.2),
    threshold=0.5,
    flag=False,
    windows=12,
    tier="strong",
)
ESTIMATE = Estimate(
    time=utc_text(1_795_363_200_123_999_999),
    clock_synced=True,
    session="s1",
    device="patch",
    window=WindowSpan(0.0, 10.0),
    bundle=BundleRef("demo 1", "ab" * 32),
    quality=QualityRecord(0.98765, ("motion",)),
    heart_rate_bpm=72.04,
    labs=(LAB,),
    latency_ms={"model": 0.51234567},
)


def test_the_text_is_the_documented_one():
    assert to_json(ESTIMATE) == (
        '{"schema":"anyecg.estimate/2","time":"2026-11-22T16:00:00.123Z","clock_synced":true,"session":"s1",'
        '"device":"patch","window":{"start_s":0.0,"end_s":10.0},"bundle":{"name":"demo 1","sha256":"'
        + "ab"
        * 32
        + '"},'
        '"quality":{"score":0.988,"flags":["motion"]},"heart_rate_bpm":72.0,"waves":null,"rhythm":null,'
        '"labs":[{"key":"potassium_high","loinc":"2823-3","unit":"1","value":0.123457,"interval":[0.1,0.2],'
        '"threshold":0.5,"flag":false,"windows":12,"tier":"strong"}],"abstained":null,"lost_samples":0,'
        '"latency_ms":{"model":0.512},'
        '"notice":"Research software, no medical device. An ECG estimate is no laboratory result."}'
    )


def test_no_value_that_json_cannot_represent():
    bad = LAB._replace(value=math.nan, interval=(math.inf, 1.0), threshold=-math.inf, flag=None)
    e = replace(ESTIMATE, labs=(bad,), heart_rate_bpm=math.nan, quality=QualityRecord(math.nan))
    d = json.loads(to_json(e), parse_constant=lambda name: pytest.fail(f"{name} in the JSON"))
    assert d["labs"][0]["value"] is None
    assert d["labs"][0]["interval"] is None
    assert d["heart_rate_bpm"] is None
    assert d["quality"]["score"] is None


@given(
    value=st.floats(allow_nan=False, allow_infinity=False, width=32),
    hr=st.none() | st.floats(20, 300),
    name=st.text(max_size=20),
    reason=st.none() | st.sampled_from(ABSTAIN_REASONS),
)
def test_an_estimate_read_and_written_gives_the_same_text(value, hr, name, reason):
    e = replace(ESTIMATE, labs=(LAB._replace(value=value),), heart_rate_bpm=hr, device=name, abstained=reason)
    line = to_json(e)
    assert "\n" not in line
    assert line.isascii()
    assert to_json(from_json(line)) == line


@pytest.mark.parametrize(
    "line",
    ["", "{", "[]", "null", '{"schema":"anyecg.estimate/2"}', '{"schema":"anyecg.estimate/1"}', "[" * 100_000,
     to_json(ESTIMATE).replace('"window":{', '"window":3,"x":{'), to_json(ESTIMATE)[:-9]],
)  # fmt: skip
def test_a_bad_line_is_one_clear_error(line):
    with pytest.raises(InputError):
        from_json(line)


def test_summary_is_json():
    s = RunSummary(
        hops=3,
        abstentions={"gap": 1},
        latency_ms={"total": LatencyStats(1.0, 2.0, math.nan, 4.0)},
        budgets=(BudgetLine("peak RSS", 51.0, 60.0, True),),
    )
    d = json.loads(json.dumps(summary_dict(s), allow_nan=False))
    assert d["latency_ms"]["total"] == {"p50": 1.0, "p95": 2.0, "p99": None, "max": 4.0}
    assert d["budgets"] == [{"name": "peak RSS", "value": 51.0, "limit": 60.0, "ok": True}]


@pytest.mark.parametrize(
    ("unix_ns", "text"),
    [
        (0, "1970-01-01T00:00:00.000Z"),
        (-62_135_596_800 * 10**9, "0001-01-01T00:00:00.000Z"),
        (10**30, "9999-12-31T23:59:59.999Z"),
        (-(10**30), "0001-01-01T00:00:00.000Z"),
        (253_402_300_800 * 10**9, "9999-12-31T23:59:59.999Z"),
        (-1, "1969-12-31T23:59:59.999Z"),
    ],
)
def test_every_clock_is_written(unix_ns: int, text: str) -> None:
    assert utc_text(unix_ns) == text
