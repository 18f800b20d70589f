"""`anyecg evaluate` from prepared segments and a teacher to the report."""

from __future__ import annotations

import csv
import html
import io
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from calibration.baselines.run import GROUPS, BaselineScores
from calibration.evaluate.run import EvaluateOptions, evaluate
from calibration.evaluate.score import make_scores
from convert.checkpoint.load import net1d_from_checkpoint
from convert.datasets.prepared import PreparedDataset
from convert.pages.words import names_of
from edge.bundle.words import sentence
from edge.cli.main import main
from edge.records import NOTICE
from helpers.pages import faults
from helpers.small_evaluation import argv_of, scores_of, small_root, write_teacher


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    return small_root(tmp_path_factory)


@pytest.fixture(scope="module")
def done(root, tmp_path_factory) -> Path:
    """The folder of a finished evaluation."""
    out = tmp_path_factory.mktemp("out") / "e"
    assert main(argv_of(root, out)) == 0
    return out


def rows_in(scores: bytes) -> np.ndarray:
    return np.load(io.BytesIO(scores[32:]), allow_pickle=False)


def first_row(scores: dict[str, bytes]) -> np.ndarray:
    return rows_in(next(iter(scores.values())))[0]


def first_segment(data: PreparedDataset) -> np.ndarray:
    return next(data.shards("test")).segments(slice(0, 1))[:, :, None]


def test_scores_are_those_of_the_network(root, done):
    """Scores of all segments, in the order of the data, agree with Keras; segments are not filtered twice."""
    data = PreparedDataset(root / "data")
    x = np.concatenate([s.segments(slice(None)) for s in data.shards("test")])
    want = np.asarray(net1d_from_checkpoint(root / "teacher" / "teacher.pth")(x[:, :, None])["logits"])
    np.testing.assert_allclose(np.concatenate([rows_in(s) for s in scores_of(done).values()]), want, atol=1e-4)


def test_the_report_names_teacher_and_data(root, done):
    report = json.loads((done / "report.json").read_text())
    data = PreparedDataset(root / "data")
    assert report["schema"] == "anyecg.evaluate/1"
    h = report["header"]
    assert h["counts"] == {
        "patients": len({p for s in data.shards("test") for p in s.patient.tolist()}),
        "visits": len({v for s in data.shards("test") for v in s.visit.tolist()}),
        "recordings": len({r for s in data.shards("test") for r in s.recording.tolist()}),
        "segments": data.size("test"),
        "heads": len(data.heads),
    }
    # The same patients, visits and recordings as 'anyecg prepare' counts.
    for what in ("patients", "visits", "recordings", "segments"):
        assert h["counts"][what] == data.manifest[what]["test"]
    assert h["teacher"]["kind"] == "checkpoint"
    assert h["remarks"] == []
    assert [x["key"] for x in report["heads"]] == [x.key for x in data.heads]
    for j, head in enumerate(report["heads"]):
        y = np.concatenate([s.targets()[:, j] for s in data.shards("test")])
        assert head["n"] == np.count_nonzero(np.isfinite(y))
        if head["kind"] == "probability":
            assert head["positives"] == np.nansum(y)
    assert report["baselines"] is report["reference"] is None
    assert report["monitoring"]["columns"] == ["now", "60"]


def test_the_page_is_self_contained_and_says_that_patients_are_simulated(done):
    page = (done / "report.html").read_text()
    assert not re.search(r"<(script|link|img|iframe)\b|\bsrc=|url\(|@import", page)
    assert faults(page) == []
    assert NOTICE in page
    assert "patients are simulated" in page
    assert page.count("<svg") >= 1
    report = json.loads((done / "report.json").read_text())
    names = names_of(report["heads"])
    assert all(html.escape(sentence(names[h["key"]])) in page for h in report["heads"])
    assert "arXiv 2510.22301" in page


def test_the_terminal_shows_the_tables(root, done, tmp_path, capsys):
    shutil.copytree(done, tmp_path / "e")
    assert main(argv_of(root, tmp_path / "e")) == 0
    text = capsys.readouterr().out
    for words in (
        "the paper: strong 33, moderate 59, limited 16 of 108",
        "simulated",
        "60 min",
        "potassium_value",
        "MAE",
    ):
        assert words in text


