"""`anyecg finetune`: the written teacher is the trained network, also after interruptions and with several workers."""

from __future__ import annotations

import csv
import json
import os
import shutil
import signal
import struct
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from helpers.free_ports import ports

pytest.importorskip("tensorflow")

from convert.checkpoint.keras_file import read_keras_teacher
from convert.checkpoint.load import net1d_from_checkpoint
from convert.checkpoint.net1d import net1d_from_tensors
from convert.checkpoint.reader import read_checkpoint
from convert.checkpoint.spec import is_norm
from convert.compute.replicas import Replicas
from convert.datasets.outputs_file import read_outputs
from convert.datasets.prepared import PreparedDataset
from convert.finetune.augment import Augmentation
from convert.finetune.batches import Reader, all_rows
from convert.finetune.init import InitOptions
from convert.finetune.options import FinetuneOptions
from convert.finetune.run import finetune
from convert.simulate.write import CohortPlan, write_cohort
from edge.cli.main import main
from firmware_bridge.errors import InputError, UsageError

GOLDEN = Path(__file__).parents[3] / "golden" / "data"
LABELS = """
[heads]
min_values = 6
min_positives = 1
[labs.potassium]
[labs.hemoglobin]
[labs.sodium]
"""
TINY = InitOptions("scratch", "tiny")
QUICK = FinetuneOptions(TINY, epochs=3, batch=16, rate=3e-3, average=0.8)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory) -> PreparedDataset:
    root = tmp_path_factory.mktemp("finetune")
    write_cohort(CohortPlan(patients=30, seed=5, seconds=30.0), root / "cohort")
    (root / "labels.toml").write_text(LABELS)
    out = root / "prepared"
    given = ["--mcmed", str(root / "cohort"), "--labels", str(root / "labels.toml"), "--out", str(out), "--quiet"]
    assert main(["prepare", *given, "--patients-per-shard", "4"]) == 0
    return PreparedDataset(out)


@pytest.fixture(scope="module")
def trained(prepared, tmp_path_factory) -> tuple[Path, dict]:
    out = tmp_path_factory.mktemp("trained") / "teacher"
    return out, finetune(prepared, out, QUICK, Replicas(), None)


def losses(folder: Path) -> np.ndarray:
    with (folder / "loss.csv").open() as file:
        return np.array([float(row["loss"]) for row in csv.DictReader(file)])


def some(prepared: PreparedDataset) -> np.ndarray:
    return Reader(prepared).segments(all_rows(prepared, "val").take(slice(0, 5)))


def test_the_output_files_belong_together(prepared, trained):
    out, report = trained
    assert json.loads((out / "finetune.json").read_text()) == json.loads(json.dumps(report))
    assert len(report["history"]) == 3
    assert "no medical device" in report["notice"]
    assert report["history"][-1]["loss"] < report["history"][0]["loss"]
    heads = read_outputs(out / "outputs.json")
    assert [h["key"] for h in heads] == [h.key for h in prepared.heads]
    assert {h["horizon_min"] for h in heads} > {None, 60}
    assert json.loads((out / "labels.json").read_text())["plan"] == prepared.manifest["plan"]
    assert all(d < 1e-4 for d in report["read_back"].values())
    assert (out / "loss.svg").read_text().lstrip().startswith("<?xml")


def test_both_files_have_the_same_network(prepared, trained):
    out, _ = trained
    pth = net1d_from_checkpoint(out / "teacher.pth", use_bn=True)
    kept = read_keras_teacher(out / "teacher.keras")
    x = some(prepared)
    again = net1d_from_tensors(kept, use_bn=True)
    np.testing.assert_allclose(pth(x)["logits"], again(x)["logits"], atol=1e-4)
    facts = read_checkpoint(out / "teacher.pth").facts
    assert (facts["stride"], facts["use_bn"]) == (2, 1)
    assert kept.facts == {"stride": 2, "use_bn": 1}


