"""Distillation of a student's bundle from a teacher, with trainings of a few steps. Imports TensorFlow (slow)."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("tensorflow", reason="the convert extra is not installed")
pytest.importorskip("tflite_micro", reason="the micro extra is not installed")

from convert.bundle.fit import Part, calibrate, judge, summary
from convert.bundle.scaling import Scaling, scaling_of
from convert.checkpoint.net1d import Net1D, to_tensors
from convert.checkpoint.writer import write_checkpoint
from convert.cli.distil import main
from convert.compute.litert import Exported
from convert.compute.qat import initial_weights
from convert.compute.students import PRESETS, Block, StudentSpec
from convert.compute.training import Phase, start
from convert.datasets.heads import TeacherHead, heads_of_bundle
from convert.datasets.pairs import chosen_windows, find_recordings
from convert.distil import train as distil_train
from convert.distil.assemble import check_budget, check_fits
from convert.distil.run import distil, recordings_of, split_patients
from convert.distil.train import DistilPlan, DistilTrainer
from convert.teacher.open import CheckpointOptions, open_teacher
from convert.teacher.patients import hashes
from convert.teacher.soft_labels import WindowPlan, label
from edge.bundle.reader import load_bundle
from edge.model import load_model
from edge.self_test import self_test
from firmware_bridge.errors import AnyEcgError, CheckFailedError, InputError, OutputError, UsageError
from helpers.moments_teacher import HEADS, MomentsTeacher, write_folder
from helpers.tiny_student import TINY, config

P, V = HEADS


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_folder(tmp_path_factory.mktemp("records") / "data", 8)


@pytest.fixture
def tiny(monkeypatch):
    monkeypatch.setitem(PRESETS, "tiny", TINY)


def files_of(bundle: Path) -> dict[str, bytes]:
    return {p.relative_to(bundle).as_posix(): p.read_bytes() for p in bundle.rglob("*") if p.is_file()}


class Stopped(BaseException):
    """Stands for Ctrl-C."""


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """Return a folder with laboratory results of the eight patients."""
    lab = tmp_path_factory.mktemp("lab")
    rows = [f"p{i:02d},{i % 2},{4.0 + i / 10}" for i in range(8)]
    (lab / "labels.csv").write_text("\n".join(["record,potassium_high,potassium", *rows]) + "\n")
    return lab


def test_a_distillation_makes_a_complete_bundle(folder, lab, tmp_path, tiny):
    report = distil(tmp_path / "whole", tmp_path / "w1", MomentsTeacher(), config(folder, lab), None)
    bundle = load_bundle(tmp_path / "whole")
    assert self_test(bundle, load_model(bundle, "litert")).worst <= 1
    assert bundle.manifest.name == "pupil"
    assert [h.key for h in bundle.manifest.outputs] == [P.key, V.key]
    assert report["parity"]["tflm"]["max_lsb"] == 0
    assert "median_correlation_ptq" in report["summary"]
    assert report["split"]["patients"] == 8
    assert report["elsewhere"]["recordings"] == 8
    assert report["elsewhere"]["windows"] == 16, "a hop of five seconds, independent of the training windows"
    assert {h["basis"] for h in report["heads"].values()} == {"teacher"}
    raw = json.loads((tmp_path / "whole" / "manifest.json").read_text())
    assert raw["teacher"] == {"name": "moments", "sha256": "0" * 64}
    assert str(folder) not in (tmp_path / "whole" / "validation" / "report.json").read_text()


@pytest.mark.slow
def test_an_interrupted_distillation_gives_the_same_bytes(folder, lab, tmp_path, tiny, monkeypatch):
    """The fast tests cover an interrupted training (test_quantize.py) and labelling (test_teacher_labels.py)."""
    distil(tmp_path / "whole", tmp_path / "w1", MomentsTeacher(), config(folder, lab), None)
    epochs = []
    run_epoch = DistilTrainer.run_epoch

    def stop(self, *args):
        epochs.append(self.epoch)
        if len(epochs) == 2:
            raise Stopped
        return run_epoch(self, *args)

    monkeypatch.setattr(distil_train.DistilTrainer, "run_epoch", stop)
    with pytest.raises(Stopped):
        distil(tmp_path / "killed", tmp_path / "w2", MomentsTeacher(), config(folder, lab), None)
    assert not (tmp_path / "killed").exists()
    teacher = MomentsTeacher()
    distil(tmp_path / "killed", tmp_path / "w2", teacher, config(folder, lab), None)
    assert teacher.calls == 0
    assert epochs == [0, 1, 1, 0], "the first float epoch was kept, and only the other two epochs ran"
    assert files_of(tmp_path / "killed") == files_of(tmp_path / "whole")


def test_patients_of_further_folders_and_varied_ecgs_are_separate(folder, tmp_path):
    found = recordings_of(replace(config(folder), data=(folder, folder), varied=2))
    assert [r.name for r in found[:8]] == [f"p{i:02d}" for i in range(8)]
    assert [r.patient for r in found[8:16]] == [f"2-data/p{i:02d}" for i in range(8)]
    assert [r.training_only for r in found] == [False] * 16 + [True] * 2
    assert hashes(found[8:16]) == hashes(find_recordings(folder)), "a later judgement recognises the patients"
    some = [*found[:2], *found[8:10], *found[16:]]
    labels = label(tmp_path, some, MomentsTeacher(), WindowPlan(2.0, 2), None)
    parts = split_patients(some, labels, 1)
    assert set(labels.recording[parts["train"]]) >= {4, 5}
    assert not {4, 5} & {
        int(i) for name in ("test", "calibration", "validation") for i in labels.recording[parts[name]]
    }


def test_a_full_disk_leaves_no_bundle(folder, tmp_path, tiny, monkeypatch):
    def full(path, state):
        raise OutputError(f"cannot write {path}: No space left on device")

    monkeypatch.setattr(distil_train, "save_state", full)
    with pytest.raises(OutputError, match="No space left"):
        distil(tmp_path / "out", tmp_path / "w", MomentsTeacher(), config(folder), None)
    assert not (tmp_path / "out").exists()


def test_a_student_that_is_too_large_is_refused_with_the_reason():
    with pytest.raises(CheckFailedError, match=r"nano student with 900 outputs takes .* bytes of flash, .* more than"):
        check_fits(PRESETS["nano"], 900)
    small = StudentSpec("wee", 16, 7, 1, (Block(24, 5, 2),), 8, 64 * 1024, 16 * 1024)
    with pytest.raises(CheckFailedError, match="takes an arena of"):
        check_fits(small, 3)
    with pytest.raises(CheckFailedError, match="has the operations SOFTMAX"):
        check_budget(TINY, Exported(b"", 1.0, 0, (1,), ("CONV_2D", "SOFTMAX")), 1)


def _trainer(heads, scaling, features):
    weights = initial_weights(TINY, len(heads), 0)
    if features:
        weights |= {
            "projection/kernel": np.zeros((8, features), np.float32),
            "projection/bias": np.zeros(features, np.float32),
        }
    phase = Phase("float", 1, 1, rate=1e-3, dropout=0.0)
    return DistilTrainer(TINY, heads, scaling, phase, start(weights), 0)


def test_the_loss_is_zero_for_the_teacher_and_weights_all_heads_equally():
    rng = np.random.default_rng(0)
    heads = (P, TeacherHead("rare", "sodium", None, "1", "probability", "low"), V)
    logits = (rng.standard_normal((500, 3)) * [0.1, 1.0, 0.4] + [0.0, -6.0, 4.2]).astype(np.float32)
    features = rng.standard_normal((500, 2)).astype(np.float32)
    scaling = scaling_of(heads, logits, features)
    z = scaling.to_student(logits)
    assert np.allclose(z.std(axis=0), distil_train.SPREAD, rtol=1e-4)
    assert np.allclose(scaling.to_teacher(z), logits, atol=1e-4)
    trainer = _trainer(heads, scaling, 2)
    unknown = np.full((500, 3), np.nan, np.float32)
    target = np.concatenate([z, unknown, features], axis=1)
    tf = trainer._tf

    def loss(outputs, targets=target):
        return float(trainer._loss(tf.constant(outputs), tf.constant(targets)).numpy())

    perfect = np.concatenate([z, features], axis=1)
    assert abs(loss(perfect)) < 1e-4
    # A constant head has the same loss, however small its logits are and however rare its condition is.
    lost = []
    for j in range(2):
        poor = perfect.copy()
        poor[:, j] = 0.0
        lost.append(loss(poor))
    assert 0.7 < lost[0] / lost[1] < 1.4
    poor = perfect.copy()
    poor[:, 3:] += 1.0
    assert 0.05 < loss(poor) < 1.0
    # Hard labels count only where they are known.
    hard = target.copy()
    hard[:, 3] = (logits[:, 0] > 0).astype(np.float32)
    assert loss(perfect, hard) > 0.01
    right = perfect.copy()
    right[:, 0] = np.where(hard[:, 3] > 0.5, 15, -15)
    wrong = perfect.copy()
    wrong[:, 0] = -right[:, 0]
    assert loss(wrong, hard) > loss(right, hard)


def test_a_teacher_without_features_trains_with_its_outputs_only():
    scaling = scaling_of(HEADS, np.float32([[0.0, 4.0], [1.0, 5.0]]), np.empty((2, 0), np.float32))
    trainer = _trainer(HEADS, scaling, 0)
    outputs, _ = trainer._logits(trainer._tf.zeros((3, 1, 1250, 1)), None)
    assert tuple(outputs.shape) == (3, len(HEADS))
    target = np.concatenate([outputs.numpy(), np.full((3, len(HEADS)), np.nan, np.float32)], axis=1)
    assert abs(float(trainer._loss(outputs, trainer._tf.constant(target)).numpy())) < 1e-4


def test_patients_are_never_in_two_parts(folder, tmp_path):
    recordings = find_recordings(folder)
    labels = label(tmp_path, recordings, MomentsTeacher(), WindowPlan(2.0, 3), None)
    parts = split_patients(recordings, labels, 1)
    seen = [set(labels.recording[rows]) for rows in parts.values()]
    assert all(seen)
    assert sum(map(len, seen)) == len(set().union(*seen)) == 8
    labels3 = label(tmp_path / "three", recordings[:3], MomentsTeacher(), WindowPlan(2.0, 3), None)
    with pytest.raises(InputError, match="only 3 patients"):
        split_patients(recordings[:3], labels3, 1)


def _part(n: int, seed: int, labelled: bool) -> Part:
    """Return two windows for each case; the student is the standardised teacher with some noise."""
    rng = np.random.default_rng(seed)
    truth = rng.standard_normal(n)
    teacher = np.repeat(np.stack([2 * truth + 1, 0.5 * truth + 4.2], axis=1), 2, axis=0)
    hard = np.stack([truth > 0.3, 0.5 * truth + 4.3], axis=1).astype(float)
    if not labelled:
        hard = np.full_like(hard, np.nan)
    student = {
        f: (teacher - [1, 4.2]) / [2, 0.5] + 0.1 * rng.standard_normal(teacher.shape) for f in ("int8", "float", "ptq")
    }
    return Part(student, teacher, np.repeat(hard, 2, axis=0), np.repeat(np.arange(n), 2), np.arange(n), "x")


SCALING = Scaling(*(np.float32(v) for v in ([1, 4.2], [2, 0.5], [1, 1], [], [])))


@pytest.mark.parametrize("labelled", [True, False])
def test_calibration_maps_back_to_the_laboratory_or_to_the_teacher(labelled):
    part, test = _part(200, 0, labelled), _part(200, 1, labelled)
    entries = calibrate((P, V), SCALING, part, 0)
    found = judge((P, V), test, entries, 0)
    value = entries["potassium"]
    assert value["basis"] == ("laboratory results" if labelled else "teacher")
    assert value["slope"] == pytest.approx(0.5, rel=0.05)
    assert value["intercept"] == pytest.approx(4.3 if labelled else 4.2, abs=0.02)
    assert 0.02 < value["interval"]["half_width"] < 0.15
    probability = entries["potassium_high"]
    if labelled:
        assert found["potassium_high"]["evidence"]["auroc"] > 0.98
        assert found["potassium_high"]["evidence"]["tier"] == "strong"
        assert found["potassium"]["coverage"] > 0.8
        assert probability["threshold_method"] == "youden"
        assert summary(found)["heads_with_auroc"] == 1
    else:
        assert (probability["a"], probability["b"]) == (pytest.approx(2, rel=0.05), pytest.approx(1, abs=0.05))
        assert probability["threshold"] is None
        assert found["potassium_high"]["evidence"]["auroc"] is None
        assert summary(found)["macro_auroc_int8"] is None
    assert found["potassium_high"]["correlation_int8"] > 0.98


def test_too_few_cases_keep_the_default_calibration():
    entries = calibrate((P, V), SCALING, _part(3, 0, True), 0)
    assert (entries["potassium_high"]["a"], entries["potassium_high"]["b"]) == (2.0, 1.0)
    assert entries["potassium"]["slope"] == pytest.approx(0.5)


def _outputs(path: Path, count: int) -> Path:
    rows = [{"key": f"k{i}", "lab": "potassium", "direction": "high"} for i in range(count)]
    path.write_text(json.dumps({"outputs": rows}))
    return path


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    import keras

    path = tmp_path_factory.mktemp("teacher") / "teacher.pth"
    keras.utils.set_random_seed(0)
    write_checkpoint(path, to_tensors(_net()))
    return path


def _net(leads: int = 1) -> Net1D:
    return Net1D(leads, 8, 1.0, (8, 16), (1, 1), 16, 2, 8, 3)


def test_a_checkpoint_in_litert_gives_the_outputs_of_keras(checkpoint, tmp_path):
    from convert.checkpoint.load import net1d_from_checkpoint
    from edge.frontend.ecgfounder import EcgFounderFrontEnd

    teacher = open_teacher(checkpoint, CheckpointOptions(_outputs(tmp_path / "o.json", 3)), tmp_path)
    assert teacher.features == 16
    window = np.random.default_rng(0).standard_normal(5000).cumsum()
    logits, features = teacher.label(window)
    x = EcgFounderFrontEnd()(window).astype(np.float32)[None, :, None]
    wanted = net1d_from_checkpoint(checkpoint)(x)
    assert np.allclose(logits, np.asarray(wanted["logits"])[0], atol=1e-4)
    assert np.allclose(features, np.asarray(wanted["features"])[0], atol=1e-4)
    kept = next(tmp_path.glob("teacher-*.tflite"))
    kept.write_bytes(kept.read_bytes()[:-1])
    again = open_teacher(checkpoint, CheckpointOptions(tmp_path / "o.json"), tmp_path)
    assert np.array_equal(again.label(window)[0], logits)
    other = open_teacher(checkpoint, CheckpointOptions(tmp_path / "o.json", use_bn=True), tmp_path)
    assert other.identity != teacher.identity
    assert other.sha256 == teacher.sha256
    assert not np.array_equal(other.label(window)[0], logits)


def _run(*args: object) -> AnyEcgError:
    with pytest.raises(AnyEcgError) as caught:
        main([str(a) for a in args])
    assert "\n" not in str(caught.value)
    return caught.value


def test_bad_input_gives_a_one_line_error_and_leaves_no_files(checkpoint, folder, tmp_path):
    out, outputs = tmp_path / "bundle", _outputs(tmp_path / "o.json", 3)
    common = ["--data", folder, "--out", out, "--preset", "nano"]
    pointer = tmp_path / "pointer.pth"
    pointer.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 123\n")
    wide = tmp_path / "wide.pth"
    write_checkpoint(wide, to_tensors(_net(12)))
    cut = tmp_path / "cut.pth"
    cut.write_bytes(checkpoint.read_bytes()[:-500])
    cases = [
        (UsageError, "are not described", [checkpoint, *common]),
        (InputError, "no teacher at", [tmp_path / "none.pth", *common]),
        (UsageError, "--outputs: for checkpoints only", [folder, *common, "--outputs", outputs]),
        (InputError, "LFS", [pointer, *common, "--outputs", outputs]),
        (InputError, "", [cut, *common, "--outputs", outputs]),
        (InputError, "12 leads", [wide, *common, "--outputs", outputs]),
        (InputError, "2 outputs", [checkpoint, *common, "--outputs", _outputs(tmp_path / "o2.json", 2)]),
        (UsageError, "epoch", [checkpoint, *common, "--outputs", outputs, "--float-epochs", 0]),
        (UsageError, "preset", [checkpoint, "--data", folder, "--out", out, "--preset", "huge"]),
        (UsageError, "--windows 1 to 100000", [checkpoint, *common, "--outputs", outputs, "--windows", 0]),
        (InputError, "no data folder", [checkpoint, "--data", tmp_path / "no", "--out", out, "--outputs", outputs]),
    ]
    for kind, text, args in cases:
        error = _run(*args)
        assert type(error) is kind, error
        assert text in str(error)
        assert not out.exists()
    out.mkdir()
    (out / "diary.txt").write_text("mine")
    assert isinstance(_run(checkpoint, *common, "--outputs", outputs), OutputError)
    assert [p.name for p in out.iterdir()] == ["diary.txt"]


def test_a_bundle_of_the_micro_tier_is_not_a_teacher(tmp_path):
    from edge.bundle.reader import demo_bundle_path

    with pytest.raises(InputError, match="tier micro"):
        open_teacher(demo_bundle_path(), CheckpointOptions(), tmp_path)
    heads = heads_of_bundle(load_bundle("demo"))
    assert heads[-1].is_value
    assert heads[-1].half_width > 0
    shutil.rmtree(tmp_path)


@pytest.mark.slow
def test_a_foundation_bundle_labels_like_its_checkpoint(checkpoint, folder, tmp_path, tiny):
    from convert.foundation import FoundationConfig, convert_foundation

    outputs = _outputs(tmp_path / "o.json", 3)
    rows = json.loads(outputs.read_text())["outputs"]
    rows[2] = {"key": "potassium", "lab": "potassium", "kind": "value", "unit": "mmol/L"}
    outputs.write_text(json.dumps({"outputs": rows}))
    convert_foundation(
        FoundationConfig(
            checkpoint, outputs, folder, tmp_path / "f", calibration_windows=8, evaluation_windows=8, accept_loss=True
        )
    )
    bundle = open_teacher(tmp_path / "f", CheckpointOptions(), tmp_path)
    real = open_teacher(checkpoint, CheckpointOptions(outputs), tmp_path)
    assert bundle.features == 0
    assert [h.key for h in bundle.heads] == [h.key for h in real.heads]
    step = load_bundle(tmp_path / "f").manifest.output.scale
    slope, offset = (np.array([getattr(h, name) for h in bundle.heads]) for name in ("slope", "offset"))
    for window in (w.raw for r in find_recordings(folder)[:3] for w in chosen_windows(r, 5.0, 2)[0]):
        shown = slope * bundle.label(window)[0] + offset
        assert np.all(np.abs(shown - real.label(window)[0]) < 16 * step * slope)
    # A teacher without features can also train a student.
    short = replace(config(folder), plan=DistilPlan(seed=3, float_epochs=1, quant_epochs=1), compare=None)
    distil(tmp_path / "s", tmp_path / "w", bundle, short, None)
    assert [h.key for h in load_bundle(tmp_path / "s").manifest.outputs] == [h.key for h in real.heads]
