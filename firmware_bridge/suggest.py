"""What a user probably meant by a word that is not known. Loaded only for the message of an error."""

from __future__ import annotations

from collections.abc import Iterable

CUTOFF = 0.65
"""Least similarity of a suggestion, 0 to 1 (`difflib.SequenceMatcher.ratio`): one or two typing errors."""
MAX_CHARS = 64
"""Longest word that is compared; the comparison takes quadratic time."""


def closest(word: str, known: Iterable[str]) -> str | None:
    """Return the known word that is most like a given one; ``None`` if none is like it."""
    from difflib import get_close_matches

    if len(word) > MAX_CHARS:
        return None
    found = {one.lower().replace("_", "-"): one for one in known}
    matches = get_close_matches(word.strip().lower().replace("_", "-"), found, n=1, cutoff=CUTOFF)
    return found[matches[0]] if matches else None


def did_you_mean(word: str, known: Iterable[str], form: str = "{}") -> str:
    """Return ``did you mean 'X'?; `` for the fix of an error, or nothing if no known word is like it.

    Args:
        word: What the user wrote.
        known: The words that exist.
        form: How the suggestion is written, such as ``--{}``.
    """
    best = closest(word, known)
    return "" if best is None else f"did you mean '{form.format(best)}'?; "