def test_values_are_in_the_units_of_the_laboratory(prepared, trained):
    out, _ = trained
    rows = all_rows(prepared, "train")
    logits = np.asarray(
        net1d_from_checkpoint(out / "teacher.pth", use_bn=True)(Reader(prepared).segments(rows))["logits"]
    )
    for j, head in enumerate(prepared.heads):
        if head.kind == "value":
            assert abs(np.median(logits[:, j]) - head.median) < 2 * head.iqr
            assert head.key != "sodium_value" or 100 < np.median(logits[:, j]) < 180


def test_probabilities_match_the_prevalence_although_positives_count_more(prepared, tmp_path):
    """With nothing to learn, the network outputs the prior, without the weight of the positives."""
    still = InitOptions("scratch", "tiny", use_bn=False)
    options = FinetuneOptions(still, epochs=5, patience=1, batch=16, rate=0.0, decay=0.0, most_positive_weight=10.0)
    report = finetune(prepared, tmp_path / "t", options, Replicas(), None)
    assert len(report["history"]) == 2, "the training ended after one epoch without a better score"
    tensors = read_checkpoint(tmp_path / "t" / "teacher.pth").tensors
    for j, head in enumerate(prepared.heads):
        counts = next(h for h in prepared.manifest["heads"] if h["key"] == head.key)["counts"]["train"]
        if head.kind == "probability":
            p = 1 / (1 + np.exp(-tensors["dense.bias"][j]))
            assert p == pytest.approx(counts["positive_segments"] / counts["segments"], abs=0.02)


@pytest.mark.slow
def test_passes_change_the_memory_and_not_the_results(prepared, tmp_path):
    plain = FinetuneOptions(InitOptions("scratch", "tiny", use_bn=False), epochs=1, batch=16, rate=3e-3)
    finetune(prepared, tmp_path / "one", plain, Replicas(), None)
    cut = FinetuneOptions(plain.init, epochs=1, batch=16, rate=3e-3, passes=4)
    finetune(prepared, tmp_path / "cut", cut, Replicas(), None)
    np.testing.assert_allclose(losses(tmp_path / "cut"), losses(tmp_path / "one"), rtol=1e-5)


@pytest.mark.parametrize(
    ("name", "mode"),
    [
        ("net1d_1lead", "probe"),
        *(
            pytest.param(name, mode, marks=pytest.mark.slow)
            for name, mode in (
                ("net1d_1lead", "full"),
                ("net1d_12lead_ratio_half", "full"),
                ("net1d_1lead_bn", "full"),
                ("net1d_1lead_bn", "probe"),
                ("net1d_12lead_ratio_half", "probe"),
            )
        ),
    ],
)
def test_the_golden_checkpoints_are_fine_tuned(prepared, tmp_path, mode, name):
    """The output has the names and shapes of ECGFounder's checkpoint, and a probe does not change the trunk."""
    init = InitOptions(str(GOLDEN / f"{name}.pth"), use_bn=name.endswith("_bn"))
    options = FinetuneOptions(init, mode=mode, epochs=1, batch=16, segments_per_visit=1, val_segments=8)
    report = finetune(prepared, tmp_path / "t", options, Replicas(), None)
    before, after = (
        read_checkpoint(GOLDEN / f"{name}.pth").tensors,
        read_checkpoint(tmp_path / "t" / "teacher.pth").tensors,
    )
    assert set(after) == set(before)
    spec = net1d_from_checkpoint(GOLDEN / f"{name}.pth", use_bn=init.use_bn).spec
    idle = {key for key in before if (is_norm(key) and not init.use_bn) or ".0.block_list.0.bn1." in key}
    for key in set(before) - {"dense.weight", "dense.bias", "first_conv.conv.weight"}:
        assert after[key].shape == before[key].shape == spec.shapes()[key]
        if mode == "probe" and key not in idle and not key.endswith("num_batches_tracked"):
            np.testing.assert_array_equal(after[key], before[key], err_msg=key)
    lead = slice(1, 2) if "12lead" in name else slice(0, 1)
    if mode == "probe":
        np.testing.assert_array_equal(after["first_conv.conv.weight"], before["first_conv.conv.weight"][:, lead])
        assert np.abs(after["dense.weight"]).max() > 0
    else:
        moved = np.abs(
            after["stage_list.0.block_list.0.conv2.conv.weight"] - before["stage_list.0.block_list.0.conv2.conv.weight"]
        )
        assert moved.max() > 0
    assert bool(report["init"]["remarks"]) == ("12lead" in name)
    assert all(d < 1e-4 for d in report["read_back"].values())


