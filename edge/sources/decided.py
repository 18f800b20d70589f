"""What a reader decided about a recording, and where each fact came from.

It is one line at the start of ``anyecg run`` and the object ``decided`` in ``session.json``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

MAX_LINE_CHARS = 1000
"""Longest line for the user; names in a recording can be of any length."""

_NO_FACTS: Mapping[str, object] = {}


@dataclass(frozen=True, slots=True)
class Decided:
    """The decisions of a reader. Texts are short, on one line, and fit into ``key: value``.

    Attributes:
        format: Format as it was recognised, such as ``"CSV"``, ``"Movesense JSON"`` or ``"EDF+D"``.
        lead: Name of the signal or column that is read.
        lead_from: Why it was taken, such as ``"lead="``, ``"named as an ECG"`` or ``"the only one that varies"``.
        rate_hz: Sampling rate, Hz.
        rate_from: Where it came from, such as ``"fs="``, ``"header"`` or ``"clock time_ms"``.
        scale: ``"mV"``, ``"0.005 mV per count"`` or ``"unknown"``.
        scale_from: Where it came from, such as ``"unit="`` or ``"header"``; empty if unknown.
        clock: The clock that shows gaps, such as ``"time_ms"`` or ``"onsets of the data records"``; ``"none"`` if the
            recording has none.
        more: Further facts by name (JSON values), such as ``encoding``, ``compression`` and ``skipped_rows``; only the
            ones that say something.
    """

    format: str
    lead: str
    lead_from: str
    rate_hz: float
    rate_from: str
    scale: str
    scale_from: str = ""
    clock: str = "none"
    more: Mapping[str, object] = field(default_factory=lambda: _NO_FACTS)

    def as_dict(self) -> dict[str, object]:
        """Return the facts as one flat JSON object."""
        return {
            "format": self.format,
            "lead": self.lead,
            "lead_from": self.lead_from,
            "rate_hz": round(self.rate_hz, 4),
            "rate_from": self.rate_from,
            "scale": self.scale,
            "scale_from": self.scale_from,
            "clock": self.clock,
            **self.more,
        }

    def line(self) -> str:
        """Return the facts as one line for the user."""
        scale = f"{self.scale} ({self.scale_from})" if self.scale_from else self.scale
        rate = f"{round(self.rate_hz, 2):.8g} Hz ({self.rate_from})"
        facts = [f"lead {self.lead} ({self.lead_from})", rate, f"scale {scale}", f"clock {self.clock}"]
        facts += [f"{key.replace('_', ' ')} {value}" for key, value in self.more.items()]
        text = f"{self.format}, {', '.join(facts)}"
        return "".join(c if c.isprintable() else "?" for c in text)[:MAX_LINE_CHARS]


def scale_text(unit: str, lsb_mv: float | None) -> str:
    """Return the scale of a signal as text, for `Decided.scale`."""
    if unit == "mV":
        return "mV"
    return "unknown" if lsb_mv is None else f"{lsb_mv:.6g} mV per count"
