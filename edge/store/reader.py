"""Reads estimates back, whatever their form: JSON Lines, the compact form, the parts of a session, damaged ends."""

from __future__ import annotations

import json
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

from edge.records import MAX_LINE_BYTES, Estimate, from_json
from edge.store.blocks import MAGIC, SUFFIX, BlockReader
from edge.store.well_typed import well_typed
from firmware_bridge.errors import InputError
from firmware_bridge.parts import parts

FIRSTS = ("estimates.jsonl", "estimates.aee")
"""First parts of the estimates in a session folder: earlier versions of the kit wrote the first."""


class _Place(NamedTuple):
    """Where an estimate is: its file, and its number there, from 1."""

    path: Path
    number: int
    compact: bool

    def error(self, found: InputError) -> InputError:
        """Return an error in the estimate with its place. No line can be removed from the compact form."""
        if not self.compact:
            return InputError(f"{self.path}, line {self.number}: {found.what}", found.fix)
        where = f"{self.path}, estimate {self.number}"
        return InputError(f"{where}: {found.what}", f"'anyecg estimates {self.path}' writes it as a line of JSON")


class EstimateReader:
    """Reads a file of estimates, or all estimates of a session folder in order, in bounded memory.

    Damaged parts are skipped and counted; the counts are complete when the iteration has ended.

    Args:
        path: A file that ``anyecg run`` wrote, in any form, or a session folder.

    Raises:
        InputError: There is no such file or folder, or the folder holds no estimates.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self.lost_lines = 0
        """Estimates that are known to be missing between others."""
        self.damaged_bytes = 0
        """Bytes that are not an estimate and are followed by other estimates."""
        self.tail_bytes = 0
        """Bytes of unfinished estimates at the ends of files, after a power cut or while a run writes."""
        self.files = self._find()
        """The files, in order."""

    def lines(self) -> Iterator[str]:
        """Yield every estimate as a line of JSON without its newline, as the run made it.

        Raises:
            InputError: A file cannot be read, or holds no estimates.
        """
        for _place, line in self._placed():
            yield line

    def estimates(self) -> Iterator[Estimate]:
        """Yield every estimate.

        Raises:
            InputError: As for `lines`; or an estimate has another schema, or a value of the wrong kind.
        """
        for place, line in self._placed():
            try:
                e = well_typed(from_json(line))
            except InputError as error:
                raise place.error(error) from None
            yield e

    def _placed(self) -> Iterator[tuple[_Place, str]]:
        """Yield every line with its place."""
        self.lost_lines = self.damaged_bytes = self.tail_bytes = 0
        for path in self.files:
            try:
                with path.open("rb") as file:
                    start = file.read(len(MAGIC))
                    file.seek(0)
                    if start == MAGIC or path.suffix == SUFFIX:  # a power cut may have damaged the start
                        blocks = BlockReader(file)
                        for line in blocks.lines():
                            yield _Place(path, blocks.number, compact=True), line
                        self.lost_lines += blocks.lost_lines
                        self.damaged_bytes += blocks.damaged_bytes
                        self.tail_bytes += blocks.tail_bytes
                    elif not start.strip(b"\0 \r\n") or start.lstrip().startswith(b"{"):
                        for number, line in self._text(file):
                            yield _Place(path, number, compact=False), line
                    else:
                        raise _no_estimates(path)
            except OSError as error:
                raise InputError(f"cannot read {path}: {error.strerror or error}") from None

    @property
    def damage(self) -> str:
        """What was skipped, as a phrase; empty if nothing was."""
        said = []
        if self.lost_lines or self.damaged_bytes:
            said.append(f"{self.lost_lines} estimates are missing ({self.damaged_bytes} damaged bytes were skipped)")
        if self.tail_bytes:
            said.append(f"{self.tail_bytes} bytes of an unfinished estimate at the end were skipped")
        return "; ".join(said)

    def _find(self) -> tuple[Path, ...]:
        try:
            if not self.path.is_dir():
                if not stat.S_ISREG(self.path.stat().st_mode):
                    raise InputError(f"{self.path} is not a regular file", "name a file or a session folder")
                return (self.path,)
            found = tuple(part for first in FIRSTS for part in parts(self.path / first) if part.is_file())
        except (OSError, ValueError) as error:
            raise InputError(f"cannot read {self.path}: {getattr(error, 'strerror', None) or error}") from None
        if not found:
            raise InputError(f"{self.path} is a folder without estimates", "name a session folder or a file")
        return found

    def _text(self, file: BinaryIO) -> Iterator[tuple[int, str]]:
        """Yield the number of every line that is a JSON object, from 1, and the line."""
        bad, number = 0, 1
        seen = False
        while raw := file.readline(MAX_LINE_BYTES + 1):
            line, at = _json_line(raw), number
            number += raw.endswith(b"\n")
            if line is None:
                bad += len(raw)
                continue
            # Bytes are damage once others follow; one piece without a newline is one missing line.
            self.damaged_bytes += bad
            self.lost_lines += bool(bad)
            bad, seen = 0, True
            yield at, line
        self.tail_bytes += bad
        if bad and not seen:
            file.seek(0)
            if file.read(MAX_LINE_BYTES).strip(b"\0"):
                raise _no_estimates(Path(file.name))


def _json_line(raw: bytes) -> str | None:
    if not raw.endswith(b"\n"):
        return None
    try:
        line = raw.decode("utf-8").rstrip("\r\n")
        return line if isinstance(json.loads(line), dict) else None
    except (ValueError, RecursionError):
        return None


def _no_estimates(path: Path) -> InputError:
    return InputError(f"{path} holds no estimates", "name a file of 'anyecg run', or a session folder")
