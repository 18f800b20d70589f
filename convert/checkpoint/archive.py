"""The container of a checkpoint: check that the file is a zip as PyTorch writes it, and read its members.

PyTorch stores members uncompressed. A zip with a compressed member, with a name that occurs twice, or with members that
claim more bytes than the file has was not written by PyTorch, and every zip bomb shows one of these signs. Nothing is
unpacked to disk.
"""

from __future__ import annotations

import re
import struct
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

from convert.checkpoint.unpickle import MAX_PICKLE_BYTES
from firmware_bridge.errors import InputError

MAX_FILE_BYTES = 8 << 30
"""Largest file that is read, bytes. The full teacher with the state of its optimizer has 0.4 GB."""

MAX_MEMBERS = 100_000
"""Largest number of members of the zip."""

_LFS = b"version https://git-lfs"
_ZIP = b"PK\x03\x04"
_LEGACY_MAGIC = bytes.fromhex("8a0a6cfc9c46f920 6aa85019".replace(" ", ""))
"""Magic number at the start of files of PyTorch before 1.6, as a pickled integer."""

_KEY = re.compile(r"[0-9A-Za-z_]{1,64}")
_RESAVE = "open it once with PyTorch and save it again: torch.save(torch.load(FILE, weights_only=True), NEW)"
_FAULTS = (zipfile.BadZipFile, OSError, EOFError, RuntimeError, NotImplementedError, ValueError, struct.error)


class Archive:
    """An open checkpoint, as :func:`open_archive` returns it.

    Attributes:
        path: Path of the file.
        byte_order: Byte order of the stored numbers, ``<`` or ``>``.
    """

    def __init__(self, path: Path, archive: zipfile.ZipFile, size: int) -> None:
        self.path = path
        self._zip = archive
        self._members = self._checked(size)
        pickles = [n for n in self._members if n == "data.pkl" or (n.count("/") == 1 and n.endswith("/data.pkl"))]
        if len(pickles) != 1:
            raise InputError(f"{path} is a zip, but not a PyTorch checkpoint (no data.pkl in it)")
        self._prefix = pickles[0].removesuffix("data.pkl")
        if f"{self._prefix}constants.pkl" in self._members:
            raise InputError(f"{path} is a TorchScript program, not a checkpoint", "save model.state_dict() instead")
        order = self._read(f"{self._prefix}byteorder", 16) if f"{self._prefix}byteorder" in self._members else b""
        self.byte_order = ">" if order == b"big" else "<"

    def pickle(self) -> bytes:
        """Return the pickle that describes the tensors."""
        return self._read(f"{self._prefix}data.pkl", MAX_PICKLE_BYTES)

    def storage(self, key: str) -> bytes:
        """Return the raw bytes of a storage.

        Raises:
            InputError: The storage does not exist.
        """
        name = f"{self._prefix}data/{key}"
        if not _KEY.fullmatch(key) or name not in self._members:
            raise InputError(f"{self.path}: storage {key[:40]!r} is missing", "download it again")
        return self._read(name, self._members[name].file_size)

    def _checked(self, size: int) -> dict[str, zipfile.ZipInfo]:
        infos = self._zip.infolist()
        if len(infos) > MAX_MEMBERS:
            raise InputError(
                f"{self.path} holds {len(infos)} members, more than any checkpoint", "do not trust this file"
            )
        members = {info.filename: info for info in infos}
        stored = all(i.compress_type == zipfile.ZIP_STORED and i.file_size == i.compress_size for i in infos)
        if not stored or len(members) != len(infos) or sum(i.file_size for i in infos) > size:
            raise InputError(
                f"{self.path} is a zip that PyTorch did not write (compressed, duplicate or overlapping members)",
                "give the file as torch.save wrote it",
            )
        return members

    def _read(self, name: str, limit: int) -> bytes:
        if self._members[name].file_size > limit:
            raise InputError(f"{self.path}: {name} has {self._members[name].file_size} bytes, the limit is {limit}")
        try:
            return self._zip.read(name)
        except _FAULTS as error:
            raise InputError(f"{self.path}: {name} cannot be read ({error})", "download it again") from None


@contextmanager
def open_archive(path: Path) -> Iterator[Archive]:
    """Open a checkpoint and close it after the block.

    Raises:
        InputError: The file is missing, truncated, a Git-LFS pointer, in an old format, or not a checkpoint.
    """
    size, head = _look(path)
    if not head.startswith(_ZIP):
        _explain(path, size, head)
    try:
        archive = zipfile.ZipFile(path)
    except zipfile.BadZipFile:
        raise InputError(f"{path} is truncated: it ends after {size} bytes", "download it again") from None
    except _FAULTS as error:
        raise InputError(f"{path} cannot be read ({error})", "download it again") from None
    with archive:
        yield Archive(path, archive, size)


def _look(path: Path) -> tuple[int, bytes]:
    try:
        if path.is_dir():
            raise InputError(f"{path} is a folder", "name a .pth file")
        with path.open("rb") as file:
            head = file.read(512)
            size = path.stat().st_size
    except FileNotFoundError:
        raise InputError(f"no such checkpoint: {path}") from None
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from None
    except ValueError as error:
        raise InputError(f"not a file name: {path!s:.80} ({error})") from None
    if size > MAX_FILE_BYTES:
        raise InputError(f"{path} has {size >> 20} MB, the limit is {MAX_FILE_BYTES >> 20} MB")
    return size, head


def _explain(path: Path, size: int, head: bytes) -> NoReturn:
    if size == 0:
        raise InputError(f"{path} is empty", "download it again")
    if head.startswith(_LFS):
        raise InputError(f"{path} is a Git-LFS pointer, not the file itself", "run: git lfs pull")
    if _LEGACY_MAGIC in head[:16]:
        raise InputError(f"{path} is in the format of PyTorch before 1.6, which is not supported", _RESAVE)
    if head[257:262] == b"ustar":
        raise InputError(f"{path} is a tar archive (PyTorch before 0.4?), which is not supported", _RESAVE)
    if head.lstrip()[:1] == b"<":
        raise InputError(f"{path} is a web page, not a checkpoint", "download the file itself")
    if head[:1] == b"\x80":
        raise InputError(f"{path} is a bare pickle, not a PyTorch checkpoint", _RESAVE)
    raise InputError(f"{path} is not a PyTorch checkpoint", "give a .pth file as torch.save writes it")
