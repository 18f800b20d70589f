"""WFDB records (PhysioNet), one for each run: a segment for each gap-free piece, and annotations in one file."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from edge.sessions.ecg import Segment, mean_hz
from edge.sessions.folder import unix_ms
from edge.sessions.formats.digits import Digits, chunks, digits_for
from edge.sessions.marks import Placed

FLOAT_STEP_MV = 1e-5
"""Step for samples that the device gives as floating-point millivolts, mV."""
MAX_AUX_BYTES = 254

# Codes of annotations, from WFDB's ecgcodes.h.
_NORMAL, _NOTE, _P, _T, _ON, _OFF, _SKIP, _AUX = 1, 22, 24, 27, 39, 40, 59, 63
_PEAKS = {"P": _P, "QRS": _NORMAL, "T": _T}


@dataclass(slots=True)
class _Piece:
    name: str
    start_s: float
    length_s: float
    n: int
    digits: Digits
    first: int
    checksum: int
    marks: list[Placed]
    at: int = 0
    """Sample of the record at which the piece begins."""


@dataclass(slots=True)
class WfdbRecord:
    """A record that is being written: samples at once, headers and annotations at its end, when the rate is known.

    Args:
        folder: The folder.
        name: Name of the record.
        nominal_hz: Nominal sampling rate, Hz.
        unit: Unit of the samples.
    """

    folder: Path
    name: str
    nominal_hz: float
    unit: str
    _pieces: list[_Piece] = field(default_factory=list)

    @property
    def exact(self) -> bool:
        """Whether the samples are those of the device, bit by bit."""
        return all(piece.digits.exact for piece in self._pieces)

    def fits(self, segment: Segment) -> bool:
        """Return whether a segment has the rate and unit of the record."""
        return (segment.nominal_hz, segment.unit) == (self.nominal_hz, self.unit)

    def add(self, segment: Segment, marks: Iterable[Placed]) -> None:
        """Write the samples of a segment.

        Raises:
            OSError: A file cannot be written.
        """
        digits = digits_for(segment.samples, segment.step, 16)
        if not digits.exact or digits.baseline:
            # With the same gain and baseline in every segment, if the device gives steps at all.
            other = FLOAT_STEP_MV if segment.unit == "mV" else 0.0
            digits = digits_for(segment.samples, segment.step, 24, other)
        name = f"{self.name}_{len(self._pieces) + 1:04d}"
        total, first = 0, 0
        with (self.folder / f"{name}.dat").open("wb") as file:
            for at, chunk in enumerate(chunks(segment.samples)):
                values = digits.of(chunk)
                first = int(values[0]) if at == 0 else first
                total += int(values.sum(dtype=np.int64))
                file.write(_stored(values, digits.bits))
        checksum = (total + 0x8000) % 0x10000 - 0x8000
        length_s = segment.end_s - segment.start_s
        piece = _Piece(name, segment.start_s, length_s, len(segment.samples), digits, first, checksum, list(marks))
        self._pieces.append(piece)

    def finish(self, run_start_unix_s: float, device: str) -> float:
        """Write headers and annotations.

        Args:
            run_start_unix_s: Unix time at signal time 0, s.
            device: Name of the device.

        Returns:
            The mean sampling rate by the clock of the session, Hz.

        Raises:
            OSError: A file cannot be written.
        """
        length_s = sum(p.length_s for p in self._pieces)
        fs_hz = mean_hz(sum(p.n for p in self._pieces), length_s, self.nominal_hz)
        fs_text = f"{fs_hz:.9g}"
        zero_s, end = self._pieces[0].start_s, 0
        segments: list[tuple[str, int]] = [(f"{self.name}_layout", 0)]
        for piece in self._pieces:
            piece.at = max(end, round((piece.start_s - zero_s) * fs_hz))
            segments += [("~", piece.at - end)] if piece.at > end else []
            segments.append((piece.name, piece.n))
            end = piece.at + piece.n
            when = _when(run_start_unix_s + piece.start_s)
            head = f"{piece.name} 1 {fs_text} {piece.n} {when}\n{self._signal(piece)}\n"
            self._write(f"{piece.name}.hea", head)
        layout = f"{self.name}_layout 1 {fs_text} 0\n~ 0 {self._gain(self._pieces[0].digits)} 0 0 0 0 0 ECG\n"
        self._write(f"{self.name}_layout.hea", layout)
        when = _when(run_start_unix_s + zero_s)
        lines = [f"{self.name}/{len(segments)} 1 {fs_text} {end} {when}", *(f"{name} {n}" for name, n in segments)]
        lines.append(f"# device: {_comment(device)}")
        self._write(f"{self.name}.hea", "\n".join(lines) + "\n")
        (self.folder / f"{self.name}.atr").write_bytes(self._annotations())
        return fs_hz

    def _signal(self, piece: _Piece) -> str:
        digits = piece.digits
        return (
            f"{piece.name}.dat {digits.bits} {self._gain(digits)} {digits.bits} 0 {piece.first} {piece.checksum} 0 ECG"
        )

    def _gain(self, digits: Digits) -> str:
        unit = "mV" if self.unit == "mV" else "counts"
        return f"{1.0 / digits.step:.12g}({digits.baseline})/{unit}"

    def _annotations(self) -> bytes:
        found: list[tuple[int, int, str]] = []
        for piece in self._pieces:
            for mark in piece.marks:
                # A note at sample 0 describes a file of annotations, and wfdb leaves it out.
                found += [(max(piece.at + at, code == _NOTE), code, aux) for at, code, aux in _codes(mark)]
        out, last = [], 0
        for at, code, aux in sorted(found, key=lambda one: one[0]):
            out.append(_annotation(at - last, code, aux))
            last = at
        return b"".join([*out, b"\0\0"])

    def _write(self, name: str, text: str) -> None:
        (self.folder / name).write_text(text, encoding="ascii", errors="replace")


def _codes(mark: Placed) -> Sequence[tuple[int, int, str]]:
    if mark.kind == "beat":
        return ((mark.at, _NORMAL, ""),)
    if mark.kind == "abstention":
        return ((mark.start, _NOTE, f"no estimate: {mark.text}"), (mark.end, _NOTE, f"end of no estimate: {mark.text}"))
    ends = ((mark.start, _ON, ""), (mark.end, _OFF, ""))
    # The peak of a QRS complex is the beat, which has its own mark.
    return ends if mark.kind == "QRS" else (ends[0], (mark.at, _PEAKS[mark.kind], ""), ends[1])


def _annotation(after: int, code: int, aux: str) -> bytes:
    out = b""
    if after > 0x3FF:
        out, after = struct.pack("<HHH", _SKIP << 10, after >> 16, after & 0xFFFF), 0
    out += struct.pack("<H", code << 10 | after)
    if aux:
        text = aux.encode("ascii", "replace")[:MAX_AUX_BYTES]
        out += struct.pack("<H", _AUX << 10 | len(text)) + text + b"\0" * (len(text) % 2)
    return out


def _stored(values: np.ndarray, bits: int) -> bytes:
    if bits == 16:
        return values.astype("<i2").tobytes()
    return values.astype("<i4").view(np.uint8).reshape(-1, 4)[:, :3].tobytes()


def _when(unix_s: float) -> str:
    whole_s, ms = divmod(unix_ms(unix_s), 1000)
    at = datetime.fromtimestamp(whole_s, UTC)
    return f"{at:%H:%M:%S}.{ms:03d} {at:%d/%m/%Y}"


def _comment(text: str) -> str:
    return re.sub(r"[^\x20-\x7e]", "?", text)
