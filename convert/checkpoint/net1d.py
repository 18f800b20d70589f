"""ECGFounder's network in Keras, and its weights from a PyTorch checkpoint.

One-dimensional signals are laid out as ``(batch, 1, n, channels)`` and all convolutions are ``Conv2D((1, k))``, also
those of the squeeze-and-excitation and the last layer. This form converts to a third of the operations of ``Conv1D``,
and a 1x1 CONV_2D rounds in the same way in every interpreter, which FULLY_CONNECTED does not. Importing this module
loads TensorFlow.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convert.checkpoint.spec import FIRST_STRIDE, FULL_BLOCKS, FULL_FILTERS, BlockSpec, Net1DSpec, spec_from_tensors
from convert.checkpoint.tensors import Checkpoint
from convert.compute.grouped_conv import FORMS, Form, GroupedConv
from convert.compute.tf_runtime import load_tensorflow
from firmware_bridge.errors import InputError, UsageError

tf = load_tensorflow()
import keras  # noqa: E402  # imported after the number of TensorFlow's threads is set

__all__ = ["Net1D", "load_tensors", "net1d_from_spec", "net1d_from_tensors", "to_tensors"]

BN_EPSILON = 1e-5
BN_MOMENTUM = 0.9
"""PyTorch's defaults. Its momentum of 0.1 weights the new value, Keras's the old one."""

DROPOUT = 0.5


class Net1D(keras.Model):  # type: ignore[misc]  # keras ships no types
    """ECGFounder's residual network for one-dimensional signals.

    The input has the shape ``(batch, n, in_channels)``. PyTorch's ``(batch, in_channels, n)`` and
    ``(batch, 1, n, in_channels)`` are recognised and rearranged. The output is a dictionary: ``logits``,
    ``(batch, n_classes)``, and ``features``, the mean of the last activation over time, ``(batch, filter_list[-1])``.

    Args:
        in_channels: Number of leads.
        base_filters: Channels of the first convolution.
        ratio: Channels inside a block, divided by its output channels.
        filter_list: Output channels by stage.
        m_blocks_list: Blocks by stage.
        kernel_size: Taps of the first and the grouped convolutions.
        stride: Stride of the first block of each stage.
        groups_width: Channels of a group: a block has ``cout // groups_width`` groups.
        n_classes: Number of outputs.
        use_bn: Use batch normalisation.
        use_do: Use dropout in training.
        length: Samples of a window; ``None`` for any length. A fixed length saves padding operations in exports.
        form: How grouped convolutions run; see :mod:`convert.compute.grouped_conv`.

    Attributes:
        spec: The options.
        core: The network itself, ``(batch, 1, n, in_channels)`` to ``[logits, features]`` with their dimensions kept.

    Raises:
        UsageError: The options contradict each other.
    """

    def __init__(
        self,
        in_channels: int = 1,
        base_filters: int = 64,
        ratio: float = 1.0,
        filter_list: Sequence[int] = FULL_FILTERS,
        m_blocks_list: Sequence[int] = FULL_BLOCKS,
        kernel_size: int = 16,
        stride: int = 2,
        groups_width: int = 16,
        n_classes: int = 150,
        use_bn: bool = False,  # ECGFounder's own order of arguments
        use_do: bool = False,
        *,
        length: int | None = None,
        form: Form = "auto",
    ) -> None:
        spec = Net1DSpec(
            in_channels, base_filters, ratio, tuple(filter_list), tuple(m_blocks_list), kernel_size, stride,
            groups_width, n_classes, use_bn, use_do,
        )  # fmt: skip
        if length is not None and length < 1:
            raise UsageError(f"a window of {length} samples is too short")
        core = _build(spec, length, form)
        x = keras.Input((length, in_channels), name="ecg")
        logits, features = core(keras.ops.expand_dims(x, 1))
        outputs = {
            "logits": keras.layers.Reshape((n_classes,), name="logits")(logits),
            "features": keras.layers.Reshape((spec.filter_list[-1],), name="features")(features),
        }
        super().__init__(inputs=x, outputs=outputs, name="net1d")
        self.spec, self.length, self.core = spec, length, core

    def __call__(self, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        """Run the network on an input of any supported layout."""
        spec = self.__dict__.get("spec") or getattr(self, "spec", None)
        return super().__call__(inputs if spec is None else _rearranged(inputs, spec.in_channels), *args, **kwargs)

    def set_form(self, form: Form) -> None:
        """Set how grouped convolutions run; the weights do not change.

        Raises:
            UsageError: The form does not exist.
        """
        if form not in FORMS:
            raise UsageError(f"unknown form of grouped convolution: {form!r}", f"use one of {', '.join(FORMS)}")
        for layer in self.core.layers:
            if isinstance(layer, GroupedConv):
                layer.form = form
        self.train_function = self.test_function = self.predict_function = None

    def with_length(self, length: int | None, form: Form = "native") -> Net1D:
        """Return a copy for windows of another length, such as the fixed length of an export."""
        spec = self.spec
        copy = Net1D(
            spec.in_channels, spec.base_filters, spec.ratio, spec.filter_list, spec.m_blocks_list, spec.kernel_size,
            spec.stride, spec.groups_width, spec.n_classes, spec.use_bn, spec.use_do, length=length, form=form,
        )  # fmt: skip
        for variable, value in zip(copy.variables, self.variables, strict=True):
            variable.assign(value)
        return copy

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of the constructor."""
        fields = {name: getattr(self.spec, name) for name in self.spec.__dataclass_fields__}
        return {**fields, "length": self.length}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Net1D:
        """Build a network from the result of :meth:`get_config`."""
        del custom_objects
        return cls(**config)


