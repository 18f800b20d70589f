"""``TF_CONFIG`` for TensorFlow workers on this computer."""

from __future__ import annotations

import json


def described(index: int, numbers: list[int]) -> str:
    hosts = [f"127.0.0.1:{n}" for n in numbers]
    return json.dumps({"cluster": {"worker": hosts}, "task": {"type": "worker", "index": index}})
