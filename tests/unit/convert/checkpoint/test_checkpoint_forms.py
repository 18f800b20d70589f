"""Every form in which people have a checkpoint: it is read to the bit, or one line says what it is and what to do.

``data/`` was written by PyTorch 2.13.0 and safetensors 0.8.0 from a network of one block: ``legacy.pth`` with
``torch.save(..., _use_new_zipfile_serialization=False)`` from ``{"epoch": 3, "state_dict": ...}`` with the prefix
``module.``, ``module.pth`` with ``torch.save(model)``, ``bf16.pth`` and ``bf16.safetensors`` from the bare state dict
in bfloat16. Value j of tensor i is ((7 j + 13 i) mod 31 - 15) / 8, which every type holds exactly; a counter is i.
"""

from __future__ import annotations

import gzip
import json
import pickle
import struct
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from convert.checkpoint import legacy, safetensors_file
from convert.checkpoint.reader import read_checkpoint
from convert.checkpoint.spec import spec_from_tensors
from convert.checkpoint.tensors import Checkpoint
from firmware_bridge.errors import InputError, MissingExtraError, UsageError
from helpers.torch_files import (
    TINY,
    Call,
    Name,
    Object,
    Tensor,
    module,
    read_back,
    script,
    tensors,
    tiny_state,
    write_legacy,
    write_safetensors,
    write_zip,
)

DATA = Path(__file__).parent / "data"
STATE = tiny_state()
CODES = ("f4", "f8", "f2", "bf16")


def check(found: Checkpoint, code: str = "f4", state: dict[str, np.ndarray] = STATE) -> None:
    """The tensors are those of the network, to the bit, and the network accepts them."""
    assert set(found.tensors) == set(state)
    for name, value in state.items():
        expected = read_back(value, code)
        assert found.tensors[name].dtype == expected.dtype, name
        assert found.tensors[name].shape == expected.shape, name
        assert found.tensors[name].tobytes() == expected.tobytes(), name
    assert spec_from_tensors(found.tensors, "x", stride=2, use_bn=False) == TINY


def refused(path: Path, *parts: str) -> str:
    with pytest.raises(InputError) as caught:
        read_checkpoint(path)
    message = str(caught.value)
    for part in (path.name, *parts):
        assert part in message
    assert "\n" not in message
    assert caught.value.fix
    return message


# Files by PyTorch and safetensors ------------------------------------------------------------------------------------


def exact_state() -> dict[str, np.ndarray]:
    out = {}
    for i, (name, shape) in enumerate(TINY.shapes().items()):
        ramp = ((np.arange(max(1, int(np.prod(shape)))) * 7 + 13 * i) % 31 - 15) / 8
        out[name] = ramp.astype(np.float32).reshape(shape) if shape else np.array(i, np.int64)
    return out


@pytest.mark.parametrize("name", ["legacy.pth", "module.pth", "bf16.pth", "bf16.safetensors"])
def test_files_by_the_libraries_themselves(name: str) -> None:
    found = read_checkpoint(DATA / name)
    check(found, state=exact_state())
    assert found.facts == ({"epoch": 3} if name in {"legacy.pth", "bf16.safetensors"} else {})


# Types ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("untyped", [False, True])
def test_types_of_the_zip_format(tmp_path: Path, code: str, untyped: bool) -> None:
    check(read_checkpoint(write_zip(tmp_path / "a.pth", tensors(STATE, code), untyped=untyped)), code)


@pytest.mark.parametrize("code", CODES)
def test_types_of_the_old_format(tmp_path: Path, code: str) -> None:
    found = read_checkpoint(write_legacy(tmp_path / "a.pth", {"epoch": 7, "state_dict": tensors(STATE, code)}))
    check(found, code)
    assert found.layout == "state_dict"
    assert found.facts == {"epoch": 7}
    assert "the file has the format of PyTorch before 1.6" in found.oddities


@pytest.mark.parametrize("code", CODES)
def test_types_of_safetensors(tmp_path: Path, code: str) -> None:
    metadata = {"epoch": "7", "val_auroc": "0.71", "format": "pt", "long": "x" * 300, "bad": "a\x1bb"}
    found = read_checkpoint(write_safetensors(tmp_path / "a.safetensors", tensors(STATE, code), metadata))
    check(found, code)
    assert found.facts == {"epoch": 7, "val_auroc": 0.71, "format": "pt", "bad": "a?b"}
    assert found.layout == "bare"


