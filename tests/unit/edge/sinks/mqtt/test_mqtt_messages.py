"""What is published: the discovery message, the state and the events, and that none of them names the patient."""

from __future__ import annotations

import dataclasses
import json
from importlib import metadata
from typing import Any

import pytest

from edge.bundle.reader import Bundle, load_bundle
from edge.bundle.words import label, sentence, shown_unit
from edge.records import (
    NOTICE,
    Anchor,
    Applied,
    BundleRef,
    Estimate,
    LabEstimate,
    QualityRecord,
    WindowSpan,
    from_json,
)
from edge.rhythm.record import RHYTHM_NAMES
from edge.sinks.mqtt import names
from edge.sinks.mqtt.discovery import Topics, discovery, discovery_topic
from edge.sinks.mqtt.messages import NOTHING_SEEN, StateMaker, event
from edge.sinks.mqtt.names import node_id, slug, slugs
from helpers.fleet_hops import CHANGE, REASONS, RHYTHM, WAVES

TIME = "2026-03-01T08:00:12.000Z"


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return load_bundle("demo")


def estimate(**more: Any) -> Estimate:
    labs = (
        LabEstimate("potassium_high", "2823-3", "1", 0.98521, (0.97, 0.99), 0.1171, True, 3, "strong"),
        LabEstimate("sodium_low", "2951-2", "1", 0.2, None, None, None, 3, "limited"),
        LabEstimate("potassium", "2823-3", "mmol/L", 6.51342, (5.673, 7.353), None, None, 3, "strong"),
    )
    base = Estimate(
        TIME, True, "abc123", "anyecg_patch", WindowSpan(2.0, 12.0), BundleRef("anyecg-demo 0.2.0", 64 * "a"),
        QualityRecord(0.987), 69.4, labs, lost_samples=7,
    )  # fmt: skip
    return dataclasses.replace(base, **more)


def message(bundle: Bundle) -> dict[str, Any]:
    topics = Topics("ecg", "bedroom")
    text = discovery(bundle, StateMaker(bundle).slugs, topics, "bedroom", "Bedroom", "polar_h10", 60)
    out: dict[str, Any] = json.loads(text)
    return out


FACTS = "time=value_json.time, clock_synced=value_json.clock_synced, notice=value_json.notice"


def attributes(key: str) -> dict[str, str]:
    return {
        "json_attributes_topic": "ecg/bedroom/state",
        "json_attributes_template": f"{{{{ dict(value_json.labs['{key}'].about, {FACTS}) | tojson }}}}",
    }


def test_the_discovery_message(bundle: Bundle) -> None:
    found = message(bundle)
    components = found.pop("components")
    version = metadata.version("anyecg-edge")
    assert found == {
        "device": {
            "identifiers": ["anyecg_bedroom"],
            "name": "Bedroom",
            "manufacturer": "anyecg-edge (research software, no medical device)",
            "model": f"polar_h10, bundle {bundle.manifest.name} {bundle.manifest.version}",
            "sw_version": version,
        },
        "origin": {
            "name": "anyecg-edge",
            "sw_version": version,
            "support_url": "https://arxiv.org/abs/2510.22301",
        },
        "availability_topic": "ecg/bedroom/availability",
        "state_topic": "ecg/bedroom/state",
        "qos": 1,
    }
    assert discovery_topic("homeassistant", "bedroom") == "homeassistant/device/anyecg_bedroom/config"
    assert components["heart_rate"] == {
        "platform": "sensor",
        "unique_id": "anyecg_bedroom_heart_rate",
        "name": "Heart rate",
        "value_template": "{{ value_json.heart_rate }}",
        "expire_after": 60,
        "unit_of_measurement": "bpm",
        "state_class": "measurement",
        "suggested_display_precision": 0,
        "icon": "mdi:heart-pulse",
    }
    assert components["lab_potassium"] == {
        "platform": "sensor",
        "unique_id": "anyecg_bedroom_lab_potassium",
        "name": "Potassium estimate",
        "value_template": "{{ value_json.labs['potassium'].value }}",
        "expire_after": 60,
        "unit_of_measurement": "mmol/L",
        "state_class": "measurement",
        "suggested_display_precision": 1,
        "icon": "mdi:test-tube",
        **attributes("potassium"),
    }
    assert components["flag_potassium_high"] == {
        "platform": "binary_sensor",
        "unique_id": "anyecg_bedroom_flag_potassium_high",
        "name": "Potassium high flag",
        "value_template": "{{ value_json.labs['potassium_high'].flag }}",
        "expire_after": 60,
        "device_class": "problem",
        **attributes("potassium_high"),
    }
    assert components["lab_sodium_low"]["unit_of_measurement"] == "%"
    assert components["lab_sodium_low"]["enabled_by_default"] is False


