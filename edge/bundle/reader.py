"""The reader of bundles: it checks everything and executes nothing.

A bundle is a folder or the same folder zipped. Every file that the manifest names must exist with its size and SHA-256,
and no other file but its signature may exist. Sizes are bounded before reading, and paths in a zip must stay inside the
bundle.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edge.bundle.calibration import HeadCalibration, parse_calibration
from edge.bundle.files import MANIFEST, MAX_BYTES, BundleFiles, digest, open_files, read
from edge.bundle.golden import read_golden
from edge.bundle.schema import Manifest, parse_manifest
from edge.bundle.signature import MAX_SIGNATURE_BYTES, SIGNATURE, Signature, parse_signature
from edge.bundle.tensors import Steps
from firmware_bridge.errors import BundleError
from firmware_bridge.reading import resolved

DEMO = "demo"
"""Name of the bundle in the package, for every option that takes a bundle."""

MAX_MANIFEST_BYTES = 4 << 20
MAX_FILE_BYTES = 512 << 20
REQUIRED = ("model.tflite", "calibration.json", "golden.npz", "MODEL_CARD.md")


@dataclass(frozen=True, slots=True, eq=False)
class Bundle:
    """A verified bundle.

    Attributes:
        path: Path of the folder or zip.
        sha256: SHA-256 of ``manifest.json``, which covers all files of the bundle.
        manifest: The parsed manifest.
        calibration: Calibration by head key.
        model: The bytes of ``model.tflite``.
        golden_inputs: Golden inputs in steps, shape ``(k, *input.shape)``.
        golden_outputs: Golden outputs in steps, shape ``(k, outputs)``.
        golden_by_interpreter: Golden outputs of the interpreters that the conversion tried; none in older bundles.
        signature: The signature, which is not verified here; ``None`` for an unsigned bundle.
    """

    path: Path
    sha256: str
    manifest: Manifest
    calibration: Mapping[str, HeadCalibration]
    model: bytes
    golden_inputs: Steps
    golden_outputs: Steps
    golden_by_interpreter: Mapping[str, Steps] = field(default_factory=dict)
    signature: Signature | None = None


def demo_bundle_path() -> Path:
    """Return the folder of the demonstration bundle inside the package."""
    return Path(__file__).parents[1] / "bundles" / DEMO


def resolve(name: str | Path) -> Path:
    """Return the path of a bundle argument; ``demo`` is the one in the package (a folder of that name: ``./demo``)."""
    if str(name) == DEMO:
        return demo_bundle_path()
    # An update may turn the link of an installed bundle meanwhile; all files must come from the same one.
    path = Path(name)
    return resolved(path) if path.is_symlink() else path


def load_bundle(name: str | Path) -> Bundle:
    """Read and verify a bundle.

    Args:
        name: Folder, zip file, or ``demo``.

    Raises:
        BundleError: The path is not a bundle, or the bundle is altered, incomplete, too large or too new.
    """
    path = resolve(name)
    files = open_files(path)
    raw_manifest = read(files, MANIFEST, MAX_MANIFEST_BYTES)
    manifest = parse_manifest(_json(raw_manifest, MANIFEST))
    names = files.names()
    _check_names(names, manifest)
    signature = parse_signature(read(files, SIGNATURE, MAX_SIGNATURE_BYTES)) if SIGNATURE in names else None
    contents: dict[str, bytes] = {}
    for member in sorted(manifest.files):
        # Reports and C arrays are verified but not kept: they can be larger than the model.
        data = _verified(files, member, *manifest.files[member], keep=member in REQUIRED)
        if member in REQUIRED:
            contents[member] = data
    _check_golden_model(manifest)
    golden = read_golden(contents["golden.npz"], manifest.input, manifest.output, manifest.golden)
    return Bundle(
        path=path,
        sha256=hashlib.sha256(raw_manifest).hexdigest(),
        manifest=manifest,
        calibration=parse_calibration(_json(contents["calibration.json"], "calibration.json"), manifest.outputs),
        model=contents["model.tflite"],
        golden_inputs=golden.inputs,
        golden_outputs=golden.outputs,
        golden_by_interpreter=golden.by_interpreter,
        signature=signature,
    )


def read_extra(name: str | Path, member: str, limit: int) -> bytes | None:
    """Read an optional file of a bundle, without the checks of :func:`load_bundle`.

    Args:
        name: Folder, zip file, or ``demo``.
        member: Relative path in the bundle.
        limit: Largest size, bytes.

    Returns:
        The bytes of the file; ``None`` if it does not exist.

    Raises:
        BundleError: The path is not a bundle, or the file cannot be read or is larger.
    """
    files = open_files(resolve(name))
    return read(files, member, limit) if member in files.names() else None


def _json(data: bytes, name: str) -> Any:
    try:
        return json.loads(data, object_pairs_hook=_once)
    except (ValueError, RecursionError) as e:
        raise BundleError(f"{name} is not valid JSON: {e}", "copy or convert the bundle again") from None


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Refuse a key that occurs twice: readers differ in which one they take."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key occurs twice in one object")
    return found


def _check_golden_model(manifest: Manifest) -> None:
    """Check that the golden vectors are of this model; its SHA-256 is known without reading it again."""
    made_by = manifest.golden.model_sha256
    if made_by is not None and made_by != manifest.files["model.tflite"][0]:
        raise BundleError(
            "golden.npz was made by another model: model.tflite was changed after the conversion",
            "copy or convert the bundle again",
        )


def _check_names(found: set[str], manifest: Manifest) -> None:
    for name in REQUIRED:
        if name not in manifest.files:
            raise BundleError(f"manifest.files does not list {name}", "the bundle is incomplete; convert it again")
    if SIGNATURE in manifest.files:
        raise BundleError(f"manifest.files lists {SIGNATURE}, which signs it", "convert the bundle again")
    missing = sorted(set(manifest.files) - found)
    if missing:
        raise BundleError(
            f"{missing[0]} is missing from the bundle", "the bundle is incomplete; copy or convert it again"
        )
    sizes = [size for _sha256, size in manifest.files.values()]
    if max(sizes) <= MAX_FILE_BYTES and sum(sizes) > MAX_BYTES:
        raise BundleError(f"manifest.files gives more than {MAX_BYTES} bytes", "this is not a bundle")
    extra = sorted(found - set(manifest.files) - {MANIFEST, SIGNATURE})
    if extra:
        raise BundleError(f"{extra[0]} is in the bundle but not in its manifest", "remove it, or do not trust it")


def _verified(files: BundleFiles, name: str, sha256: str, size: int, *, keep: bool) -> bytes:
    if not 0 <= size <= MAX_FILE_BYTES:
        raise BundleError(f"manifest.files gives {name} an impossible size of {size} bytes", "convert the bundle again")
    data, found, found_size = digest(files, name, size, keep=keep)
    if found_size != size or found != sha256:
        raise BundleError(
            f"{name} was altered: its SHA-256 differs from the manifest", "copy or convert the bundle again"
        )
    return data