def net1d_from_tensors(checkpoint: Checkpoint, *, stride: int = 2, use_bn: bool = False) -> Net1D:
    """Do the same as :func:`net1d_from_checkpoint` for a checkpoint in memory."""
    spec = spec_from_tensors(checkpoint.tensors, str(checkpoint.path), stride=stride, use_bn=use_bn)
    model = net1d_from_spec(spec)
    load_tensors(model, checkpoint.tensors)
    return model


def net1d_from_spec(spec: Net1DSpec) -> Net1D:
    """Build a network with random weights for windows of any length."""
    return Net1D(
        spec.in_channels, spec.base_filters, spec.ratio, spec.filter_list, spec.m_blocks_list, spec.kernel_size,
        spec.stride, spec.groups_width, spec.n_classes, spec.use_bn, spec.use_do,
    )  # fmt: skip


def load_tensors(model: Net1D, tensors: Mapping[str, NDArray[Any]]) -> None:
    """Load the weights of a checkpoint into a network.

    Args:
        model: Network with the options of the checkpoint.
        tensors: Tensors by name, in PyTorch's layout.

    Raises:
        InputError: A tensor is missing or has another shape.
    """
    for layer in model.core.layers:
        source = _source(layer.name)
        if not layer.weights:
            continue
        parts = _NORM_PARTS if isinstance(layer, keras.layers.BatchNormalization) else ("weight", "bias")
        try:
            values = [_to_keras(np.asarray(tensors[f"{source}.{part}"], dtype=np.float32)) for part in parts]
            layer.set_weights(values)
        except KeyError as error:
            raise InputError(f"the checkpoint has no {error.args[0]}") from None
        except ValueError as error:
            raise InputError(f"{source} does not fit the network: {str(error).splitlines()[0]}") from None


def to_tensors(model: Net1D) -> dict[str, NDArray[np.float32]]:
    """Return the weights of a network in the names and layout of a checkpoint; the inverse of :func:`load_tensors`.

    Where the network has no normalisation, its tensors get PyTorch's initial values, because every checkpoint has
    them.
    """
    out: dict[str, NDArray[Any]] = {}
    for layer in model.core.layers:
        if layer.weights:
            norm = isinstance(layer, keras.layers.BatchNormalization)
            values = [v if norm or v.ndim == 1 else v[0].transpose(2, 1, 0) for v in layer.get_weights()]
            names = _NORM_PARTS if norm else ("weight", "bias")
            out |= {f"{_source(layer.name)}.{part}": v for part, v in zip(names, values, strict=True)}
    shaped = {}
    for name, shape in model.spec.shapes().items():
        initial = 1.0 if name.endswith((".running_var", ".weight")) else 0.0
        dtype = np.int64 if name.endswith("num_batches_tracked") else np.float32
        shaped[name] = out[name].reshape(shape) if name in out else np.full(shape, initial, dtype=dtype)
    return shaped


_NORM_PARTS = ("weight", "bias", "running_mean", "running_var")


def _source(layer: str) -> str:
    """Return the checkpoint's name of a layer. Keras names have two underscores in place of each dot."""
    return layer.replace("__", ".")


def _layer(name: str) -> str:
    return name.replace(".", "__")


def _to_keras(value: NDArray[np.float32]) -> NDArray[np.float32]:
    if value.ndim == 3:
        return value.transpose(2, 1, 0)[None]
    if value.ndim == 2:
        return value.T[None, None]
    return value


def _rearranged(x: Any, leads: int) -> Any:
    shape = tuple(x.shape)
    if len(shape) == 2 and leads == 1:
        return x[:, :, None]
    if len(shape) == 4 and shape[1] == 1:
        return x[:, 0]
    if len(shape) == 3 and shape[1] == leads and shape[2] != leads:
        return np.swapaxes(x, 1, 2) if isinstance(x, np.ndarray) else tf.transpose(x, [0, 2, 1])
    return x


