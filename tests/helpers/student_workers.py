"""A worker of a distillation as a separate process: ``python student_workers.py WORKDIR DATA OUT [mirrored]``.

Writes the loss of every step and the validation loss of every epoch. The environment names the other workers;
``mirrored`` splits this machine's processor into two devices, which stand for two GPUs.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np

from convert.compute.replicas import Replicas, open_replicas
from convert.compute.students import Block, StudentSpec
from convert.compute.tf_runtime import load_tensorflow
from convert.datasets.heads import TeacherHead
from convert.datasets.pairs import find_recordings
from convert.distil import train as distil_train
from convert.distil.train import Distillation, DistilPlan, windows_of_labels
from convert.teacher.soft_labels import Crew, WindowPlan, label

TINY = StudentSpec("tiny", 4, 7, 4, (Block(6, 5, 2), Block(6, 5), Block(8, 3, 2)), 8, 32 * 1024, 16 * 1024)
HEADS = (
    TeacherHead("potassium_high", "potassium", "2823-3", "1", "probability", "high"),
    TeacherHead("potassium", "potassium", "2823-3", "mmol/L", "value", None),
)
TRAIN = 128
"""Number of windows: eight batches of sixteen, which two workers can share."""

PLAN, WINDOWS = DistilPlan(seed=3, float_epochs=2, quant_epochs=1), WindowPlan(0.6, 24)


class Teacher:
    """A teacher whose outputs are determined by the window."""

    name, sha256, identity, heads, features, licence = "moments", "0" * 64, "0", HEADS, 3, "MIT"

    def label(self, window):
        sd = window.std()
        logits = [np.abs(window).max() / sd, window[:2500].std() / sd]
        return np.array(logits, np.float32), np.array([window.mean(), sd, window[0]], np.float32)


def mirrored() -> Replicas:
    tf = load_tensorflow()
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    return Replicas(tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]))


def curve(workdir: Path, data: Path, replicas: Replicas, state: Path) -> dict[str, list[float]]:
    """Train and return the losses."""
    recordings = find_recordings(data)
    labels = label(workdir, recordings, Teacher(), WINDOWS, None, Crew("none"))
    hard = np.full((len(labels), len(HEADS)), np.nan, np.float32)
    # Some windows have results, unevenly: they must be counted over all replicas.
    hard[::3, 0], hard[::5, 1] = np.arange(len(hard[::3])) % 2, labels.logits[::5, 1] + 0.02
    windows = windows_of_labels(labels, hard)
    rows = np.random.default_rng(0).permutation(len(labels))
    found: dict[str, list[float]] = {"steps": [], "epochs": []}
    run_epoch = distil_train.DistilTrainer.run_epoch

    def recorded(self, batches, validation, each):
        step = self._step
        self._step = lambda *args: found["steps"].append(float(step(*args)))
        found["epochs"].append(run_epoch(self, batches, validation, each))
        self._step = step
        return found["epochs"][-1]

    distil_train.DistilTrainer.run_epoch = recorded
    # So few steps at the usual learning rates are chaotic: a rounding difference doubles with every step.
    distil_train.FLOAT_RATE, distil_train.QUANT_RATE = 1e-3, 1e-4
    parts = windows.take(rows[:TRAIN]), windows.take(rows[TRAIN:])
    Distillation(TINY, HEADS, *parts, state, PLAN, None, "k", replicas).run()
    distil_train.DistilTrainer.run_epoch = run_epoch
    return found


if __name__ == "__main__":
    workdir, data, out = map(Path, sys.argv[1:4])
    who = mirrored() if sys.argv[4:] == ["mirrored"] else open_replicas()
    found = {"replicas": who.count, **curve(workdir, data, who, out.with_suffix(".state"))}
    if sys.argv[4:] == ["mirrored"]:
        found["alone"] = curve(workdir, data, Replicas(), out.with_suffix(".alone"))
    out.write_text(json.dumps(found))