def test_every_output_has_a_sensor_and_only_those_that_can_be_flagged_a_flag(bundle: Bundle) -> None:
    components = message(bundle)["components"]
    keys = [head.key for head in bundle.manifest.outputs]
    flagged = [key for key in keys if key != "potassium" and not key.startswith("sodium")]
    own = ["heart_rate", "rhythm", "pr", "qrs", "qt", "qtc", "quality", "status", "estimated"]
    assert sorted(components) == sorted([*own, *(f"lab_{k}" for k in keys), *(f"flag_{k}" for k in flagged)])
    assert components["rhythm"]["options"] == list(RHYTHM_NAMES)
    assert (components["qtc"]["name"], components["qtc"]["unit_of_measurement"]) == ("QTc interval", "ms")
    assert {one["expire_after"] for one in components.values()} == {60}
    assert not any("command" in key or "set" in key.split("_") for one in components.values() for key in one)


@pytest.mark.parametrize(
    ("ucum", "shown"),
    [
        ("1", "%"), ("%", "%"), ("mmol/L", "mmol/L"), ("umol/L", "µmol/L"), ("10*3/uL", "10³/µL"), ("U/L", "U/L"),
        ("10*6/uL", "10⁶/µL"), ("[pH]", ""), ("mm[Hg]", "mmHg"), ("m[IU]/L", "mIU/L"), ("{INR}", ""),
        ("ng/mL{FEU}", "ng/mL FEU"), ("mL/min/{1.73_m2}", "mL/min/1.73 m²"), ("pg", "pg"),
    ],
)  # fmt: skip
def test_units_are_written_for_people(ucum: str, shown: str) -> None:
    assert shown_unit(ucum) == shown


def test_a_number_without_a_unit_has_none_at_the_broker(bundle: Bundle) -> None:
    *others, value = bundle.manifest.outputs
    heads = (*others, dataclasses.replace(value, unit="{INR}"))
    manifest = dataclasses.replace(bundle.manifest, outputs=heads)
    components = message(dataclasses.replace(bundle, manifest=manifest))["components"]
    assert "unit_of_measurement" not in components[f"lab_{value.key}"]
    assert components["lab_potassium_high"]["unit_of_measurement"] == "%"


def test_text_of_a_bundle_gets_into_no_template(bundle: Bundle) -> None:
    evil = "{{ states('lock.door') }}/+#'] \x1b[2J"
    heads = tuple(
        dataclasses.replace(head, key=f"{evil}{i}", unit=evil) for i, head in enumerate(bundle.manifest.outputs)
    )
    calibration = {head.key: next(iter(bundle.calibration.values())) for head in heads}
    manifest = dataclasses.replace(bundle.manifest, outputs=heads, name=evil)
    found = message(dataclasses.replace(bundle, manifest=manifest, calibration=calibration))
    for component in found["components"].values():
        for key in ("value_template", "json_attributes_template"):
            assert "states(" not in component.get(key, "")
        assert component["name"].isprintable()
        assert component["unique_id"].isidentifier()
        assert len(component.get("unit_of_measurement", "")) <= 24


def test_the_state_of_an_estimate(bundle: Bundle) -> None:
    found = json.loads(StateMaker(bundle).state(estimate()))
    labs = found.pop("labs")
    assert found == {
        "time": TIME,
        "clock_synced": True,
        "status": "ok",
        "estimated": TIME,
        "heart_rate": 69,
        "quality": 99,
        "notice": NOTICE,
        **NOTHING_SEEN,
    }
    assert set(labs) == {head.key for head in bundle.manifest.outputs}
    assert labs["potassium_high"] == {
        "value": 98.52,
        "flag": "ON",
        "about": {"refers_to_loinc": "2823-3", "evidence": "strong", "interval": [97.0, 99.0], "threshold": 11.71},
    }
    assert labs["potassium"]["value"] == 6.513
    assert labs["potassium"]["flag"] is None
    assert labs["sodium_low"]["about"]["evidence"] == "limited"


def test_rhythm_and_intervals_are_those_of_the_window_even_without_an_estimate(bundle: Bundle) -> None:
    maker = StateMaker(bundle)
    wanted = {"rhythm": "sinus", "pr": 160, "qrs": 92, "qt": 400, "qtc": 402}
    for e in (estimate(waves=WAVES, rhythm=RHYTHM), estimate(waves=WAVES, rhythm=RHYTHM, labs=(), abstained="rhythm")):
        found = json.loads(maker.state(e))
        assert {key: found[key] for key in wanted} == wanted
    unsure = json.loads(maker.state(estimate(waves=dataclasses.replace(WAVES, pr_ms=None))))
    assert (unsure["pr"], unsure["rhythm"], unsure["qt"]) == (None, None, 400)
    waiting = json.loads(maker.waiting())
    assert {key: waiting[key] for key in (*wanted, "change")} == NOTHING_SEEN


