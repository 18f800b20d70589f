"""What only the pages of the host say about outputs; their words are those of `edge.bundle.words`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from edge.bundle.words import output_words

CUT_OFFS = (
    "Cut-offs in names are the adult reference limits of the kit's catalogue of laboratory tests. Results that come "
    "with the limits of their own laboratory are judged by those."
)
"""The sentence that explains the cut-offs in the names of outputs."""


def names_of(heads: Iterable[Mapping[str, Any]], *, limits: bool = True) -> dict[str, str]:
    """Return the name of each head of a report by its key; that of a value ends with its unit.

    Args:
        heads: Heads with ``key``, ``lab``, ``direction`` and ``horizon_min``.
        limits: Whether the cut-offs of the catalogue apply.
    """
    return {
        h["key"]: output_words(h["lab"], h["direction"], h["horizon_min"], limits=limits, with_unit=True) for h in heads
    }


def value_words(head: Mapping[str, Any]) -> str:
    """Return the name of a value head of a report without its unit."""
    return output_words(head["lab"], None, head["horizon_min"])
