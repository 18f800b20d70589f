"""Messages become hops: every value of an estimate is kept, and a hostile message is refused."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from edge.baseline.record import change_dict
from edge.collect.hops import MAX_PAYLOAD_BYTES, RefusedError, event_of, hop_of_estimate, hop_of_message
from edge.explain.record import reasons_dict
from edge.records import Anchor, Applied, from_json, to_json
from edge.sinks.mqtt.messages import event
from helpers.fleet_hops import CHANGE, LABS, NETWORK, REASONS, estimate, payload


def test_a_hop_has_every_value_of_its_estimate() -> None:
    hop = hop_of_message("bedroom", payload(3))
    assert hop.key == ("bedroom", "night", 15_000_000, datetime(2026, 11, 28, 23, 59, 53, tzinfo=UTC))
    assert (hop.start_us, hop.synced, hop.device, hop.lost, hop.latency_ms) == (5_000_000, True, "polar_h10", 3, 1.5)
    assert (hop.quality, hop.flags, hop.rate_bpm, hop.reason, hop.windows) == (0.97, "padded_ends", 61.5, None, 7)
    assert hop.value == [4.2, 0.0123456, None]
    assert (hop.low, hop.high, hop.flag) == ([3.9, 0.01, None], [4.5, 0.02, None], [None, False, None])
    assert hop.layout is not None
    assert (hop.layout.bundle, hop.layout.sha256) == ("demo 1", "ab" * 32)
    assert [tuple(head) for head in hop.layout.heads] == [
        (lab.key, lab.loinc, lab.unit, lab.threshold, lab.tier) for lab in LABS
    ]


def test_an_abstention_has_a_reason_and_no_values() -> None:
    hop = hop_of_message("bedroom", payload(4))
    assert (hop.reason, hop.layout, hop.value, hop.flag, hop.windows) == ("gap", None, None, None, None)


def test_the_topic_names_the_patch_whatever_the_message_says() -> None:
    assert hop_of_message("bedroom", payload(1, node="kitchen")).patch == "bedroom"


def test_the_sink_and_a_session_folder_give_the_same_hop() -> None:
    """A folder then completes what came by MQTT, and repeats nothing."""
    e = estimate(1)
    assert hop_of_message("bedroom", event(e, "bedroom", live=True).encode()) == hop_of_estimate("bedroom", e, e.device)


def test_what_was_applied_is_kept() -> None:
    lab = LABS[0]._replace(anchor=Anchor(0.25, 2, "2026-11-01T00:00:00.000Z", "2026-12-01T00:00:00.000Z"))
    e = replace(estimate(1), labs=(lab, *LABS[1:]), applied={"person": Applied("person.json", "cd" * 32, "", "")})
    hop = hop_of_message("bedroom", event(e, "bedroom", live=True).encode())
    assert json.loads(hop.applied or "") == {"files": ["person"], "anchors": {"potassium": [0.25, 2]}}


def test_the_sink_and_a_session_folder_give_the_same_change_reasons_and_network() -> None:
    e = replace(estimate(1), labs=(LABS[0], LABS[1]._replace(reasons=REASONS, network=NETWORK)), change=CHANGE)
    hop = hop_of_message("bedroom", event(e, "bedroom", live=True).encode())
    assert hop == hop_of_estimate("bedroom", from_json(to_json(e)), e.device)
    assert json.loads(hop.change or "") == change_dict(CHANGE)
    assert (json.loads(hop.reasons or "").keys(), json.loads(hop.network or "").keys()) == ({"potassium_high"},) * 2
    plain = hop_of_estimate("bedroom", estimate(1), e.device)
    assert (plain.change, plain.reasons, plain.network) == (None, None, None)


LAB = {"key": "k", "loinc": None, "unit": "1", "value": 1.0, "interval": None, "threshold": None, "flag": None}
LAB |= {"windows": 1, "tier": "strong"}
FILE = {"file": "", "sha256": "", "made": "", "what": ""}
HOSTILE: dict[str, tuple[str, bytes]] = {
    "empty": ("json", b""),
    "not UTF-8": ("json", b"\xff\xfe"),
    "not JSON": ("json", b"{"),
    "deep": ("json", b"[" * 100_000),
    "too large": ("size", b" " * (MAX_PAYLOAD_BYTES + 1)),
    "an array": ("schema", b"[]"),
    "a number of many digits": ("json", b"1" * 5000),
    "another schema": ("schema", payload(0, schema="anyecg.estimate/3")),
    "schema of another kind": ("schema", payload(0, schema=["anyecg.estimate/1"])),
    "a missing key": ("value", payload(0, window=None)),
    "no number": ("value", payload(0, lost_samples="3")),
    "NaN": ("value", payload(0, heart_rate_bpm=float("nan"))),
    "infinity": ("value", payload(0, window={"start_s": 0.0, "end_s": float("inf")})),
    "negative": ("value", payload(0, window={"start_s": -1.0, "end_s": 2.0})),
    "backwards": ("value", payload(0, window={"start_s": 3.0, "end_s": 2.0})),
    "too many samples lost": ("value", payload(0, lost_samples=1 << 63)),
    "quality": ("value", payload(0, quality={"score": 1.1, "flags": []})),
    "many flags": ("value", payload(0, quality={"score": 1.0, "flags": ["x"] * 17})),
    "control characters": ("value", payload(0, session="\x1b[2J")),
    "a NUL": ("value", payload(0, session="a\0b")),
    "half a character": ("value", payload(0, device="\ud800")),
    "turned text": ("value", payload(0, device="\u202eabc")),
    "long": ("value", payload(0, session="s" * 65)),
    "no time": ("time", payload(0, time="yesterday")),
    "no zone": ("time", payload(0, time="2026-11-28T00:00:00")),
    "year 1": ("time", payload(0, time="0001-01-01T00:00:00.000Z")),
    "year 9999": ("time", payload(0, time="9999-12-31T23:59:59.000-12:00")),
    "reason": ("value", payload(0, abstained={"reason": "bored"}, labs=[])),
    "many outputs": ("value", payload(0, labs=[{**LAB, "key": f"k{i}"} for i in range(1025)])),
    "an output twice": ("value", payload(0, labs=[LAB, LAB])),
    "a huge value": ("value", payload(0, labs=[{**LAB, "value": 1e300}])),
    "an interval of one": ("value", payload(0, labs=[{**LAB, "interval": [1.0]}])),
    "evidence": ("value", payload(0, labs=[{**LAB, "tier": "certain"}])),
    "windows": ("value", payload(0, labs=[{**LAB, "windows": -1}])),
    "a flag": ("value", payload(0, labs=[{**LAB, "flag": 1}])),
    "a bundle": ("value", payload(0, bundle={"name": "x" * 201, "sha256": ""})),
    "a reason": ("value", payload(0, labs=[{**LAB, "reasons": {**reasons_dict(REASONS), "shares": {"Z": 1.0}}}])),
    "a change": ("value", payload(0, change={**change_dict(CHANGE), "windows": -1})),
    "a network": ("value", payload(0, labs=[{**LAB, "network": {"value": "x"}}])),
    "many files": ("value", payload(0, applied={f"f{i}": FILE for i in range(17)})),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_message_is_refused_with_a_reason(name: str) -> None:
    kind, data = HOSTILE[name]
    with pytest.raises(RefusedError) as caught:
        hop_of_message("bedroom", data)
    assert caught.value.kind == kind, str(caught.value)
    assert len(str(caught.value)) < 2000


def test_changed_bytes_give_a_hop_or_a_refusal() -> None:
    rng, good = random.Random(5), payload(1)
    seen = set()
    for _ in range(400):
        data = bytearray(good)
        for _ in range(rng.randint(1, 3)):
            data[rng.randrange(len(data))] = rng.choice(b'0123456789"{}[],:-.eEaz\0\xff')
        try:
            hop_of_message("bedroom", bytes(data))
        except RefusedError as error:
            seen.add(error.kind)
    assert {"json", "value"} <= seen


def test_an_event_of_a_session_folder() -> None:
    line: dict[str, object] = {
        "time": "2026-11-28T23:59:50.000Z", "session": "night", "kind": "connected", "detail": "x", "data": {},
    }  # fmt: skip
    one = event_of("bedroom", line)
    assert (one.patch, one.session, one.kind, one.detail, one.repeats) == ("bedroom", "night", "connected", "x", 1)
    assert event_of("bedroom", {**line, "detail": "y"}).digest != one.digest
    for wrong in (
        {"time": 3},
        {"kind": None},
        {"count": "many"},
        {"count": -1},
        {"detail": "\x1b"},
        {"detail": "x" * 401},
    ):
        with pytest.raises(RefusedError):
            event_of("bedroom", {**line, **wrong})


def test_the_wheel_of_the_device_gains_little() -> None:
    """The collector is a part of the wheel that devices install, too."""
    import edge.collect

    folder = Path(edge.collect.__file__).parent
    assert sum(path.stat().st_size for path in folder.glob("*.py")) < 100_000