def test_a_type_that_cannot_be_skipped_in_the_old_format(tmp_path: Path) -> None:
    raw = write_legacy(tmp_path / "a.pth", tensors(STATE)).read_bytes()
    (tmp_path / "a.pth").write_bytes(raw.replace(b"ctorch\nFloatStorage", b"ctorch\nQInt8Storage"))
    refused(tmp_path / "a.pth", "QInt8Storage", "torch.save(")


def test_quantized_and_sparse_tensors_are_named(tmp_path: Path) -> None:
    for call in ("_rebuild_qtensor", "_rebuild_sparse_tensor"):
        state = tensors(STATE) | {"dense.weight": Call(Name("torch._utils", call), (1, 2))}
        refused(write_zip(tmp_path / "a.pth", state), "dense.weight is a", call.removeprefix("_rebuild_"), "float()")
    refused(write_zip(tmp_path / "b.pth", {"w": Call(Name("torch._utils", "_rebuild_qtensor"))}), "w is a qtensor")


def test_a_tensor_with_attributes_of_its_own(tmp_path: Path) -> None:
    inner = Name("torch._utils", "_rebuild_tensor_v2")
    call = Call(Name("torch._tensor", "_rebuild_from_type_v2"), (inner, Name("torch", "Tensor"), (), {}))
    # The arguments of the inner call are those of a tensor; here there are none, so it is an impossible one.
    refused(write_zip(tmp_path / "a.pth", tensors(STATE) | {"dense.bias": call}), "dense.bias is a tensor of an impos")


# Objects -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("write", [write_zip, write_legacy])
def test_a_whole_module_gives_its_tensors(tmp_path: Path, write: Callable[..., Path]) -> None:
    found = read_checkpoint(write(tmp_path / "a.pth", {"epoch": 2, "net": module(STATE)}))
    check(found)
    assert found.layout == "net"
    assert found.facts == {"epoch": 2}
    assert "whole pickled module; its tensors were taken, its code was not run" in " ".join(found.oddities)
    assert "train.Net1D" in " ".join(found.oddities)
    check(read_checkpoint(write(tmp_path / "b.pth", module(STATE))))


def test_a_module_in_a_module_of_data_parallel_training(tmp_path: Path) -> None:
    parts = {"_parameters": {}, "_buffers": {}, "_modules": {"module": module(STATE)}}
    wrapped = Object(Name("torch.nn.parallel.data_parallel", "DataParallel"), parts)
    found = read_checkpoint(write_zip(tmp_path / "a.pth", wrapped))
    check(found)
    assert "the prefix 'module.' was removed from every name" in found.oddities


def test_a_torchscript_program_gives_its_tensors(tmp_path: Path) -> None:
    found = read_checkpoint(write_zip(tmp_path / "a.pt", script(STATE), program=True))
    check(found)
    assert found.oddities == ("the file is a TorchScript program; its code was not run",)
    frozen = Object(Name("__torch__.train", "Net1D"), {"training": False})
    refused(write_zip(tmp_path / "f.pt", frozen, program=True), "frozen TorchScript program", "torch.save(")


def test_objects_without_tensors(tmp_path: Path) -> None:
    refused(
        write_zip(tmp_path / "a.pth", Object(Name("train", "Run"), {"x": 1})), "a pickled train.Run object", "torch"
    )
    kept = {"state_dict": Object(Name("train", "Run"), {}), "epoch": 1}
    refused(write_zip(tmp_path / "b.pth", kept), "'state_dict' is a pickled train.Run object")
    refused(write_zip(tmp_path / "c.pth", {"epoch": 1, "loss": 0.5}), "holds no tensors (found: epoch, loss)")
    refused(write_zip(tmp_path / "d.pth", [1, 2]), "holds a list")


# The old format ------------------------------------------------------------------------------------------------------


