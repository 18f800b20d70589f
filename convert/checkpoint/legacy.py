"""The format of PyTorch before 1.6: five pickles, then the numbers of each storage.

The pickles are a magic number, the version of the format, facts about the machine, the object, and the names of the
storages. Each storage is its number of elements, eight bytes, and its elements, little-endian on every machine. PyTorch
2 writes the format with ``_use_new_zipfile_serialization=False``.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from convert.checkpoint.pickles.unpickle import MAX_PICKLE_BYTES, load_next
from convert.checkpoint.pickles.values import Loaded, StorageRef
from convert.checkpoint.storages import itemsize
from firmware_bridge.errors import InputError
from firmware_bridge.reading import open_regular

VERSION = 1001
"""Version of the format; PyTorch has written no other."""

_COUNT_BYTES = 8
_SAVE_AGAIN = "open it once with PyTorch and save it again: torch.save(torch.load(FILE), 'teacher.pth')"


class LegacyFile:
    """An open file in the format before PyTorch 1.6, as :func:`open_legacy` returns it.

    Attributes:
        path: Path of the file.
        byte_order: Byte order of the stored numbers.
        loaded: Content of the pickle that describes the tensors.
    """

    byte_order = "<"

    def __init__(self, path: Path, file: IO[bytes], size: int) -> None:
        self.path = path
        self._file = file
        stream = io.BytesIO(file.read(MAX_PICKLE_BYTES))
        load_next(stream, str(path))
        version = load_next(stream, str(path)).value
        if version != VERSION:
            raise InputError(f"{path} has the version {str(version)[:20]} of an old PyTorch format", _SAVE_AGAIN)
        load_next(stream, str(path))
        self.loaded = load_next(stream, str(path))
        names = load_next(stream, str(path)).value
        self._places = _places(path, self.loaded, names, file, (stream.tell(), size))

    def storage(self, key: str) -> bytes:
        """Return the raw bytes of a storage.

        Raises:
            InputError: The storage does not exist.
        """
        if key not in self._places:
            raise InputError(f"{self.path}: storage {key[:40]!r} is missing", "download it again")
        start, size = self._places[key]
        self._file.seek(start)
        return self._file.read(size)


@contextmanager
def open_legacy(path: Path, size: int) -> Iterator[LegacyFile]:
    """Open a checkpoint in the old format and close it after the block.

    Args:
        path: Path of a file that starts with the magic number of the format.
        size: Size of the file, bytes.

    Raises:
        InputError: The file is truncated or damaged.
    """
    try:
        with open_regular(path) as file:
            yield LegacyFile(path, file, size)
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from None


def _places(
    path: Path, loaded: Loaded, names: object, file: IO[bytes], span: tuple[int, int]
) -> dict[str, tuple[int, int]]:
    """Return the first byte and the size of each storage, without reading it.

    Args:
        path: Path of the file.
        loaded: Description of the tensors.
        names: Names of the storages in the order of the file.
        file: The open file.
        span: First byte after the pickles, and size of the file.

    Raises:
        InputError: The file is truncated or damaged.
    """
    at, size = span
    places: dict[str, tuple[int, int]] = {}
    if not isinstance(names, list):
        raise InputError(f"{path} does not list its storages", "download it again")
    for name in names:
        ref = loaded.storages.get(name) if isinstance(name, str) else None
        if not isinstance(ref, StorageRef) or name in places:
            raise InputError(f"{path} lists a storage that it does not describe", "download it again")
        width = 1 if ref.dtype == "UntypedStorage" else itemsize(ref.dtype)
        if width == 0:
            raise InputError(
                f"{path} holds values of the type {ref.dtype}, which cannot be skipped in this old format", _SAVE_AGAIN
            )
        file.seek(at)
        count = int.from_bytes(file.read(_COUNT_BYTES), "little")
        at += _COUNT_BYTES
        if at + count * width > size:
            raise InputError(f"{path} is truncated: it ends after {size} bytes", "download it again")
        places[name] = (at, count * width)
        at += count * width
    return places
