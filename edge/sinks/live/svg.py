"""The live view as an SVG picture, for a README or a report: the same frame that the terminal shows."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

from edge.process.files import write_atomically
from edge.sinks import BaseSink
from edge.sinks.live.frame import Frame, Style
from edge.sinks.live.layout import layout
from edge.sinks.live.state import LiveState
from firmware_bridge.errors import OutputError, UsageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from edge.records import Estimate, RunSummary
    from firmware_bridge.samples import LinkEvent

CELL_W = 8.4
CELL_H = 18.0
"""Size of a character cell for a 14 px font, pixels."""
MARGIN = 12.0

_COLOUR: dict[Style, str] = {
    "": "#d6dde6", "dim": "#7d8896", "bold": "#ffffff", "ok": "#4fd18b", "warn": "#ffc857", "bad": "#ff6b6b",
    "wave": "#4fd18b", "bar": "#10151c", "notice": "#59c2d6",
}  # fmt: skip
_FONTS = "ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans Mono',monospace"
_BRAILLE = range(0x2801, 0x2900)
_BLOCKS = {"█": 1.0, "░": 0.25}
"""Characters drawn as boxes, with their opacity."""
_DOT_PLACES = ((0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2), (0, 3), (1, 3))
"""Column and row of each bit of a braille cell."""


def frame_svg(frame: Frame, columns: int) -> str:
    """Return a frame as an SVG document. Braille is drawn as dots, so the picture needs no font that contains it.

    Args:
        frame: The rows.
        columns: Width of the terminal.
    """
    width, height = 2 * MARGIN + columns * CELL_W, 2 * MARGIN + len(frame) * CELL_H
    size = f'viewBox="0 0 {width:g} {height:g}" width="{width:g}" height="{height:g}"'
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" aria-label="anyecg live view">',
        f"<style>text{{font:14px {_FONTS};white-space:pre}}</style>",
        f'<rect width="{width:g}" height="{height:g}" rx="8" fill="#10151c"/>',
    ]
    for y, row in enumerate(frame):
        x = 0
        for text, style in row:
            out += _span(text, style, x, y)
            x += len(text)
    return "\n".join([*out, "</svg>", ""])


def _span(text: str, style: Style, x: int, y: int) -> list[str]:
    left, top = MARGIN + x * CELL_W, MARGIN + y * CELL_H
    colour = _COLOUR[style]
    out = []
    if style == "bar":
        out.append(
            f'<rect x="{left:g}" y="{top:g}" width="{len(text) * CELL_W:g}" height="{CELL_H:g}" fill="#d6dde6"/>'
        )
    dots = "".join(_dots(ord(c), left + i * CELL_W, top) for i, c in enumerate(text) if ord(c) in _BRAILLE)
    if dots:
        out.append(f'<path d="{dots}" fill="{colour}"/>')
    for i, c in enumerate(text):
        if c in _BLOCKS:
            box = f'x="{left + i * CELL_W:g}" y="{top + 3:g}" width="{CELL_W:g}" height="{CELL_H - 6:g}"'
            out.append(f'<rect {box} fill="{colour}" opacity="{_BLOCKS[c]}"/>')
    plain = "".join(" " if ord(c) in _BRAILLE or c in _BLOCKS else c for c in text)
    weight = ' font-weight="bold"' if style in {"bold", "warn", "bad"} else ""
    start = 0
    # Each word has its own position, so that a font with other widths shifts no column.
    for word in plain.split(" "):
        if word:
            at = left + start * CELL_W
            out.append(
                f'<text x="{at:g}" y="{top + 13.5:g}" textLength="{len(word) * CELL_W:g}" '
                f'lengthAdjust="spacingAndGlyphs" fill="{colour}"{weight}>'
                f"{escape(word)}</text>"
            )
        start += len(word) + 1
    return out


def _dots(code: int, left: float, top: float) -> str:
    bits = code - 0x2800
    parts = []
    for bit, (column, row) in enumerate(_DOT_PLACES):
        if bits >> bit & 1:
            x, y = left + (column + 0.2) * CELL_W / 2, top + (row + 0.2) * CELL_H / 4
            parts.append(f"M{x:.1f} {y:.1f}h2.6v2.9h-2.6z")
    return "".join(parts)


def check_picture(path: Path, *, overwrite: bool) -> None:
    """Check the name of a picture before the run that it shows.

    Raises:
        UsageError: The file exists and may not be overwritten, or its name ends like that of another format.
        OutputError: Its folder does not exist.
    """
    if path.suffix.lower() != ".svg":
        raise UsageError(f"{path}: the picture is an SVG file", f"name it {path.with_suffix('.svg').name}")
    if not overwrite and path.exists():
        raise UsageError(f"{path} exists", "name another file, or add --force")
    if not path.absolute().parent.is_dir():
        raise OutputError(f"{path.absolute().parent} is not a folder", "create it first, or name another file")


class SvgSink(BaseSink):
    """Follows a run like the live view and writes the last frame as a picture on close.

    Args:
        path: The SVG file.
        state: A new state with the names of source and bundle.
        columns: Width of the drawn terminal, columns.
        rows: Height of the drawn terminal, rows.
    """

    def __init__(self, path: Path | str, state: LiveState, columns: int = 80, rows: int = 24) -> None:
        self._path = Path(path)
        self._state = state
        self._columns = columns
        self._rows = rows

    def estimate(self, e: Estimate) -> None:
        """Take the estimate."""
        self._state.estimate(e)

    def event(self, ev: LinkEvent) -> None:
        """Take the event, except the end: the picture shows the run."""
        if ev.kind != "end":
            self._state.event(ev)

    def signal(self, samples: NDArray[np.float64], fs_hz: float, start_s: float) -> None:
        """Take the signal."""
        self._state.signal(samples, fs_hz, start_s)

    def beat(self, t_s: float) -> None:
        """Take the beat."""
        self._state.beat(t_s)

    def close(self, summary: RunSummary | None) -> None:
        """Write the picture.

        Raises:
            OutputError: The picture cannot be written.
        """
        del summary  # the picture shows one moment of the run
        frame = layout(self._state, self._columns, self._rows)
        write_atomically(self._path, frame_svg(frame, self._columns))
