"""Targets for checkpoints: their pickle, and their containers."""

from __future__ import annotations

import json
import struct
import zipfile
from pathlib import Path

import numpy as np

from convert.checkpoint.describe import describe
from convert.checkpoint.reader import read_checkpoint
from fuzz.target import Target, check_texts, scratch
from helpers import torch_files

OPCODES = tuple(bytes([op]) for op in b"}(uR)tQ.]easbh\x81\x85\x86\x87\x89\x88\x80\x8a\x8b\x8d\x8c\x93\x94")
NAMES = (
    b"ctorch._utils\n_rebuild_tensor_v2\n", b"ctorch._utils\n_rebuild_parameter\n", b"ctorch\nFloatStorage\n",
    b"ctorch\nHalfStorage\n", b"ccollections\nOrderedDict\n", b"cnumpy.core.multiarray\n_reconstruct\n",
    b"c_codecs\nencode\n", b"ccopy_reg\n_reconstructor\n", b"c__builtin__\nset\n", b"X\x07\x00\x00\x00storage",
    b"X\x0a\x00\x00\x00state_dict", b"\x8b\xff\xff\xff\x7f", b"r\xff\xff\xff\x7f",
)  # fmt: skip
"""Calls and opcodes that checkpoints use."""


def _path(suffix: str) -> Path:
    return scratch() / f"checkpoint{suffix}"


def _small(code: str) -> dict[str, object]:
    return torch_files.tensors({"conv.weight": np.ones((2, 1, 2), np.float32), "n": np.array(3)}, code)


def pickle_seeds() -> list[bytes]:
    """Return pickles of state dicts, modules and a nested checkpoint, each after the sizes of its storages."""
    state = {"conv.weight": np.ones((2, 1, 2), np.float32), "num_batches_tracked": np.array(3)}
    network = torch_files.tensors(torch_files.tiny_state())
    values = [
        _small("f4"),
        _small("bf16"),
        {"state_dict": _small("f2"), "epoch": 3},
        torch_files.module(state),
        network,
    ]
    return [_described(v) for v in values] + [_described(values[0], untyped=True)]


def _described(value: object, *, untyped: bool = False) -> bytes:
    pickler = torch_files.Pickler(untyped=untyped)
    text = pickler.dumps(value)
    sizes = [len(raw) for raw in pickler.storages]
    return struct.pack(f"<B{len(sizes)}H", len(sizes), *sizes) + text


def check_pickle(data: bytes) -> None:
    """Read a pickle in the zip of a checkpoint, with storages of the given sizes."""
    count = data[0] if data else 0
    sizes = struct.unpack_from(f"<{count}H", data, 1) if len(data) > 2 * count else ()
    path = _path(".pth")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", data[1 + 2 * len(sizes) :])
        for key, size in enumerate(sizes):
            archive.writestr(f"archive/data/{key}", bytes(size))
    check_file(path)


def legacy_seeds() -> list[bytes]:
    """Return a checkpoint as PyTorch before 1.6 writes it."""
    return [torch_files.write_legacy(_path(".old"), _small(code)).read_bytes() for code in ("f4", "f2")]


def zip_seeds() -> list[bytes]:
    """Return whole checkpoints."""
    plain = torch_files.write_zip(_path(".pth"), _small("f4")).read_bytes()
    return [
        plain,
        torch_files.write_zip(
            _path(".pth"), torch_files.script({"w": np.ones(2, np.float32)}), program=True
        ).read_bytes(),
    ]


def safe_seeds() -> list[bytes]:
    """Return a file of safetensors."""
    return [torch_files.write_safetensors(_path(".safetensors"), _small("f4"), {"format": "pt"}).read_bytes()]


def check_safetensors(data: bytes) -> None:
    """Read a file of safetensors; after a byte that is no length, the header comes with its length computed."""
    if data[:1] == b"{":
        header, _, body = data.partition(b"\n")
        data = struct.pack("<Q", len(header)) + header + body
    _write(".safetensors", data)


def _safe_text() -> list[bytes]:
    raw = safe_seeds()[0]
    size = struct.unpack_from("<Q", raw)[0]
    header = json.loads(raw[8 : 8 + size])
    return [raw, json.dumps(header).encode() + b"\n" + raw[8 + size :]]


def _write(suffix: str, data: bytes) -> None:
    path = _path(suffix)
    path.write_bytes(data)
    check_file(path)


def check_file(path: Path) -> None:
    """Read a checkpoint; its tensors must be plain arrays no larger than the file describes."""
    found = read_checkpoint(path)
    size = path.stat().st_size
    for name, tensor in found.tensors.items():
        check_texts([name])
        assert isinstance(tensor, np.ndarray)
        assert tensor.dtype.kind in "fiub"
        assert tensor.nbytes <= 8 * size
    check_texts([*found.oddities, *map(str, found.facts.values())])
    check_texts(describe(found, 2, use_bn=False).splitlines())


def check_legacy(data: bytes) -> None:
    """Read the bytes of an old checkpoint."""
    _write(".pth", data)


TARGETS = (
    Target("checkpoint-pickle", pickle_seeds, check_pickle, OPCODES + NAMES),
    Target(
        "checkpoint-zip", zip_seeds, check_legacy, (b"PK\x01\x02", b"PK\x03\x04", b"PK\x05\x06", b"archive/data.pkl")
    ),
    Target("checkpoint-legacy", legacy_seeds, check_legacy, OPCODES + NAMES),
    Target(
        "checkpoint-safetensors", _safe_text, check_safetensors, (b'"dtype"', b'"F32"', b'"data_offsets"', b'"shape"')
    ),
)
