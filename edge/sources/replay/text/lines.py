"""Lines of a text recording: its encoding, its line ends, and whether its last line is whole."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from edge.sources.replay.text.unpack import compression, unpacked
from firmware_bridge.errors import InputError

PIECE_BYTES = 1 << 16
"""Bytes to read at a time: about 100 s of a patch's signal, parsed in 25 ms on a Pi Zero 2 W."""

MAX_LINE_CHARS = 1 << 16
"""Longest line, characters; a file with longer lines is not a table of samples."""

_HEAD_BYTES = 1 << 12
_BOMS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_JSON = re.compile(r"\s*(\{\s*[\"}]|\[\s*(\[|\{|-?\d[\d.eE+\-]*\s*[,\]]|null|$))")
_JSON_CHARS = 200
_NULS = re.compile("\0+")
_MOST_CONTROL = 0.05
_MOST_FOREIGN = 0.4
"""Largest shares of control characters and of characters outside ASCII at the beginning of a text with numbers."""


def _as_latin1(error: UnicodeError) -> tuple[str, int]:
    """Read bytes that are not UTF-8 as Latin-1, such as the micro sign of old Windows programs."""
    if not isinstance(error, UnicodeDecodeError):
        raise error
    return error.object[error.start : error.end].decode("latin-1"), error.end


codecs.register_error("anyecg-latin1", _as_latin1)


@dataclass(frozen=True, slots=True)
class TextFile:
    """A text file.

    Attributes:
        path: The file.
        packing: ``"gzip"``, ``"zip"`` or ``""``.
        encoding: Name of the encoding.
        bom_bytes: Length of the byte order mark.
    """

    path: Path
    packing: str
    encoding: str
    bom_bytes: int

    @classmethod
    def open(cls, path: Path) -> TextFile:
        """Find the encoding of a file from its beginning.

        Raises:
            InputError: The file is not text, cannot be read or unpacked.
        """
        packing = compression(path)
        head = b""
        for piece in unpacked(path, packing, _HEAD_BYTES):
            head += piece
            if len(head) >= _HEAD_BYTES:
                break
        encoding, bom_bytes = _encoding(head)
        file = cls(path, packing, encoding, bom_bytes)
        _refuse_binary(file._decoder().decode(head[bom_bytes:]), path, packing)
        return file

    def is_json(self) -> bool:
        """Return whether the file begins like JSON."""
        head = ""
        for text in self.texts():
            head += text
            if len(head) > _JSON_CHARS:
                break
        return _JSON.match(head.lstrip("\ufeff")) is not None

    def texts(self) -> Iterator[str]:
        """Yield the text in pieces, with the line feed as the only line end.

        Raises:
            InputError: The file cannot be read or unpacked.
        """
        decoder = self._decoder()
        skip, held = self.bom_bytes, ""
        for piece in unpacked(self.path, self.packing, PIECE_BYTES):
            body = piece[skip:]
            skip = max(0, skip - len(piece))
            text = held + decoder.decode(body)
            held = "\r" * (len(text) - len(text.rstrip("\r")))  # the second half of a line end may follow
            yield _plain(text[: len(text) - len(held)])
        yield "\n" if held else ""

    def pieces(self, longest: int = MAX_LINE_CHARS) -> Iterator[tuple[list[str], bool]]:
        """Yield lists of lines, and whether they are whole: a last line without a line end may be torn.

        Args:
            longest: Longest line, characters.

        Raises:
            InputError: The file cannot be read or unpacked, or has an endless line.
        """
        rest = ""
        for text in self.texts():
            *whole, rest = (rest + text).split("\n")
            if len(rest) > longest:
                raise InputError(
                    f"{self.path} has a line of over {longest} characters, so it is not a text recording",
                    "use CSV, JSON, WFDB, EDF, MAT v4 or .aer",
                )
            if whole:
                yield whole, True
        if rest.strip("\0\x1a"):
            yield [rest], False

    def _decoder(self) -> codecs.IncrementalDecoder:
        errors = "anyecg-latin1" if self.encoding in {"utf-8", "latin-1"} else "replace"
        return codecs.getincrementaldecoder("utf-8" if self.encoding == "latin-1" else self.encoding)(errors)


def _plain(text: str) -> str:
    """Return text with plain line ends. Zeros, which a recorder leaves at a power failure, become one mark."""
    if "\r" in text:
        text = text.replace("\r\r\n", "\n").replace("\r\n", "\n").replace("\r", "\n")
    return _NULS.sub("\0", text) if "\0" in text else text


def _encoding(head: bytes) -> tuple[str, int]:
    for bom, name in _BOMS:
        if head.startswith(bom):
            return name, len(bom)
    even, odd = head[0::2], head[1::2]
    if len(odd) >= 2:
        if odd.count(0) > 0.7 * len(odd) and even.count(0) < 0.1 * len(even):
            return "utf-16-le", 0
        if even.count(0) > 0.7 * len(even) and odd.count(0) < 0.1 * len(odd):
            return "utf-16-be", 0
    try:
        codecs.getincrementaldecoder("utf-8")("strict").decode(head)
    except UnicodeDecodeError:
        return "latin-1", 0
    return "utf-8", 0


def _refuse_binary(head: str, path: Path, packing: str) -> None:
    head = _NULS.sub("\0", head)
    control = sum(1 for c in head if (ord(c) < 32 and c not in "\t\r\n\f\x1a") or c == "\ufffd" or 127 <= ord(c) < 160)
    foreign = sum(1 for c in head if ord(c) > 127)
    if control > _MOST_CONTROL * len(head) or foreign > _MOST_FOREIGN * len(head):
        what = (
            f"is a {packing} file of something that is not text"
            if packing
            else "is not a recording that the kit can read"
        )
        raise InputError(f"{path} {what}", "use CSV, JSON, WFDB, EDF, MAT v4 or .aer")
