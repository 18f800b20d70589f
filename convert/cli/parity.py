"""Inputs of ``anyecg convert parity``: the bundle, its teacher, and the windows."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TextIO

import numpy as np
from numpy.typing import NDArray

from convert.checkpoint.reader import read_checkpoint
from convert.datasets.described import RecordingOptions
from convert.foundation.parity import bundle_parity, read_original
from convert.foundation.standard import scaling_of_bundle
from convert.parity.forms import ParityReport
from convert.teacher.place import checkpoint_at
from edge.bundle.reader import Bundle, load_bundle
from firmware_bridge.errors import BundleError, InputError, UsageError


def run_parity(
    name: str,
    checkpoint: Path | None,
    data: Path | None,
    original: Path | None,
    windows: int,
    stream: TextIO | None,
    options: RecordingOptions | None = None,
) -> ParityReport:
    """Compare the forms of a bundle's model.

    Args:
        name: Folder or zip file of the bundle, or ``demo``.
        checkpoint: Teacher of a foundation bundle; ``None`` to compare the quantized forms only.
        data: Folder of recordings; ``None`` for the golden windows of the bundle.
        original: File with inputs and logits of the original code; needs the checkpoint.
        windows: Number of windows of the recordings.
        stream: Stream for progress lines, or ``None``.
        options: Options about recordings that do not state their rate, scale or lead.

    Raises:
        BundleError: The bundle is damaged.
        InputError: Checkpoint, recordings or original outputs cannot be used.
        UsageError: The options contradict each other.
    """
    bundle = load_bundle(name)
    if original is not None and checkpoint is None:
        raise UsageError("--original needs --checkpoint", "name the checkpoint whose logits it has")
    if original is not None and data is not None:
        raise UsageError("--original and --data exclude each other", "give one of them")
    manifest = _manifest(bundle)
    scaling = scaling_of_bundle(manifest, bundle.manifest.outputs, bundle.golden_outputs.shape[1])
    core = None if checkpoint is None else _core(bundle, manifest, len(scaling.lines), checkpoint)
    samples, outputs = bundle.golden_inputs[0].size, bundle.golden_outputs.shape[1]
    found = None if original is None else read_original(original, samples, outputs)
    values = None if data is None else _values(bundle, data, windows, stream, options)
    return bundle_parity(bundle, windows=values, core=core, original=found, scaling=scaling, stream=stream)


def _core(bundle: Bundle, manifest: Mapping[str, Any], outputs: int, path: Path) -> Any:
    from convert.checkpoint.net1d import net1d_from_tensors

    if bundle.manifest.tier != "foundation":
        raise UsageError(
            f"{bundle.path} is a bundle of the tier {bundle.manifest.tier}, which has no checkpoint",
            "leave --checkpoint out",
        )
    teacher, network = (v if isinstance(v, dict) else {} for v in (manifest.get("teacher"), manifest.get("network")))
    key = network.get("key")
    if key is not None and not isinstance(key, str):
        raise BundleError("manifest.network is invalid", "convert the bundle again")
    checkpoint = read_checkpoint(checkpoint_at(path), key=key)
    sha256 = teacher.get("sha256")
    if sha256 != checkpoint.sha256:
        raise InputError(
            f"{bundle.path} was not made from the checkpoint {path}", f"name the checkpoint with SHA-256 {sha256}"
        )
    stride, use_bn = network.get("stride", 2), network.get("use_bn", False)
    if not isinstance(stride, int) or not 1 <= stride <= 64 or not isinstance(use_bn, bool):
        raise BundleError("manifest.network is invalid", "convert the bundle again")
    width = len(checkpoint.tensors["dense.weight"])
    if width != outputs:
        raise BundleError(f"the model has {outputs} outputs, but its teacher {width}", "convert the bundle again")
    model = net1d_from_tensors(checkpoint, stride=stride, use_bn=use_bn)
    return model.with_length(bundle.golden_inputs[0].size).core


def _manifest(bundle: Bundle) -> dict[str, Any]:
    """Return the raw manifest, for the keys that only a conversion reads; the bundle is already verified."""
    import json
    import zipfile

    if bundle.path.is_dir():
        raw = (bundle.path / "manifest.json").read_bytes()
    else:
        with zipfile.ZipFile(bundle.path) as archive:
            name = next(n for n in archive.namelist() if n.rpartition("/")[2] == "manifest.json")
            raw = archive.read(name)
    found = json.loads(raw)
    return found if isinstance(found, dict) else {}


def _values(
    bundle: Bundle, data: Path, count: int, stream: TextIO | None, options: RecordingOptions | None
) -> NDArray[np.float32]:
    from convert.foundation.windows import enough_windows, prepare
    from edge.frontend.stream import normalise_window

    found = enough_windows(data, count, stream, options)
    if stream is not None:
        stream.write(f"{found.summary()}\n")
    front_end = bundle.manifest.front_end
    if front_end.name == "ecgfounder/1":
        return prepare(found.raw(), front_end.clamp).values
    return np.stack([normalise_window(w.filtered) for w in found.windows]).astype(np.float32)
