"""Read, edit and write a TFLite flatbuffer as objects of LiteRT's schema."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
from numpy.typing import NDArray


def schema() -> Any:
    """Return the module of the schema's classes."""
    # Imported by name, because the package has no type annotations.
    return importlib.import_module("ai_edge_litert.schema_py_generated")


def operator_names() -> dict[int, str]:
    """Return the names of the built-in operators by code."""
    return {code: name for name, code in vars(schema().BuiltinOperator).items() if isinstance(code, int)}


def opened(model: bytes) -> Any:
    """Return a model as a tree of objects."""
    return schema().ModelT.InitFromPackedBuf(model, 0)


def packed(model: Any) -> bytes:
    """Return a tree of objects as a flatbuffer."""
    flatbuffers: Any = importlib.import_module("flatbuffers")
    builder = flatbuffers.Builder(1 << 20)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def ends(model: Any) -> tuple[Any, Any, Any]:
    """Return the graph, its input tensor and its output tensor."""
    graph = model.subgraphs[0]
    return graph, graph.tensors[graph.inputs[0]], graph.tensors[graph.outputs[0]]


def kind(model: Any, operator: Any) -> int:
    """Return the built-in code of an operator."""
    code = model.operatorCodes[operator.opcodeIndex]
    return int(max(code.builtinCode, code.deprecatedBuiltinCode))


def opcode(model: Any, code: int, version: int) -> int:
    """Return the index of an operator code, added if the model does not have it."""
    for i, found in enumerate(model.operatorCodes):
        if max(found.builtinCode, found.deprecatedBuiltinCode) == code and found.version == version:
            return i
    new = schema().OperatorCodeT()
    new.builtinCode, new.deprecatedBuiltinCode, new.version = code, min(code, 127), version
    model.operatorCodes.append(new)
    return len(model.operatorCodes) - 1


def constant(model: Any, tensor: Any) -> NDArray[np.float32]:
    """Return the float values of a constant tensor, in its shape."""
    data = model.buffers[tensor.buffer].data
    return np.frombuffer(bytes(data), dtype="<f4").reshape(tuple(int(n) for n in tensor.shape))


def set_constant(model: Any, tensor: Any, values: NDArray[Any]) -> None:
    """Replace the values and the shape of a constant tensor; its type is unchanged."""
    data = np.ascontiguousarray(values, dtype=values.dtype.newbyteorder("<"))
    model.buffers[tensor.buffer].data = np.frombuffer(data.tobytes(), np.uint8)
    tensor.shape = np.array(values.shape, np.int32)
    tensor.shapeSignature = None


def convolutions(model: Any) -> list[Any]:
    """Return the operators CONV_2D in the order of the graph."""
    conv = schema().BuiltinOperator.CONV_2D
    return [op for op in model.subgraphs[0].operators if kind(model, op) == conv]
