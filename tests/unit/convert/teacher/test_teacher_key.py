"""``--key`` chooses a network everywhere, and two networks of one file are two teachers."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from calibration.evaluate.teacher import TeacherOptions
from calibration.evaluate.teacher import open_teacher as open_for_evaluation
from convert.checkpoint.spec import Net1DSpec, check_one_lead
from convert.cli.parity import _core
from convert.finetune.init import InitOptions, open_start
from convert.foundation.records import network_entry
from convert.teacher import open as teachers
from convert.teacher.place import checkpoint_at, read_network
from edge.cli.main import main as anyecg
from firmware_bridge.errors import BundleError, InputError
from helpers.torch_files import TINY, tensors, tiny_state, write_zip

STATE, OTHER = tiny_state(0), tiny_state(1)
GOLDEN = Path(__file__).parents[3] / "golden" / "data"
TWELVE = GOLDEN / "net1d_12lead_ratio_half.pth"


@pytest.fixture
def twins(tmp_path: Path) -> Path:
    heads = [{"key": f"h{i}", "lab": "x", "kind": "probability", "direction": "high"} for i in range(3)]
    (tmp_path / "outputs.json").write_text(json.dumps({"outputs": heads}))
    return write_zip(tmp_path / "twins.pth", {"model": tensors(STATE), "model_ema": tensors(OTHER)})


def line_of(capsys: pytest.CaptureFixture[str], *argv: object) -> str:
    assert anyecg([str(a) for a in argv]) == 3
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("anyecg: ")]
    assert len(lines) == 1
    return lines[0]


def test_a_training_starts_from_the_chosen_network(twins: Path) -> None:
    name = "first_conv.conv.weight"
    for key, state in (("model", STATE), ("model_ema", OTHER)):
        start = open_start(InitOptions(str(twins), key=key), 5)
        np.testing.assert_array_equal(start.tensors[name], state[name])
        assert "beside the network were left out" in " ".join(start.remarks)
    with pytest.raises(InputError, match="--key"):
        open_start(InitOptions(str(twins)), 5)


def test_a_conversion_asks_for_the_key(twins: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    argv = ("convert", "foundation", twins, "--data", tmp_path, "--out", tmp_path / "b")
    assert "holds 2 complete networks: model, model_ema" in line_of(capsys, *argv)
    # With the key, the next thing that is missing is the data.
    assert "holds no recording" in line_of(capsys, *argv, "--key", "model_ema")
    assert "no network under 'x'" in line_of(capsys, *argv, "--key", "x")


def test_two_networks_of_one_file_are_two_teachers(twins: Path) -> None:
    first, second = (open_for_evaluation(twins, TeacherOptions(key=key)) for key in ("model", "model_ema"))
    assert first.sha256 == second.sha256
    assert first.identity != second.identity


def test_labels_of_two_networks_of_one_file_are_not_mixed(
    twins: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The exported models of an earlier run stand in, so nothing is exported."""
    kept: list[Path] = []

    def read_kept(path: Path) -> bytes:
        kept.append(path)
        return b"model"

    monkeypatch.setattr(teachers, "read_kept", read_kept)
    monkeypatch.setattr(teachers, "LiteRtTeacher", lambda *_, identity: identity)
    first, second = (
        teachers.open_teacher(twins, teachers.CheckpointOptions(key=key), tmp_path) for key in ("model", "model_ema")
    )
    assert first != second
    assert kept[0] != kept[1]


def test_the_manifest_holds_the_key_and_parity_uses_it(twins: Path) -> None:
    assert network_entry(TINY, None) == {"stride": 2, "use_bn": False}
    bundle: Any = SimpleNamespace(path="b", manifest=SimpleNamespace(tier="foundation"))
    scaling: Any = SimpleNamespace(lines=())
    manifest: dict[str, Any] = {"network": network_entry(TINY, "model_ema"), "teacher": {"sha256": "0" * 64}}
    with pytest.raises(InputError, match="was not made from the checkpoint"):
        _core(bundle, manifest, scaling, twins)
    with pytest.raises(InputError, match="2 complete networks"):
        _core(bundle, {**manifest, "network": {}}, scaling, twins)
    with pytest.raises(BundleError, match=r"manifest\.network"):
        _core(bundle, {**manifest, "network": {"key": 5}}, scaling, twins)


def test_read_network(twins: Path) -> None:
    checkpoint, spec = read_network(twins, None, None, "model")
    assert spec == TINY
    np.testing.assert_array_equal(checkpoint.tensors["dense.bias"], STATE["dense.bias"])
    assert read_network(twins, 3, True, "model")[1].stride == 3


# Networks of several leads -------------------------------------------------------------------------------------------


def test_twelve_leads_get_the_command_that_makes_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, spec = read_network(TWELVE, None, None)
    heads = [{"key": f"h{i}", "lab": "x", "kind": "probability"} for i in range(spec.n_classes)]
    (tmp_path / "o.json").write_text(json.dumps({"outputs": heads}))
    argv = ("--outputs", tmp_path / "o.json", "--data", tmp_path, "--out", tmp_path / "b")
    line = line_of(capsys, "convert", "foundation", TWELVE, *argv)
    assert "reads 12 leads, but a patch has one" in line
    assert f"anyecg finetune --init {TWELVE} --lead II" in line
    assert anyecg(["convert", "inspect", str(TWELVE)]) == 0
    assert "12 lead(s)" in capsys.readouterr().out


def test_other_numbers_of_leads() -> None:
    check_one_lead(Net1DSpec(1), Path("x"))
    with pytest.raises(InputError, match=r"reads 3 leads, but a patch has one \(give a one-lead checkpoint\)"):
        check_one_lead(Net1DSpec(3), Path("x"))


# Folders -------------------------------------------------------------------------------------------------------------


def test_folders_without_a_teacher(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no teacher\.pth in the folder"):
        checkpoint_at(tmp_path)
    (tmp_path / "model.safetensors").touch()
    with pytest.raises(InputError, match=r"give the file itself, such as .*model\.safetensors"):
        checkpoint_at(tmp_path)
    (tmp_path / "teacher.pth").touch()
    assert checkpoint_at(tmp_path) == tmp_path / "teacher.pth"
