"""Compare the inference of a converted teacher with ONNX Runtime on the same graph: fp32 and static int8, one thread.

    python benchmarks/bench_foundation_inference.py BUNDLE CHECKPOINT [--rounds 8]

Needs the ``bench`` extra (onnx, onnxruntime). The bundle may have any form. The script writes the ONNX graph node by
node from the checkpoint, like a PyTorch export. Its int8 form is ONNX Runtime's static quantization with the defaults
(QDQ, int8 activations, min-max) on the golden windows of the bundle. The form with unsigned activations, an option that
is faster on x86, is shown too. The sides run in turns of a few windows, and the best time of each counts, because other
programs may use the machine. The exit code is 1 if a target is missed.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

from convert.checkpoint.reader import read_checkpoint
from convert.checkpoint.spec import FIRST_STRIDE, BlockSpec, Net1DSpec, spec_from_tensors
from convert.teacher.place import network_options
from edge.bundle.reader import load_bundle
from edge.model import load_model

TARGETS = {
    "int8": {"ONNX Runtime static int8": 3.5, "ONNX Runtime fp32": 5.0},
    "dynamic": {"ONNX Runtime static uint8": 1.8, "ONNX Runtime fp32": 4.0},
}
"""Smallest ratio of the time of a peer to that of the bundle, by form."""
BN_EPSILON = 1e-5
SAMPLES = 5000


class Graph:
    """Builder of an ONNX graph; tensors are ``(1, channels, n)``."""

    def __init__(self, tensors: dict[str, np.ndarray]) -> None:
        self.tensors, self.nodes, self.weights = tensors, [], {}

    def op(self, kind: str, *inputs: str, **attributes: object) -> str:
        """Add a node and return the name of its output."""
        name = f"{kind}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [name], name=name, **attributes))
        return name

    def weight(self, name: str, value: np.ndarray) -> str:
        """Add a constant."""
        self.weights[name] = numpy_helper.from_array(np.ascontiguousarray(value), name)
        return name

    def conv(self, x: str, name: str, length: int, *, stride: int = 1, groups: int = 1) -> str:
        """Add a convolution of the checkpoint with SAME padding."""
        w = self.tensors[f"{name}.weight"]
        w = w[:, :, None] if w.ndim == 2 else w
        k = w.shape[2]
        pad = max(0, (-(-length // stride) - 1) * stride + k - length)
        inputs = [x, self.weight(f"{name}.w", w), self.weight(f"{name}.b", self.tensors[f"{name}.bias"])]
        return self.op(
            "Conv", *inputs, kernel_shape=[k], strides=[stride], group=groups, pads=[pad // 2, pad - pad // 2]
        )

    def norm(self, x: str, name: str, *, use_bn: bool) -> str:
        """Add the batch normalisation of the checkpoint if the network has one."""
        if not use_bn:
            return x
        parts = ("weight", "bias", "running_mean", "running_var")
        inputs = [self.weight(f"{name}.{part}", self.tensors[f"{name}.{part}"]) for part in parts]
        return self.op("BatchNormalization", x, *inputs, epsilon=BN_EPSILON)

    def swish(self, x: str) -> str:
        """Add x * sigmoid(x)."""
        return self.op("Mul", x, self.op("Sigmoid", x))

    def block(self, x: str, b: BlockSpec, length: int, *, use_bn: bool) -> str:
        """Add a residual block."""
        y = x if b.first else self.swish(self.norm(x, f"{b.name}.bn1", use_bn=use_bn))
        y = self.swish(self.norm(self.conv(y, f"{b.name}.conv1.conv", length), f"{b.name}.bn2", use_bn=use_bn))
        y = self.conv(y, f"{b.name}.conv2.conv", length, stride=b.stride, groups=b.groups)
        y = self.swish(self.norm(y, f"{b.name}.bn3", use_bn=use_bn))
        y = self.conv(y, f"{b.name}.conv3.conv", -(-length // b.stride))
        se = self.swish(self.conv(self.op("GlobalAveragePool", y), f"{b.name}.se_fc1", 1))
        y = self.op("Mul", y, self.op("Sigmoid", self.conv(se, f"{b.name}.se_fc2", 1)))
        if b.stride > 1:
            if length % b.stride:
                # The teacher's pool pads with zero, but ONNX would pad with minus infinity.
                x = self.op("Pad", x, self.weight(f"{b.name}.zero", np.array([0, 0, 0, 0, 0, 1], np.int64)))
            x = self.op("MaxPool", x, kernel_shape=[b.stride], strides=[b.stride])
        if b.cout > b.cin:
            left = (b.cout - b.cin) // 2
            pads = np.array([0, left, 0, 0, b.cout - b.cin - left, 0], np.int64)
            x = self.op("Pad", x, self.weight(f"{b.name}.pads", pads))
        return self.op("Add", y, x)


def onnx_model(spec: Net1DSpec, tensors: dict[str, np.ndarray]) -> Any:
    """Return the teacher as an ONNX model for stride 2, where the pool pads at the end only."""
    g = Graph(tensors)
    x = g.conv("x", "first_conv.conv", SAMPLES, stride=FIRST_STRIDE)
    x = g.swish(g.norm(x, "first_bn", use_bn=spec.use_bn))
    length = -(-SAMPLES // FIRST_STRIDE)
    for block in spec.blocks():
        x = g.block(x, block, length, use_bn=spec.use_bn)
        length = -(-length // block.stride)
    y = g.op("Flatten", g.conv(g.op("GlobalAveragePool", x), "dense", 1))
    graph = helper.make_graph(
        g.nodes,
        "net1d",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 1, SAMPLES])],
        [helper.make_tensor_value_info(y, TensorProto.FLOAT, [1, spec.n_classes])],
        list(g.weights.values()),
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


class Reader(CalibrationDataReader):
    """Feed of windows for ONNX Runtime's calibration."""

    def __init__(self, windows: np.ndarray) -> None:
        self._windows: Iterator[np.ndarray] = iter(windows)

    def get_next(self) -> dict[str, np.ndarray] | None:
        """Return the next window, or ``None`` at the end."""
        window = next(self._windows, None)
        return None if window is None else {"x": window.reshape(1, 1, -1)}


