"""The zip of a checkpoint: check that PyTorch wrote it, and read its members.

PyTorch stores members uncompressed. A zip with a compressed member, with a name that occurs twice, or with members that
claim more bytes than the file has was not written by PyTorch, and every zip bomb shows one of these signs. Only the
code of a TorchScript program is compressed, and it is never read. Nothing is unpacked to disk.
"""

from __future__ import annotations

import re
import struct
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from convert.checkpoint.forms import explain_zip
from convert.checkpoint.pickles.unpickle import MAX_PICKLE_BYTES
from firmware_bridge.errors import InputError

MAX_MEMBERS = 100_000
"""Largest number of members of the zip."""

MAX_DIRECTORY_BYTES = 32 << 20
"""Largest directory of the zip, bytes; it is read whole when the zip is opened."""

_KEY = re.compile(r"[0-9A-Za-z_]{1,64}")
_END = b"PK\x05\x06"
_END_64 = b"PK\x06\x06"
_END_BYTES = 22
_MAX_COMMENT = 1 << 16
_FAULTS = (zipfile.BadZipFile, OSError, EOFError, RuntimeError, NotImplementedError, ValueError, struct.error)


class Archive:
    """An open checkpoint, as :func:`open_archive` returns it.

    Attributes:
        path: Path of the file.
        byte_order: Byte order of the stored numbers, ``<`` or ``>``.
        is_program: Whether the file is a TorchScript program.
    """

    def __init__(self, path: Path, archive: zipfile.ZipFile, size: int) -> None:
        self.path = path
        self._zip = archive
        infos = archive.infolist()
        if len(infos) > MAX_MEMBERS:
            raise InputError(f"{path} holds {len(infos)} members, more than any checkpoint", "do not trust this file")
        names = frozenset(info.filename for info in infos)
        pickles = [n for n in names if n == "data.pkl" or (n.count("/") == 1 and n.endswith("/data.pkl"))]
        if len(pickles) != 1:
            explain_zip(path, names)
        self._prefix = pickles[0].removesuffix("data.pkl")
        self.is_program = f"{self._prefix}constants.pkl" in names
        self._members = self._checked(infos, size)
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

    def _checked(self, infos: list[zipfile.ZipInfo], size: int) -> dict[str, zipfile.ZipInfo]:
        if self.is_program:
            infos = [info for info in infos if not info.filename.startswith(f"{self._prefix}code/")]
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
def open_archive(path: Path, size: int) -> Iterator[Archive]:
    """Open a checkpoint and close it after the block.

    Args:
        path: Path of a file that starts as a zip.
        size: Size of the file, bytes.

    Raises:
        InputError: The file is truncated, or not a checkpoint.
    """
    try:
        _check_directory(path, size)
        archive = zipfile.ZipFile(path)
    except zipfile.BadZipFile:
        raise InputError(f"{path} is truncated: it ends after {size} bytes", "download it again") from None
    except _FAULTS as error:
        raise InputError(f"{path} cannot be read ({error})", "download it again") from None
    with archive:
        yield Archive(path, archive, size)


def _check_directory(path: Path, size: int) -> None:
    """Check the size that a zip claims for its directory, before ``zipfile`` makes an object of every entry."""
    with path.open("rb") as file:
        file.seek(max(0, size - _END_BYTES - _MAX_COMMENT - 128))
        tail = file.read()
    at, at_64 = tail.rfind(_END), tail.rfind(_END_64)
    if at < 0 or len(tail) < at + _END_BYTES:
        raise zipfile.BadZipFile
    claimed = struct.unpack_from("<I", tail, at + 12)[0]
    if at_64 >= 0 and len(tail) >= at_64 + 48 and claimed == 0xFFFFFFFF:
        claimed = struct.unpack_from("<Q", tail, at_64 + 40)[0]
    if claimed > MAX_DIRECTORY_BYTES:
        raise InputError(f"{path} has a directory of {claimed} bytes, more than any checkpoint", "do not trust it")