def test_damage_to_the_old_format(tmp_path: Path) -> None:
    whole = write_legacy(tmp_path / "a.pth", tensors(STATE)).read_bytes()
    for part in (20, 100, len(whole) // 2, len(whole) - 1):
        (tmp_path / "a.pth").write_bytes(whole[:part])
        message = refused(tmp_path / "a.pth")
        assert "damaged" in message or "truncated" in message
    (tmp_path / "b.pth").write_bytes(whole.replace(b"\x8a\x02\xe9\x03.", b"\x8a\x02\xea\x03.", 1))
    refused(tmp_path / "b.pth", "version 1002", "torch.save(torch.load(FILE)")
    # The number of values of the last storage.
    count = whole.rindex(struct.pack("<q", STATE["first_conv.conv.weight"].size))
    for wrong in (1 << 40, 5):
        (tmp_path / "c.pth").write_bytes(whole[:count] + struct.pack("<q", wrong) + whole[count + 8 :])
        refused(tmp_path / "c.pth", "download it again")


def test_a_storage_that_is_a_part_of_another_one() -> None:
    from convert.checkpoint.pickles.builders import storage_of
    from convert.checkpoint.pickles.values import Inert, StorageRef, Symbol

    kind = Symbol("torch.FloatStorage")
    part = storage_of(("storage", kind, "7", "cpu", 12, ("9", 4, 6)))
    assert isinstance(part, StorageRef)
    assert (part.key, part.numel, part.start) == ("7", 12, 4)
    assert isinstance(storage_of(("storage", kind, "7", "cpu", 12, ("9", -4, 6))), Inert)
    assert storage_of(("module", kind, "file.py", "class Net: ...")) is kind


def test_the_old_format_is_read_without_pythons_pickle() -> None:
    assert "pickle" not in vars(legacy)


# Safetensors ---------------------------------------------------------------------------------------------------------


def test_damaged_safetensors(tmp_path: Path) -> None:
    whole = write_safetensors(tmp_path / "a.safetensors", tensors(STATE)).read_bytes()
    for content in (whole[:-1], whole[:100], whole + b"x", whole[:8] + b"{!" + whole[10:]):
        (tmp_path / "b.safetensors").write_bytes(content)
        refused(tmp_path / "b.safetensors", "is damaged", "download it again")
    (tmp_path / "c.safetensors").write_bytes(struct.pack("<Q", safetensors_file.MAX_HEADER_BYTES + 1) + whole[8:])
    refused(tmp_path / "c.safetensors", "has a header of", "do not trust")
    (tmp_path / "d.safetensors").write_bytes(struct.pack("<Q", 2) + b"{}")
    refused(tmp_path / "d.safetensors", "holds no tensors")


def header(path: Path, entries: dict[str, object], size: int) -> Path:
    text = json.dumps(entries).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + bytes(size))
    return path


