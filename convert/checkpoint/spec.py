"""The options of a Net1D, the tensors that follow from them, and the options that follow from a checkpoint's tensors.

Net1D is the network of ECGFounder (PKUDigitalHealth/ECGFounder, net1d.py; arXiv 2410.04133). This module does not need
TensorFlow.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from firmware_bridge.errors import InputError, UsageError

FIRST_STRIDE = 2
"""Stride of the first convolution, independent of the option ``stride`` (ECGFounder, net1d.py)."""

FULL_FILTERS = (64, 160, 160, 400, 400, 1024, 1024)
FULL_BLOCKS = (2, 2, 2, 3, 3, 4, 4)
"""ECGFounder's sizes: 30.7 million parameters."""

_STANDARD_LEADS = 12

MAX_LISTED = 6
"""Names that an error message lists; the rest is counted."""


@dataclass(frozen=True, slots=True)
class BlockSpec:
    """One residual block.

    Attributes:
        name: Name in the checkpoint, ``stage_list.{s}.block_list.{b}``.
        cin: Input channels.
        middle: Channels of the grouped convolution.
        cout: Output channels.
        groups: Groups of the grouped convolution.
        stride: Stride of the grouped convolution and of the pool in the shortcut.
        first: Whether it is the first block of the network, which starts without normalisation and activation.
        downsample: Whether it is the first block of a stage.
    """

    name: str
    cin: int
    middle: int
    cout: int
    groups: int
    stride: int
    first: bool
    downsample: bool


