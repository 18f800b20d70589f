"""``anyecg export --to fhir``: Bundles that a server accepts, and that nobody takes for laboratory results."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge.cli.main import main
from edge.sessions import SessionFolder
from edge.sessions.ecg import Segment, read_ecg
from edge.sessions.folder import unix_s
from edge.sessions.formats import fhir_files
from edge.sessions.formats.fhir_codes import KIT_SYSTEM, LOINC
from helpers.small_session import OFF_THEN_GAP, write_session

SCHEMA = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "anyecg-edge" / "fhir" / "fhir.schema.json"
LABEL = {
    "system": "http://terminology.hl7.org/CodeSystem/v3-ObservationValue",
    "code": "AIAST",
    "display": "Artificial Intelligence asserted",
}


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """40 s with two seconds without contact at 14 s, a gap from 30 to 33 s, and a new run after it."""
    folder = tmp_path_factory.mktemp("sessions") / "night"
    url = f"sim:?potassium=6.5&seed=1&faults={OFF_THEN_GAP}"
    write_session(folder, url, 40.0, finish=False)
    return write_session(folder, url, 3.0)


@pytest.fixture(scope="module")
def exported(session: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export(session, tmp_path_factory.mktemp("out") / "fhir", "--every", "0.1", "--subject", "Patient/123")


def export(session: Path, out: Path, *options: str) -> Path:
    assert main(["export", str(session), "--to", "fhir", "--out", str(out), *options]) == 0
    return out


def bundles(folder: Path) -> Iterator[dict[str, Any]]:
    for path in sorted(folder.glob("e*-*.json")):
        yield json.loads(path.read_text(encoding="utf-8"))


def resources(folder: Path, kind: str) -> list[dict[str, Any]]:
    found = [entry["resource"] for bundle in bundles(folder) for entry in bundle["entry"]]
    return [one for one in found if one["resourceType"] == kind]


def code(observation: dict[str, Any]) -> str:
    return str(observation["code"]["coding"][0]["code"])


def component(observation: dict[str, Any], name: str) -> dict[str, Any]:
    (found,) = [part for part in observation["component"] if code(part) == name]
    return found


MEASURED = {"8867-4", "8625-6", "8633-0", "8634-8", "8636-3", "8884-9"}
"""LOINC codes of what is measured in the ECG: heart rate, PR, QRS, QT, QTc and rhythm."""


def test_no_estimate_can_be_taken_for_a_laboratory_result(exported: Path) -> None:
    estimates = [one for one in resources(exported, "Observation") if "valueSampledData" not in one]
    assert len(estimates) > 50
    for one in estimates:
        categories = [coding["code"] for category in one["category"] for coding in category["coding"]]
        assert categories == (["vital-signs"] if code(one) == "8867-4" else ["procedure"])
        assert one["meta"]["security"] == [LABEL]
        assert one["status"] == "preliminary"
        assert "interpretation" not in one
        assert "no medical device" in one["note"][0]["text"]
        if code(one) not in MEASURED:
            # The code of the laboratory test is neither the code of the Observation nor that of a component.
            named = [one["code"], *(part["code"] for part in one["component"])]
            assert {coding["system"] for concept in named for coding in concept["coding"]} == {KIT_SYSTEM}
            assert "neural network" in one["method"]["text"]


def test_intervals_and_rhythm_are_those_of_the_newest_window(session: Path, exported: Path) -> None:
    hops = {e.time: e for e in SessionFolder(session).estimates()}
    names = {"8625-6": "pr_ms", "8633-0": "qrs_ms", "8634-8": "qt_ms", "8636-3": "qtc_fridericia_ms"}
    seen = set()
    for one in resources(exported, "Observation"):
        if code(one) in names:
            value = getattr(hops[one["effectiveDateTime"]].waves, names[code(one)])
            assert (one["valueQuantity"]["value"], one["valueQuantity"]["code"]) == (value, "ms")
        elif code(one) == "8884-9":
            rhythm = hops[one["effectiveDateTime"]].rhythm
            assert rhythm is not None
            assert one["valueCodeableConcept"]["coding"][0] == {
                "system": KIT_SYSTEM, "code": rhythm.name, "display": "sinus rhythm",
            }  # fmt: skip
        else:
            continue
        seen.add(code(one))
        assert one["code"]["coding"][0]["system"] == LOINC
    assert seen == MEASURED - {"8867-4"}


def test_values_are_those_of_the_session(session: Path, exported: Path) -> None:
    truth = {(e.time, lab.key): (e, lab) for e in SessionFolder(session).estimates() for lab in e.labs}
    seen = 0
    for one in resources(exported, "Observation"):
        if (found := truth.get((one.get("effectiveDateTime", ""), code(one)))) is None:
            continue
        (_e, lab), seen = found, seen + 1
        assert one["valueQuantity"]["value"] == lab.value
        assert one["valueQuantity"]["code"] == lab.unit
        assert lab.interval is not None
        interval = component(one, "interval")["valueRange"]
        assert (interval["low"]["value"], interval["high"]["value"]) == lab.interval
        if lab.threshold is not None:
            assert component(one, "threshold")["valueQuantity"]["value"] == lab.threshold
        if lab.flag is not None:
            assert component(one, "flag")["valueBoolean"] == lab.flag
        related = component(one, "related-laboratory-code")["valueCodeableConcept"]["coding"]
        assert related == [{"system": LOINC, "code": lab.loinc}]
        assert component(one, "evidence")["valueCodeableConcept"]["text"] == lab.tier
    assert seen > 20


def test_abstentions_say_why(exported: Path) -> None:
    absent = [one for one in resources(exported, "Observation") if "dataAbsentReason" in one]
    reasons = {one["dataAbsentReason"]["coding"][1]["code"]: one for one in absent}
    assert {"warming_up", "lead_off"} <= set(reasons)
    assert reasons["warming_up"]["dataAbsentReason"]["coding"][0]["code"] == "temp-unknown"
    assert "hops" in reasons["lead_off"]["dataAbsentReason"]["text"]
    for one in absent:
        assert not any(key.startswith("value") for key in one)
        times = [datetime.fromisoformat(one["effectivePeriod"][end]) for end in ("start", "end")]
        assert times[0] < times[1]
        assert str(times[0].tzinfo) == "UTC"


def test_the_ecg_is_kept_to_the_step_and_estimates_refer_to_it(session: Path, exported: Path, tmp_path: Path) -> None:
    observations = resources(exported, "Observation")
    ecg = [one for one in observations if "valueSampledData" in one]
    truth = [part for part in read_ecg(SessionFolder(session), tmp_path) if isinstance(part, Segment)]
    assert len(ecg) == len(truth)
    for one, segment in zip(ecg, truth, strict=True):
        data = one["valueSampledData"]
        values = np.array(data["data"].split(), dtype=int) * data["factor"] + data["origin"]["value"]
        assert values == pytest.approx(segment.samples, abs=1e-9)
        assert data["period"] == pytest.approx(4.0)
    names = {one["identifier"][0]["value"] for one in ecg}
    derived = [one["derivedFrom"] for one in observations if "derivedFrom" in one]
    assert derived
    assert {ref["identifier"]["value"] for refs in derived for ref in refs} <= names


def test_devices_name_software_and_bundle(exported: Path) -> None:
    software = next(one for one in resources(exported, "Device") if "version" in one)
    versions = {one["type"]["text"]: one["value"] for one in software["version"]}
    assert versions["bundle"].startswith("anyecg-demo ")
    assert len(versions["SHA-256 of the bundle's manifest"]) == 64
    for bundle in bundles(exported):
        urls = {entry["fullUrl"] for entry in bundle["entry"]}
        assert len(urls) == len(bundle["entry"])
        assert all(one["resource"]["device"]["reference"] in urls for one in bundle["entry"][2:])


def test_the_same_session_gives_the_same_identifiers(session: Path, exported: Path, tmp_path: Path) -> None:
    again = export(session, tmp_path / "again", "--every", "0.1", "--subject", "Patient/123")
    assert [*bundles(again)] == [*bundles(exported)]
    every_hop = export(session, tmp_path / "hops", "--every", "0", "--no-ecg", "--subject", "Patient/123")
    assert not [*every_hop.glob("ecg*")]

    def names(folder: Path) -> set[str]:
        return {one["identifier"][0]["value"] for one in resources(folder, "Observation") if "valueQuantity" in one}

    # Another interval chooses among the same Observations.
    assert names(exported) < names(every_hop)
    for bundle in bundles(again):
        for entry in bundle["entry"]:
            name = entry["resource"]["identifier"][0]["value"]
            assert entry["request"]["ifNoneExist"] == f"identifier=urn:ietf:rfc3986|{name}"


def assert_window_of_each_estimate(out: Path) -> None:
    """Check that every estimate derives from the pieces of ECG that lie in its ten seconds, and from no other."""
    observations = resources(out, "Observation")
    spans = {
        one["identifier"][0]["value"]: [unix_s(one["effectivePeriod"][end]) for end in ("start", "end")]
        for one in observations
        if "valueSampledData" in one
    }
    assert len(spans) > 8
    times = [
        (unix_s(one["effectiveDateTime"]), {ref["identifier"]["value"] for ref in one["derivedFrom"]})
        for one in observations
        if "derivedFrom" in one and "effectiveDateTime" in one
    ]
    assert times
    for end_s, found in times:
        # Times are rounded to milliseconds.
        inside = {name for name, (a, b) in spans.items() if a < end_s - 0.01 and b > end_s - 10.0 + 0.01}
        touched = {name for name, (a, b) in spans.items() if a < end_s + 0.01 and b > end_s - 10.0 - 0.01}
        assert inside <= found <= touched


def test_bundles_are_bounded(session: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fhir_files, "MAX_ENTRIES", 60)
    monkeypatch.setattr(fhir_files, "MAX_SAMPLES", 1000)
    out = export(session, tmp_path / "small", "--every", "0.1")
    sizes = [len(bundle["entry"]) for bundle in bundles(out)]
    assert len([*out.glob("estimates-*")]) > 1
    assert max(sizes) <= 61
    about = json.loads((out / "export.json").read_text())
    pieces = about["ecg"]
    assert max(one["samples"] for one in pieces) == 1000
    neighbours = [(a, b) for a, b in pairwise(pieces) if a["segment"] == b["segment"]]
    assert neighbours
    assert all(b["start_s"] == pytest.approx(a["end_s"], abs=1e-3) for a, b in neighbours)
    assert_window_of_each_estimate(out)
    # Without a patient, only the heart rate has a subject, as its profile demands one: unknown.
    subjects = [one["subject"] for one in resources(out, "Observation") if "subject" in one]
    assert subjects
    assert all(one["extension"][0]["valueCode"] == "unknown" for one in subjects)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--to", "fhir", "--subject", "Anna Schmidt"], "not a reference to a patient"),
        (["--to", "fhir", "--subject", "Patient/Anna.Schmidt"], "looks like the name"),
        (["--to", "fhir", "--subject", "Practitioner/1"], "not a reference to a patient"),
        (["--to", "fhir", "--every", "-1"], "from 0 to 1440"),
        (["--to", "fhir", "--every", "nan"], "from 0 to 1440"),
        (["--to", "csv", "--subject", "Patient/1"], "only for --to fhir"),
    ],
)
def test_wrong_options_are_refused_before_any_work(
    session: Path, options: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["export", str(session), *options]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("text", ["Patient/123", "Patient/example", "https://fhir.example.org/r4/Patient/a-1.b"])
def test_references_to_patients_are_accepted(text: str) -> None:
    assert fhir_files.patient_reference(text) == text


def test_a_session_without_estimates_or_recording(tmp_path: Path) -> None:
    write_session(tmp_path / "s", seconds=5.0, raw=False)
    out = export(tmp_path / "s", tmp_path / "out")
    (one,) = resources(out, "Observation")
    assert code(one) == "all_estimates"
    assert one["dataAbsentReason"]["coding"][1]["code"] == "warming_up"


@pytest.mark.slow
def test_fhir_resources_accepts_every_bundle(exported: Path) -> None:
    bundle = pytest.importorskip("fhir.resources.R4B.bundle", reason="fhir.resources is not installed (extra test)")
    for content in bundles(exported):
        made = bundle.Bundle.model_validate(content)
        assert {type(entry.resource).__name__ for entry in made.entry} == {"Device", "Observation"}
    spoiled = json.loads(json.dumps(content))
    spoiled["entry"][-1]["resource"]["status"] = 3
    with pytest.raises(ValueError, match="status"):
        bundle.Bundle.model_validate(spoiled)


@pytest.mark.slow
def test_the_schema_of_hl7_accepts_every_bundle(exported: Path) -> None:
    jsonschema = pytest.importorskip("jsonschema", reason="jsonschema is not installed (extra notebooks)")
    if not SCHEMA.exists():
        pytest.skip("HL7's JSON schema of FHIR R4 is not installed (.ci/install-fhir-schema)")
    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
    assert schema["id"] == "http://hl7.org/fhir/json-schema/4.0"

    def check(kind: str, content: dict[str, Any]) -> list[str]:
        # The definition of one kind: the schema's own oneOf over all kinds says nothing useful about an error.
        one = {"$schema": schema["$schema"], "definitions": schema["definitions"], "$ref": f"#/definitions/{kind}"}
        return [error.message for error in jsonschema.Draft6Validator(one).iter_errors(content)]

    for content in bundles(exported):
        for entry in content["entry"]:
            resource = entry["resource"]
            assert check(resource["resourceType"], resource) == []
        shell = {**content, "entry": [{k: v for k, v in one.items() if k != "resource"} for one in content["entry"]]}
        assert check("Bundle", shell) == []
    assert check("Observation", {**resource, "status": "done"})
    assert check("Observation", {**resource, "labCategory": 1})
