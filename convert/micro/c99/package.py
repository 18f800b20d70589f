"""The plain C99 package of a bundle: the student, its golden windows, its heads, and a self-test.

The same bundle gives the same bytes. Before anything is written, the golden windows run in the real TensorFlow Lite
Micro interpreter and in the arithmetic of the package, and all outputs must be equal.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import firmware_bridge
from convert.micro import c_source as c
from convert.micro.c99.cost import PROCESSORS, Processor, cost, macs
from convert.micro.c99.network import Network
from convert.micro.c99.reading import read_network
from convert.micro.c99.tables import layers, sizes
from convert.micro.c99.twin import run
from convert.micro.graph import read_graph
from convert.micro.layouts import metadata
from convert.micro.package import (
    TEMPLATES as SHARED,
)
from convert.micro.package import (
    MicroSource,
    check_ends,
    check_golden,
    end_constants,
    golden_source,
    head_comment,
    model_constants,
    outputs_source,
    readme,
)
from firmware_bridge.errors import CheckFailedError

TEMPLATES = Path(__file__).parents[2] / "templates" / "c99"
VERBATIM = (
    "anyecg_kernels.c",
    "anyecg_kernels.h",
    "anyecg_layers.h",
    "anyecg_network.c",
    "anyecg_network.h",
    "anyecg_push.c",
    "anyecg_push.h",
    "check/main.c",
)
FRONT_END = Path(firmware_bridge.__file__).parent / "c" / "src"
"""Folder of ``ecg_frontend``, which is also part of the patch's C library."""

VERBATIM_SHARED = ("anyecg_golden.h", "anyecg_outputs.h")
"""Files that the package for TensorFlow Lite Micro has too."""


@dataclass(frozen=True, slots=True)
class C99Package:
    """A plain C99 package.

    Attributes:
        files: Contents by path relative to the folder of the package.
        network: The layers of the student.
        windows: Number of golden windows with equal outputs.
    """

    files: Mapping[str, bytes]
    network: Network
    windows: int


def build(source: MicroSource) -> C99Package:
    """Build the package.

    Args:
        source: Model, heads, calibration and golden windows.

    Raises:
        BundleError: The bundle is not of the micro tier.
        InputError: The model is not a TFLite model.
        NotCoveredError: The model has an operation that the runtime does not cover.
        CheckFailedError: TensorFlow Lite Micro or the package would give different outputs.
        MissingExtraError: TensorFlow Lite Micro is not installed.
    """
    check_ends(source.manifest)
    network = read_network(read_graph(source.model, "model.tflite"))
    check_golden(source)
    _check_arithmetic(source, network)
    files = {name: (TEMPLATES / name).read_bytes() for name in VERBATIM}
    files |= {name: (SHARED / name).read_bytes() for name in VERBATIM_SHARED}
    files |= front_end()
    files["anyecg_config.h"] = _config(source, network)
    files["anyecg_layers.c"] = (head_comment(source, "Layers") + layers(network)).encode()
    files["anyecg_golden.c"] = golden_source(source)
    files["anyecg_outputs.c"] = outputs_source(source)
    files["README.md"] = _readme(source, network)
    files |= metadata(files, source.manifest.version, tflm=False)
    return C99Package(dict(sorted(files.items())), network, len(source.golden_inputs))


def front_end() -> dict[str, bytes]:
    """Return front end ``stream/1`` as ``anyecg_stream.{h,c}``, which is that of the patch's C library."""
    header, code = ((FRONT_END / f"ecg_frontend.{end}").read_text(encoding="utf-8") for end in "hc")
    first = '#include "ecg_frontend.h"\n'
    licence, own, rest = code.partition(first)
    if not own:
        raise RuntimeError("ecg_frontend.c does not include its header")
    guarded = (
        f'{licence}#include "anyecg_stream.h"\n\n'
        "/* Define ANYECG_EXTERNAL_FRONTEND if ecg_frontend.c of the patch's C library is in the same program. */\n"
        f"#ifndef ANYECG_EXTERNAL_FRONTEND\n{rest}\n#endif\n"
    )
    return {"anyecg_stream.h": header.encode(), "anyecg_stream.c": guarded.encode()}


def _check_arithmetic(source: MicroSource, network: Network) -> None:
    found = np.stack([run(network, window.reshape(-1)) for window in source.golden_inputs])
    different = int(np.count_nonzero(found != source.golden_outputs.reshape(found.shape)))
    if different:
        raise CheckFailedError(
            f"the C99 runtime would differ in {different} of {found.size} golden outputs",
            "use 'anyecg micro-package --runtime tflm', and report this model",
        )


def _config(source: MicroSource, network: Network) -> bytes:
    return (
        head_comment(source, "Sizes and scales")
        + "#ifndef ANYECG_CONFIG_H\n#define ANYECG_CONFIG_H\n\n"
        + c.defines([*model_constants(source), *end_constants(source)])
        + "\n/* Of the network. */\n"
        + c.defines(sizes(network))
        + "\n#endif\n"
    ).encode()


def _readme(source: MicroSource, network: Network) -> bytes:
    rows = "\n".join(_cost_row(network, processor) for processor in PROCESSORS.values())
    return readme(TEMPLATES, source, {"MACS": f"{macs(network):,}", "COST_ROWS": rows})


def _cost_row(network: Network, processor: Processor) -> str:
    found = cost(network, processor)
    numbers = f"{found.flash_bytes:,} | {found.ram_bytes:,} | {found.stack_bytes} | {found.instructions / 1e6:.1f} M"
    return f"| {processor.title} | {numbers} |"
