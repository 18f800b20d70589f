"""Things that may lie where a command expects a file or a folder."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Callable
from pathlib import Path

RANDOM_BYTES = 100_000
DEPTH = 200_000


def missing(path: Path) -> None:
    """Make nothing."""


def _text(text: str | bytes) -> Callable[[Path], object]:
    data = text if isinstance(text, bytes) else text.encode()
    return lambda path: path.write_bytes(data)


NAMES = (
    "session.json", "manifest.json", "model.tflite", "summary.json", "estimates.aee", "raw.aer", "visits.csv", "a.hea",
    "b.csv", "NOTICE", "labels.json",
)  # fmt: skip
"""Files for which commands look in a folder."""


def _folder_of(content: Callable[[Path], object]) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        path.mkdir()
        for name in NAMES:
            content(path / name)

    return make


def _link(target: str) -> Callable[[Path], object]:
    return lambda path: path.symlink_to(target)


THINGS: dict[str, Callable[[Path], object]] = {
    "missing": missing,
    "empty file": _text(""),
    "folder": Path.mkdir,
    "folder of noise": _folder_of(_text(random.Random(5).randbytes(1000))),
    "folder of pipes": _folder_of(os.mkfifo),
    "folder of links to themselves": _folder_of(lambda path: path.symlink_to(path)),
    "folder of deep JSON": _folder_of(_text("[" * DEPTH)),
    "pipe": os.mkfifo,
    "endless device": _link("/dev/zero"),
    "device of nothing": _link("/dev/null"),
    "link to itself": lambda path: path.symlink_to(path),
    "noise": _text(random.Random(1).randbytes(RANDOM_BYTES)),
    "zeros": _text(bytes(RANDOM_BYTES)),
    "not UTF-8": _text(b"\xff\xfe[outputs]\nkey = '\xe9'\n"),
    "a long integer": _text('{"schema": ' + "9" * 5000 + ', "outputs": [' + "9" * 5000 + "]}"),
    "deep JSON": _text("[" * DEPTH),
    "deep TOML": _text("a = " + "[" * DEPTH),
    "values of the wrong kind": _text(json.dumps({"schema": [], "outputs": 1, "runs": None, "1": {"": {}}})),
    "terminal commands": _text("\x1b]0;owned\x07\x1b[2J,\x1b[31m\n\x1b[1A,1\n"),
    "half a surrogate": _text('{"schema": "\\ud800", "outputs": [{"key": "\\udfff"}]}'),
    "long line": _text("x" * 3_000_000),
    "zip that is none": _text(b"PK\x03\x04" + random.Random(2).randbytes(5000)),
    "FlatBuffer that is none": _text(b"\x1c\0\0\0TFL3" + random.Random(3).randbytes(5000)),
    "HDF5 that is none": _text(b"\x89HDF\r\n\x1a\n" + random.Random(4).randbytes(5000)),
    "pickle that calls": _text(b"\x80\x02cposix\nsystem\nq\x00X\x07\x00\x00\x00touch xq\x01\x85q\x02Rq\x03."),
}
"""Names, and what makes each."""
