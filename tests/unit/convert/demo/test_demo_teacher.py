"""The full-size teacher of `anyecg train-demo`: crops, growth, the patients that judge it, and the command, small."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("tensorflow", reason="the convert extra is not installed")

from convert.checkpoint.reader import read_checkpoint
from convert.cli.train_demo import main
from convert.demo import teacher as demo
from convert.demo.data import STEP
from convert.demo.heads import demo_heads
from convert.demo.heldout import HeldOut, macro, read_held_out, write_held_out
from convert.demo.measurements import COUNT, SCALE, measurement_targets, measurements
from convert.demo.teacher import SHAPES, TeacherPlan
from convert.simulate.cohort import draw_visit
from firmware_bridge.errors import InputError

REPO = Path(__file__).resolve().parents[4]
SMALL = ["--patients", "100", "--seed", "2", "--seconds", "17", "--teacher", "tiny-grown", "--teacher-epochs", "2"]


class Stopped(BaseException):
    """Stands for Ctrl-C."""


def outputs(net, x):
    return np.asarray(net.core(x[:, None, :, None], training=False)[0]).reshape(len(x), -1)


def test_a_grown_network_starts_as_the_smaller_one():
    small, large = (demo._net(SHAPES[name], 5, seed) for name, seed in (("tiny-shallow", 1), ("tiny-grown", 2)))
    x = np.random.default_rng(0).standard_normal((2, 5000), dtype=np.float32)
    assert np.abs(outputs(small, x) - outputs(large, x)).max() > 1e-3
    variables = demo._variables(large)
    weights = {k: v.numpy() for k, v in variables.items()}
    grown = demo._grown(weights, {k: v.numpy() for k, v in demo._variables(small).items()})
    for name, value in grown.items():
        variables[name].assign(value)
    np.testing.assert_array_equal(outputs(small, x), outputs(large, x))
    added = "stage_list__0__block_list__1__conv"
    assert not grown[f"{added}3__conv/kernel"].any()
    # All other weights of an added block are random, so that it can learn.
    np.testing.assert_array_equal(grown[f"{added}1__conv/kernel"], weights[f"{added}1__conv/kernel"])
    assert grown[f"{added}1__conv/kernel"].any()


def test_the_full_shape_is_that_of_ecgfounder_and_grows_from_one_block_of_each_stage():
    full, shallow = SHAPES["ecgfounder"], SHAPES["ecgfounder-shallow"]
    assert full.grown_from == "ecgfounder-shallow"
    assert (sum(full.blocks), sum(shallow.blocks)) == (20, 7)
    assert replace(full, blocks=(), plan=TeacherPlan(), grown_from=None) == replace(
        shallow, blocks=(), plan=TeacherPlan(), grown_from=None
    )


@pytest.mark.parametrize("crop", [300, 1000, 1001])
def test_a_tap_is_zero_where_no_crop_reaches_it_and_nowhere_else(crop):
    shape = replace(SHAPES["tiny-shallow"], filters=(8,) * 7, blocks=(1,) * 5 + (2, 2))
    whole, cut = (demo._net(replace(shape, plan=TeacherPlan(crop=n)), 2, 1) for n in (None, crop))
    x = np.random.default_rng(0).standard_normal((2, 5000), dtype=np.float32)
    np.testing.assert_array_equal(outputs(whole, x[:, :crop]), outputs(cut, x[:, :crop]))
    assert np.abs(outputs(whole, x) - outputs(cut, x)).max() > 0
    kernels = [v.numpy() for k, v in demo._variables(cut).items() if k.endswith("__conv2__conv/kernel")]
    unreached = [16 - np.count_nonzero(k.any(axis=(0, 2, 3))) for k in kernels]
    assert unreached[0] == 0
    assert unreached[-1] > 0
    assert unreached == sorted(unreached)


def test_an_epoch_reads_crops_of_a_part_of_the_patients_and_a_pass_reads_every_patient():
    windows = np.repeat(np.arange(40, dtype=np.int16)[:, None, None], 4, 1) * np.ones(5000, np.int16)
    y = np.arange(40, dtype=np.float32)[:, None]
    plan = TeacherPlan(4, crop=700, parts=2)
    found = [list(demo._batches(windows, y, plan, 3, epoch)) for epoch in (0, 1, 2)]
    assert [len(batches) for batches in found] == [5, 5, 5]
    assert {x.shape for batches in found for x, _ in batches} == {(4, 1, 700, 1)}
    for x, of in found[0] + found[1]:
        np.testing.assert_allclose(x[:, 0, 0, 0], of[:, 0] * STEP)
    first, second, third = (np.concatenate([of[:, 0] for _, of in batches]) for batches in found)
    assert sorted([*first, *second]) == list(range(40))
    assert not np.array_equal(first, third)
    whole = next(demo._batches(windows, y, replace(plan, crop=None), 3, 0))
    assert whole[0].shape == (4, 1, 5000, 1)


def test_crops_come_from_everywhere_in_the_window():
    ramp = np.broadcast_to(np.arange(5000, dtype=np.int16), (400, 4, 5000))
    batches = demo._batches(ramp, np.zeros((400, 1), np.float32), TeacherPlan(100, crop=1000), 1, 0)
    first = np.concatenate([x[:, 0, 0, 0] for x, _ in batches]) / STEP
    assert first.min() < 100
    assert first.max() > 3900


def test_measurements_are_those_of_the_patients_and_unknown_without_a_p_wave():
    found = measurements(np.arange(200), 1)
    assert found.shape == (200, COUNT)
    latents = [draw_visit(1, i).latents for i in range(200)]
    np.testing.assert_array_equal(found[:, 3], [p.qtc_ms for p in latents])
    af = np.array([p.af for p in latents])
    assert 0 < af.sum() < 100
    np.testing.assert_array_equal(np.isnan(found[:, 1]), af)
    assert not np.isnan(np.delete(found, [1, 6], axis=1)).any()
    targets = measurement_targets(found)
    np.testing.assert_allclose(np.nanstd(targets, axis=0), SCALE, rtol=1e-3)
    np.testing.assert_allclose(np.nanmedian(targets, axis=0), 0, atol=1e-5)


def test_the_validation_loss_ignores_the_measurements():
    from convert.demo.data import TeacherData

    heads = demo_heads()
    labs = {h.lab: np.full(6, 4.0) for h in heads}
    data = TeacherData(np.zeros((6, 4, 5000), np.int16), labs, np.zeros((6, COUNT)))
    x, y = demo._held_out(heads, data, len(heads) + COUNT, TeacherPlan(judged=2))
    assert x.shape == (4, 1, 5000, 1)
    assert np.isnan(y[:, len(heads) :]).all()
    assert not np.isnan(y[:, : len(heads)]).any()


def some_patients(count=6) -> HeldOut:
    rng = np.random.default_rng(0)
    windows = rng.integers(-9, 9, (count, 4, 5000)).astype(np.int16)
    labels = np.array([[i % 2, 0.0, 4.0 + i] for i in range(count)], np.float32)
    return HeldOut(windows, labels, np.arange(count), ("a", "b", "c"), ("probability", "probability", "value"))


def test_held_out_patients_are_read_as_they_were_written(tmp_path):
    held = some_patients()
    write_held_out(tmp_path / "h.npz", held)
    found = read_held_out(tmp_path / "h.npz")
    for name in ("windows", "labels", "patients"):
        np.testing.assert_array_equal(getattr(found, name), getattr(held, name))
    assert (found.keys, found.kinds) == (held.keys, held.kinds)
    assert found.first(2).windows.shape == (2, 4, 5000)
    assert len(found.first(None).patients) == 6


@pytest.mark.parametrize("change", ["text", "no key", "other step", "one window less"])
def test_another_file_is_not_read_as_held_out_patients(tmp_path, change):
    path = tmp_path / "h.npz"
    write_held_out(path, some_patients())
    if change == "text":
        path.write_bytes(b"nothing")
    else:
        arrays = dict(np.load(path))
        if change == "no key":
            del arrays["keys"]
        elif change == "other step":
            arrays["step"] = np.float64(1.0)
        else:
            arrays["windows"] = arrays["windows"][:, :3]
        np.savez(path, **arrays)
    with pytest.raises(InputError, match="held-out"):
        read_held_out(path)


def test_the_score_of_a_patient_is_the_mean_over_its_windows_and_heads_without_positives_do_not_count():
    held = some_patients()

    def model(z):
        return np.array([z[0], z[1], z[2]], np.float32)

    scores = held.scores(model)
    np.testing.assert_allclose(scores, held.windows[:, :, :3].mean(axis=1) * STEP, rtol=1e-6)
    perfect = held.rankings(np.array([[label[0], 0, 0] for label in held.labels], np.float64))
    assert list(perfect) == ["a", "b"]
    assert perfect["b"].auroc.value is None
    value, replicates = macro(perfect)
    assert value == 1.0
    assert np.nanmin(replicates) == 1.0


def called(folder: Path, argv: list[str]) -> str:
    done = subprocess.run(argv, cwd=folder, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def anyecg(folder: Path, *argv: str) -> None:
    called(folder, [sys.executable, "-m", "edge.cli", *argv])


@pytest.mark.slow
def test_the_recipe_of_the_full_teacher_runs_small_resumes_and_converts(tmp_path, monkeypatch, capsys):
    main([*SMALL, "--teacher-only", "--out", str(tmp_path / "teacher"), "--work", str(tmp_path / "w1")])
    said = capsys.readouterr().out
    assert "macro AUROC 0." in said
    assert "sodium_low" in said
    folder = tmp_path / "teacher"
    assert sorted(p.name for p in folder.iterdir()) == ["heldout.npz", "outputs.json", "teacher.pth"]
    checkpoint = read_checkpoint(folder / "teacher.pth")
    assert (checkpoint.facts["stride"], checkpoint.facts["use_bn"]) == (2, 1)
    # The measurements are not outputs of the checkpoint.
    assert checkpoint.tensors["dense.weight"].shape[0] == len(demo_heads())
    assert len(json.loads((folder / "outputs.json").read_text())["outputs"]) == len(demo_heads())
    held = read_held_out(folder / "heldout.npz")
    assert held.keys == tuple(h.key for h in demo_heads())
    assert len(held.patients) == 25

    # States are saved after epochs 1 and 2 of the smaller network, then of the grown one.
    for call in (2, 2):
        real, count = demo.save_state, [0]

        def stopping(*args, real=real, count=count, call=call):
            count[0] += 1
            if count[0] == call:
                raise Stopped
            real(*args)

        with monkeypatch.context() as patch:
            patch.setattr(demo, "save_state", stopping)
            with pytest.raises(Stopped):
                main([*SMALL, "--teacher-only", "--out", str(tmp_path / "again"), "--work", str(tmp_path / "w2")])
    main([*SMALL, "--teacher-only", "--out", str(tmp_path / "again"), "--work", str(tmp_path / "w2")])
    for path in folder.iterdir():
        if path.suffix != ".npz":
            assert (tmp_path / "again" / path.name).read_bytes() == path.read_bytes(), path.name

    anyecg(tmp_path, "simulate", "--patients", "4", "--seed", "3", "--seconds", "40", "--out", "cohort", "--quiet")
    few = ["--calibration-windows", "8", "--evaluation-windows", "8", "--form", "dynamic"]
    anyecg(tmp_path, "convert", "foundation", "teacher", "--data", "cohort", "--out", "bundle", *few)
    bench = [sys.executable, str(REPO / "benchmarks" / "bench_full_teacher.py"), "teacher", "bundle"]
    said = called(tmp_path, [*bench, "--small", "again", "--patients", "20", "--macro", "0.02", "--head", "0.1"])
    assert "teacher against again: macro AUROC" in said
    assert said.count("minus float +0.00000") == 2
    found = re.search(r"^bundle, .*correlation (\S+) \(worst head (\S+)\)", said, re.MULTILINE)
    assert found, said
    assert min(map(float, found.groups())) > 0.999
    # A bundle with other outputs is named, and no traceback shown.
    (tmp_path / "again" / "heldout.npz").unlink()
    write_held_out(tmp_path / "again" / "heldout.npz", some_patients())
    done = subprocess.run([*bench[:2], "again"], cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("the outputs are potassium_low,")