@dataclass(frozen=True, slots=True)
class Net1DSpec:
    """The options of a Net1D, named as in ECGFounder.

    Attributes:
        in_channels: Number of leads.
        base_filters: Channels of the first convolution.
        ratio: Channels inside a block, divided by its output channels.
        filter_list: Output channels by stage.
        m_blocks_list: Blocks by stage.
        kernel_size: Taps of the first and the grouped convolutions.
        stride: Stride of the first block of each stage.
        groups_width: Channels of a group: a block has ``cout // groups_width`` groups.
        n_classes: Number of outputs.
        use_bn: Whether batch normalisation is used. Checkpoints have its tensors in either case.
        use_do: Whether to use a dropout of 0.5 before the grouped and the last convolution of a block, in training.
    """

    in_channels: int = 1
    base_filters: int = 64
    ratio: float = 1.0
    filter_list: tuple[int, ...] = FULL_FILTERS
    m_blocks_list: tuple[int, ...] = FULL_BLOCKS
    kernel_size: int = 16
    stride: int = 2
    groups_width: int = 16
    n_classes: int = 150
    use_bn: bool = False
    use_do: bool = False

    def __post_init__(self) -> None:
        sizes = (self.in_channels, self.base_filters, self.kernel_size, self.stride, self.groups_width, self.n_classes)
        if min(sizes) < 1 or not self.filter_list or len(self.filter_list) != len(self.m_blocks_list):
            raise UsageError("a Net1D needs sizes of at least 1 and as many block counts as stages")
        if min(self.m_blocks_list) < 1:
            raise UsageError("every stage of a Net1D needs a block")
        if any(a < b for a, b in zip(self.filter_list, (self.base_filters, *self.filter_list), strict=False)):
            raise UsageError("the stages of a Net1D may widen but not narrow: its shortcut adds channels only")
        for block in self.blocks():
            if block.cout < 2:
                raise UsageError(f"{block.name}: squeeze-and-excitation needs at least two channels")
            if block.middle < 1 or block.groups < 1 or block.middle % block.groups:
                raise UsageError(f"{block.name}: {block.middle} channels cannot be divided into {block.groups} groups")

    def blocks(self) -> tuple[BlockSpec, ...]:
        """Return all blocks in order."""
        out: list[BlockSpec] = []
        cin = self.base_filters
        for s, (cout, count) in enumerate(zip(self.filter_list, self.m_blocks_list, strict=True)):
            for b in range(count):
                out.append(
                    BlockSpec(
                        name=f"stage_list.{s}.block_list.{b}",
                        cin=cin,
                        middle=int(cout * self.ratio),
                        cout=cout,
                        groups=cout // self.groups_width,
                        stride=self.stride if b == 0 else 1,
                        first=s == 0 and b == 0,
                        downsample=b == 0,
                    )
                )
                cin = cout
        return tuple(out)

    def lengths(self, samples: int) -> tuple[int, ...]:
        """Return the length after the first convolution and after each stage, samples."""
        out = [math.ceil(samples / FIRST_STRIDE)]
        for _ in self.filter_list:
            out.append(math.ceil(out[-1] / self.stride))
        return tuple(out)

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the shape of every tensor of a checkpoint, unused normalisation included, in PyTorch's layout."""
        out = {
            "first_conv.conv.weight": (self.base_filters, self.in_channels, self.kernel_size),
            "first_conv.conv.bias": (self.base_filters,),
            **_norm("first_bn", self.base_filters),
        }
        for block in self.blocks():
            out.update(_block_shapes(block, self.kernel_size))
        out["dense.weight"] = (self.n_classes, self.filter_list[-1])
        out["dense.bias"] = (self.n_classes,)
        return out

    def used_shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the shapes of the trainable tensors that a forward pass uses."""
        return {
            name: shape
            for name, shape in self.shapes().items()
            if is_parameter(name) and (not is_norm(name) or (self.use_bn and not name.startswith(f"{_FIRST}.bn1.")))
        }

    def count_parameters(self) -> int:
        """Return the number of weights and biases in use."""
        return sum(math.prod(shape) for shape in self.used_shapes().values())

    def count_macs(self, samples: int) -> int:
        """Return the multiply-accumulate operations for a window of ``samples`` samples."""
        lengths = self.lengths(samples)
        total = lengths[0] * self.base_filters * self.in_channels * self.kernel_size
        stages = [s for s, count in enumerate(self.m_blocks_list) for _ in range(count)]
        for stage, block in zip(stages, self.blocks(), strict=True):
            before, after = lengths[stage] if block.downsample else lengths[stage + 1], lengths[stage + 1]
            total += before * block.cin * block.middle
            total += after * block.middle * (block.middle // block.groups * self.kernel_size + block.cout)
            total += 2 * block.cout * (block.cout // 2)
        return total + self.filter_list[-1] * self.n_classes


_FIRST = "stage_list.0.block_list.0"
_BLOCK = re.compile(r"stage_list\.(\d{1,4})\.block_list\.(\d{1,4})\.(.+)")


def is_norm(name: str) -> bool:
    """Return whether a tensor belongs to a batch normalisation."""
    return name.startswith("first_bn.") or ".bn" in name


def is_parameter(name: str) -> bool:
    """Return whether a tensor is trained; counters and running averages are not."""
    return name.endswith((".weight", ".bias"))


def _norm(name: str, channels: int) -> dict[str, tuple[int, ...]]:
    kept: dict[str, tuple[int, ...]] = {
        f"{name}.{part}": (channels,) for part in ("weight", "bias", "running_mean", "running_var")
    }
    return {**kept, f"{name}.num_batches_tracked": ()}


def _block_shapes(block: BlockSpec, kernel: int) -> dict[str, tuple[int, ...]]:
    n, half = block.name, block.cout // 2
    return {
        **_norm(f"{n}.bn1", block.cin),
        f"{n}.conv1.conv.weight": (block.middle, block.cin, 1),
        f"{n}.conv1.conv.bias": (block.middle,),
        **_norm(f"{n}.bn2", block.middle),
        f"{n}.conv2.conv.weight": (block.middle, block.middle // block.groups, kernel),
        f"{n}.conv2.conv.bias": (block.middle,),
        **_norm(f"{n}.bn3", block.middle),
        f"{n}.conv3.conv.weight": (block.cout, block.middle, 1),
        f"{n}.conv3.conv.bias": (block.cout,),
        f"{n}.se_fc1.weight": (half, block.cout),
        f"{n}.se_fc1.bias": (half,),
        f"{n}.se_fc2.weight": (block.cout, half),
        f"{n}.se_fc2.bias": (block.cout,),
    }


def spec_from_tensors(tensors: Mapping[str, NDArray[Any]], where: str, *, stride: int, use_bn: bool) -> Net1DSpec:
    """Infer the options from the shapes of a checkpoint's tensors, and check every tensor against them.

    Args:
        tensors: Tensors by name.
        where: Name of the file, for error messages.
        stride: Stride of the first block of each stage. The shapes do not show it.
        use_bn: Whether normalisation is used. The shapes do not show it either.

    Raises:
        InputError: The tensors belong to another network, or are missing, extra, of the wrong shape, or not finite.
    """
    shapes = {name: tuple(int(n) for n in value.shape) for name, value in tensors.items()}
    spec = _infer(shapes, where, stride=stride, use_bn=use_bn)
    expected = spec.shapes()
    wanted = {n: s for n, s in expected.items() if spec.use_bn or not is_norm(n)}
    missing = [n for n in wanted if n not in shapes and not n.endswith(".num_batches_tracked")]
    extra = [n for n in shapes if n not in expected]
    wrong = [f"{n} {shapes[n]} instead of {expected[n]}" for n in shapes if n in expected and shapes[n] != expected[n]]
    faults = [_listed(*pair) for pair in (("missing", missing), ("extra", extra), ("wrong shape", wrong)) if pair[1]]
    if faults:
        raise InputError(f"{where} does not fit Net1D: {'; '.join(faults)}")
    bad = [n for n in wanted if n in tensors and not np.all(np.isfinite(tensors[n]))]
    if bad:
        raise InputError(f"{where} holds {_listed('NaN or infinite values', bad)}", "the training diverged")
    return spec


def check_one_lead(spec: Net1DSpec, where: Path) -> None:
    """Check that a network reads one lead, as a patch has.

    Raises:
        InputError: It reads several; the message says how to make a network for one lead from it.
    """
    if spec.in_channels == 1:
        return
    fix = "give a one-lead checkpoint"
    if spec.in_channels == _STANDARD_LEADS:
        fix = f"train it for one: anyecg finetune --init {where} --lead II --data DIR --out TEACHER; then give TEACHER"
    raise InputError(f"{where} reads {spec.in_channels} leads, but a patch has one", fix)


def _listed(what: str, names: list[str]) -> str:
    more = f" and {len(names) - MAX_LISTED} more" if len(names) > MAX_LISTED else ""
    return f"{what}: {', '.join(names[:MAX_LISTED])}{more}"


def _infer(shapes: Mapping[str, tuple[int, ...]], where: str, *, stride: int, use_bn: bool) -> Net1DSpec:
    if not any(name.startswith("stage_list.") for name in shapes):
        raise InputError(
            f"{where} is the checkpoint of another network: it has {_listed('tensors like', list(shapes)[:4])}",
            "a Net1D (ECGFounder) checkpoint is needed",
        )
    first = _shape(shapes, where, "first_conv.conv.weight", 3)
    stages = _stages(shapes, where)
    filters, ratios, widths = [], [], []
    for s in range(len(stages)):
        block = f"stage_list.{s}.block_list.0"
        conv2 = _shape(shapes, where, f"{block}.conv2.conv.weight", 3)
        cout = _shape(shapes, where, f"{block}.conv3.conv.weight", 3)[0]
        filters.append(cout)
        ratios.append((conv2[0], cout))
        widths.append((cout, conv2[0] // max(1, conv2[1])))
    try:
        return Net1DSpec(
            in_channels=first[1],
            base_filters=first[0],
            ratio=_ratio(ratios, where),
            filter_list=tuple(filters),
            m_blocks_list=tuple(stages),
            kernel_size=first[2],
            stride=stride,
            groups_width=_width(widths, where),
            n_classes=_shape(shapes, where, "dense.weight", 2)[0],
            use_bn=use_bn,
        )
    except UsageError as error:
        raise InputError(f"{where} does not fit Net1D: {error.what}") from None


def _shape(shapes: Mapping[str, tuple[int, ...]], where: str, name: str, dimensions: int) -> tuple[int, ...]:
    found = shapes.get(name)
    if found is None:
        raise InputError(f"{where} does not fit Net1D: missing: {name}", _like(name, shapes))
    if len(found) != dimensions or min(found) < 1:
        raise InputError(f"{where} does not fit Net1D: wrong shape: {name} {found}, {dimensions} dimensions expected")
    return found


def _like(name: str, shapes: Mapping[str, tuple[int, ...]]) -> str:
    near = [n for n in shapes if n.split(".")[0] == name.split(".", maxsplit=1)[0]][:3]
    return f"it has {', '.join(near)}" if near else ""


def _stages(shapes: Mapping[str, tuple[int, ...]], where: str) -> list[int]:
    found: dict[int, set[int]] = {}
    for match in filter(None, map(_BLOCK.fullmatch, shapes)):
        found.setdefault(int(match[1]), set()).add(int(match[2]))
    for s, stage in enumerate(sorted(found)):
        if stage != s or sorted(found[stage]) != list(range(len(found[stage]))):
            raise InputError(f"{where} does not fit Net1D: missing: stages or blocks before stage_list.{stage}")
    return [len(found[s]) for s in sorted(found)]


def _ratio(pairs: list[tuple[int, int]], where: str) -> float:
    """Return the ratio for which ``int(cout * ratio) == middle`` holds in every stage."""
    for middle, cout in pairs:
        for candidate in (middle / cout, math.nextafter(middle / cout, math.inf), (middle + 0.5) / cout):
            if all(int(c * candidate) == m for m, c in pairs):
                return candidate
    raise InputError(f"{where} does not fit Net1D: its blocks do not narrow by one common ratio")


def _width(pairs: list[tuple[int, int]], where: str) -> int:
    """Return the largest group width for which ``cout // width == groups`` holds in every stage."""
    for width in _candidates(pairs):
        if all(cout // width == groups for cout, groups in pairs):
            return width
    raise InputError(f"{where} does not fit Net1D: its grouped convolutions have no common group width")


def _candidates(pairs: list[tuple[int, int]]) -> Iterator[int]:
    cout, groups = max(pairs, key=lambda p: p[1])
    return iter(range(cout // max(1, groups), cout // (groups + 1), -1))


def normalisation_moved(tensors: Mapping[str, NDArray[Any]]) -> bool:
    """Return whether the running averages of the batch normalisation left their initial values, as in training."""
    for name, value in tensors.items():
        if name.endswith(".running_mean") and np.any(value != 0.0):
            return True
        if name.endswith(".running_var") and np.any(value != 1.0):
            return True
    return False
