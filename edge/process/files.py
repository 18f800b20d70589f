"""Files that appear whole or not at all, and their hashes: the one place that writes beside, syncs and renames."""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from firmware_bridge.errors import InputError, OutputError

__all__ = ["output_error", "sha256_of", "write_atomically", "write_files", "written_beside"]

_FIXES = {
    errno.ENOSPC: "free some space",
    errno.EDQUOT: "the disk quota is used up",
    errno.EACCES: "check its permissions",
    errno.EROFS: "the medium is read-only",
    errno.ENOENT: "create its folder first",
}


def output_error(path: Path | str, error: OSError, advice: str | None = None) -> OutputError:
    """One line for a failed write.

    Args:
        path: The file that could not be written.
        error: The reason.
        advice: What the user can do; by default it follows from the kind of error.
    """
    fix = _FIXES.get(error.errno or 0, "") if advice is None else advice
    return OutputError(f"cannot write {path}: {error.strerror or error}", fix)


@contextmanager
def written_beside(
    path: Path, *, advice: str | None = None, private: bool = False, unique: bool = False, suffix: str = ""
) -> Iterator[Path]:
    """Yields the name of a file to write; when the block ends without an error, that file takes the place of ``path``.

    The content reaches the disk before the rename does, so a power cut leaves the old file or the new one, never a
    mixture. After an error the partial file is removed and ``path`` is untouched.

    Args:
        path: The file to make or replace. Its folder exists.
        advice: What to do about a failed write; by default it follows from the kind of error.
        private: Only the owner may read the file.
        unique: Give the partial file a name of its own, for files that two processes may write at the same time.
        suffix: Suffix of the partial file, for writers that choose a format by it.

    Raises:
        OutputError: The file cannot be written.
    """
    token = f".{os.urandom(8).hex()}" if unique else ""
    partial = path.with_name(f".{path.name}{token}.part{suffix}")
    try:
        if private:
            partial.unlink(missing_ok=True)
            os.close(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
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
    """Replaces the content of a file so that a power cut leaves the old content or the new one.

    Args:
        path: The file; its folder exists.
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


def write_files(folder: Path, files: Mapping[str, bytes], *, advice: str = "name another folder") -> list[Path]:
    """Writes files into a folder, each whole or not at all; the folder is made where it is missing.

    Args:
        folder: The folder.
        files: Content by file name.
        advice: What to do when the folder cannot be written.

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
    """SHA-256 of a file in hexadecimal, read in pieces.

    Raises:
        InputError: The file cannot be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from None


def _sync(path: Path, flags: int) -> None:
    fd = os.open(path, flags | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
