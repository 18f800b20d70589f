"""The operations of TFLite Micro: how they are registered, and which kernel libraries are fast for them."""

from __future__ import annotations

from convert.compute.students import ALLOWED_OPS

_SPECIAL = {
    "CONV_2D": "AddConv2D",
    "DEPTHWISE_CONV_2D": "AddDepthwiseConv2D",
    "AVERAGE_POOL_2D": "AddAveragePool2D",
    "MAX_POOL_2D": "AddMaxPool2D",
    "L2_POOL_2D": "AddL2Pool2D",
    "CUMSUM": "AddCumSum",
    "PADV2": "AddPadV2",
    "RELU_N1_TO_1": "",
    "SVDF": "AddSvdf",
    "UNIDIRECTIONAL_SEQUENCE_LSTM": "AddUnidirectionalSequenceLSTM",
}
"""Methods of operations whose ``AddXxx`` is not their name in camel case; empty where TFLite Micro has no method."""

# fmt: off
_PLAIN = frozenset({
    "ABS", "ADD", "ADD_N", "ARG_MAX", "ARG_MIN", "ASSIGN_VARIABLE", "BATCH_MATMUL", "BATCH_TO_SPACE_ND",
    "BROADCAST_ARGS", "BROADCAST_TO", "CALL_ONCE", "CAST", "CEIL", "CONCATENATION", "COS", "DEPTH_TO_SPACE",
    "DEQUANTIZE", "DIV", "ELU", "EQUAL", "EXP", "EXPAND_DIMS", "FILL", "FLOOR", "FLOOR_DIV", "FLOOR_MOD",
    "FULLY_CONNECTED", "GATHER", "GATHER_ND", "GREATER", "GREATER_EQUAL", "HARD_SWISH", "IF", "L2_NORMALIZATION",
    "LEAKY_RELU", "LESS", "LESS_EQUAL", "LOG", "LOGICAL_AND", "LOGICAL_NOT", "LOGICAL_OR", "LOGISTIC", "LOG_SOFTMAX",
    "MAXIMUM", "MEAN", "MINIMUM", "MIRROR_PAD", "MUL", "NEG", "NOT_EQUAL", "PACK", "PAD", "PRELU", "QUANTIZE",
    "READ_VARIABLE", "REDUCE_MAX", "RELU", "RELU6", "RESHAPE", "RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR", "ROUND",
    "RSQRT", "SELECT_V2", "SHAPE", "SIN", "SLICE", "SOFTMAX", "SPACE_TO_BATCH_ND", "SPACE_TO_DEPTH", "SPLIT",
    "SPLIT_V", "SQRT", "SQUARE", "SQUARED_DIFFERENCE", "SQUEEZE", "STRIDED_SLICE", "SUB", "SUM", "TANH", "TRANSPOSE",
    "TRANSPOSE_CONV", "UNPACK", "VAR_HANDLE", "WHILE", "ZEROS_LIKE",
})
# fmt: on
"""Operations that ``micro_mutable_op_resolver.h`` registers by their name in camel case."""

_CASING = {"Nd": "Nd", "Matmul": "MatMul", "V2": "V2"}

CMSIS_NN_OPS = ALLOWED_OPS | {
    "AVERAGE_POOL_2D",
    "FULLY_CONNECTED",
    "MAX_POOL_2D",
    "MAXIMUM",
    "MINIMUM",
    "MUL",
    "PAD",
    "RELU",
    "SOFTMAX",
    "TRANSPOSE_CONV",
}
"""Operations with a CMSIS-NN kernel in TFLite Micro, plus those of the students, which are fast without one."""

ESP_NN_OPS = ALLOWED_OPS | {"AVERAGE_POOL_2D", "FULLY_CONNECTED", "MAX_POOL_2D", "MUL", "RELU", "SOFTMAX"}
"""Operations with an ESP-NN kernel in TFLite Micro, plus those of the students."""


def adder(op: str) -> str | None:
    """Returns the method of ``MicroMutableOpResolver`` that registers an operation; ``None`` where there is none."""
    if op in _SPECIAL:
        return _SPECIAL[op] or None
    if op not in _PLAIN:
        return None
    parts = (part.capitalize() for part in op.split("_"))
    return "Add" + "".join(_CASING.get(part, part) for part in parts)
