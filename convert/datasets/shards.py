"""Reading the shards of a prepared data set."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any


def read_shard(folder: Path, name: str, key: str | None = None) -> dict[str, Any] | None:
    """The content of a complete shard; ``None`` where it is missing, damaged or another plan's."""
    try:
        content = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
        if key is not None and content["key"] != key:
            return None
        sound = all(sha256_of(folder / f"{name}{suffix}") == content["sha256"][suffix] for suffix in (".npy", ".npz"))
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return content if sound else None


def sha256_of(path: Path) -> str:
    """SHA-256 of a file in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
