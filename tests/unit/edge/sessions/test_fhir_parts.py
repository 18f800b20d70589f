"""Reasons, the network's own answer and the change against the quiet hour in the FHIR export."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edge.baseline.words import WHY
from edge.cli.main import main
from edge.explain.record import LabReasons
from edge.records import Estimate, LabEstimate
from edge.sessions.formats.fhir_codes import KIT_SYSTEM
from edge.sessions.formats.fhir_parts import reasons_part
from helpers.fleet_hops import CHANGE, NETWORK, REASONS
from helpers.quiet_hours import AT_REST, Wearer, estimates, write_records

LABS = (
    LabEstimate(
        "potassium_high", "2823-3", "1", 0.98, (0.97, 0.99), 0.12, True, 3, "strong", network=NETWORK, reasons=REASONS
    ),
    LabEstimate("glucose_low", "2345-7", "1", 0.05, (0.04, 0.06), 0.12, False, 3, "strong"),
)  # fmt: skip


def told() -> Iterator[Estimate]:
    for e in estimates(lambda _t: AT_REST, 30.0):
        yield replace(e, labs=LABS, change=CHANGE)


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sessions")
    return export(write_records(folder / "night", told()), folder / "fhir")


def export(session: Path, out: Path, *options: str) -> Path:
    assert main(["export", str(session), "--to", "fhir", "--out", str(out), *options]) == 0
    return out


def bundles(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("estimates-*.json"))]


def observation(folder: Path, name: str) -> dict[str, Any]:
    found: list[dict[str, Any]] = [entry["resource"] for bundle in bundles(folder) for entry in bundle["entry"]]
    (one,) = [r for r in found if r["resourceType"] == "Observation" and r["code"]["coding"][0]["code"] == name]
    return one


def components(one: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {part["code"]["coding"][0]["code"]: part for part in one["component"]}


def test_reasons_and_the_network_are_components_of_their_output(exported: Path) -> None:
    parts = components(observation(exported, "potassium_high"))
    assert parts["reasons"]["valueString"] == (
        "94 % T wave (narrow and tall), 6 % QRS; they raise the estimate; 2 average beats, the newest 7 s old"
    )
    assert parts["network"]["valueQuantity"]["value"] == 0.02
    assert parts["network-flag"]["valueBoolean"] is False
    assert not {"reasons", "network", "network-flag"} & components(observation(exported, "glucose_low")).keys()


def test_parts_that_lower_an_output_are_not_said_to_raise_it() -> None:
    assert "they lower the estimate; 1 average beat," in str(reasons_part(REASONS._replace(effect=-2.0, windows=1)))
    assert reasons_part(LabReasons({}, {}, 0.1, 2, 3.0))["valueString"] == "no reasons"


def test_the_change_is_an_observation_with_a_band_or_a_reason_for_each_quantity(exported: Path) -> None:
    one = observation(exported, "change-against-quiet-hour")
    assert {coding["system"] for coding in one["code"]["coding"]} == {KIT_SYSTEM}
    assert one["category"][0]["coding"][0]["code"] == "procedure"
    assert one["status"] == "preliminary"
    parts = components(one)
    t_mv = {"value": 0.21, "unit": "mV", "system": "http://unitsofmeasure.org", "code": "mV"}
    assert parts["change-t_mv"]["valueQuantity"] == t_mv
    band = parts["band-t_mv"]["valueRange"]
    assert (band["low"]["value"], band["high"]["value"]) == (-0.05, 0.06)
    assert parts["within-t_mv"]["valueBoolean"] is False
    assert parts["posture-t_mv"]["valueCodeableConcept"]["text"] == "measured"
    absent = parts["change-qtc_ms"]["dataAbsentReason"]
    assert (absent["coding"][1]["code"], absent["text"]) == ("rate_outside", WHY["rate_outside"])
    assert parts["windows"]["valueInteger"] == 22


def test_a_session_without_a_baseline_has_changes_if_the_export_has_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    night = write_records(tmp_path / "night", estimates(lambda _t: AT_REST, 3900.0))
    later = write_records(tmp_path / "day", estimates(lambda _t: Wearer(t_mv=0.15), 290.0))
    baseline = tmp_path / "b.json"
    assert main(["baseline", str(night), "--out", str(baseline)]) == 0
    out = export(later, tmp_path / "with", "--baseline", str(baseline))
    parts = components(observation(out, "change-against-quiet-hour"))
    assert parts["change-t_mv"]["valueQuantity"]["value"] == pytest.approx(-0.15, abs=0.02)
    assert parts["change-t_over_r"]["valueQuantity"]["code"] == "1"
    assert "within-t_mv" not in parts  # posture unknown
    assert "change-against-quiet-hour" not in str(bundles(export(later, tmp_path / "without")))


@pytest.mark.slow
def test_fhir_resources_accepts_every_bundle(exported: Path) -> None:
    bundle = pytest.importorskip("fhir.resources.R4B.bundle", reason="fhir.resources is not installed (extra test)")
    assert bundles(exported)
    for content in bundles(exported):
        bundle.Bundle.model_validate(content)
