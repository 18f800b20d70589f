"""Read the description of a shard of a prepared data set."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from edge.process.files import sha256_of
from firmware_bridge.errors import InputError


def read_shard(folder: Path, name: str, key: str | None = None) -> dict[str, Any] | None:
    """Return the description of a complete shard; ``None`` where it is missing, damaged or of another plan.

    Args:
        folder: Folder of the shards.
        name: Name of the shard.
        key: Hash of the plan that the shard must have; ``None`` for any plan.
    """
    try:
        content = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
        if key is not None and content["key"] != key:
            return None
        sound = all(sha256_of(folder / f"{name}{suffix}") == content["sha256"][suffix] for suffix in (".npy", ".npz"))
    except (OSError, InputError, ValueError, KeyError, TypeError):
        return None
    return content if sound else None
