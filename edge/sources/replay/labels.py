"""Labels in recordings: their text in any encoding, and whether they say ECG."""

from __future__ import annotations

import re
from collections.abc import Sequence

_LEADS = frozenset({"i", "ii", "iii", "avr", "avl", "avf", "mlii", *(f"v{n}" for n in range(1, 10))})

NAME_MAX = 80
"""Longest name of a signal, characters. The formats allow 16 (EDF) or a short description (WFDB)."""

LISTED_MAX = 24
"""Most names in one message."""

_TOKEN_EDGE = re.compile(r"(?<=[a-z])(?=[A-Z])|[^A-Za-z0-9]+")

_ECG_WORD = re.compile(
    r"(?:ecg|ekg)(?:[0-9]{1,2}[a-z]?|[a-d]|[lr][al]?|i{1,3}|v[1-9]?r?|av[rlf]|ml?ii?|[xyz]|ch[0-9]*|mv|uv|lead|chest"
    r"|raw|signal|wave|waveform|filtered|filt|data|value|ref)?"
)
"""The word ECG or EKG, alone or joined with a number, an electrode, a lead or a word about the signal."""

_DERIVED = frozenset({
    "hr", "bpm", "rate", "heartrate", "rr", "quality", "sqi", "imp", "impedance", "resp", "respiration", "edr", "temp",
    "status", "sync", "marker", "trigger", "event", "events", "annotation", "annotations", "pulse", "time", "timestamp",
    "index", "counter", "count", "artifact", "artefact", "leadoff",
})  # fmt: skip
"""Words that make of an ECG's label that of something measured from it or beside it, such as ``ECG HR``."""


def decoded(raw: bytes) -> str:
    """Return the text of a field, which is UTF-8 or else Latin-1, without NUL and blanks around it."""
    raw = raw.strip(b"\x00 \t\r\n")
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def clean_name(text: str) -> str:
    """Return a name that is safe for a terminal: one line, no control characters, at most ``NAME_MAX`` characters."""
    text = text.strip()[:NAME_MAX]
    return "".join(c if c.isprintable() else "?" for c in text)


def listed(names: Sequence[str]) -> str:
    """Return names for a message, at most ``LISTED_MAX`` of them."""
    more = len(names) - LISTED_MAX
    return ", ".join(names[:LISTED_MAX]) + (f" and {more} more" if more > 0 else "")


def words_of(name: str) -> list[str]:
    """Return the words of a label in lower case; a capital after a small letter begins a word."""
    return [word.lower() for word in _TOKEN_EDGE.split(name[:NAME_MAX]) if word]


def has_ecg_word(name: str) -> bool:
    """Return whether a label contains the word ECG or EKG, and says that the signal is one.

    ``ECGL``, ``EKG R``, ``ECG V2-V1`` and ``EEG EKG1-REF`` do; ``EEG``, ``spectrogram`` and ``ECG HR`` do not.
    """
    words = words_of(name)
    return any(_ECG_WORD.fullmatch(word) for word in words) and not _DERIVED.intersection(words)


def guess_note(names: Sequence[str], index: int, *, asked: bool, known: bool) -> tuple[str, ...]:
    """Return the note about a lead that was guessed.

    Args:
        names: Names of the recording's signals.
        index: The signal that was taken.
        asked: Whether the user named the signal.
        known: Whether its name is that of an ECG lead.

    Returns:
        One line, or nothing if the lead was not guessed.
    """
    if asked or known:
        return ()
    if len(names) == 1:
        if _LEADS.intersection(words_of(names[0])):
            return ()
        return (f"the only signal is named {names[0]!r}, which is not the name of an ECG lead",)
    taken = f"no signal has the name of an ECG lead; {names[index]!r} was taken"
    return (f"{taken}. Choose with lead=; it has: {listed(names)}",)
