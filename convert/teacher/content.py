"""Digest of a recording's files that does not depend on their place, so that a copied data set is recognised.

Only parts of each file are read, because a data set may have thousands of recordings of gigabytes.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from edge.sources.replay.binary.wfdb_header import WfdbHeader, read_header
from firmware_bridge.errors import InputError
from firmware_bridge.reading import open_regular

PARTS = 4
"""Parts of a file that are read, from its beginning to its end."""
PART_BYTES = 16 << 10
MAX_FILES = 16
"""Files of a recording that are read: a WFDB recording may have thousands, and its header names all of them."""


def files_of(path: Path) -> list[Path]:
    """Return the files with the samples of a recording, after the header that names them.

    Raises:
        InputError: A WFDB header is invalid.
    """
    if path.suffix != ".hea":
        return [path]
    header = read_header(path)
    found = _with_signals(header)
    for name in dict.fromkeys(name for name, _ in header.segments if name != "~"):
        # A segment has no segments itself (header-5); headers that name each other would never end.
        found += _with_signals(read_header(path.with_name(f"{name}.hea")))
    return list(dict.fromkeys(found))


def _with_signals(header: WfdbHeader) -> list[Path]:
    return [header.path, *(header.path.with_name(s.file) for s in header.signals if s.file != "~")]


def content_of(path: Path) -> str:
    """Return the digest of a recording: of the sizes of its files, and of parts of its header and samples.

    A file that is missing or cannot be read counts as empty, so that a damaged recording has a digest as well.

    Args:
        path: File that the recording is opened with.
    """
    try:
        files = files_of(path)
    except (InputError, OSError):
        files = [path]
    digest = hashlib.sha256(f"{len(files)}\n".encode())
    for file in files[:MAX_FILES]:
        for part in _parts(file):
            digest.update(part)
    return digest.hexdigest()


def _parts(path: Path) -> list[bytes]:
    try:
        with open_regular(path) as file:
            size = os.fstat(file.fileno()).st_size
            found = [f"{size}\n".encode()]
            for start in sorted({max(0, size - PART_BYTES) * k // (PARTS - 1) for k in range(PARTS)}):
                file.seek(start)
                found.append(file.read(PART_BYTES))
            return found
    except OSError:
        return [b"0\n"]
