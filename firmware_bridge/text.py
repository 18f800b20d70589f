"""Text that comes from a file or a radio, made safe for terminals, logs, pages and file names."""

from __future__ import annotations


def printable(text: str) -> str:
    """Return text in which no character controls a terminal, turns the reading direction or cannot be encoded.

    Blanks, tabs and line ends become blanks; anything else that cannot be printed becomes U+FFFD.
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else " " if c in "\t\n\r" else "\ufffd" for c in text)


def shortened(text: str, most: int) -> str:
    """Return text of at most ``most`` characters: its beginning and end where it is longer."""
    if len(text) <= most:
        return text
    return f"{text[: most - most // 3 - 5]} ... {text[len(text) - most // 3 :]}"
