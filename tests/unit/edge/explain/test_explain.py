"""Reasons: a planted change is found, a part that is replaced changes nothing else, and random answers have none."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from edge.bundle.reader import load_bundle
from edge.cli.explain import source_of
from edge.cli.main import main
from edge.explain.parts import reference_parts
from edge.explain.reasons import Explainer, Reasons, looks, sentence_of
from edge.explain.record import PARTS
from edge.model import load_model
from firmware_bridge.errors import InputError

REFERENCE = reference_parts()
TALL = replace(REFERENCE, t=4.0 * REFERENCE.t)


def explained(person, bundle=None, model=None):
    """Return the explainer, and the reasons by output, of a person with these parts."""
    bundle = bundle or load_bundle("demo")
    explainer = Explainer(bundle, model or load_model(bundle))
    runs = explainer.occlusion(person)
    while not runs.step():
        pass
    explainer.take(runs)
    return explainer, {one.key: one for one in explainer.reasons()}


def test_the_reference_beat_is_that_of_the_simulator():
    wave, r = REFERENCE.beat(60.0 / 70.0)
    assert r == pytest.approx((0.16 + 0.42 * 0.092) * 250, abs=4)
    assert wave[r] == wave.max()
    assert REFERENCE.qtc_s == pytest.approx(0.41, abs=0.025)
    assert len(REFERENCE.train()) == 13 * 250


@pytest.mark.parametrize("part", PARTS)
def test_replacing_a_part_by_its_own_changes_nothing(part):
    assert REFERENCE.with_part(part, REFERENCE).train() == pytest.approx(REFERENCE.train())


def test_amplitudes_of_another_person_are_scaled():
    double = replace(REFERENCE, qrs=2.0 * REFERENCE.qrs, t=2.0 * REFERENCE.t)
    assert REFERENCE.with_part("T", double).t == pytest.approx(REFERENCE.t)
    assert REFERENCE.with_part("QRS", double).qrs == pytest.approx(REFERENCE.qrs)


def test_parts_change_what_they_say():
    fast = REFERENCE.with_part("rate", replace(REFERENCE, rr_s=np.array([0.5])))
    assert np.mean(fast.rr_s) == pytest.approx(0.5)
    long = replace(REFERENCE, qtc_s=REFERENCE.qtc_s + 0.05)
    assert len(long.beat(1.0)[0]) - len(REFERENCE.beat(1.0)[0]) == pytest.approx(12, abs=1)
    late = replace(REFERENCE, pr_s=REFERENCE.pr_s + 0.04)
    assert late.beat(1.0)[1] - REFERENCE.beat(1.0)[1] == 10


def test_a_tall_t_is_the_reason_for_high_potassium():
    explainer, found = explained(TALL)
    high = found["potassium_high"]
    assert (high.flagged, high.told) == (True, True)
    assert next(iter(high.shares)) == "T"
    assert high.shares["T"] > 0.6
    text = sentence_of(high, "potassium above 5.0 mmol/L", TALL, explainer.reference)
    assert text.startswith("potassium above 5.0 mmol/L: ")
    assert "T wave (tall)" in text


def test_a_long_qt_is_the_reason_for_low_calcium():
    _, found = explained(replace(REFERENCE, qtc_s=0.52))
    assert found["calcium_low"].told
    assert next(iter(found["calcium_low"].shares)) == "QT"


def test_the_reference_itself_has_no_reasons():
    _, found = explained(REFERENCE)
    assert not any(one.told for one in found.values())
    assert max(abs(x) for one in found.values() for x in one.parts.values()) < 1e-9


def test_limited_evidence_has_no_reasons():
    _, found = explained(TALL)
    assert not found["sodium_high"].told
    assert not found["sodium_low"].told
    assert found["sodium_high"].flagged is None


def test_values_and_flags_are_those_of_an_isotonic_curve():
    bundle = load_bundle("demo")
    line = bundle.calibration["potassium_high"]
    curve = replace(line, method="isotonic", slope=1.0, offset=0.0, knots=((-20.0, 20.0), (0.02, 0.06)), threshold=0.05)
    _, found = explained(TALL, replace(bundle, calibration={**bundle.calibration, "potassium_high": curve}))
    one = found["potassium_high"]
    assert 0.02 <= one.reference < one.value <= 0.06
    assert one.flagged is (one.value >= 0.05)
    assert found["potassium_low"] == explained(TALL)[1]["potassium_low"]


class Constant:
    """A model with the same answer to everything."""

    backend = "constant"

    def __init__(self, outputs):
        self.outputs = outputs

    def run(self, window):
        return np.full(self.outputs, 100, dtype=np.int8)


def test_a_model_that_does_not_read_the_beat_has_no_reasons():
    bundle = load_bundle("demo")
    _, found = explained(TALL, bundle, Constant(len(bundle.manifest.outputs)))
    assert any(one.flagged for one in found.values())
    assert not any(one.told for one in found.values())


def test_shares_name_only_what_pushes():
    one = Reasons("k", 0.5, 0.1, 2.0, {"T": 1.5, "QRS": 0.5, "P": -1.0, "PR": 0.01}, flagged=True, told=True)
    assert one.shares == {"T": pytest.approx(1.5 / 2.01), "QRS": pytest.approx(0.5 / 2.01)}
    assert replace(one, told=False).shares == {}


@pytest.mark.parametrize(
    ("part", "person", "words"),
    [
        ("T", TALL, "tall"),
        ("T", replace(REFERENCE, t=-REFERENCE.t), "inverted"),
        ("T", replace(REFERENCE, t=REFERENCE.t[::2]), "narrow"),
        ("P", replace(REFERENCE, p=np.zeros(0)), "low"),
        ("QT", replace(REFERENCE, qtc_s=0.5), "long"),
        ("rate", replace(REFERENCE, rr_s=np.array([0.5])), "fast"),
        ("ST", replace(REFERENCE, st=REFERENCE.st - 0.2), "lowered"),
        ("PR", REFERENCE, ""),
    ],
)
def test_looks(part, person, words):
    assert looks(part, person, REFERENCE) == words


def test_the_command(tmp_path, capsys):
    picture = tmp_path / "beat.svg"
    url = "sim:?speed=max&seed=3&seconds=30&t_mv=0.7&t_ms=110"
    assert main(["explain", "demo", url, "--picture", str(picture)]) == 0
    out = capsys.readouterr().out
    assert "FLAG Potassium above 5.0 mmol/L: " in out
    assert "T wave (narrow and tall)" in out
    assert picture.read_text().startswith("<svg")
    assert "Potassium above 5.0 mmol/L" in picture.read_text()
    assert main(["explain", "demo", url, "--head", "potassium_high", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["schema"], len(found["outputs"])) == ("anyecg.reasons/1", 1)
    assert next(iter(found["outputs"][0]["shares"])) == "T"
    assert main(["explain", "demo", url, "--head", "zinc"]) == 2
    assert "potassium_high" in capsys.readouterr().err
    assert main(["explain", "demo", "sim:?speed=max&seconds=3"]) != 0
    assert "choose a longer or cleaner recording" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("recording", "code", "message"),
    [
        ("absent.csv", 3, "there is no recording absent.csv"),
        ("serial:/dev/ttyABSENT", 2, "is a device, and only recordings are explained"),
        ("tcp:localhost:9?device=anyecg_patch", 2, "--session-dir DIR --record"),
        ("nothing:x", 2, "is not a source URL"),
    ],
)
def test_what_is_no_recording_is_refused_at_once(recording, code, message, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert main(["explain", "demo", recording]) == code
    assert message in capsys.readouterr().err


def test_a_file_may_have_any_name_and_a_session_may_lack_its_recording(tmp_path):
    odd = tmp_path / "a?b=c%20,&.csv"
    odd.touch()
    url = source_of(str(odd))
    assert (url.path, url.params) == (str(odd), {"speed": "max"})
    assert source_of("sim:?seconds=20").params == {"seconds": "20", "speed": "max"}
    assert source_of("sim:?speed=2").params == {"speed": "2"}
    (tmp_path / "session").mkdir()
    (tmp_path / "session" / "session.json").write_text("{}")
    with pytest.raises(InputError, match=r"no recording .*raw\.aer"):
        source_of(str(tmp_path / "session"))
