"""Write files as ``torch.save`` and others write them, byte by byte and without PyTorch.

``tests/unit/convert/checkpoint/data`` has files by PyTorch itself, which show that these are like them.
"""

from __future__ import annotations

import json
import struct
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from convert.checkpoint.spec import Net1DSpec

MAGIC, VERSION = 0x1950A86A20F9469CFC6C, 1001
TINY = Net1DSpec(1, 4, 1.0, (4,), (1,), 2, 2, 2, 3)
"""A Net1D of one block."""

KINDS = {"f4": "Float", "f8": "Double", "f2": "Half", "bf16": "BFloat16", "i8": "Long", "i4": "Int", "u1": "Byte"}
NAMES = {"f4": "float32", "f8": "float64", "f2": "float16", "bf16": "bfloat16", "i8": "int64"}
SAFE = {"f4": "F32", "f8": "F64", "f2": "F16", "bf16": "BF16", "i8": "I64"}


@dataclass(frozen=True)
class Name:
    """A name in a pickle, such as ``torch.FloatStorage``."""

    module: str
    name: str


@dataclass(frozen=True)
class Call:
    """A call in a pickle."""

    function: Name
    arguments: tuple[object, ...] = ()


@dataclass(frozen=True)
class Object:
    """An object in a pickle: its class and its attributes."""

    kind: Name
    state: Mapping[str, object]


@dataclass(frozen=True)
class Tensor:
    """A tensor: its values, and its type in the file (``bf16`` or a NumPy code)."""

    values: NDArray[np.generic]
    code: str


def tiny_state(seed: int = 0, spec: Net1DSpec = TINY) -> dict[str, NDArray[np.generic]]:
    """Return random tensors of a small network; their values need all bits of float32."""
    rng = np.random.default_rng(seed)
    return {
        name: rng.standard_normal(shape).astype(np.float32) if shape else np.array(3, np.int64)
        for name, shape in spec.shapes().items()
    }


def stored(values: NDArray[np.generic], code: str) -> bytes:
    """Return the bytes of values in a type, floating values rounded to it."""
    if values.dtype.kind != "f":
        return values.astype("<i8").tobytes()
    if code != "bf16":
        return values.astype(f"<{code}").tobytes()
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32).astype(np.uint64)
    return ((bits + 0x7FFF + (bits >> np.uint64(16) & np.uint64(1))) >> np.uint64(16)).astype("<u2").tobytes()


def read_back(values: NDArray[np.generic], code: str) -> NDArray[np.generic]:
    """Return what a reader must make of values that were stored in a type: float32, or integers as they are."""
    if values.dtype.kind != "f":
        return values
    raw = stored(values, code)
    if code == "bf16":
        return (np.frombuffer(raw, "<u2").astype(np.uint32) << np.uint32(16)).view(np.float32).reshape(values.shape)
    return np.frombuffer(raw, f"<{code}").astype(np.float32).reshape(values.shape)


def tensors(state: Mapping[str, NDArray[np.generic]], code: str = "f4") -> dict[str, object]:
    """Return a state dict to pickle, floating values in the given type."""
    return {name: Tensor(value, code if value.dtype.kind == "f" else "i8") for name, value in state.items()}


def module(state: Mapping[str, NDArray[np.generic]], kind: str = "Net1D") -> Object:
    """Return a module with these tensors, as ``torch.save(model)`` pickles it."""
    own = {n: Tensor(v, "f4" if v.dtype.kind == "f" else "i8") for n, v in state.items() if "." not in n}
    buffers = {n: t for n, t in own.items() if n.startswith(("running_", "num_"))}
    parameters = {
        n: Call(Name("torch._utils", "_rebuild_parameter"), (t, True, Call(Name("collections", "OrderedDict"))))
        for n, t in own.items()
        if n not in buffers
    }
    inner: dict[str, dict[str, NDArray[np.generic]]] = {}
    for name, value in state.items():
        if "." in name:
            first, rest = name.split(".", 1)
            inner.setdefault(first, {})[rest] = value
    parts = {name: module(values, "Part") for name, values in inner.items()}
    attributes = {"training": False, "_parameters": parameters, "_buffers": buffers, "_modules": parts}
    return Object(Name("train", kind), attributes)


def script(state: Mapping[str, NDArray[np.generic]]) -> Object:
    """Return the tensors as a TorchScript program holds them: modules are attributes like any other."""
    out: dict[str, object] = {"training": False}
    inner: dict[str, dict[str, NDArray[np.generic]]] = {}
    for name, value in state.items():
        if "." in name:
            first, rest = name.split(".", 1)
            inner.setdefault(first, {})[rest] = value
        else:
            out[name] = Tensor(value, "f4" if value.dtype.kind == "f" else "i8")
    return Object(Name("__torch__.train", "Net1D"), out | {n: script(v) for n, v in inner.items()})


