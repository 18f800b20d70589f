"""Refuse a data set in which two patients have the same ten seconds: one would be trained on and the other judged."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from firmware_bridge.errors import InputError


def refuse_copies(folder: Path, shards: Sequence[str]) -> None:
    """Compare the hashes of all segments.

    Args:
        folder: Folder of the shards.
        shards: Names of the shards.

    Raises:
        InputError: Segments of two patients hold the same samples; the message names both recordings.
    """
    digests, owners = [np.empty(0, np.uint64)], [np.empty(0, np.int64)]
    places: list[tuple[int, str]] = []
    first = 0
    for name in shards:
        with np.load(folder / f"{name}.npz", allow_pickle=False) as arrays:
            if "digest" not in arrays:  # Made before the hashes were kept, and resumed.
                continue
            digests.append(arrays["digest"])
            # A patient is in one shard only, so shard and number identify the patient.
            owners.append(arrays["patient"].astype(np.int64) + first)
            places.append((len(arrays["digest"]), name))
            first += len(arrays["patients"])
    digest, owner = np.concatenate(digests), np.concatenate(owners)
    order = np.lexsort((owner, digest))
    same = (digest[order][1:] == digest[order][:-1]) & (owner[order][1:] != owner[order][:-1])
    if same.any():
        at = int(np.flatnonzero(same)[0])
        one, two = (_named(folder, places, int(order[k])) for k in (at, at + 1))
        raise InputError(
            f"{one} and {two} hold the same ten seconds ({int(same.sum())} such pairs)",
            "remove one of them: copies make every result of the evaluation too good",
        )


def _named(folder: Path, places: Sequence[tuple[int, str]], row: int) -> str:
    for size, name in places:
        if row < size:
            with np.load(folder / f"{name}.npz", allow_pickle=False) as arrays:
                patient = arrays["patients"][arrays["patient"][row]]
                return f"{arrays['recordings'][arrays['recording'][row]]} of patient {patient}"
        row -= size
    raise AssertionError("no such row")