def test_one_lead_of_a_twelve_lead_checkpoint_is_used(prepared, tmp_path):
    from convert.finetune.init import open_start

    path = GOLDEN / "net1d_12lead_ratio_half.pth"
    whole = net1d_from_checkpoint(path)
    x = np.zeros((2, 1000, 12), np.float32)
    x[:, :, 1] = np.random.default_rng(1).standard_normal((2, 1000))
    start = open_start(InitOptions(str(path)), whole.spec.n_classes)
    from convert.finetune.init import build

    one = build(start, np.zeros(whole.spec.n_classes, np.float32), 1)
    np.testing.assert_allclose(one(x[:, :, 1:2])["features"], whole(x)["features"], atol=1e-5)


def command(prepared: PreparedDataset, out: Path, *more: str) -> list[str]:
    given = ["--init", "scratch", "--shape", "tiny", "--rate", "0.003", "--epochs", "3", "--batch", "16"]
    given += ["--average", "0.8"]
    return [
        sys.executable,
        "-m",
        "edge.cli",
        "finetune",
        *given,
        "--data",
        str(prepared.folder),
        "--out",
        str(out),
        *more,
    ]


def assert_same_teacher(found: Path, wanted: Path) -> None:
    for name in ("teacher.pth", "finetune.json", "loss.csv", "outputs.json"):
        assert (found / name).read_bytes() == (wanted / name).read_bytes(), name


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_run_resumes_with_the_same_bytes(prepared, trained, tmp_path, number):
    # On a busy machine a run may end before it is killed; then another one is started.
    for attempt in range(5):
        out = tmp_path / f"again-{attempt}"
        argv = [*command(prepared, out, "--quiet"), "--save-minutes", "0"]
        process = subprocess.Popen(argv, stderr=subprocess.DEVNULL)
        state = out / "states" / "state.npz"
        while not state.is_file() and process.poll() is None:
            time.sleep(0.01)
        process.send_signal(number)
        code = process.wait(120)
        if not (out / "finetune.json").is_file():
            break
    else:
        pytest.fail("every run ended before it was killed, so the test shows nothing")
    assert code == (143 if number == signal.SIGTERM else -number)
    finetune(prepared, out, QUICK, Replicas(), None)
    assert_same_teacher(out, trained[0])


def test_a_finished_run_is_neither_repeated_nor_overwritten(prepared, trained, tmp_path, capsys):
    out, report = trained
    stamp = (out / "teacher.pth").stat().st_mtime_ns
    assert finetune(prepared, out, QUICK, Replicas(), None)["key"] == report["key"]
    assert (out / "teacher.pth").stat().st_mtime_ns == stamp
    with pytest.raises(UsageError, match="another teacher"):
        finetune(prepared, out, FinetuneOptions(TINY, epochs=2, batch=16), Replicas(), None)


def test_a_state_of_another_run_is_refused(prepared, trained, tmp_path):
    shutil.copytree(trained[0] / "states", tmp_path / "t" / "states")
    with pytest.raises(InputError, match="other options"):
        finetune(prepared, tmp_path / "t", FinetuneOptions(TINY, epochs=3, batch=8), Replicas(), None)
    (tmp_path / "t" / "states" / "state.npz").write_bytes(b"PK\x03\x04 torn")
    with pytest.raises(InputError, match="not a training state"):
        finetune(prepared, tmp_path / "t", QUICK, Replicas(), None)


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
@pytest.mark.parametrize("mode", ["full", "probe"])
def test_half_precision_trains_and_writes_float32(prepared, trained, tmp_path, precision, mode):
    init = InitOptions(str(trained[0])) if mode == "probe" else TINY
    options = FinetuneOptions(init, mode=mode, epochs=2, batch=16, rate=3e-3, precision=precision)
    report = finetune(prepared, tmp_path / "t", options, Replicas(), None)
    assert report["history"][1]["loss"] < report["history"][0]["loss"]
    tensors = read_checkpoint(tmp_path / "t" / "teacher.pth").tensors
    assert tensors["first_conv.conv.weight"].dtype == np.float32
    import keras

    assert keras.config.dtype_policy().name == "float32"


