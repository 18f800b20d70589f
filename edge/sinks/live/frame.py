"""Rows of styled text, which the terminal and the picture in the README both show."""

from __future__ import annotations

import unicodedata
from typing import Literal, NamedTuple

Style = Literal["", "dim", "bold", "ok", "warn", "bad", "wave", "bar", "notice"]
"""Meaning of a piece of text; it decides the colour."""

SGR: dict[Style, str] = {
    "": "", "dim": "\x1b[2m", "bold": "\x1b[1m", "ok": "\x1b[38;5;28m", "warn": "\x1b[1;38;5;130m",
    "bad": "\x1b[1;38;5;160m", "wave": "\x1b[38;5;28m", "bar": "\x1b[7m", "notice": "\x1b[38;5;30m",
}  # fmt: skip
"""Terminal sequences. Colours of the fixed 256-colour palette with a contrast of at least 3.9 on black and on white
(WCAG 2.1 asks for 3 of bold text); yellow, green and cyan of the 8 basic colours cannot be read on a light terminal."""

MONO_SGR: dict[Style, str] = {"bar": "\x1b[7m", "bold": "\x1b[1m", "warn": "\x1b[1m", "bad": "\x1b[1m"}
"""Terminal sequences without colour (NO_COLOR, https://no-color.org)."""


class Span(NamedTuple):
    """A piece of text in one style."""

    text: str
    style: Style = ""


Row = tuple[Span, ...]
Frame = tuple[Row, ...]
"""Rows of a screen, each at most as wide as the screen."""


def clean(text: str) -> str:
    """Return text of a device or file made safe for a terminal: one cell per character, no control sequences."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        c if c.isprintable() and unicodedata.east_asian_width(c) not in "WF" and not unicodedata.combining(c) else "?"
        for c in text
    )


def cut(text: str, width: int) -> str:
    """Return ``text`` cut to ``width`` cells, with an ellipsis if it was cut."""
    return text if len(text) <= width else text[: max(0, width - 1)] + "…"[: max(0, width)]


def fit(spans: Row, width: int) -> Row:
    """Return a row cut to ``width`` cells."""
    out: list[Span] = []
    left = width
    for span in spans:
        if left <= 0:
            break
        out.append(Span(cut(span.text, left), span.style))
        left -= len(out[-1].text)
    return tuple(out)


def ends(left: Row, right: Row, width: int, fill: Style = "") -> Row:
    """Return a row with one part at each end; the left part is cut if both do not fit."""
    right = fit(right, width)
    room = width - sum(len(s.text) for s in right)
    left = fit(left, max(0, room - 1))
    return (*left, Span(" " * (room - sum(len(s.text) for s in left)), fill), *right)


def row_ansi(row: Row, *, colour: bool) -> str:
    """Return the row with terminal sequences."""
    table = SGR if colour else MONO_SGR
    parts = []
    for text, style in row:
        sgr = table.get(style, "")
        parts.append(f"{sgr}{text}\x1b[0m" if sgr else text)
    return "".join(parts)


def row_text(row: Row) -> str:
    """Return the text of the row without style."""
    return "".join(span.text for span in row)