def test_reasons_and_change_are_attributes(bundle: Bundle) -> None:
    maker = StateMaker(bundle)
    flagged, *others = estimate().labs
    e = estimate(labs=(flagged._replace(reasons=REASONS), *others), change=CHANGE)
    found = json.loads(maker.state(e))
    assert found["labs"]["potassium_high"]["about"]["reasons"] == {
        "shares": {"T": 0.94, "QRS": 0.06}, "looks": {"T": "narrow and tall"},
        "effect": 3.2, "windows": 2, "age_s": 7.0,
    }  # fmt: skip
    assert "reasons" not in found["labs"]["potassium"]["about"]
    assert found["change"]["t_mv"] == {
        "value": 0.21, "low": -0.05, "high": 0.06, "posture": "measured", "within": False,
    }  # fmt: skip
    assert (found["change"]["qtc_ms"], found["change"]["missing"]["qtc_ms"]) == (None, "rate_outside")
    components = message(bundle)["components"]
    with_change = [key for key, one in components.items() if "change" in one.get("json_attributes_template", "")]
    assert with_change == ["qtc"]
    assert components["qtc"]["json_attributes_topic"] == "ecg/bedroom/state"
    assert components["qtc"]["json_attributes_template"] == (
        f"{{{{ dict(dict(change=value_json.change), {FACTS}) | tojson }}}}"
    )
    late = json.loads(maker.state(estimate(labs=(), abstained="lead_off", change=CHANGE)))
    assert late["change"] == found["change"]
    assert json.loads(maker.waiting())["change"] is None


def test_an_abstention_shows_nothing_of_what_was_before_it(bundle: Bundle) -> None:
    maker = StateMaker(bundle)
    maker.state(estimate())
    late = estimate(time="2026-03-01T08:00:13.000Z", labs=(), abstained="lead_off", quality=QualityRecord(float("nan")))
    found = json.loads(maker.state(late))
    assert (found["status"], found["estimated"], found["heart_rate"], found["quality"]) == (
        "lead_off",
        TIME,
        None,
        None,
    )
    for lab in found["labs"].values():
        assert (lab["value"], lab["flag"], lab["about"]["interval"]) == (None, None, None)


def test_before_the_first_estimate_nothing_is_known(bundle: Bundle) -> None:
    found = json.loads(StateMaker(bundle).waiting())
    assert (found["status"], found["time"], found["estimated"]) == ("waiting", None, None)
    assert all(lab["value"] is None for lab in found["labs"].values())


def test_a_value_that_is_no_number_is_unknown(bundle: Bundle) -> None:
    labs = (LabEstimate("potassium", "2823-3", "mmol/L", float("nan"), (float("-inf"), 7.0), None, None, 3, "strong"),)
    found = json.loads(StateMaker(bundle).state(estimate(labs=labs)))
    assert found["labs"]["potassium"]["value"] is None
    assert found["labs"]["potassium"]["about"]["interval"] == [None, 7.0]


def test_an_event_is_a_line_of_the_schema_with_its_own_time() -> None:
    read = from_json(event(estimate(), "bedroom", live=True))
    assert (read.time, read.session, read.device, read.lost_samples) == (TIME, "abc123", "anyecg_patch", 7)
    assert read.labs[0].value == 0.98521


def test_an_event_names_neither_a_recording_nor_the_file_of_a_person() -> None:
    applied = {"person": Applied("jane_doe.toml", 64 * "f", "2026-01-01T00:00:00Z", "2 results: potassium")}
    anchored = estimate().labs[2]._replace(anchor=Anchor(0.3, 2, "2026-02-01T00:00:00Z", "2026-03-03T00:00:00Z"))
    text = event(estimate(device="jane_doe.edf", applied=applied, labs=(anchored,)), "1a2b3c4d", live=False)
    assert "jane" not in text
    assert 64 * "f" not in text
    read = from_json(text)
    assert read.device == "1a2b3c4d"
    assert set(read.applied) == {"person"}
    assert read.labs[0].anchor is not None


def test_names_are_cleaned() -> None:
    assert slug("Bed room / ÄÖ+#") == "bed_room"
    assert slug("###") == "x"
    assert slugs(["a-b", "a_b", "A b", "c"]) == {"a-b": "a_b", "a_b": "a_b_2", "A b": "a_b_3", "c": "c"}
    assert sentence(label("free_t4_high\n")) == "Free t4 high"


def test_the_identifier_of_a_patch_is_stable_and_shows_no_address() -> None:
    url = "ble:polar_h10/A0:9E:1A:00:00:01"
    one = node_id("", url)
    assert len(one) == 8
    assert one == node_id("", f"{url}?wait=always") == node_id("", f"{url}?speed=max&wait=1")
    assert one != node_id("", "ble:polar_h10/A0:9E:1A:00:00:02")
    assert node_id("", f"{url}?adapter=hci1") != one
    assert node_id("Bed room", url) == "bed_room"


def test_another_computer_has_another_identifier_for_the_same_patch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise the address of a patch could be found by trying all."""
    here = node_id("", "ble:polar_h10/A0:9E:1A:00:00:01")
    monkeypatch.setattr(names, "_machine", lambda: 32 * b"x")
    assert node_id("", "ble:polar_h10/A0:9E:1A:00:00:01") != here
