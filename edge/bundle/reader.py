"""The reader of bundles: it checks everything and executes nothing.

A bundle is a folder or the same folder zipped. Every file that the manifest names must exist with its size and SHA-256,
and no other file may exist. Sizes are bounded before reading, and paths in a zip must stay inside the bundle.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from edge.bundle.calibration import HeadCalibration, parse_calibration
from edge.bundle.golden import UNPACK_FAULTS, read_golden
from edge.bundle.schema import Manifest, parse_manifest
from edge.bundle.tensors import Steps
from firmware_bridge.errors import BundleError

DEMO = "demo"
"""Name of the bundle in the package, for every option that takes a bundle."""

MAX_MANIFEST_BYTES = 4 << 20
MAX_FILE_BYTES = 512 << 20
MAX_FILES = 512
MANIFEST = "manifest.json"
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
    """

    path: Path
    sha256: str
    manifest: Manifest
    calibration: Mapping[str, HeadCalibration]
    model: bytes
    golden_inputs: Steps
    golden_outputs: Steps
    golden_by_interpreter: Mapping[str, Steps] = field(default_factory=dict)


def demo_bundle_path() -> Path:
    """Return the folder of the demonstration bundle inside the package."""
    return Path(__file__).parents[1] / "bundles" / DEMO


def resolve(name: str | Path) -> Path:
    """Return the path of a bundle argument; ``demo`` is the one in the package (a folder of that name: ``./demo``)."""
    return demo_bundle_path() if str(name) == DEMO else Path(name)


def load_bundle(name: str | Path) -> Bundle:
    """Read and verify a bundle.

    Args:
        name: Folder, zip file, or ``demo``.

    Raises:
        BundleError: The path is not a bundle, or the bundle is altered, incomplete, too large or too new.
    """
    path = resolve(name)
    files = _open(path)
    raw_manifest = files.read(MANIFEST, MAX_MANIFEST_BYTES)
    manifest = parse_manifest(_json(raw_manifest, MANIFEST))
    _check_names(files.names(), manifest)
    contents: dict[str, bytes] = {}
    for member in sorted(manifest.files):
        data = _verified(files, member, *manifest.files[member])
        if member in REQUIRED:
            contents[member] = data  # reports and C arrays are verified but not kept: they can be larger than the model
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
    files = _open(resolve(name))
    return files.read(member, limit) if member in files.names() else None


class _Folder:
    def __init__(self, root: Path) -> None:
        self._root = root

    def names(self) -> set[str]:
        found = set()
        for entry in self._root.rglob("*"):
            if entry.is_symlink():
                raise BundleError(f"{entry} is a symbolic link", "a bundle holds only regular files")
            if entry.is_file():
                found.add(entry.relative_to(self._root).as_posix())
            if len(found) > MAX_FILES:
                raise BundleError(f"{self._root} holds more than {MAX_FILES} files", "this is not a bundle")
        return found

    def read(self, name: str, limit: int) -> bytes:
        path = self._root / name
        try:
            if path.stat().st_size > limit:
                raise BundleError(f"{path} is larger than {limit} bytes", "this is not a bundle")
            return path.read_bytes()
        except FileNotFoundError:
            raise BundleError(f"{path} is missing", "the bundle is incomplete; copy or convert it again") from None
        except OSError as e:
            raise BundleError(f"{path} cannot be read: {e.strerror}", "check its permissions") from None


class _Zip:
    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._zip = zipfile.ZipFile(path)
        except (zipfile.BadZipFile, OSError, NotImplementedError, ValueError) as e:
            raise BundleError(f"{path} is neither a bundle folder nor a zip: {e}", "copy or convert it again") from None
        infos = self._zip.infolist()
        if len(infos) > MAX_FILES:
            raise BundleError(f"{path} holds more than {MAX_FILES} files", "this is not a bundle")
        names = [i.filename for i in infos if not i.is_dir()]
        for name in [i.filename for i in infos]:
            parts = PurePosixPath(name).parts
            if not parts or name.startswith("/") or ".." in parts or "\\" in name or ":" in name:
                raise BundleError(f"{path} holds the path '{name}', which leaves the bundle", "do not trust this file")
        if len(set(names)) != len(names):
            raise BundleError(f"{path} holds a file twice", "do not trust this file")
        # Most zip tools put the folder itself into the archive.
        tops = {PurePosixPath(n).parts[0] for n in names}
        self._prefix = f"{next(iter(tops))}/" if MANIFEST not in names and len(tops) == 1 else ""

    def names(self) -> set[str]:
        return {i.filename.removeprefix(self._prefix) for i in self._zip.infolist() if not i.is_dir()}

    def read(self, name: str, limit: int) -> bytes:
        try:
            with self._zip.open(self._prefix + name) as f:
                data = f.read(limit + 1)
        except KeyError:
            raise BundleError(
                f"{self._path}: {name} is missing", "the bundle is incomplete; copy or convert it again"
            ) from None
        except UNPACK_FAULTS as e:
            raise BundleError(f"{self._path}: {name} cannot be unpacked: {e}", "copy or convert it again") from None
        if len(data) > limit:
            raise BundleError(
                f"{self._path}: {name} is larger than it should be ({limit} bytes)", "copy or convert it again"
            )
        return data


def _open(path: Path) -> _Folder | _Zip:
    if path.is_dir():
        return _Folder(path)
    if path.is_file():
        return _Zip(path)
    raise BundleError(f"no bundle at {path}", "give a bundle folder, a zip of one, or 'demo'")


def _json(data: bytes, name: str) -> Any:
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as e:
        raise BundleError(f"{name} is not valid JSON: {e}", "copy or convert the bundle again") from None


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
    missing = sorted(set(manifest.files) - found)
    if missing:
        raise BundleError(
            f"{missing[0]} is missing from the bundle", "the bundle is incomplete; copy or convert it again"
        )
    extra = sorted(found - set(manifest.files) - {MANIFEST})
    if extra:
        raise BundleError(f"{extra[0]} is in the bundle but not in its manifest", "remove it, or do not trust it")


def _verified(files: _Folder | _Zip, name: str, sha256: str, size: int) -> bytes:
    if not 0 <= size <= MAX_FILE_BYTES:
        raise BundleError(f"manifest.files gives {name} an impossible size of {size} bytes", "convert the bundle again")
    data = files.read(name, size)
    if len(data) != size or hashlib.sha256(data).hexdigest() != sha256:
        raise BundleError(
            f"{name} was altered: its SHA-256 differs from the manifest", "copy or convert the bundle again"
        )
    return data