class _PadChannels(keras.layers.Layer):  # type: ignore[misc]  # keras ships no types
    def __init__(self, left: int, right: int, **options: Any) -> None:
        super().__init__(**options)
        self.left, self.right = left, right

    def call(self, x: Any) -> Any:
        return tf.pad(x, [[0, 0], [0, 0], [0, 0], [self.left, self.right]])

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return (*input_shape[:3], (input_shape[3] or 0) + self.left + self.right)


def _build(spec: Net1DSpec, length: int | None, form: Form) -> Any:
    if form not in FORMS:
        raise UsageError(f"unknown form of grouped convolution: {form!r}", f"use one of {', '.join(FORMS)}")
    inputs = keras.Input((1, length, spec.in_channels), name="window")
    x = _conv("first_conv.conv", spec.base_filters, spec.kernel_size, FIRST_STRIDE)(inputs)
    x = _swish(_norm(spec, "first_bn", x), "first_swish")
    for block in spec.blocks():
        x = _block(spec, block, x, form)
    features = keras.layers.GlobalAveragePooling2D(keepdims=True, name="pool")(x)
    logits = _conv("dense", spec.n_classes, 1, 1)(features)
    return keras.Model(inputs, [logits, features], name="core")


def _block(spec: Net1DSpec, block: BlockSpec, x: Any, form: Form) -> Any:
    n = block.name
    y = x
    if not block.first:
        y = _drop(spec, _swish(_norm(spec, f"{n}.bn1", y), f"{n}.swish1"))
    y = _conv(f"{n}.conv1.conv", block.middle, 1, 1)(y)
    y = _drop(spec, _swish(_norm(spec, f"{n}.bn2", y), f"{n}.swish2"))
    name = _layer(f"{n}.conv2.conv")
    y = GroupedConv(block.middle, spec.kernel_size, block.stride, block.groups, form, name=name)(y)
    y = _drop(spec, _swish(_norm(spec, f"{n}.bn3", y), f"{n}.swish3"))
    y = _conv(f"{n}.conv3.conv", block.cout, 1, 1)(y)
    se = keras.layers.GlobalAveragePooling2D(keepdims=True, name=_layer(f"{n}.se_pool"))(y)
    se = _swish(_conv(f"{n}.se_fc1", block.cout // 2, 1, 1)(se), f"{n}.se_swish")
    se = keras.layers.Activation("sigmoid", name=_layer(f"{n}.se_gate"))(_conv(f"{n}.se_fc2", block.cout, 1, 1)(se))
    y = keras.layers.Multiply(name=_layer(f"{n}.se_scale"))([y, se])
    return keras.layers.Add(name=_layer(f"{n}.sum"))([y, _shortcut(block, x)])


def _shortcut(block: BlockSpec, x: Any) -> Any:
    if block.downsample and block.stride > 1:
        x = _pool(block, x)
    if block.cout > block.cin:
        left = (block.cout - block.cin) // 2
        x = _PadChannels(left, block.cout - block.cin - left, name=_layer(f"{block.name}.widen"))(x)
    return x


def _pool(block: BlockSpec, x: Any) -> Any:
    """Apply ECGFounder's max-pool: ``stride - 1`` zeros around the signal, the smaller half in front, then no padding.

    Where the length is known, zeros that no pool reaches are left out.
    """
    k, n = block.stride, x.shape[2]
    left = (k - 1) // 2
    right = k - 1 - left if n is None else max(0, -(-n // k) * k - n - left)
    if left or right:
        x = keras.layers.ZeroPadding2D(((0, 0), (left, right)), name=_layer(f"{block.name}.pool_pad"))(x)
    return keras.layers.MaxPooling2D((1, k), (1, k), "valid", name=_layer(f"{block.name}.pool"))(x)


def _conv(name: str, filters: int, kernel: int, stride: int) -> Any:
    return keras.layers.Conv2D(
        filters,
        (1, kernel),
        (1, stride),
        "same",
        kernel_initializer=keras.initializers.VarianceScaling(1.0 / 3.0, "fan_in", "uniform"),
        name=_layer(name),
    )


def _norm(spec: Net1DSpec, name: str, x: Any) -> Any:
    if not spec.use_bn:
        return x
    return keras.layers.BatchNormalization(epsilon=BN_EPSILON, momentum=BN_MOMENTUM, name=_layer(name))(x)


def _swish(x: Any, name: str) -> Any:
    return keras.layers.Activation("silu", name=_layer(name))(x)


def _drop(spec: Net1DSpec, x: Any) -> Any:
    return keras.layers.Dropout(DROPOUT)(x) if spec.use_do else x
