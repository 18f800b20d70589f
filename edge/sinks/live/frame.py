"""A screenful of styled text, from which both the terminal and the picture in the README are made."""

from __future__ import annotations

import unicodedata
from typing import Literal, NamedTuple

Style = Literal["", "dim", "bold", "ok", "warn", "bad", "wave", "bar", "notice"]
"""What a piece of text means; colours follow from it."""

SGR: dict[Style, str] = {
    "": "", "dim": "\x1b[2m", "bold": "\x1b[1m", "ok": "\x1b[32m", "warn": "\x1b[1;33m", "bad": "\x1b[1;31m",
    "wave": "\x1b[32m", "bar": "\x1b[7m", "notice": "\x1b[36m",
}  # fmt: skip
"""Terminal sequences; the 8 basic colours, so that every palette stays readable."""

MONO_SGR: dict[Style, str] = {"bar": "\x1b[7m", "bold": "\x1b[1m", "warn": "\x1b[1m", "bad": "\x1b[1m"}
"""The same where colour is not wanted (NO_COLOR, https://no-color.org)."""


class Span(NamedTuple):
    """Text of one style."""

    text: str
    style: Style = ""


Row = tuple[Span, ...]
Frame = tuple[Row, ...]
"""Rows of a screen; each fills the width at most."""


def clean(text: str) -> str:
    """Text from a device or file made harmless for a terminal: one cell a character, no control sequences."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        c if c.isprintable() and unicodedata.east_asian_width(c) not in "WF" and not unicodedata.combining(c) else "?"
        for c in text
    )


def cut(text: str, width: int) -> str:
    """``text`` cut to ``width`` cells, with an ellipsis where something was cut."""
    return text if len(text) <= width else text[: max(0, width - 1)] + "…"[: max(0, width)]


def fit(spans: Row, width: int) -> Row:
    """A row cut to ``width`` cells."""
    out: list[Span] = []
    left = width
    for span in spans:
        if left <= 0:
            break
        out.append(Span(cut(span.text, left), span.style))
        left -= len(out[-1].text)
    return tuple(out)


def ends(left: Row, right: Row, width: int, fill: Style = "") -> Row:
    """A row with one part at each end; the left one gives way where both do not fit."""
    right = fit(right, width)
    room = width - sum(len(s.text) for s in right)
    left = fit(left, max(0, room - 1))
    return (*left, Span(" " * (room - sum(len(s.text) for s in left)), fill), *right)


def row_ansi(row: Row, *, colour: bool) -> str:
    """The row with terminal sequences."""
    table = SGR if colour else MONO_SGR
    parts = []
    for text, style in row:
        sgr = table.get(style, "")
        parts.append(f"{sgr}{text}\x1b[0m" if sgr else text)
    return "".join(parts)


def row_text(row: Row) -> str:
    """The row without any style."""
    return "".join(span.text for span in row)
