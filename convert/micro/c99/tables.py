"""The tables of a network as C."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from convert.micro import c_source as c
from convert.micro.c99.network import GROUP, Block, Dense, Depthwise, Layer, Network, Sum
from convert.micro.c99.scaling import INT8_MAX, INT8_MIN, Range, Scale

ALIGNED = "ANYECG_ALIGN4"


def sizes(network: Network) -> list[tuple[str, str]]:
    """Returns the constants that the structures and the schedule need, as names and values."""
    return [
        ("ANYECG_BLOCKS", f"{len(network.blocks)}u"),
        ("ANYECG_STAGES", f"{len(network.blocks) + 1}u"),
        ("ANYECG_RINGS_BYTES", f"{network.ring_bytes}u"),
        ("ANYECG_POOL_CHANNELS", f"{network.mean.channels}u"),
        ("ANYECG_CHANNELS_MAX", f"{network.channels_max}u"),
        ("ANYECG_STEM_INPUTS", f"{network.stem.dense.inputs}u"),
        ("ANYECG_HEAD_LAYERS", f"{len(network.heads)}u"),
        ("ANYECG_WORK", f"{network.work}u"),
        ("ANYECG_FULL_RANGE", str(int(all((r.low, r.high) == (INT8_MIN, INT8_MAX) for r in network.ranges)))),
    ]


def layers(network: Network) -> str:
    """Returns the tables of all layers, without the comment at the head of the file."""
    parts = [
        '#include "anyecg_layers.h"\n\n#include <stddef.h>\n',
        _stem(network),
        *(_block_tables(i, block) for i, block in enumerate(network.blocks)),
        _heads(network),
        _block_list(network),
    ]
    return "\n".join(parts)


def _stem(network: Network) -> str:
    stem = network.stem
    time = stem.time
    what = (
        f"stem: convolution, {stem.taps} taps, stride {time.stride}, {network.window} samples -> {time.steps} vectors "
        f"of {stem.dense.outputs} channels; {_name(stem.dense.name)}"
    )
    return (
        f"/* {what} */\n{_weights('stem', _tiled(stem.dense))}{_scales('stem', stem.dense)}"
        f"const struct anyecg_stem anyecg_stem = {{\n  {_dense('stem', stem.dense)},\n"
        f"  {time.steps}u, {time.stride}u, {time.left}u, {time.zero}\n}};\n"
    )


def _block_tables(i: int, block: Block) -> str:
    depth, point, time = block.depth, block.point, block.time
    what = (
        f"block {i}: depthwise convolution, {depth.taps} taps, stride {time.stride}, {depth.channels} channels, "
        f"{time.steps} vectors; {_name(depth.name)}"
    )
    text = (
        f"/* {what} */\n{_weights(f'depth{i}', _grouped(depth))}{_scales(f'depth{i}', depth)}\n"
        f"/* block {i}: 1x1 convolution, {point.inputs} -> {point.outputs} channels; {_name(point.name)} */\n"
        f"{_weights(f'point{i}', _tiled(point))}{_scales(f'point{i}', point)}"
    )
    if block.add is None:
        return text
    return (
        text
        + f"\n/* block {i}: its input is added; {_name(block.add.name)} */\n"
        + f"static const struct anyecg_add add{i} = {{{_sum(block.add)}}};\n"
    )


def _block_list(network: Network) -> str:
    rows, ring = [], 0
    for i, block in enumerate(network.blocks):
        depth, time = block.depth, block.time
        rows.append(
            f"  {{{{depth{i}_weights, depth{i}_scales, {depth.channels}u, {depth.taps}u, {_range(depth.range)}}},\n"
            f"   {_dense(f'point{i}', block.point)},\n"
            f"   {'NULL' if block.add is None else f'&add{i}'}, {ring}u, {time.steps}u, {time.stride}u, {time.left}u, "
            f"{time.zero}}}"
        )
        ring += block.ring_bytes
    return (
        "/* A block: depthwise convolution, 1x1 convolution, sum; then place of its ring, vectors, stride, vectors\n"
        " * before the signal, zero point. */\n"
        "const struct anyecg_block anyecg_blocks[ANYECG_BLOCKS] = {\n" + ",\n".join(rows) + "\n};\n"
    )


def _heads(network: Network) -> str:
    mean = network.mean
    text = (
        f"/* mean over time, {network.blocks[-1].time.steps} vectors of {mean.channels} channels */\n"
        f"const struct anyecg_mean anyecg_pool = {{{_scale(mean.bias, mean.scale)}, {mean.channels}u, "
        f"{_range(mean.range)}}};\n"
    )
    for i, layer in enumerate(network.heads):
        last = " (the heads)" if i + 1 == len(network.heads) else ""
        text += (
            f"\n/* 1x1 convolution, {layer.inputs} -> {layer.outputs}{last}; {_name(layer.name)} */\n"
            f"{_weights(f'head{i}', _tiled(layer))}{_scales(f'head{i}', layer)}"
        )
    rows = ",\n".join(f"  {_dense(f'head{i}', layer)}" for i, layer in enumerate(network.heads))
    return text + f"\nconst struct anyecg_dense anyecg_heads_layers[ANYECG_HEAD_LAYERS] = {{\n{rows}\n}};\n"


def _grouped(depth: Depthwise) -> NDArray[np.int8]:
    """Returns the weights in the order in which the kernel reads them: ``(channels / 4, taps * 4)``."""
    groups = depth.channels // GROUP
    return depth.weights.reshape(depth.taps, groups, GROUP).transpose(1, 0, 2).reshape(groups, -1)


def _tiled(layer: Dense) -> NDArray[np.int8]:
    """Returns the weights in the order in which the kernel reads them, with rows of zeros up to a group.

    One row for four outputs: ``(outputs / 4, inputs / 4 * 4 outputs * 4 inputs)``.
    """
    rows = np.pad(layer.weights, ((0, -layer.outputs % GROUP), (0, 0)))
    groups = len(rows) // GROUP
    return rows.reshape(groups, GROUP, -1, GROUP).transpose(0, 2, 1, 3).reshape(groups, -1)


def _weights(name: str, rows: NDArray[np.int8]) -> str:
    lines = []
    for row in rows:
        cells = [str(int(v)) for v in row]
        lines += ["  " + ", ".join(cells[i : i + 24]) for i in range(0, len(cells), 24)]
    return f"static {ALIGNED} const int8_t {name}_weights[{rows.size}] = {{\n" + ",\n".join(lines) + "\n};\n"


def _scales(name: str, layer: Layer) -> str:
    cells = [_scale(int(b), s) for b, s in zip(layer.biases, layer.scales, strict=True)]
    cells += [_scale(0, Scale(0, 0))] * (-len(cells) % GROUP)
    return f"static const struct anyecg_scale {name}_scales[{len(cells)}] = {{\n{c.number_rows(cells, 4)}\n}};\n"


def _scale(bias: int, scale: Scale) -> str:
    """Returns ``{bias * 32 + shift - 1, multiplier}``; a multiplier of 0 has no shift."""
    shift = max(scale.shift - 1, 0) if scale.multiplier else 0
    return f"{{{bias * 32 + shift}, {scale.multiplier}}}"


def _dense(name: str, layer: Dense) -> str:
    return f"{{{name}_weights, {name}_scales, {layer.inputs}u, {layer.outputs}u, {_range(layer.range)}}}"


def _sum(add: Sum) -> str:
    multipliers = f"{add.factor}, {add.scale.multiplier}, {add.scale_sum.multiplier}"
    shifts = ", ".join(f"{max(s.shift - 1, 0)}u" for s in (add.scale, add.scale_sum))
    return f"{multipliers}, {shifts}, {int(add.swap)}u, {add.zero_large}, {add.zero_small}, {_range(add.range)}"


def _range(found: Range) -> str:
    return f"{{{found.zero}, {found.low}, {found.high}}}"


def _name(text: str) -> str:
    return c.comment(text)
