"""The descriptions of the student networks, without TensorFlow."""

from __future__ import annotations

import pytest

from convert.compute.students import (
    PRESETS,
    activation_names,
    convolutions,
    count_parameters,
    is_residual,
    preset,
    wire,
)
from firmware_bridge.errors import UsageError


class RecordingOps:
    """Operations that count channels instead of computing, so that wrong wiring causes a mismatch."""

    def __init__(self, spec, n_outputs):
        self.convs = {c.name: c for c in convolutions(spec, n_outputs)}
        self.calls = []

    def conv(self, name, x):
        channels, length = x
        c = self.convs[name]
        assert c.cin == channels, name
        self.calls.append(name)
        return c.cout, -(-length // c.stride)

    def add(self, name, a, b):
        assert a == b, name
        self.calls.append(name)
        return a

    def mean(self, name, x):
        self.calls.append(name)
        return x[0], 1


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_wiring_fits_channel_by_channel(name):
    spec = preset(name)
    ops = RecordingOps(spec, 11)
    logits, features = wire(spec, ops, (1, 1250))
    assert logits == (11, 1)
    assert features == (spec.blocks[-1].channels, 1)
    assert [c for c in ops.calls if c in ops.convs] == [c.name for c in convolutions(spec, 11)]


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_every_tensor_but_input_and_head_has_a_range(name):
    spec = preset(name)
    ops = RecordingOps(spec, 3)
    wire(spec, ops, (1, 1250))
    assert [n for n, _ in activation_names(spec)] == [c for c in ops.calls if c != "head"]


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_residual_branches_end_without_relu_and_nothing_else_does(name):
    spec = preset(name)
    linear = {c.name for c in convolutions(spec, 3) if not c.relu6}
    cin, residual = spec.stem_channels, set()
    for i, block in enumerate(spec.blocks):
        if is_residual(cin, block):
            residual.add(f"block{i}.point")
        cin = block.channels
    assert linear == residual | {"head"}
    assert residual, "a preset without any residual block would not exercise ADD"


def test_presets_grow_and_leave_room_in_their_flash():
    sizes = [count_parameters(PRESETS[name], 108) for name in ("nano", "micro", "small")]
    assert sizes == sorted(sizes)
    for name, size in zip(("nano", "micro", "small"), sizes, strict=True):
        assert size < 0.8 * PRESETS[name].flash_limit_bytes


def test_the_error_for_an_unknown_preset_lists_the_presets():
    with pytest.raises(UsageError, match="nano, micro, small") as caught:
        preset("huge")
    assert caught.value.exit_code == 2