def ort_session(path: Path) -> Callable[[np.ndarray], np.ndarray]:
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
    session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return lambda window: session.run(None, {"x": window.reshape(1, 1, -1)})[0].reshape(-1)


def main() -> int:
    p = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    p.add_argument("bundle")
    p.add_argument("checkpoint", type=Path)
    p.add_argument("--rounds", type=int, default=8, help="turns of each side; default 8")
    args = p.parse_args()
    bundle = load_bundle(args.bundle)
    checkpoint = read_checkpoint(args.checkpoint)
    tensors = dict(checkpoint.tensors)
    stride, use_bn = network_options(checkpoint, None, None)
    spec = spec_from_tensors(tensors, str(args.checkpoint), stride=stride, use_bn=use_bn)
    m = bundle.manifest
    steps = bundle.golden_inputs.reshape(len(bundle.golden_inputs), -1)
    windows = m.input.to_values(steps).astype(np.float32)
    model = load_model(bundle, "litert")
    lines = [bundle.calibration[h.key] for h in sorted(m.outputs, key=lambda h: h.index)]
    slope, offset = (np.array([getattr(c, name) for c in lines]) for name in ("slope", "offset"))

    def ours(window: np.ndarray) -> np.ndarray:
        return slope * m.output.to_values(model.run(m.input.to_steps(window))) + offset

    with tempfile.TemporaryDirectory() as folder:
        fp32, prepared, int8, uint8 = (Path(folder, f"{n}.onnx") for n in ("fp32", "prepared", "int8", "uint8"))
        onnx.save(onnx_model(spec, tensors), str(fp32))
        quant_pre_process(str(fp32), str(prepared), skip_symbolic_shape=True)
        quantize_static(str(prepared), str(int8), Reader(windows))
        quantize_static(str(prepared), str(uint8), Reader(windows), activation_type=QuantType.QUInt8)
        own_name = f"LiteRT {m.form} (the bundle)"
        sides = {own_name: ours}
        sides |= {"ONNX Runtime fp32": ort_session(fp32), "ONNX Runtime static int8": ort_session(int8)}
        sides["ONNX Runtime static uint8"] = ort_session(uint8)
        times: dict[str, list[float]] = {name: [] for name in sides}
        for _ in range(args.rounds):
            for name, run in sides.items():
                for window in windows:
                    start = time.perf_counter()
                    run(window)
                    times[name].append(time.perf_counter() - start)
        found = {name: np.stack([run(w) for w in windows]) for name, run in sides.items()}
    own, targets = min(times[own_name]), TARGETS.get(m.form, {})
    ok = True
    print(f"{'one thread':<26} {'ms':>8} {'x bundle':>9} {'target':>7}  from fp32")
    for name, values in times.items():
        ms = min(values) * 1e3
        target = targets.get(name)
        ok &= target is None or ms / 1e3 >= target * own
        off = float(np.mean(np.abs(found[name] - found["ONNX Runtime fp32"])))
        print(f"{name:<26} {ms:8.2f} {ms / 1e3 / own:9.2f} {target or '':>7}  mean logit difference {off:.2g}")
    return 0 if ok else 1


if __name__ == "__main__":
    sys.exit(main())
