"""Bytes of a text recording, unpacked if it is a gzip file or a zip archive with one member.

What an archive says about itself is never trusted: sizes are counted while unpacking, and no name in it is used.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Protocol

from firmware_bridge.errors import InputError
from firmware_bridge.reading import open_regular

if TYPE_CHECKING:
    import zipfile

MAX_UNPACKED_BYTES = 4 << 30
"""Most bytes that one compressed recording may unpack to: ten days of text at 250 Hz."""

MAX_RATIO = 100
"""Most bytes that a packed byte may unpack to, beyond the first `FREE_BYTES`; text of an ECG reaches about 10."""

FREE_BYTES = 64 << 20
"""Bytes that are unpacked before the ratio counts: a flat line of a day packs better than `MAX_RATIO`."""

MAX_DIRECTORY_BYTES = 1 << 16
"""Largest directory of a zip archive, bytes."""

_END = struct.Struct("<4s4H2LH")
"""End of the central directory: signature, 2 disks, 2 counts of entries, size, offset, length of the comment."""

_FAULTS = (OSError, EOFError, zlib.error, NotImplementedError, RuntimeError, ValueError, KeyError, IndexError,
           struct.error)  # fmt: skip

_PACKED = {b"BZh": "bzip2", b"\xfd7zXZ": "xz", b"\x28\xb5\x2f\xfd": "zstd", b"7z\xbc\xaf": "7z", b"Rar!": "rar"}
_OTHERS = {
    b"ALIVE\0": ("an AliveCor .atc file", "export it as CSV or JSON"),
    b"%PDF": ("a PDF document", "export the samples as CSV"),
    b"\x89PNG": ("a picture", "export the samples as CSV"),
    b"\xff\xd8\xff": ("a picture", "export the samples as CSV"),
    b"<": ("an XML or HTML document", "export the samples as CSV or EDF"),
    b"XDF:": ("an XDF file", "convert it to CSV or EDF"),
}


class _Stream(Protocol):
    def read(self, size: int, /) -> bytes: ...


def compression(path: Path) -> str:
    """Return ``"gzip"``, ``"zip"`` or ``""`` for a recording.

    Raises:
        InputError: It is compressed in another way, or a document of a known kind without readable samples.
    """
    head = _head(path)
    for magic, name in _PACKED.items():
        if head.startswith(magic):
            raise InputError(f"{path} is compressed ({name})", "unpack it first")
    for magic, (what, fix) in _OTHERS.items():
        if head.startswith((magic, b"\xef\xbb\xbf" + magic)):
            raise InputError(f"{path} is {what}", fix)
    if head.startswith(b"\x1f\x8b"):
        return "gzip"
    return "zip" if head.startswith((b"PK\x03\x04", b"PK\x05\x06")) else ""


def unpacked(path: Path, packing: str, piece_bytes: int) -> Iterator[bytes]:
    """Yield the bytes of a recording in pieces.

    Args:
        path: The file.
        packing: What `compression` returned.
        piece_bytes: Largest piece.

    Raises:
        InputError: The file cannot be read, is damaged, or unpacks to too much.
    """
    try:
        with open_regular(path) as file, _opened(path, file, packing) as (stream, packed_bytes):
            total = 0
            while piece := stream.read(piece_bytes):
                total += len(piece)
                if packing:
                    _check_size(path, total, min(packed_bytes, file.tell()))
                yield piece
    except InputError:
        raise
    except _FAULTS as error:
        if packing:
            raise InputError(f"{path} is a damaged {packing} file: {error}", "use another copy") from None
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"cannot read {path}: {reason}", "check its permissions") from None


def _check_size(path: Path, total: int, packed_bytes: int) -> None:
    """Refuse a file that unpacks to far more than its size."""
    if total > min(MAX_UNPACKED_BYTES, FREE_BYTES + MAX_RATIO * packed_bytes):
        raise InputError(f"{path} unpacks to an implausible size", "unpack it first, if you trust it")


@contextmanager
def _opened(path: Path, file: BinaryIO, packing: str) -> Iterator[tuple[_Stream, int]]:
    """Open the unpacked stream, with the number of packed bytes behind it."""
    size = path.stat().st_size
    if packing == "gzip":
        import gzip

        with gzip.GzipFile(fileobj=file, mode="rb") as stream:
            yield stream, size
    elif packing == "zip":
        import zipfile

        _check_directory(path, file, size)
        try:
            with zipfile.ZipFile(file) as archive, archive.open(_member(path, archive)) as member:
                yield member, size
        except zipfile.BadZipFile as error:
            raise InputError(f"{path} is a damaged zip file: {error}", "use another copy") from None
    else:
        yield file, size


def _member(path: Path, archive: zipfile.ZipFile) -> zipfile.ZipInfo:
    """Return the only file in an archive; the copies of resource forks that macOS adds do not count."""
    import zipfile

    found = [m for m in archive.infolist() if not m.filename.endswith("/") and not m.filename.startswith("__MACOSX/")]
    if any(m.filename == "[Content_Types].xml" for m in found):
        raise InputError(f"{path} is an Office document", "save the sheet as CSV")
    if len(found) != 1:
        raise InputError(f"{path} holds {len(found)} files", "unpack it and name the recording")
    member = found[0]
    if member.flag_bits & 1:
        raise InputError(f"{path} is encrypted", "unpack it first")
    if member.compress_type not in {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}:
        raise InputError(f"{path} is compressed with method {member.compress_type}", "unpack it first")
    return member


def _check_directory(path: Path, file: BinaryIO, size: int) -> None:
    """Refuse a directory that would take much memory, before the library reads it."""
    tail_at = max(0, size - (1 << 16) - _END.size)
    file.seek(tail_at)
    tail = file.read()
    at = tail.rfind(b"PK\x05\x06")
    if at < 0 or at + _END.size > len(tail):
        raise InputError(f"{path} is a truncated zip archive", "use another copy")
    _, _, _, _, _, directory_bytes, _, _ = _END.unpack_from(tail, at)
    if tail[max(0, at - 20) :].startswith(b"PK\x06\x07") or directory_bytes > MAX_DIRECTORY_BYTES:
        raise InputError(f"{path} holds too many files", "unpack it and name the recording")
    file.seek(0)


def _head(path: Path) -> bytes:
    try:
        with open_regular(path) as file:
            return file.read(16)
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}", "check its permissions") from None