def test_a_second_run_computes_only_missing_shards_and_gives_the_same_bytes(root, done, tmp_path, monkeypatch):
    out = tmp_path / "e"
    shutil.copytree(done, out)
    files = sorted(out.rglob("*.scores"))
    assert len(files) >= 2
    files[0].unlink()
    files[1].write_bytes(files[1].read_bytes()[:-3] + b"bad")
    (files[0].parent / "left.by.a.kill.part").write_bytes(b"half")
    made = []
    monkeypatch.setattr("calibration.evaluate.score.make_scores", lambda job: made.append(job.name) or make_scores(job))
    # The exported network is on disk, so TensorFlow is not needed.
    monkeypatch.setattr("calibration.evaluate.teacher.float_model", None)
    assert main(argv_of(root, out)) == 0
    assert sorted(made) == sorted(p.name.removesuffix(".scores") for p in files[:2])
    assert scores_of(out) == scores_of(done)
    assert (out / "report.html").read_text() == (done / "report.html").read_text().replace(str(done), str(out))


def test_an_interrupted_run_keeps_its_shards(root, done, tmp_path, monkeypatch, capsys):
    out = tmp_path / "e"
    calls = []

    def until_interrupted(job):
        calls.append(job.name)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return make_scores(job)

    with monkeypatch.context() as patched:
        patched.setattr("calibration.evaluate.score.make_scores", until_interrupted)
        assert main(argv_of(root, out)) == 130
    assert "interrupted" in capsys.readouterr().err
    assert len(scores_of(out)) == 1
    assert main(argv_of(root, out)) == 0
    assert scores_of(out) == scores_of(done)


def test_threads_and_processes_give_the_same_bytes(root, done, tmp_path, monkeypatch):
    assert main(argv_of(root, tmp_path / "t", "--scheduler", "threads:2")) == 0
    assert scores_of(tmp_path / "t") == scores_of(done)
    monkeypatch.setattr("calibration.evaluate.score.WORTHWHILE", 1)
    # The worker processes load their own model.
    monkeypatch.setattr("calibration.evaluate.score.Scorer", None)
    assert main(argv_of(root, tmp_path / "p", "--jobs", "2")) == 0
    assert scores_of(tmp_path / "p") == scores_of(done)


def test_a_keras_teacher_gives_the_same_results(root, done, tmp_path):
    from convert.checkpoint.keras_file import write_keras_teacher

    folder = tmp_path / "teacher"
    shutil.copytree(root / "teacher", folder)
    write_keras_teacher(folder / "teacher.keras", net1d_from_checkpoint(folder / "teacher.pth"))
    (folder / "teacher.pth").unlink()
    argv = argv_of(root, tmp_path / "e")
    argv[1] = str(folder)
    assert main(argv) == 0
    ours, theirs = (json.loads((out / "report.json").read_text()) for out in (tmp_path / "e", done))
    assert ours["header"]["teacher"]["kind"] == "keras"
    assert [h["auroc"] for h in ours["heads"]] == [h["auroc"] for h in theirs["heads"]]


def test_the_stride_comes_from_the_checkpoint(root, tmp_path):
    data = PreparedDataset(root / "data")
    teacher = write_teacher(tmp_path / "teacher", data, 1, stride=3)
    found = []
    for more in ([], ["--stride", "2"]):
        argv = argv_of(root, tmp_path / f"e{len(found)}", *more)
        argv[1] = str(teacher / "teacher.pth")
        assert main(argv) == 0
        found.append(scores_of(tmp_path / f"e{len(found)}"))
    want = np.asarray(net1d_from_checkpoint(teacher / "teacher.pth", stride=3)(first_segment(data))["logits"])
    assert not np.array_equal(*(first_row(scores) for scores in found))
    np.testing.assert_allclose(first_row(found[0]), want[0], atol=1e-4)


def test_a_reference_is_compared(root, done, tmp_path, capsys):
    data = PreparedDataset(root / "data")
    write_teacher(tmp_path / "other", data, 2)
    out = tmp_path / "e"
    shutil.copytree(done, out)
    assert main(argv_of(root, out, "--reference", str(tmp_path / "other"), "--margin", "0.05")) == 0
    assert "non-inferior to other with a margin of 0.05 (AUROC)" in capsys.readouterr().out
    reference = json.loads((out / "report.json").read_text())["reference"]
    assert len(reference["heads"]) == len(data.heads)
    assert all(h["correlation"] is not None and h["correlation"] < 1 for h in reference["heads"])
    assert "Against other" in (out / "report.html").read_text()
    assert main(argv_of(root, out, "--reference", str(root / "teacher"))) == 0
    same = json.loads((out / "report.json").read_text())["reference"]["heads"]
    assert {h["largest_difference"] for h in same} == {0.0}


