"""Pack a bundle into one zip file: verified before, read back after, and the same bytes for the same bundle."""

from __future__ import annotations

import hashlib
import json
import zipfile
from dataclasses import replace
from pathlib import Path

from edge.bundle.files import MANIFEST
from edge.bundle.reader import MAX_FILE_BYTES, MAX_MANIFEST_BYTES, Bundle, load_bundle, read_extra
from edge.bundle.signature import SIGNATURE, Signature
from edge.process.files import written_beside
from firmware_bridge.errors import BundleError, OutputError, UsageError
from firmware_bridge.reading import resolved

MAX_TOTAL_BYTES = 2 << 30
"""Largest sum of the sizes of all files, bytes. The float form of the whole teacher has 0.13 GiB."""

_ZIP_EPOCH = (1980, 1, 1, 0, 0, 0)
_UNIX = 3
_MODE = 0o100644 << 16


def pack_bundle(name: str | Path, out: Path, signature: Signature | None = None) -> int:
    """Write a bundle as a zip file, which every command that takes a bundle reads.

    The bytes depend only on the content of the bundle (and on the version of zlib): the files are in order of their
    names, the manifest is first, and no date or owner is stored. A failure leaves an older file unchanged.

    Args:
        name: Folder, zip file, or ``demo``.
        out: The zip file to create. A zip of a bundle that exists there is replaced.
        signature: The signature to store; by default that of the bundle.

    Returns:
        The size of the zip file, bytes.

    Raises:
        BundleError: The bundle is altered, incomplete, too large or too new, or changes while it is packed.
        UsageError: The zip file would be inside the bundle.
        OutputError: Something other than a zip of a bundle exists at ``out``, or the file cannot be written.
    """
    bundle = load_bundle(name)
    if signature is not None:
        bundle = replace(bundle, signature=signature)
    _check_place(bundle, out)
    if sum(size for _, size in bundle.manifest.files.values()) > MAX_TOTAL_BYTES:
        raise BundleError(f"{bundle.path} has more than {MAX_TOTAL_BYTES} bytes", "remove reports from the bundle")
    with written_beside(out, unique=True) as partial:
        _write(bundle, partial)
        _check_reads_back(bundle, partial, out)
    return out.stat().st_size


def _check_place(bundle: Bundle, out: Path) -> None:
    place = out.absolute()
    if bundle.path.is_dir() and resolved(place).is_relative_to(resolved(bundle.path)):
        raise UsageError(f"{out} is inside the bundle, which may hold only its own files", "name a file elsewhere")
    if not place.parent.is_dir():
        raise OutputError(f"{place.parent} is not a folder", "create it first, or name another file")
    if (out.exists() or out.is_symlink()) and not _is_bundle_zip(out):
        raise OutputError(f"{out} exists and is not a zip of a bundle", "name a new file")


def _is_bundle_zip(path: Path) -> bool:
    """Return whether a file is a zip with the manifest of a bundle, which may be damaged otherwise."""
    if not path.is_file():
        return False
    try:
        raw = read_extra(path, MANIFEST, MAX_MANIFEST_BYTES)
        manifest = json.loads(raw or b"")
    except (BundleError, ValueError, RecursionError):
        return False
    return isinstance(manifest, dict) and str(manifest.get("schema", "")).startswith("anyecg.bundle/")


def _write(bundle: Bundle, path: Path) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(_entry(MANIFEST), _read(bundle, MANIFEST, bundle.sha256, None))
        if bundle.signature is not None:
            archive.writestr(_entry(SIGNATURE), bundle.signature.to_bytes())
        for member, (sha256, size) in sorted(bundle.manifest.files.items()):
            archive.writestr(_entry(member), _read(bundle, member, sha256, size))


def _entry(member: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(member, date_time=_ZIP_EPOCH)
    info.compress_type = zipfile.ZIP_DEFLATED
    # Otherwise the bytes depend on the operating system.
    info.create_system = _UNIX
    info.external_attr = _MODE
    return info


def _read(bundle: Bundle, member: str, sha256: str, size: int | None) -> bytes:
    """Read one file again and check that it is still the verified one."""
    data = read_extra(bundle.path, member, MAX_MANIFEST_BYTES if size is None else min(size, MAX_FILE_BYTES))
    if data is None or hashlib.sha256(data).hexdigest() != sha256:
        raise BundleError(f"{member} of {bundle.path} changed while it was packed", "pack it when nothing writes to it")
    return data


def _check_reads_back(bundle: Bundle, partial: Path, out: Path) -> None:
    try:
        found = load_bundle(partial)
    except BundleError as e:
        raise OutputError(f"{out} does not read back: {e.what}", "check the disk and the names of the files") from None
    if (found.sha256, found.signature) != (bundle.sha256, bundle.signature):
        raise OutputError(f"{out} reads back differently from what was written", "check the disk")