@pytest.mark.slow
@pytest.mark.parametrize("bn", ["on", "off"])
def test_two_workers_train_like_one_with_twice_the_batch(prepared, tmp_path, bn):
    more = ["--bn", bn, "--quiet", "--clip", "0.5"]
    subprocess.run(command(prepared, tmp_path / "one", *more), check=True)
    hosts = [f"127.0.0.1:{port}" for port in ports(2)]
    workers = []
    for index in range(2):
        description = json.dumps({"cluster": {"worker": hosts}, "task": {"type": "worker", "index": index}})
        environment = {**os.environ, "TF_CONFIG": description}
        workers.append(subprocess.Popen(command(prepared, tmp_path / "two", *more), env=environment))
    assert [w.wait(500) for w in workers] == [0, 0]
    one, two = losses(tmp_path / "one"), losses(tmp_path / "two")
    assert len(one) > 5
    np.testing.assert_allclose(two, one, rtol=1e-5)


MIRRORED = """
import sys
from convert.compute.tf_runtime import load_tensorflow, use_whole_machine
use_whole_machine()
tf = load_tensorflow()
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
from pathlib import Path
from convert.compute.replicas import Replicas
from convert.finetune.run import finetune
from convert.finetune.init import InitOptions
from convert.finetune.options import FinetuneOptions
from convert.datasets.prepared import PreparedDataset
replicas = Replicas(tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]))
assert replicas.count == 2
options = FinetuneOptions(InitOptions("scratch", "tiny"), epochs=3, batch=16, rate=3e-3, average=0.8)
finetune(PreparedDataset(sys.argv[1]), Path(sys.argv[2]), options, replicas, None)
"""


@pytest.mark.slow
def test_two_devices_of_one_machine_train_like_one(prepared, trained, tmp_path):
    subprocess.run([sys.executable, "-c", MIRRORED, str(prepared.folder), str(tmp_path / "two")], check=True)
    np.testing.assert_allclose(losses(tmp_path / "two"), losses(trained[0]), rtol=1e-5)


@pytest.mark.slow
def test_a_lost_worker_ends_the_others_with_a_one_line_error_and_keeps_the_states(prepared, tmp_path):
    hosts = [f"127.0.0.1:{port}" for port in ports(2)]
    more = ["--epochs", "500", "--patience", "500", "--save-minutes", "0"]
    workers = []
    for index in range(2):
        description = json.dumps({"cluster": {"worker": hosts}, "task": {"type": "worker", "index": index}})
        workers.append(
            subprocess.Popen(
                command(prepared, tmp_path / "t", *more),
                env={**os.environ, "TF_CONFIG": description},
                stderr=subprocess.PIPE,
                text=True,
            )
        )
    state = tmp_path / "t" / "states" / "state.npz"
    while not state.is_file() and workers[0].poll() is None:
        time.sleep(0.05)
    workers[1].kill()
    _, err = workers[0].communicate(timeout=500)
    workers[1].communicate()
    assert workers[0].returncode == 5
    assert err.strip().splitlines()[-1].startswith("anyecg: another worker is gone")
    from convert.finetune.step import load_progress

    key = json.loads(np.load(state)["facts"].tobytes())["key"]
    assert load_progress(state, key) is not None


def test_tensorboard_reads_the_log(trained):
    """Read the framing of the event file: length, checksum, record, checksum."""
    (path,) = (trained[0] / "tensorboard").glob("events.out.tfevents.*")
    data, tags, at = path.read_bytes(), b"", 0
    while at < len(data):
        (length,) = struct.unpack_from("<Q", data, at)
        tags += data[at + 12 : at + 12 + length]
        at += length + 16
    assert at == len(data)
    for tag in (b"train/loss", b"epoch/val_loss", b"scalars"):
        assert tag in tags


def test_all_seen_patients_are_listed(prepared, trained):
    listed = json.loads((trained[0] / "patients.json").read_text())
    assert set(listed["parts"]) == {"train", "val"}
    assert all(listed["parts"].values())
    assert listed["schema"] == "anyecg.patients/1"


