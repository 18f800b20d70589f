"""Write a bundle atomically: one folder with model, front end, outputs, calibration and evidence."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from convert.bundle.card import with_rhythms
from convert.bundle.records import ManifestAggregation, ManifestFrontEnd, ManifestTensor
from edge.bundle.golden import Limit
from edge.bundle.schema import SCHEMA, SCHEMA_ANY_FORM
from edge.bundle.tensors import Steps
from edge.process.files import output_error
from firmware_bridge.errors import OutputError
from firmware_bridge.reading import resolved

CALIBRATION_SCHEMA = "anyecg.calibration/1"

NOTICE = (
    "Research software, not a medical device. An ECG estimate is not a laboratory result. "
    "Do not use it to diagnose, treat or monitor anybody."
)
"""Notice in every manifest and, through it, in every estimate."""

STREAM_FRONT_END: ManifestFrontEnd = {
    "name": "stream/1",
    "grid_hz": 250,
    "fs_hz": 125,
    "window_s": 10.0,
    "group_delay_s": 1.112,
    "clamp": 8.0,
}

STREAM_INPUT: ManifestTensor = {
    "dtype": "int8",
    "shape": [1, 1, 1250, 1],
    "scale": 0.0625,
    "zero_point": 0,
}

AGGREGATION: ManifestAggregation = {"method": "logit_mean", "minutes": 5.0, "weighting": "quality"}

_ZIP_EPOCH = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True, slots=True)
class BundleContents:
    """The content of a bundle.

    Attributes:
        manifest: The manifest without ``schema``, ``notice`` and ``files``, which the writer adds.
        model: The TFLite flatbuffer.
        heads: Calibration of each head, by output key.
        golden_inputs: Golden windows in steps, ``(k, *input.shape)``.
        golden_outputs: Outputs of the reference kernels for them in steps, ``(k, outputs)``; of
            LiteRT for a float form.
        model_card: Model card, Markdown.
        extra: Contents of further files by relative path.
        golden_by_interpreter: Golden outputs of each interpreter that was tried, steps.
        limits: Limit of each interpreter's self-test. With limits, the manifest names the form of the model and has
            the schema for any form; without, the model is int8 and every interpreter may differ by one step.
    """

    manifest: Mapping[str, Any]
    model: bytes
    heads: Mapping[str, Mapping[str, Any]]
    golden_inputs: Steps
    golden_outputs: Steps
    model_card: str
    extra: Mapping[str, bytes] = field(default_factory=dict)
    golden_by_interpreter: Mapping[str, Steps] = field(default_factory=dict)
    limits: Mapping[str, Limit] = field(default_factory=dict)


def to_json(value: object) -> bytes:
    """Return readable JSON: indented, with the keys in their given order, without NaN.

    Raises:
        ValueError: ``value`` holds a NaN or an infinity.
    """
    return (json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()


def golden_npz(inputs: Steps, outputs: Steps, by_interpreter: Mapping[str, Steps] | None = None) -> bytes:
    """Return the golden vectors as ``.npz`` whose bytes depend only on the arrays."""
    import zipfile

    own = {f"outputs_{name}": array for name, array in (by_interpreter or {}).items()}

    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, array in {"inputs": inputs, "outputs": outputs, **own}.items():
            part = io.BytesIO()
            np.lib.format.write_array(part, np.ascontiguousarray(array), version=(1, 0), allow_pickle=False)
            info = zipfile.ZipInfo(f"{name}.npy", date_time=_ZIP_EPOCH)
            info.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(info, part.getvalue())
    return buffer.getvalue()


def bundle_files(contents: BundleContents) -> dict[str, bytes]:
    """Return the contents of all files of a bundle by relative path, the manifest last."""
    files = {
        "model.tflite": contents.model,
        "calibration.json": to_json({"schema": CALIBRATION_SCHEMA, "heads": contents.heads}),
        "golden.npz": golden_npz(contents.golden_inputs, contents.golden_outputs, contents.golden_by_interpreter),
        "MODEL_CARD.md": with_rhythms(contents.model_card, contents.manifest.get("outputs", ())).encode(),
        **contents.extra,
    }
    manifest = {
        "schema": SCHEMA_ANY_FORM if contents.limits else SCHEMA,
        **contents.manifest,
        **_golden_entry(contents),
        "notice": NOTICE,
        "files": {
            name: {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)} for name, data in files.items()
        },
    }
    return {**files, "manifest.json": to_json(manifest)}


def _golden_entry(contents: BundleContents) -> dict[str, Any]:
    if not contents.limits:
        return {}
    limits = {name: asdict(limit) for name, limit in contents.limits.items()}
    return {"golden": {"model_sha256": hashlib.sha256(contents.model).hexdigest(), "interpreters": limits}}


def check_place(folder: Path) -> None:
    """Check that a bundle can be written to ``folder``, before minutes of work.

    Raises:
        OutputError: The folder exists and is not a bundle.
    """
    if not folder.exists():
        return
    if not (folder.is_dir() and ((folder / "manifest.json").is_file() or not any(folder.iterdir()))):
        raise OutputError(f"{folder} exists and is not a bundle", "name a new folder")


def check_new_place(folder: Path) -> None:
    """Do the same as :func:`check_place`, and check that the folder around it exists.

    Raises:
        OutputError: The folder exists and is not a bundle, or there is no folder around it.
    """
    check_place(folder)
    if not folder.absolute().parent.is_dir():
        raise OutputError(f"{folder.absolute().parent} is not a folder", "create it first, or name another folder")


def write_bundle(folder: Path, contents: BundleContents) -> None:
    """Write a bundle atomically, and replace an older bundle of the same name.

    The files go to a temporary folder, which is renamed when everything is on disk. A failure leaves the old bundle.

    Args:
        folder: Folder of the bundle.
        contents: Content of the bundle.

    Raises:
        OutputError: The folder exists and is not a bundle, or it cannot be written.
    """
    folder = resolved(folder)
    check_place(folder)
    write_folder(folder, bundle_files(contents), "the bundle")


def write_folder(folder: Path, files: Mapping[str, bytes], what: str) -> None:
    """Write files into a new folder atomically; an older folder of that name is replaced.

    Args:
        folder: Path of the folder.
        files: Contents by relative path.
        what: Name of the files, for the error message.

    Raises:
        OutputError: The folder cannot be written.
    """
    folder = resolved(folder)
    partial = folder.with_name(f".{folder.name}.part")
    old = folder.with_name(f".{folder.name}.old")
    try:
        _remove(partial)
        for name, data in files.items():
            path = partial / name
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
        _remove(old)
        if folder.exists():
            folder.rename(old)
        partial.rename(folder)
        _remove(old)
    except OSError as error:
        raise output_error(f"{what} {folder}", error, "free some space or name another folder") from None
    finally:
        # Also after Ctrl-C, which is no OSError.
        _settle(folder, partial, old)


def _settle(folder: Path, partial: Path, old: Path) -> None:
    """Leave the new folder or the old one under its name, and nothing beside it."""
    with suppress(OSError):
        _remove(partial)
    with suppress(OSError):
        if not folder.exists() and old.exists():
            old.rename(folder)
        _remove(old)


def _remove(folder: Path) -> None:
    if folder.exists():
        shutil.rmtree(folder)
