"""The part of a patient in a data set without a split of its own."""

from __future__ import annotations

import hashlib

from convert.datasets.mcmed import Part


def part_of(patient: str) -> Part:
    """Return the part of a patient: 80, 10 or 10 %, by a hash of the identifier."""
    share = int.from_bytes(hashlib.sha256(patient.encode()).digest()[:8], "big") / 2**64
    return "train" if share < 0.8 else "val" if share < 0.9 else "test"
