"""``anyecg calibrate rhythm``, and outputs that abstain by rhythm when a bundle is judged or calibrated."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from calibration.validate.labelled import Labelled, open_labelled
from calibration.validate.observe import OUTCOMES, Observed, observe
from calibration.validate.recalibrate import scores_of
from calibration.validate.run import ValidateOptions, abstention, judged_of
from convert.datasets.heads import heads_of_file
from convert.datasets.outputs_file import read_outputs
from convert.datasets.wfdb16 import write_record
from edge.bundle.reader import Bundle, load_bundle
from edge.cli.main import main
from edge.model import load_model
from edge.rhythm.record import RHYTHM_NAMES
from firmware_bridge.errors import InputError
from firmware_bridge.synth.ecgsyn import EcgParams, EcgSynth

KEY, OTHER = "potassium_high", "calcium_low"
AF = (3, 4)
"""Recordings in atrial fibrillation."""


def limited(out: Path, *more: str, bundle: str = "demo") -> Bundle:
    assert main(["calibrate", "rhythm", bundle, "--rhythms", "sinus", "--out", str(out), *more]) == 0
    return load_bundle(out)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Labelled:
    folder = tmp_path_factory.mktemp("rhythms")
    rows = [f"record,patient,{KEY},{OTHER}"]
    for i in range(5):
        params = EcgParams(af=True, f_wave_mv=0.04) if i in AF else EcgParams(rr_sd_ms=25.0)
        ecg_mv = EcgSynth(params, 20 + i).generate(12_500, 500.0)
        write_record(folder, f"r{i}", "II", ecg_mv, 500.0, 1000.0, datetime(2150, 1, 1, tzinfo=UTC))
        rows.append(f"r{i},p{i},{i % 2},{i % 2}")
    (folder / "labels.csv").write_text("\n".join(rows) + "\n")
    return open_labelled(folder, "all")


def seen_by(bundle: Bundle, data: Labelled) -> Observed:
    recordings = [(i, one.name, one.items()) for i, one in enumerate(data.recordings)]
    return observe(bundle, load_model(bundle), recordings, 1.0)


def test_the_command_limits_outputs_and_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made, demo = limited(tmp_path / "b", "--heads", f"{KEY}, {OTHER}"), load_bundle("demo")
    found = {head.key: head.rhythms for head in made.manifest.outputs}
    assert {key for key, rhythms in found.items() if rhythms is not None} == {KEY, OTHER}
    assert found[KEY] == ("sinus",)
    assert "2 of 12 outputs answer only in sinus" in capsys.readouterr().out
    assert (made.model, made.calibration) == (demo.model, demo.calibration)
    card = (tmp_path / "b" / "MODEL_CARD.md").read_text()
    assert f"| `{KEY}` | sinus |" in card
    assert main(["bundle", "verify", str(tmp_path / "b")]) == 0
    main(["bundle", "diff", "demo", str(tmp_path / "b")])
    assert "rhythms" in capsys.readouterr().out
    assert main(["calibrate", "rhythm", str(tmp_path / "b"), "--rhythms", "any", "--out", str(tmp_path / "b")]) == 0
    assert "12 of 12 outputs answer in any rhythm" in capsys.readouterr().out
    again = load_bundle(tmp_path / "b")
    assert all(head.rhythms is None for head in again.manifest.outputs)
    assert (tmp_path / "b" / "MODEL_CARD.md").read_text() == (demo.path / "MODEL_CARD.md").read_text()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["demo", "--rhythms", "vt"], "unknown rhythm"),
        (["demo", "--rhythms", "sinus,sinus"], "one twice"),
        (["demo", "--rhythms", ","], "or none"),
        (["demo", "--rhythms", "unreadable"], "unknown rhythm"),
        (["demo", "--rhythms", "sinus", "--heads", "potassium_hgih"], "no output 'potassium_hgih'"),
        (["demo", "--rhythms", "sinus", "--heads", ""], "no output ''"),
        (["none-here", "--rhythms", "sinus"], "none-here"),
    ],
)
def test_wrong_arguments_write_nothing(
    words: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["calibrate", "rhythm", *words, "--out", str(tmp_path / "b")]) in {2, 4}
    assert message in capsys.readouterr().err
    assert not (tmp_path / "b").exists()


def test_hops_in_other_rhythms_are_hops_without_an_answer(data: Labelled, tmp_path: Path) -> None:
    plain, bundle = load_bundle("demo"), limited(tmp_path / "b")
    before, seen = seen_by(plain, data), seen_by(bundle, data)
    silent = seen.outcomes[:, OUTCOMES.index("rhythm")]
    assert [bool(n) for n in silent] == [i in AF for i in range(5)]
    assert seen.outcomes.sum() == before.outcomes.sum()
    # The windows are the same; only the estimates are missing.
    np.testing.assert_array_equal(seen.outputs, before.outputs)
    np.testing.assert_array_equal(seen.rhythm, before.rhythm)
    assert {RHYTHM_NAMES[k] for k in seen.rhythm[np.isin(seen.recording, AF)]} <= {"af_or_flutter", "undetermined"}
    assert set(before.est_recording) == {0, 1, 2, 3, 4}
    assert set(seen.est_recording) == {0, 1, 2}
    said = abstention(bundle, seen)
    assert said["reasons"]["rhythm"] == silent.sum() > 0
    assert set(said["by_rhythm"].values()) == {int(silent.sum())}
    assert said["recordings_without_estimate"] == 2
    assert abstention(plain, before)["by_rhythm"] == {}


def test_one_limited_output_is_judged_and_fitted_where_it_answers(data: Labelled, tmp_path: Path) -> None:
    bundle = limited(tmp_path / "b", "--heads", KEY)
    seen = seen_by(bundle, data)
    at = [head.key for head in bundle.manifest.outputs].index(KEY)
    other = [head.key for head in bundle.manifest.outputs].index(OTHER)
    af = np.isin(seen.est_recording, AF)
    assert np.isnan(seen.est_value[:, at]).tolist() == af.tolist()
    assert np.isfinite(seen.est_value[:, other]).all()
    said = abstention(bundle, seen)
    assert said["by_rhythm"] == {KEY: int(seen.silent[:, at].sum())}
    assert "rhythm" not in said["reasons"]
    judged = judged_of(bundle, data, seen, ValidateOptions(str(tmp_path / "b"), data.folder, tmp_path))
    assert np.isfinite(judged.est_truth[:, at]).tolist() == (~af).tolist()
    assert np.isfinite(judged.est_truth[:, other]).all()
    sinus = seen.rhythm == RHYTHM_NAMES.index("sinus")
    assert np.isfinite(judged.truth[:, at]).tolist() == sinus.tolist()
    assert np.isfinite(judged.truth[:, other]).all()
    scores = scores_of(bundle, data, seen)
    assert np.isfinite(scores.truth[:, at]).tolist() == (~af).tolist()
    assert np.isfinite(scores.raw).all()


@pytest.mark.slow
def test_a_report_counts_them(data: Labelled, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    limited(tmp_path / "b", "--heads", KEY)
    words = ["validate", str(tmp_path / "b"), "--data", str(data.folder), "--split", "all", "--quiet", "--jobs", "1"]
    assert main([*words, "--out", str(tmp_path / "r"), "--resamples", "100", "--hop", "5", "--robustness", "2"]) in {
        0,
        1,
    }
    assert f"without an answer by rhythm, hops: {KEY} " in capsys.readouterr().out
    report = json.loads((tmp_path / "r" / "validation.json").read_text())
    assert report["abstention"]["by_rhythm"][KEY] > 0
    assert "abstains by rhythm" in (tmp_path / "r" / "validation.html").read_text()


def test_a_new_calibration_keeps_the_rhythms(tmp_path: Path) -> None:
    limited(tmp_path / "b", "--heads", KEY)
    cohort = tmp_path / "cohort"
    words = ["simulate", "--patients", "60", "--seed", "9", "--seconds", "14", "--out", str(cohort), "--quiet"]
    assert main(words) == 0
    words = ["calibrate", "probability", str(tmp_path / "b"), "--data", str(cohort), "--split", "all", "--quiet"]
    assert main([*words, "--out", str(tmp_path / "c"), "--methods", "platt", "--jobs", "1"]) == 0
    heads = {head.key: head.rhythms for head in load_bundle(tmp_path / "c").manifest.outputs}
    assert heads[KEY] == ("sinus",)
    card = (tmp_path / "c" / "MODEL_CARD.md").read_text()
    assert card.count("## Rhythm\n") == 1
    assert "## Recalibration" in card


def test_a_description_of_outputs_may_name_rhythms(tmp_path: Path) -> None:
    path = tmp_path / "outputs.toml"
    head = '[[outputs]]\nkey = "potassium_high"\nlab = "potassium"\ndirection = "high"\n'
    path.write_text(head + 'rhythms = ["paced", "sinus"]\n')
    assert read_outputs(path)[0]["rhythms"] == ["sinus", "paced"]
    assert heads_of_file(path)[0].rhythms == ("sinus", "paced")
    path.write_text(head)
    assert "rhythms" not in read_outputs(path)[0]
    assert heads_of_file(path)[0].rhythms is None
    for wrong in ('"sinus"', "[]", '["vt"]', '["sinus", "sinus"]', "[3]", "7"):
        path.write_text(f"{head}rhythms = {wrong}\n")
        with pytest.raises(InputError, match="must be a list of rhythms"):
            read_outputs(path)


def test_the_c_package_says_that_it_does_not_look_at_the_rhythm(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("tflite_micro")
    limited(tmp_path / "b", "--heads", KEY)
    assert main(["micro-package", str(tmp_path / "b"), "--out", str(tmp_path / "c")]) == 0
    assert f"any rhythm  {KEY}: the C code does not abstain by rhythm" in capsys.readouterr().out
    assert f"- `{KEY}`: only in sinus" in (tmp_path / "c" / "README.md").read_text()


def test_a_session_tells_of_an_output_that_was_silent(tmp_path: Path) -> None:
    limited(tmp_path / "b", "--heads", KEY)
    words = ["run", "--bundle", str(tmp_path / "b"), "--source", "sim:?af=1&speed=max", "--seconds", "20"]
    assert main([*words, "--view", "none", "--session-dir", str(tmp_path / "s")]) == 0
    assert main(["report", str(tmp_path / "s"), "--out", str(tmp_path / "s.html"), "--no-ecg"]) == 0
    page = (tmp_path / "s.html").read_text()
    assert page.count("not validated for this rhythm in ") == 1
    assert main(["export", str(tmp_path / "s"), "--to", "fhir", "--out", str(tmp_path / "f"), "--no-ecg"]) == 0
    entries = json.loads((tmp_path / "f" / "estimates-0001.json").read_text())["entry"]
    absent = [e["resource"]["dataAbsentReason"] for e in entries if "dataAbsentReason" in e["resource"]]
    assert [[one["code"] for one in why["coding"]] for why in absent] == [["unsupported", "rhythm"]]
    assert main(["export", str(tmp_path / "s"), "--to", "csv", "--out", str(tmp_path / "c")]) == 0
    last = (tmp_path / "c" / "estimates.csv").read_text().splitlines()
    row = dict(zip(last[0].split(","), last[-1].split(","), strict=True))
    assert (row[KEY], row[f"{KEY}.flag"], row["rhythm"]) == ("", "", "af_or_flutter")
    assert row[OTHER]


def test_a_file_that_is_no_bundle_is_not_called_a_zip_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "empty").write_bytes(b"")
    command = ["calibrate", "rhythm", str(tmp_path / "empty"), "--rhythms", "sinus", "--out", str(tmp_path / "b")]
    assert main(command) == 4
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "is a zip file" not in said
