"""Text that comes from a file or a radio, made safe for terminals, logs, pages and file names."""

from __future__ import annotations


def printable(text: str) -> str:
    """Return text in which no character controls a terminal, turns the reading direction or cannot be encoded.

    Blanks, tabs and line ends become blanks; anything else that cannot be printed becomes U+FFFD.
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else " " if c in "\t\n\r" else "\ufffd" for c in text)
