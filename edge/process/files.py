"""Atomic writing of files, and their hashes: the only place that writes a temporary file, syncs and renames it."""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from firmware_bridge.errors import InputError, OutputError
from firmware_bridge.posix import CLOSE_ON_EXEC, WINDOWS
from firmware_bridge.reading import open_regular

__all__ = [
    "full_error",
    "make_folder",
    "output_error",
    "remove_partials",
    "sha256_of",
    "sync_folder",
    "write_atomically",
    "write_files",
    "written_beside",
]

_FIXES = {
    errno.ENOSPC: "free some space",
    errno.EDQUOT: "free some space; the disk quota is used up",
    errno.EACCES: "check its permissions",
    errno.EROFS: "choose another place; the medium is read-only",
    errno.ENOENT: "create its folder first",
}


def output_error(path: Path | str, error: OSError, advice: str | None = None) -> OutputError:
    """Return the error for a failed write.

    Args:
        path: The file that could not be written.
        error: The error of the operating system.
        advice: What the user can do; by default derived from the error.
    """
    fix = _FIXES.get(error.errno or 0, "") if advice is None else advice
    return OutputError(f"cannot write {path}: {error.strerror or error}", fix)


def full_error(path: Path | str, count: int, what: str) -> OutputError:
    """Return the error for results that were still waiting for room on the disk when the run ended."""
    return OutputError(f"cannot write {path}: the disk is full; {count} {what} at the end are lost", "free some space")


@contextmanager
def written_beside(
    path: Path,
    *,
    advice: str | None = None,
    private: bool = False,
    unique: bool = False,
    suffix: str = "",
    folder: Path | None = None,
) -> Iterator[Path]:
    """Yield the path of a temporary file; if the block ends without an error, that file replaces ``path``.

    The content reaches the disk before the rename, so a power cut leaves either the old or the new file. After an
    error the temporary file is removed and ``path`` is unchanged.

    Args:
        path: The file to create or replace. Its folder must exist.
        advice: What to do about a failed write; by default derived from the error.
        private: Whether only the owner may read the file.
        unique: Whether to give the temporary file a unique name, for files that two processes may write at once.
        suffix: Suffix of the temporary file, for writers that choose a format by it.
        folder: Folder of the temporary file, on the same disk, where that of ``path`` may hold no other file.

    Raises:
        OutputError: The file cannot be written.
    """
    token = f".{os.urandom(8).hex()}" if unique else ""
    partial = (folder or path.parent) / f".{path.name}{token}.part{suffix}"
    try:
        if private:
            partial.unlink(missing_ok=True)
            os.close(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | CLOSE_ON_EXEC, 0o600))
        yield partial
        _sync(partial, os.O_RDWR)
        partial.replace(path)
        _sync(path.parent, os.O_RDONLY)
    except OSError as error:
        raise output_error(path, error, advice) from None
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)


def write_atomically(
    path: Path, data: bytes | str, *, advice: str | None = None, private: bool = False, unique: bool = False
) -> None:
    """Replace the content of a file atomically: a power cut leaves the old content or the new one.

    Args:
        path: The file; its folder must exist.
        data: The new content; text is encoded as UTF-8.
        advice: As for `written_beside`.
        private: As for `written_beside`.
        unique: As for `written_beside`.

    Raises:
        OutputError: The file cannot be written.
    """
    content = data.encode() if isinstance(data, str) else data
    with written_beside(path, advice=advice, private=private, unique=unique) as partial:
        partial.write_bytes(content)


def remove_partials(folder: Path, pattern: str = ".*.part") -> None:
    """Remove the temporary files that a killed process left in a folder.

    Args:
        folder: The folder; nobody may be writing in it whose work still counts.
        pattern: Names of the files to remove.

    Raises:
        OSError: The folder cannot be changed.
    """
    for partial in folder.glob(pattern):
        partial.unlink(missing_ok=True)


def write_files(folder: Path, files: Mapping[str, bytes], *, advice: str = "name another folder") -> list[Path]:
    """Write files into a folder, each atomically; create the folder if it is missing.

    Args:
        folder: The folder.
        files: Content by file name.
        advice: What to do if the folder cannot be written.

    Returns:
        The paths, in the order of ``files``.

    Raises:
        OutputError: A file cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise output_error(folder, error, advice) from None
    for name, data in files.items():
        write_atomically(folder / name, data, advice=advice)
    return [folder / name for name in files]


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal; the file is read in pieces.

    Raises:
        InputError: The file cannot be read.
    """
    try:
        with open_regular(path) as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise InputError(
            f"cannot read {path}: {error.strerror or error}", "check the path and its permissions"
        ) from None


def make_folder(path: Path, mode: int = 0o777) -> None:
    """Create a folder and its missing parents; a power cut does not take away what was created.

    Args:
        path: The folder; an existing one stays as it is.
        mode: Its permissions, as for `os.mkdir`; parents get those of any new folder.

    Raises:
        OutputError: The folder cannot be created.
    """
    try:
        missing = [folder for folder in (path, *path.parents) if not folder.exists()]
        path.mkdir(mode=mode, parents=True, exist_ok=True)
        for folder in missing:
            with suppress(OSError):  # a parent that cannot be read
                sync_folder(folder.parent)
    except OSError as error:
        raise output_error(path, error) from None


def sync_folder(path: Path) -> None:
    """Let the names in a folder reach the disk.

    Raises:
        OSError: The folder cannot be opened or synced.
    """
    _sync(path, os.O_RDONLY)


def _sync(path: Path, flags: int) -> None:
    if WINDOWS and path.is_dir():
        return  # a folder cannot be opened there
    fd = os.open(path, flags | CLOSE_ON_EXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
