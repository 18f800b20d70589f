"""Several replicas train the same student as one replica with the same batch. Imports TensorFlow (slow)."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("tensorflow", reason="the convert extra is not installed")

from convert.bundle.scaling import scaling_of
from convert.cli.distil import main
from convert.compute import meeting
from convert.compute import order as workers
from convert.compute.meeting import meet
from convert.compute.replicas import Replicas
from convert.compute.training import agreed, start
from convert.datasets.pairs import find_recordings
from convert.distil.train import Distillation, windows_of_labels
from convert.simulate.wearable import Wearable, disturb, drawn
from convert.teacher.soft_labels import Crew, label
from firmware_bridge.errors import LinkError, UsageError
from helpers import student_workers
from helpers.free_ports import ports
from helpers.moments_teacher import write_folder
from helpers.student_workers import HEADS, PLAN, TINY, TRAIN, WINDOWS, Teacher
from helpers.tf_cluster import described

WORKER = Path(student_workers.__file__)
TOLERANCE, FLIPPED = 1e-4, 2e-3
"""Relative tolerance of a loss. Measured: 2e-5, or 2e-4 where a fake-quantized value moved to the next step."""


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_folder(tmp_path_factory.mktemp("records") / "data", 12)


@pytest.fixture(scope="module")
def labelled(data, tmp_path_factory):
    work = tmp_path_factory.mktemp("work")
    label(work, find_recordings(data), Teacher(), WINDOWS, None, Crew("none"))
    return work


def start_worker(argv: list[object], config: str = "") -> subprocess.Popen[str]:
    root = WORKER.parents[2]
    env = {**os.environ, "PYTHONPATH": f"{root}{os.pathsep}{WORKER.parents[1]}"} | (
        {"TF_CONFIG": config} if config else {}
    )
    return subprocess.Popen(
        [sys.executable, *map(str, argv)], env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def ended(process: subprocess.Popen[str], seconds: float = 300.0) -> tuple[int, str, str]:
    try:
        out, err = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        # TensorFlow handles SIGTERM itself.
        process.kill()
        out, err = process.communicate()
    return process.returncode, out, err


def check_same(found: dict, alone: dict) -> None:
    steps, epochs = (np.abs(np.array(found[k]) / np.array(alone[k]) - 1.0) for k in ("steps", "epochs"))
    assert len(steps) == 3 * 8
    assert len(epochs) == 3
    in_float = 2 * 8
    assert steps[:in_float].max() < TOLERANCE, steps
    assert steps[in_float:].max() < FLIPPED, steps
    assert np.median(steps[in_float:]) < TOLERANCE, steps
    assert epochs.max() < 5 * TOLERANCE, epochs
    assert alone["epochs"][1] < alone["epochs"][0], "the training changed nothing"


@pytest.mark.slow
def test_two_devices_of_one_process_train_like_one(labelled, data, tmp_path):
    process = start_worker([WORKER, labelled, data, tmp_path / "two.json", "mirrored"])
    code, _, err = ended(process)
    assert code == 0, err[-2000:]
    found = json.loads((tmp_path / "two.json").read_text())
    assert found["replicas"] == 2
    check_same(found, found["alone"])


@pytest.mark.slow
def test_two_workers_train_like_one_with_twice_the_batch(labelled, data, tmp_path):
    numbers = ports(2)
    both = [start_worker([WORKER, labelled, data, tmp_path / f"{i}.json"], described(i, numbers)) for i in (0, 1)]
    for process in both:
        code, _, err = ended(process)
        assert code == 0, err[-2000:]
    code, _, err = ended(start_worker([WORKER, labelled, data, tmp_path / "alone.json"]))
    assert code == 0, err[-2000:]
    first, second, alone = (json.loads((tmp_path / f"{n}.json").read_text()) for n in ("0", "1", "alone"))
    assert (first["replicas"], alone["replicas"]) == (2, 1)
    assert first["steps"] == second["steps"], "all workers see the same loss"
    check_same(first, alone)
    assert list((tmp_path / "0.state").glob("*.npz"))
    assert not (tmp_path / "1.state").exists(), "only the chief writes"


class FakeReplicas:
    """Return replicas without TensorFlow."""

    def __init__(self, count: int, worker: int) -> None:
        self.count, self.worker, self.workers, self.chief = count, worker, count, worker == 0
        self.places: list[int] = []

    rows = Replicas.rows

    def local(self):
        return [self.worker]

    def barrier(self, number):
        self.places.append(number)


def distillation(labelled, data, replicas) -> Distillation:
    labels = label(labelled, find_recordings(data), Teacher(), WINDOWS, None, Crew("none"))
    windows = windows_of_labels(labels, np.full((len(labels), 2), np.nan, np.float32))
    windows = windows.take(np.arange(TRAIN))
    return Distillation(TINY, HEADS, windows, windows, labelled, PLAN, None, "k", replicas)


def test_the_rows_of_all_workers_make_up_the_batch(labelled, data):
    alone = distillation(labelled, data, Replicas())
    scaling = scaling_of(HEADS, alone.train.logits(), alone.train.labels.features)
    batches = [batch[0] for batch in alone._batches(scaling, [3, 1, 0])]
    shares = [list(distillation(labelled, data, FakeReplicas(2, w))._batches(scaling, [3, 1, 0])) for w in (0, 1)]
    size = len(batches[0][0])
    assert size % 2 == 0
    assert len(batches) == len(shares[0]) >= 7
    clean = alone.train.inputs()
    assert not all(x.tobytes() in clean.tobytes() for x, _ in batches)
    for i, (x, y) in enumerate(batches):
        np.testing.assert_array_equal(np.concatenate([shares[w][i][w][0] for w in (0, 1)]), x)
        np.testing.assert_array_equal(np.concatenate([shares[w][i][w][1] for w in (0, 1)]), y)
    # A batch that cannot be divided evenly becomes smaller, and its state has another name.
    assert distillation(labelled, data, FakeReplicas(size - 1, 0))._batch() == size - 1
    with pytest.raises(UsageError, match="start fewer"):
        distillation(labelled, data, FakeReplicas(size + 1, 0))._batch()


def test_recorded_random_numbers_disturb_like_their_generator():
    context = np.random.default_rng(1).standard_normal(6112)
    every = Wearable(*[0.5] * 8)
    one, two = np.random.default_rng(7), np.random.default_rng(7)
    for _ in range(5):
        np.testing.assert_array_equal(disturb(context, 1.0, one, every), disturb(context, 1.0, drawn(two, 6112), every))


def test_the_chief_goes_first():
    for worker, wanted in ((0, ["work", 1]), (1, [1, "work"])):
        replicas = FakeReplicas(2, worker)
        assert workers.chief_first(replicas, 1, lambda r=replicas: r.places.append("work") or 5) == 5
        assert replicas.places == wanted
    assert workers.chief_first(None, 1, lambda: 3) == 3
    workers.check_alike(None, "x")
    workers.check_alike(Replicas(), "x")
    workers.farewell(None, 1)


def test_a_lost_worker_gives_a_one_line_error_and_other_faults_pass_through():
    tf = Replicas()._tf
    two = SimpleNamespace(workers=2, chief=True, barrier=None)
    with pytest.raises(LinkError, match="another worker is gone"), workers.together(two):
        raise tf.errors.UnavailableError(None, None, "Collective ops is aborted by: recvmsg: Connection reset by peer")
    with pytest.raises(ZeroDivisionError), workers.together(two):
        raise ZeroDivisionError
    with pytest.raises(tf.errors.UnavailableError), workers.together(None):
        raise tf.errors.UnavailableError(None, None, "x")

    def gone(number):
        raise tf.errors.UnavailableError(None, None, "x")

    workers.farewell(SimpleNamespace(chief=True, barrier=gone), 3)
    with pytest.raises(tf.errors.UnavailableError):
        workers.farewell(SimpleNamespace(chief=False, barrier=gone), 3)


def test_all_workers_start_with_the_state_of_the_chief():
    mine = start({"a": np.ones((2, 3), np.float32), "b": np.float32(4.0) * np.ones((), np.float32)})
    sent = iter([np.arange(4 * 7, dtype=np.float32), np.array([5.0, 0.25])])
    found = agreed(SimpleNamespace(workers=2, chiefs=lambda array: next(sent)), mine)
    assert (found.epoch, found.best_loss) == (5, 0.25)
    assert list(found.weights) == ["a", "b"]
    np.testing.assert_array_equal(found.weights["a"], np.arange(6, dtype=np.float32).reshape(2, 3))
    assert found.weights["b"] == 6.0
    assert found.best["b"] == 27.0
    assert agreed(SimpleNamespace(workers=1), mine) is mine


def test_a_missing_worker_is_named_at_the_rendezvous(monkeypatch):
    one, two = (f"127.0.0.1:{n}" for n in ports(2))
    servers = []

    def come(me):
        meet([one, two], me)
        # As TensorFlow's server does immediately.
        servers.append(socket.create_server(("", int([one, two][me].rpartition(":")[2]))))

    both = [threading.Thread(target=come, args=(me,), daemon=True) for me in (0, 1)]
    for thread in both:
        thread.start()
    for thread in both:
        thread.join(120)
    assert len(servers) == 2
    for server in servers:
        server.close()
    one, two = (f"127.0.0.1:{n}" for n in ports(2))
    monkeypatch.setattr(meeting, "MEET_S", 0.2)
    with pytest.raises(LinkError, match=f"no answer from {two}"):
        meet([one, two], 0)
    with (
        socket.create_server(("", int(one.rpartition(":")[2]))),
        pytest.raises(LinkError, match="cannot listen"),
    ):
        meet([one, two], 0)


def test_a_malformed_tf_config_gives_a_one_line_error(tmp_path, monkeypatch):
    argv = [str(tmp_path / "t.pth"), "--data", str(tmp_path), "--out", str(tmp_path / "b")]
    for text in ("{", '{"cluster": {"worker": ["a:1", "b:70000"]}, "task": {"type": "worker", "index": 0}}'):
        monkeypatch.setenv("TF_CONFIG", text)
        with pytest.raises(UsageError, match="TF_CONFIG"):
            main(argv)