def test_impossible_safetensors(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    entry = {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}
    refused(header(path, {"w": {**entry, "shape": [0, 1 << 40], "data_offsets": [0, 0]}}, 0), "impossible shape")
    refused(header(path, {"w": {**entry, "shape": [1] * 9}}, 4), "impossible shape")
    refused(header(path, {"a\x1b[31m": entry}, 4), "impossible name: 'a?[31m'")
    refused(header(path, {"w": {**entry, "dtype": "F8_E4M3", "shape": [4]}}, 4), "has the type F8_E4M3", "F32")
    refused(header(path, {"w": {**entry, "shape": [2]}}, 4), "is damaged")


def test_a_missing_library_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_safetensors(tmp_path / "a.safetensors", tensors(STATE))
    monkeypatch.setitem(sys.modules, "safetensors", None)
    with pytest.raises(MissingExtraError, match=r"\[convert\]"):
        read_checkpoint(path)


def test_parts_of_a_checkpoint_in_several_files(tmp_path: Path) -> None:
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(json.dumps({"metadata": {}, "weight_map": {"w": "model-00001-of-00002.safetensors"}}))
    part = write_safetensors(tmp_path / "model-00001-of-00002.safetensors", tensors(STATE))
    for path in (index, part):
        refused(path, "several files", "merge its parts")
    refused(tmp_path, "several files", "merge its parts")
    (tmp_path / "config.json").write_text('{"a": 1}')
    refused(tmp_path / "config.json", "a JSON file")


# Other files ---------------------------------------------------------------------------------------------------------

ONNX = b"\x08\x08\x12\x07pytorch\x1a\x052.3.1:\x90\x01"


@pytest.mark.parametrize(
    ("name", "content", "parts"),
    [
        ("m.onnx", ONNX + bytes(600), ("an ONNX model", "torch.save(model.state_dict(), 'teacher.pth')")),
        ("m.pth", ONNX + bytes(600), ("an ONNX model", "torch.save(")),
        ("m.pth", b"\x1c\x00\x00\x00TFL3" + bytes(600), ("a TFLite model", "checkpoint that it was made from")),
        ("m.ckpt", b"\x89HDF\r\n\x1a\n" + bytes(600), ("an HDF5 file", "anyecg finetune")),
        ("checkpoint", b'model_checkpoint_path: "model.ckpt-9"\n', ("a TensorFlow checkpoint", "PyTorch checkpoint")),
        ("model.ckpt.index", b"\x00\x00\x01" + bytes(600), ("a TensorFlow checkpoint",)),
        ("model.ckpt.data-00000-of-00001", bytes(600), ("a TensorFlow checkpoint",)),
        ("saved_model.pb", b"\x0a\xff\xff" + bytes(600), ("a TensorFlow graph",)),
        ("a.pth", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", ("Git-LFS", "git lfs pull")),
        ("a.safetensors", b"version https://git-lfs.github.com/spec/v1\nsize 1\n", ("Git-LFS", "git lfs pull")),
        ("a.pth", b"\n <!DOCTYPE html><html>", ("a web page", "download the file itself")),
        ("a.pth", b"Entry not found", ("a text ('Entry not found')", "download the file itself")),
        ("a.pth", gzip.compress(b"x" * 900, mtime=0), ("gzip", "unpack it first")),
        ("a.pth", bytes(257) + b"ustar" + bytes(250), ("tar archive", "weights_only=False")),
        ("a.pth", pickle.dumps({"w": 1}), ("a bare pickle", "torch.save")),
        ("a.pth", b"", ("is empty", "download")),
        ("a.pth", bytes(900), ("not a PyTorch checkpoint", ".safetensors")),
    ],
)
def test_other_files_are_named_with_what_to_do(
    tmp_path: Path, name: str, content: bytes, parts: tuple[str, ...]
) -> None:
    (tmp_path / name).write_bytes(content)
    refused(tmp_path / name, *parts)


@pytest.mark.parametrize(
    ("members", "parts"),
    [
        (["teacher.pth", "readme.txt"], ("a zip with teacher.pth in it", "unpack it first")),
        (["m/archive_format", "m/models/model.json", "m/data/sample_inputs/m.pt"], ("torch.export", "torch.save(")),
        (["config.json", "model.weights.h5"], ("a Keras file", ".keras")),
        (["manifest.json", "model.tflite"], ("is a bundle", "checkpoint that it was made from")),
        (["arr_0.npy"], ("a NumPy archive", "torch.save(")),
        (["word/document.xml"], ("no data.pkl", "torch.save(")),
    ],
)
def test_zips_are_named_with_what_to_do(tmp_path: Path, members: list[str], parts: tuple[str, ...]) -> None:
    with zipfile.ZipFile(tmp_path / "a.pth", "w") as z:
        for name in members:
            z.writestr(name, "x")
    refused(tmp_path / "a.pth", *parts)


def test_folders_are_named_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "tf").mkdir()
    (tmp_path / "tf" / "saved_model.pb").touch()
    refused(tmp_path / "tf", "a TensorFlow SavedModel")
    (tmp_path / "dcp").mkdir()
    (tmp_path / "dcp" / "__0_0.distcp").touch()
    refused(tmp_path / "dcp", "a distributed checkpoint", "dcp_to_torch")
    (tmp_path / "hub").mkdir()
    (tmp_path / "hub" / "model.safetensors").touch()
    refused(tmp_path / "hub", "is a folder", "model.safetensors")


def test_a_key_for_a_keras_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--key"):
        read_checkpoint(tmp_path / "teacher.keras", key="model")


def test_a_lightning_checkpoint(tmp_path: Path) -> None:
    """The keys are those of Lightning 2.1; PyTorch Lightning wraps the network in an attribute of the module."""
    step = {"state": {i: {"exp_avg": Tensor(np.ones(2, np.float32), "f4")} for i in range(3)}, "param_groups": []}
    contents = {
        "epoch": 3, "global_step": 9, "pytorch-lightning_version": "2.1.0",
        "state_dict": tensors({f"model.{k}": v for k, v in STATE.items()}),
        "loops": {"fit_loop": {"state_dict": {}}},
        "callbacks": {"ModelCheckpoint{'monitor': 'val'}": {"best": Tensor(np.ones((), np.float32), "f4")}},
        "optimizer_states": [step], "lr_schedulers": [], "hyper_parameters": {"lr": 1e-3},
    }  # fmt: skip
    found = read_checkpoint(write_zip(tmp_path / "last.ckpt", contents))
    check(found)
    assert found.layout == "state_dict"
    assert found.facts == {"epoch": 3, "global_step": 9, "pytorch-lightning_version": "2.1.0"}
    assert found.oddities == (
        "the prefix 'model.' was removed from every name",
        "the state of the training was left out: callbacks, optimizer_states",
    )
