"""Read and write a teacher as a ``.keras`` file without letting Keras create the objects that the file names.

The archive is a zip with a description and an HDF5 file of weights. Only the options of a Net1D are taken from the
description, and each is checked. The network is built here, and the weights must fit it. Nothing in the file is
executed.
"""

from __future__ import annotations

import json
import math
import tempfile
import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from convert.checkpoint.spec import Net1DSpec
from convert.checkpoint.tensors import KERAS, Checkpoint
from convert.compute.tf_runtime import load_tensorflow
from edge.bundle.golden import UNPACK_FAULTS
from edge.process.files import sha256_of, written_beside
from firmware_bridge.errors import InputError, UsageError
from firmware_bridge.reading import open_regular

DESCRIPTION, WEIGHTS = "config.json", "model.weights.h5"
MAX_DESCRIPTION = 8 << 20
"""Largest description that is read, bytes."""
MAX_WEIGHTS = 2 << 30
"""Largest file of weights that is read, bytes."""
MAX_MEMBERS = 64
"""Largest number of members of the zip."""

_INTEGERS = ("in_channels", "base_filters", "kernel_size", "stride", "groups_width", "n_classes")
_LISTS = ("filter_list", "m_blocks_list")
_FLAGS = ("use_bn", "use_do")
_MAX_OPTION = 1 << 16
"""Largest value of any option; far beyond every network of the family."""
_MAX_STAGES = 64
_MAX_BLOCKS = 1024


def read_keras_teacher(path: Path) -> Checkpoint:
    """Read a ``.keras`` teacher into the names and the layout of a PyTorch checkpoint.

    Returns:
        The checkpoint; its ``facts`` hold ``stride`` and ``use_bn``.

    Raises:
        InputError: The file cannot be read, or holds another network.
    """
    description, weights = _members(path)
    spec = _spec(path, description)
    # Checked before memory is allocated: a description of a few bytes could ask for any amount.
    needed = sum(math.prod(shape) for name, shape in spec.shapes().items() if spec.use_bn or ".bn" not in name)
    if 4 * needed > len(weights) + MAX_DESCRIPTION:
        raise InputError(f"{path} has {len(weights)} bytes of weights, fewer than the network it describes")
    load_tensorflow()
    from convert.checkpoint.net1d import net1d_from_spec, to_tensors

    net = net1d_from_spec(spec)
    for variable in net.core.weights:
        variable.assign(np.full(variable.shape, np.nan, np.float32))
    try:
        with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
            # Keras only warns about weights that are missing from the file; the NaN check below finds them.
            warnings.simplefilter("ignore")
            extracted = Path(folder) / WEIGHTS
            extracted.write_bytes(weights)
            net.load_weights(extracted)
    except (ValueError, KeyError, OSError, AttributeError, TypeError, RuntimeError) as error:
        why = str(error).strip().splitlines()[0][:160] if str(error).strip() else type(error).__name__
        raise InputError(f"the weights in {path} do not fit the network it describes: {why}", "save it again") from None
    missing = next((v.path for v in net.core.weights if not np.isfinite(v.numpy()).all()), None)
    if missing is not None:
        raise InputError(
            f"{path} does not fit the network it describes: {missing} is missing or not finite", "save it again"
        )
    facts: dict[str, str | int | float] = {"stride": spec.stride, "use_bn": int(spec.use_bn)}
    return Checkpoint(path, sha256_of(path), "keras", to_tensors(net), ("FloatStorage",), facts, ())


def write_keras_teacher(path: Path, net: Any) -> None:
    """Write a Net1D as a ``.keras`` file, atomically.

    Raises:
        OutputError: The file cannot be written.
    """
    with written_beside(path, advice="free some space or name another folder", suffix=KERAS) as partial:
        net.save(partial)


def _members(path: Path) -> tuple[bytes, bytes]:
    try:
        with open_regular(path) as file, zipfile.ZipFile(file) as archive:
            members = archive.infolist()
            sizes = {m.filename: m.file_size for m in members}
            if len(members) > MAX_MEMBERS or DESCRIPTION not in sizes or WEIGHTS not in sizes:
                raise InputError(
                    f"{path} is not a Keras model", "give a .keras file that anyecg finetune wrote, or a .pth file"
                )
            if sizes[DESCRIPTION] > MAX_DESCRIPTION or sizes[WEIGHTS] > MAX_WEIGHTS:
                raise InputError(f"{path} is larger than any teacher", "do not trust this file")
            return archive.read(DESCRIPTION), archive.read(WEIGHTS)
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from None
    except UNPACK_FAULTS as error:
        raise InputError(f"{path} is damaged or not a Keras model: {error}", "copy it again") from None


def _spec(path: Path, description: bytes) -> Net1DSpec:
    try:
        raw = json.loads(description)
        name, config = raw["class_name"], raw["config"]
        if name != "Net1D":
            raise InputError(f"{path} is a Keras {str(name)[:40]}, not a Net1D", "give ECGFounder's network")
        values: dict[str, Any] = {k: _integer(config[k]) for k in _INTEGERS}
        values |= {k: tuple(_integer(v) for v in config[k][:_MAX_STAGES]) for k in _LISTS}
        values |= {k: bool(config[k]) for k in _FLAGS}
        ratio = float(config["ratio"])
    except (ValueError, KeyError, TypeError, RecursionError):
        raise InputError(f"{path} does not describe a Net1D", "save it again with this version") from None
    if not 0.0 < ratio <= 64.0 or sum(values["m_blocks_list"]) > _MAX_BLOCKS:
        raise InputError(f"{path} does not describe a Net1D", "save it again with this version")
    try:
        return Net1DSpec(ratio=ratio, **values)
    except UsageError as error:
        raise InputError(f"{path}: {error.what}") from None


def _integer(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= _MAX_OPTION:
        raise ValueError(value)
    return value
