"""A grouped one-dimensional convolution that runs in two forms with the same weights.

``native`` is TensorFlow's own grouped CONV_2D: one operation, which suits inference and export. Its gradient on a CPU
is twice as slow as necessary with oneDNN and many times as slow without, so training runs ``split``: one convolution
for each group. ``auto`` selects ``split`` when the layer is called for training and ``native`` otherwise.
"""

from __future__ import annotations

from typing import Any, Literal, cast

from convert.compute.tf_runtime import load_tensorflow

tf = load_tensorflow()
import keras  # noqa: E402  # imported after the number of TensorFlow's threads is set

Form = Literal["auto", "native", "split"]
FORMS: tuple[Form, ...] = ("auto", "native", "split")


class GroupedConv(keras.layers.Layer):  # type: ignore[misc]  # keras ships no types
    """Convolution along time in groups, SAME padding, with bias.

    The input has the shape ``(batch, 1, n, cin)``, the output ``(batch, 1, ceil(n / stride), filters)``.

    Args:
        filters: Output channels.
        kernel_size: Taps.
        stride: Stride along time.
        groups: Number of groups, a divisor of the input channels and of the output channels.
        form: ``native``, ``split`` or ``auto``; see the module.
        **options: Options of every Keras layer.
    """

    def __init__(
        self, filters: int, kernel_size: int, stride: int, groups: int, form: Form = "auto", **options: Any
    ) -> None:
        super().__init__(**options)
        self.filters, self.kernel_size, self.stride, self.groups = filters, kernel_size, stride, groups
        self.form: Form = form

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Create the kernel, ``(1, taps, cin / groups, filters)``, and the bias."""
        cin = cast("int", input_shape[-1])
        self.kernel = self.add_weight(
            name="kernel",
            shape=(1, self.kernel_size, cin // self.groups, self.filters),
            initializer=keras.initializers.VarianceScaling(1.0 / 3.0, "fan_in", "uniform"),
        )
        self.bias = self.add_weight(name="bias", shape=(self.filters,), initializer="zeros")

    def call(self, x: Any, training: bool | None = None) -> Any:
        """Apply the convolution."""
        split = self.form == "split" or (self.form == "auto" and training)
        y = self._split(x) if split and self.groups > 1 else self._conv(x, tf.convert_to_tensor(self.kernel))
        return tf.nn.bias_add(y, tf.convert_to_tensor(self.bias))

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Return the shape of the output; a dimension that is ``None`` in the input is ``None`` in the output."""
        n = input_shape[2]
        return (input_shape[0], 1, None if n is None else -(-n // self.stride), self.filters)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of the constructor."""
        own = ("filters", "kernel_size", "stride", "groups", "form")
        return {**super().get_config(), **{name: getattr(self, name) for name in own}}

    def _conv(self, x: Any, kernel: Any) -> Any:
        return tf.nn.conv2d(x, kernel, [1, 1, self.stride, 1], "SAME")

    def _split(self, x: Any) -> Any:
        parts = tf.split(x, self.groups, axis=3)
        kernels = tf.split(tf.convert_to_tensor(self.kernel), self.groups, axis=3)
        return tf.concat([self._conv(p, k) for p, k in zip(parts, kernels, strict=True)], axis=3)
