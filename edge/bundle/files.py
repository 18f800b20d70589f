"""Access to the files of a bundle, a folder or a zip of one, in bounded memory.

A folder may hold special files and links, and a zip may promise little and unpack to much; neither reaches memory.
"""

from __future__ import annotations

import hashlib
import os
import stat
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO, Protocol

from edge.bundle.golden import UNPACK_FAULTS
from firmware_bridge.errors import BundleError
from firmware_bridge.posix import CLOSE_ON_EXEC, NO_FOLLOW, NO_WAIT

MANIFEST = "manifest.json"
MAX_FILES = 512
MAX_BYTES = 1 << 30
"""Most bytes of all files of a bundle; the whole teacher in float32 with its reports has 130 MB."""
MAX_RATIO = 20
"""Most bytes that a zip may unpack to, relative to its own size and beyond 64 MiB; real models reach 2."""
SPARE_BYTES = 64 << 20
_CHUNK = 1 << 20
_COPY = "copy or convert it again"


class BundleFiles(Protocol):
    """The files of a bundle."""

    def names(self) -> set[str]:
        """Return the relative paths of all files."""
        ...

    def chunks(self, name: str, limit: int) -> Iterator[bytes]:
        """Yield the content of a file of at most ``limit`` bytes."""
        ...


def read(files: BundleFiles, name: str, limit: int) -> bytes:
    """Return the content of a file.

    Raises:
        BundleError: The file is missing, not a regular file, larger than ``limit`` bytes, or cannot be read.
    """
    return b"".join(files.chunks(name, limit))


def digest(files: BundleFiles, name: str, limit: int, *, keep: bool) -> tuple[bytes, str, int]:
    """Return the content of a file (empty unless ``keep``), its SHA-256 and its size.

    Raises:
        BundleError: As for :func:`read`.
    """
    found, size, kept = hashlib.sha256(), 0, []
    for chunk in files.chunks(name, limit):
        found.update(chunk)
        size += len(chunk)
        if keep:
            kept.append(chunk)
    return b"".join(kept), found.hexdigest(), size


def open_files(path: Path) -> BundleFiles:
    """Open a folder or a zip.

    Raises:
        BundleError: The path is neither, or the zip is not acceptable.
    """
    if path.is_dir():
        return _Folder(path)
    if path.is_file():
        return _Zip(path)
    raise BundleError(f"no bundle at {path}", "give a bundle folder, a zip of one, or 'demo'")


class _Folder:
    def __init__(self, root: Path) -> None:
        self._root = root

    def names(self) -> set[str]:
        found = set()
        for entry in self._root.rglob("*"):
            if entry.is_symlink():
                raise BundleError(f"{entry} is a symbolic link", "a bundle holds only regular files")
            if not entry.is_dir():
                found.add(entry.relative_to(self._root).as_posix())
            if len(found) > MAX_FILES:
                raise BundleError(f"{self._root} holds more than {MAX_FILES} files", "this is not a bundle")
        return found

    def chunks(self, name: str, limit: int) -> Iterator[bytes]:
        path = self._root / name
        try:
            # Without waiting for the writer of a pipe, and without following a link to a device.
            with os.fdopen(os.open(path, os.O_RDONLY | NO_FOLLOW | NO_WAIT | CLOSE_ON_EXEC), "rb") as file:
                about = os.fstat(file.fileno())
                if not stat.S_ISREG(about.st_mode):
                    raise BundleError(f"{path} is not a regular file", "a bundle holds only regular files")
                if about.st_size > limit:
                    raise BundleError(f"{path} is larger than {limit} bytes", "this is not a bundle")
                yield from _pieces(file, limit)
        except _TooLargeError:
            raise BundleError(f"{path} is larger than {limit} bytes", "this is not a bundle") from None
        except FileNotFoundError:
            raise BundleError(f"{path} is missing", f"the bundle is incomplete; {_COPY}") from None
        except OSError as e:
            link = path.is_symlink()
            what = "is a symbolic link" if link else f"cannot be read: {e.strerror}"
            fix = "a bundle holds only regular files" if link else "check its permissions"
            raise BundleError(f"{path} {what}", fix) from None


class _Zip:
    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._zip = zipfile.ZipFile(path)
        except (zipfile.BadZipFile, OSError, NotImplementedError, ValueError) as e:
            raise BundleError(f"{path} is neither a bundle folder nor a zip: {e}", _COPY) from None
        infos = self._zip.infolist()
        if len(infos) > MAX_FILES:
            raise BundleError(f"{path} holds more than {MAX_FILES} files", "this is not a bundle")
        names = [i.filename for i in infos if not _is_folder(i)]
        for name in [i.filename for i in infos]:
            parts = PurePosixPath(name).parts
            # Two slashes would make an absolute path of the rest, once the folder around it is removed.
            plain = name.removesuffix("/") == str(PurePosixPath(name))
            if not parts or not plain or name.startswith("/") or ".." in parts or "\\" in name or ":" in name:
                raise BundleError(f"{path} holds the path '{name}', which leaves the bundle", "do not trust this file")
        if len(set(names)) != len(names):
            raise BundleError(f"{path} holds a file twice", "do not trust this file")
        unpacked = sum(i.file_size for i in infos)
        if unpacked > SPARE_BYTES + MAX_RATIO * path.stat().st_size:
            raise BundleError(f"{path} would unpack to {unpacked} bytes", "do not trust this file")
        # Most zip tools put the folder itself into the archive.
        tops = {PurePosixPath(n).parts[0] for n in names}
        self._prefix = f"{next(iter(tops))}/" if MANIFEST not in names and len(tops) == 1 else ""

    def names(self) -> set[str]:
        return {i.filename.removeprefix(self._prefix) for i in self._zip.infolist() if not _is_folder(i)}

    def chunks(self, name: str, limit: int) -> Iterator[bytes]:
        try:
            with self._zip.open(self._prefix + name) as file:
                yield from _pieces(file, limit)
        except KeyError:
            raise BundleError(f"{self._path}: {name} is missing", f"the bundle is incomplete; {_COPY}") from None
        except _TooLargeError:
            what = f"{self._path}: {name} is larger than it should be ({limit} bytes)"
            raise BundleError(what, _COPY) from None
        except UNPACK_FAULTS as e:
            raise BundleError(f"{self._path}: {name} cannot be unpacked: {e}", _COPY) from None


def _is_folder(info: zipfile.ZipInfo) -> bool:
    """Return whether a member is a folder; ``ZipInfo.is_dir`` raises on an empty name before Python 3.12."""
    return info.filename.endswith("/")


class _TooLargeError(Exception):
    """More bytes than allowed; the callers say of what."""


def _pieces(file: IO[bytes], limit: int) -> Iterator[bytes]:
    """Yield the content of a file; a file that grows meanwhile is cut one byte beyond the limit."""
    left = limit + 1
    while left and (chunk := file.read(min(_CHUNK, left))):
        left -= len(chunk)
        if not left:
            raise _TooLargeError
        yield chunk