def test_baselines_are_compared_on_the_same_scale(root, done, tmp_path, monkeypatch):
    """A baseline that knows the labels beats the network; one that cannot be trained gives a reason."""
    data = PreparedDataset(root / "data")
    truth = np.concatenate([s.targets() for s in data.shards("test")])
    asked = {}

    def fitted(given, judged, plan, work, progress, heads):
        asked.update(judged=judged, plan=plan, heads=list(heads), work=work)
        n = len(data.heads)
        knows = np.nan_to_num(truth, nan=0.0).astype(np.float32)
        nothing = np.full_like(knows, np.nan)
        return {
            name: BaselineScores(name, features, nothing if name == "intervals" else knows, ("too few",) * n, (0,) * n)
            for name, features in GROUPS.items()
        }

    monkeypatch.setattr("calibration.baselines.run.fit_baselines", fitted)
    out = tmp_path / "e"
    shutil.copytree(done, out)
    argv = [a for a in argv_of(root, out, "--baseline-segments", "77", "--seed", "3") if a != "--no-baselines"]
    assert main(argv) == 0
    assert asked["judged"] == "test"
    assert (asked["plan"].max_segments, asked["plan"].seed, asked["plan"].jobs) == (77, 3, 1)
    assert asked["heads"] == list(range(len(data.heads)))
    report = json.loads((out / "report.json").read_text())
    for row in report["baselines"]["heads"]:
        knows, untrained = row["against"]["demographics"], row["against"]["intervals"]
        assert untrained["verdict"] == "NOT TRAINED"
        assert untrained["why"] == "too few"
        if knows["other"] is not None:
            # The scaled target is converted back to its unit without an error.
            assert knows["other"] == pytest.approx(0.0 if row["kind"] == "value" else 1.0, abs=1e-3)
    assert set(report["baselines"]["summary"]) == set(GROUPS)
    page = (out / "report.html").read_text()
    assert "NOT TRAINED: too few" in page


def test_real_data_are_not_called_simulated(root, done, tmp_path):
    data = PreparedDataset(root / "data")
    assert data.simulated
    options = EvaluateOptions(root / "teacher", root / "data", tmp_path / "e", resamples=100, baselines=False)
    shutil.copytree(done / "work", tmp_path / "e" / "work")
    report = evaluate(options, None)
    from calibration.evaluate.page_html import html_page
    from calibration.evaluate.text import text_report

    assert "simulated" in text_report(report)
    report["header"]["data"]["simulated"] = False
    assert "simulated" not in text_report(report)
    assert "simulated" not in html_page(report)


def test_a_folder_of_recordings_is_judged(root, done, tmp_path):
    """With `--records`, the recordings identify the patients, and times may be missing."""
    from convert.datasets.mcmed import McMedDataset

    folder, table = tmp_path / "records", tmp_path / "labs.csv"
    folder.mkdir()
    cohort = McMedDataset(root / "cohort")
    rows = [["record", "patient", "name", "value", "unit", "low", "high", "part"]]
    found = [s for csn in sorted(cohort.waveform_summary()) for s in cohort.segments(csn) if s.header.signals][:12]
    for i, record in enumerate(found):
        for suffix in (".hea", ".dat"):
            shutil.copy(record.header.path.with_suffix(suffix), folder)
        value, part = "6.0" if i % 2 else "4.0", "train" if i < 6 else "test"
        rows.append([record.header.path.stem, str(i), "POTASSIUM", value, "mmol/L", "3.5", "5.1", part])
    with table.open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    (tmp_path / "labels.toml").write_text(
        "[heads]\nmin_values = 1\nmin_positives = 1\nhorizons_min = []\n[labs.potassium]\n"
    )
    where = ["--records", str(folder), "--labs", str(table), "--labels", str(tmp_path / "labels.toml")]
    assert main(["prepare", *where, "--out", str(tmp_path / "data"), "--skip-broken", "--quiet"]) == 0
    data = PreparedDataset(tmp_path / "data")
    write_teacher(tmp_path / "teacher", data, 1)
    argv = argv_of(tmp_path, tmp_path / "e")
    assert main(argv) == 0
    report = json.loads((tmp_path / "e" / "report.json").read_text())
    assert report["monitoring"]["columns"] == ["now"]
    assert report["header"]["counts"]["patients"] <= 6
    assert not report["header"]["data"]["simulated"]