def test_a_probe_needs_a_checkpoint():
    with pytest.raises(UsageError, match="probe needs a checkpoint"):
        FinetuneOptions(TINY, mode="probe")


@pytest.mark.parametrize(
    "bad",
    [
        {"epochs": 0},
        {"batch": 0},
        {"rate": float("nan")},
        {"rate": -1.0},
        {"decay": -1.0},
        {"most_positive_weight": 0.5},
    ],
)
def test_settings_are_checked(bad):
    with pytest.raises(UsageError):
        FinetuneOptions(TINY, **bad)


@pytest.mark.slow
def test_a_diverging_training_gives_an_error(prepared, tmp_path):
    options = FinetuneOptions(TINY, epochs=3, batch=16, rate=1e30, augmentation=Augmentation())
    with pytest.raises(InputError, match="diverged"):
        finetune(prepared, tmp_path / "t", options, Replicas(), None)


def test_more_passes_than_segments_are_refused(prepared, tmp_path):
    with pytest.raises(InputError, match="too few for"):
        finetune(prepared, tmp_path / "t", FinetuneOptions(TINY, passes=100_000), Replicas(), None)


@pytest.mark.parametrize(
    ("change", "code", "expected"),
    [
        (["--data", "nowhere"], 3, "not a prepared data set"),
        (["--init", "nowhere.pth"], 3, "no such checkpoint: nowhere.pth"),
        (["--shape", "huge"], 2, "huge"),
        (["--bogus"], 2, "--bogus"),
        (["--batch", "many"], 2, "many"),
        (["--lead", "V9"], 2, "V9"),
    ],
)
def test_wrong_input_gives_a_one_line_error(prepared, tmp_path, capsys, monkeypatch, change, code, expected):
    monkeypatch.chdir(tmp_path)
    given = ["--init", "scratch", "--data", str(prepared.folder), "--out", "t", "--quiet", *change]
    try:
        found = main(["finetune", *given])
    except SystemExit as error:
        found = error.code
    err = capsys.readouterr().err
    assert found == code
    assert expected in err
    assert "Traceback" not in err


def test_a_stopped_run_and_a_full_disk_lose_nothing(prepared, trained, tmp_path, monkeypatch):
    """SIGTERM at the first state, then no room for the teacher: each time the run goes on and gives the same bytes."""
    import convert.finetune.epochs as epochs
    import convert.finetune.export as export
    from firmware_bridge.errors import OutputError

    out, saved, save = tmp_path / "t", [], epochs.save_progress

    def save_and_stop(*args, **kwargs):
        save(*args, **kwargs)
        saved.append(args)
        os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(epochs, "save_progress", save_and_stop)
    with pytest.raises(SystemExit) as stopped:
        finetune(prepared, out, QUICK, Replicas(), None, 0.0)
    assert stopped.value.code == 143
    assert not (out / "finetune.json").exists()
    monkeypatch.undo()

    def full(*args, **kwargs):
        raise OutputError("cannot write x: No space left on device")

    monkeypatch.setattr(export, "write_checkpoint", full)
    with pytest.raises(OutputError):
        finetune(prepared, out, QUICK, Replicas(), None)
    assert (out / "states" / "state.npz").is_file()
    monkeypatch.undo()
    finetune(prepared, out, QUICK, Replicas(), None)
    assert_same_teacher(out, trained[0])


def test_a_keras_teacher_is_accepted_in_place_of_a_checkpoint(trained, prepared, tmp_path, capsys):
    out, _ = trained
    assert main(["convert", "inspect", str(out / "teacher.keras")]) == 0
    kept = capsys.readouterr().out
    assert main(["convert", "inspect", str(out)]) == 0
    other = capsys.readouterr().out
    for what in ("network", "filters", "kernel", "normalised", "parameters", "heads"):
        (line,) = (text for text in kept.splitlines() if text.startswith(what))
        assert line in other.splitlines()
    init = InitOptions(str(out / "teacher.keras"))
    report = finetune(
        prepared, tmp_path / "t", FinetuneOptions(init, mode="probe", epochs=1, batch=16), Replicas(), None
    )
    assert report["network"]["use_bn"]


