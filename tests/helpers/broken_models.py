"""Deliberately broken int8 models in bundles that are otherwise consistent: only the numbers are wrong."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np

from convert.bundle.writer import golden_npz, to_json
from convert.compute.inference import run_int8
from edge.bundle.reader import load_bundle


def doubled_weights(model: bytes, which: int = 2) -> bytes:
    """Double the output of one convolution: the scales of its weights are off by a factor of two."""
    root = _opened(model)
    graph = root.subgraphs[0]
    op = _convolutions(root)[which]
    scale = graph.tensors[op.inputs[1]].quantization.scale
    graph.tensors[op.inputs[1]].quantization.scale = np.asarray(scale, dtype=np.float32) * 2.0
    return _packed(root)


def clipped_range(model: bytes, factor: int = 8, which: int = 0) -> bytes:
    """Quantize one activation with a range too small by that factor, as calibration on quiet windows would."""
    root = _opened(model)
    graph = root.subgraphs[0]
    index = int(_convolutions(root)[which].outputs[0])
    q = graph.tensors[index].quantization
    q.scale = np.asarray(q.scale, dtype=np.float32) / factor
    for op in graph.operators:
        # Biases count in steps of input times weights; other operators read the scale itself.
        if int(op.inputs[0]) == index and len(op.inputs) > 2:
            buffer = root.buffers[graph.tensors[op.inputs[2]].buffer]
            bias = np.frombuffer(bytes(buffer.data), "<i4") * factor
            buffer.data = np.frombuffer(bias.astype("<i4").tobytes(), np.uint8)
    return _packed(root)


def with_model(bundle: Path, model: bytes, out: Path) -> Path:
    """Copy a bundle with another model, golden vectors and hashes, so that its self-test passes."""
    shutil.copytree(bundle, out)
    was = load_bundle(bundle)
    golden = run_int8(model, was.golden_inputs, "xnnpack")
    (out / "model.tflite").write_bytes(model)
    (out / "golden.npz").write_bytes(golden_npz(was.golden_inputs, golden))
    return rehashed(out)


def rehashed(bundle: Path) -> Path:
    """Rewrite the bundle's manifest to match its files."""
    manifest = json.loads((bundle / "manifest.json").read_text())
    for name in manifest["files"]:
        data = (bundle / name).read_bytes()
        manifest["files"][name] = {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
    (bundle / "manifest.json").write_bytes(to_json(manifest))
    return bundle


def _opened(model: bytes):
    from tensorflow.lite.python import schema_py_generated as schema

    return schema.ModelT.InitFromPackedBuf(bytearray(model), 0)


def _convolutions(root):
    """The plain convolutions in the order of the graph."""
    codes = [max(c.builtinCode, c.deprecatedBuiltinCode) for c in root.operatorCodes]
    return [op for op in root.subgraphs[0].operators if codes[op.opcodeIndex] == 3]


def _packed(root) -> bytes:
    import flatbuffers

    builder = flatbuffers.Builder(1 << 16)
    builder.Finish(root.Pack(builder), b"TFL3")
    return bytes(builder.Output())