@dataclass
class Pickler:
    """Write a pickle opcode by opcode, and keep the storages of its tensors.

    Attributes:
        old: Write persistent ids as PyTorch before 1.6 does.
        untyped: Write tensors on untyped storages.
        storages: Bytes of each storage.
        numels: Elements of each storage.
    """

    old: bool = False
    untyped: bool = False
    storages: list[bytes] = field(default_factory=list)
    numels: list[int] = field(default_factory=list)

    def dumps(self, value: object) -> bytes:
        """Return the pickle of a value."""
        return b"\x80\x02" + self.value(value) + b"."

    def value(self, value: object) -> bytes:
        """Return the opcodes that push a value."""
        if isinstance(value, Tensor):
            return self.tensor(value)
        if isinstance(value, Call):
            return self.value(value.function) + self.value(value.arguments) + b"R"
        if isinstance(value, Object):
            return self.value(value.kind) + b")\x81" + self.value(dict(value.state)) + b"b"
        if isinstance(value, Name):
            return f"c{value.module}\n{value.name}\n".encode()
        if isinstance(value, Mapping):
            return b"}(" + b"".join(self.value(k) + self.value(v) for k, v in value.items()) + b"u"
        if isinstance(value, tuple | list):
            inner = b"".join(map(self.value, value))
            return b"(" + inner + b"t" if isinstance(value, tuple) else b"](" + inner + b"e"
        return plain(value)

    def tensor(self, tensor: Tensor) -> bytes:
        """Return the opcodes that push a tensor, and keep its values."""
        values, raw = tensor.values, stored(tensor.values, tensor.code)
        key, size = str(len(self.storages)), int(values.size)
        self.storages.append(raw)
        self.numels.append(len(raw) if self.untyped else size)
        kind = (
            Name("torch.storage", "UntypedStorage") if self.untyped else Name("torch", f"{KINDS[tensor.code]}Storage")
        )
        ident: tuple[object, ...] = ("storage", kind, key, "cpu", self.numels[-1], *([None] if self.old else []))
        strides = tuple(int(np.prod(values.shape[i + 1 :], dtype=np.int64)) for i in range(values.ndim))
        rest: tuple[object, ...] = (0, tuple(map(int, values.shape)), strides, False, {})
        if self.untyped:
            rest = (*rest, Name("torch", NAMES[tensor.code]))
        function = Name("torch._utils", f"_rebuild_tensor_v{3 if self.untyped else 2}")
        arguments = b"(" + self.value(ident) + b"Q" + b"".join(map(self.value, rest)) + b"t"
        return self.value(function) + arguments + b"R"


def plain(value: object) -> bytes:
    """Return the opcodes that push a text, a number or a constant."""
    if value is None or isinstance(value, bool):
        return {None: b"N", True: b"\x88", False: b"\x89"}[value]
    if isinstance(value, str):
        return b"X" + struct.pack("<I", len(value.encode())) + value.encode()
    if isinstance(value, int):
        raw = value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)
        return b"\x8a" + bytes([len(raw)]) + raw
    assert isinstance(value, float)
    return b"G" + struct.pack(">d", value)


def write_zip(path: Path, value: object, *, untyped: bool = False, program: bool = False) -> Path:
    """Write a file as PyTorch 1.6 and later does, or a TorchScript program."""
    pickler = Pickler(untyped=untyped)
    described = pickler.dumps(value)
    with zipfile.ZipFile(path, "w") as z:
        z.writestr("archive/data.pkl", described)
        z.writestr("archive/version", "3\n")
        for key, raw in enumerate(pickler.storages):
            z.writestr(f"archive/data/{key}", raw)
        if program:
            z.writestr("archive/code/__torch__/train.py", "class Net1D(Module):\n" * 40, zipfile.ZIP_DEFLATED)
            z.writestr("archive/constants.pkl", b"\x80\x02).")
    return path


def write_legacy(path: Path, value: object) -> Path:
    """Write a file as PyTorch before 1.6 does."""
    pickler, plain_pickler = Pickler(old=True), Pickler()
    described = pickler.dumps(value)
    facts = {"protocol_version": VERSION, "little_endian": True, "type_sizes": {"short": 2, "int": 4, "long": 4}}
    keys = [str(i) for i in range(len(pickler.storages))][::-1]
    head = [plain_pickler.dumps(v) for v in (MAGIC, VERSION, facts)]
    parts = [struct.pack("<q", pickler.numels[int(key)]) + pickler.storages[int(key)] for key in keys]
    path.write_bytes(b"".join([*head, described, plain_pickler.dumps(keys), *parts]))
    return path


def write_safetensors(path: Path, state: Mapping[str, object], metadata: Mapping[str, str] | None = None) -> Path:
    """Write a ``.safetensors`` file of :class:`Tensor`."""
    header: dict[str, object] = {"__metadata__": dict(metadata)} if metadata else {}
    body = b""
    for name, tensor in state.items():
        assert isinstance(tensor, Tensor)
        raw = stored(tensor.values, tensor.code)
        span = [len(body), len(body) + len(raw)]
        header[name] = {"dtype": SAFE[tensor.code], "shape": list(tensor.values.shape), "data_offsets": span}
        body += raw
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + body)
    return path
