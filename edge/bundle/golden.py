"""Golden vectors of a bundle, and what interpreters may differ by.

The first array of outputs is compared by interpreters that the conversion did not try. For each interpreter that it
tried, the bundle has that interpreter's own outputs and a limit for other machines and versions of it.
"""

from __future__ import annotations

import io
import lzma
import math
import re
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from edge.bundle.tensors import Steps, TensorSpec
from edge.bundle.typed_json import Reader
from firmware_bridge.errors import BundleError

MAX_GOLDEN_BYTES = 64 << 20
MAX_BACKENDS = 8
_SHAPE = rb"\((\d{1,9}(?:, ?\d{1,9}){0,7},?)\)"
_HEADER = re.compile(
    rb"\x93NUMPY\x01\x00..\{'descr': '([|<]i[12])', 'fortran_order': False, 'shape': " + _SHAPE + rb", \} *\n",
    re.DOTALL,
)
UNPACK_FAULTS = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    OSError,
    RuntimeError,  # an encrypted member
    NotImplementedError,  # a compression that zipfile does not know
    EOFError,
    ValueError,
)


@dataclass(frozen=True, slots=True)
class Limit:
    """Largest accepted differences of an interpreter from its golden outputs, in steps.

    Attributes:
        max: Largest difference of one output.
        rms: Root mean square over windows and outputs.
        shift: Root mean square over outputs of the mean difference over windows. Rounding averages out over windows; a
            damaged model does not.
    """

    max: float
    rms: float
    shift: float


@dataclass(frozen=True, slots=True)
class GoldenSpec:
    """Entry ``golden`` of a manifest.

    Attributes:
        model_sha256: SHA-256 of the model that made the golden outputs, hexadecimal; ``None`` in older bundles.
        limits: Limit of each interpreter.
    """

    model_sha256: str | None = None
    limits: Mapping[str, Limit] = field(default_factory=dict)


def parse_golden(r: Reader) -> GoldenSpec:
    """Check the entry ``golden`` of a manifest.

    Raises:
        BundleError: A value is missing or impossible.
    """
    sha256 = r.get("model_sha256").text()
    entries = r.get("interpreters").pairs()
    if len(entries) > MAX_BACKENDS:
        raise r.get("interpreters").fail(f"at most {MAX_BACKENDS} interpreters")
    return GoldenSpec(sha256, {name: _limit(entry) for name, entry in entries})


def _limit(r: Reader) -> Limit:
    largest, rms, shift = (r.get(name).number() for name in ("max", "rms", "shift"))
    if min(largest, rms, shift) < 0.0:
        raise r.fail("differences of at least 0")
    return Limit(largest, rms, shift)


@dataclass(frozen=True, slots=True, eq=False)
class GoldenVectors:
    """Content of ``golden.npz``.

    Attributes:
        inputs: Inputs in steps, ``(k, *input.shape)``.
        outputs: Outputs in steps, ``(k, heads)``.
        by_interpreter: Outputs of each interpreter that ran all golden inputs at the conversion, ``(k, heads)``.
    """

    inputs: Steps
    outputs: Steps
    by_interpreter: Mapping[str, Steps]


def read_golden(data: bytes, source: TensorSpec, sink: TensorSpec, spec: GoldenSpec) -> GoldenVectors:
    """Read ``golden.npz``.

    Args:
        data: Content of the file.
        source: Input of the model.
        sink: Output of the model.
        spec: Entry ``golden`` of the manifest.

    Raises:
        BundleError: The file cannot be read or does not match the manifest.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            inputs = _member(archive, "inputs.npy", source)
            outputs = _member(archive, "outputs.npy", sink)
            held = set(archive.namelist())
            named = {name: f"outputs_{name}.npy" for name in spec.limits}
            own = {name: _member(archive, member, sink) for name, member in named.items() if member in held}
    except (*UNPACK_FAULTS, KeyError) as e:
        raise BundleError(f"golden.npz cannot be read: {e}", "convert the bundle again") from None
    if len(inputs) == 0 or any(len(inputs) != len(out) for out in (outputs, *own.values())):
        raise BundleError("golden.npz needs as many outputs as inputs, at least one", "convert the bundle again")
    if inputs.shape[1:] != source.shape or any(out[0].size != sink.width for out in (outputs, *own.values())):
        raise BundleError("golden.npz does not fit the model's input or output shape", "convert the bundle again")
    flat = {name: out.reshape(len(out), sink.width) for name, out in own.items()}
    return GoldenVectors(inputs, outputs.reshape(len(outputs), sink.width), flat)


def _member(archive: zipfile.ZipFile, name: str, tensor: TensorSpec) -> Steps:
    """Read one .npy member. Its header, a Python literal, is compared with what NumPy writes and not evaluated."""
    if archive.getinfo(name).file_size > MAX_GOLDEN_BYTES:
        raise ValueError(f"{name} is larger than {MAX_GOLDEN_BYTES} bytes")
    raw = archive.read(name)
    wanted = np.dtype(tensor.steps_dtype).newbyteorder("<")
    header = _HEADER.match(raw)
    shape = tuple(int(n) for n in header[2].split(b",") if n.strip()) if header else ()
    rest = raw[header.end() :] if header else b""
    if not header or header[1].decode() != wanted.str or math.prod(shape) * wanted.itemsize != len(rest):
        raise ValueError(f"{name} is not a plain {wanted.name} array")
    return np.asarray(np.frombuffer(rest, dtype=wanted).reshape(shape), dtype=tensor.steps_dtype)
