"""Read the description of a shard of a prepared data set."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edge.process.files import sha256_of
from firmware_bridge.errors import InputError
from firmware_bridge.reading import parse_json, read_limited

MAX_DESCRIPTION_BYTES = 64 << 20
"""Largest description of a shard."""


def read_shard(folder: Path, name: str, key: str | None = None) -> dict[str, Any] | None:
    """Return the description of a complete shard; ``None`` where it is missing, damaged or of another plan.

    Args:
        folder: Folder of the shards.
        name: Name of the shard.
        key: Hash of the plan that the shard must have; ``None`` for any plan.
    """
    try:
        content = parse_json(read_limited(folder / f"{name}.json", MAX_DESCRIPTION_BYTES))
        if key is not None and content["key"] != key:
            return None
        sound = all(sha256_of(folder / f"{name}{suffix}") == content["sha256"][suffix] for suffix in (".npy", ".npz"))
    except (OSError, InputError, ValueError, KeyError, TypeError):
        return None
    return content if sound else None