def forward_by_torch(torch, state: dict, x, *, use_bn: bool, groups_width: int, kernel: int, stride: int = 2):
    """ECGFounder's network in PyTorch, built from a state dict by the layout of its keys."""
    f = torch.nn.functional

    def same(y, name, step, groups=1):
        weight = state[f"{name}.weight"]
        n, k = y.shape[-1], weight.shape[-1]
        pad = max(0, (-(-n // step) - 1) * step + k - n)
        return f.conv1d(f.pad(y, (pad // 2, pad - pad // 2)), weight, state[f"{name}.bias"], step, groups=groups)

    def norm(y, name):
        if not use_bn:
            return y
        mean, var = state[f"{name}.running_mean"], state[f"{name}.running_var"]
        return f.batch_norm(y, mean, var, state[f"{name}.weight"], state[f"{name}.bias"])

    y = f.silu(norm(same(x, "first_conv.conv", 2), "first_bn"))
    places = {tuple(map(int, (key.split(".")[1], key.split(".")[3]))) for key in state if key.startswith("stage_list")}
    for s, b in sorted(places):
        at, z, step = f"stage_list.{s}.block_list.{b}", y, stride if b == 0 else 1
        if (s, b) != (0, 0):
            z = f.silu(norm(z, f"{at}.bn1"))
        z = f.silu(norm(same(z, f"{at}.conv1.conv", 1), f"{at}.bn2"))
        cout = state[f"{at}.conv3.conv.weight"].shape[0]
        z = f.silu(norm(same(z, f"{at}.conv2.conv", step, cout // groups_width), f"{at}.bn3"))
        z = same(z, f"{at}.conv3.conv", 1)
        gate = f.silu(f.linear(z.mean(-1), state[f"{at}.se_fc1.weight"], state[f"{at}.se_fc1.bias"]))
        gate = torch.sigmoid(f.linear(gate, state[f"{at}.se_fc2.weight"], state[f"{at}.se_fc2.bias"]))
        if b == 0:
            y = f.max_pool1d(f.pad(y, ((stride - 1) // 2, stride - 1 - (stride - 1) // 2)), stride)
        wider = cout - y.shape[1]
        y = z * gate[:, :, None] + f.pad(y, (0, 0, wider // 2, wider - wider // 2))
    assert kernel == state["first_conv.conv.weight"].shape[-1]
    return f.linear(y.mean(-1), state["dense.weight"], state["dense.bias"])


def test_pytorch_reads_the_same_logits(prepared, trained):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed, and never needed")
    out, _ = trained
    loaded = torch.load(out / "teacher.pth", weights_only=True)
    assert {"epoch", "step", "state_dict"} <= set(loaded)
    x = some(prepared)
    net = net1d_from_checkpoint(out / "teacher.pth", use_bn=True)
    wanted = np.asarray(net(x)["logits"])
    with torch.no_grad():
        found = forward_by_torch(
            torch, loaded["state_dict"], torch.from_numpy(x[:, None]), use_bn=True, groups_width=8, kernel=16
        ).numpy()
    np.testing.assert_allclose(found, wanted, atol=1e-4)


@pytest.mark.parametrize("damage", [b"", b"PK\x03\x04 torn", b"\x93NUMPY", bytes(4000)])
def test_damaged_features_are_computed_again(prepared, trained, tmp_path, damage):
    from convert.finetune.networks import FeatureReader

    reader = FeatureReader(prepared, tmp_path, "key")
    net = net1d_from_checkpoint(trained[0] / "teacher.pth", use_bn=True)
    (name,) = prepared.names("val")[:1]
    reader.compute(net, [name], Replicas(), None)
    whole = (tmp_path / f"{name}.npz").read_bytes()
    for torn in (damage, whole[: len(whole) // 2]):
        (tmp_path / f"{name}.npz").write_bytes(torn)
        FeatureReader(prepared, tmp_path, "key").compute(net, [name], Replicas(), None)
        with np.load(tmp_path / f"{name}.npz") as found:
            assert len(found["features"]) == len(prepared.shard(name))
