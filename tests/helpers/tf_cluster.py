"""Free ports and ``TF_CONFIG`` for TensorFlow workers on this computer."""

from __future__ import annotations

import json
import socket


def ports(count: int) -> list[int]:
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    found = [s.getsockname()[1] for s in held]
    for s in held:
        s.close()
    return found


def described(index: int, numbers: list[int]) -> str:
    hosts = [f"127.0.0.1:{n}" for n in numbers]
    return json.dumps({"cluster": {"worker": hosts}, "task": {"type": "worker", "index": index}})
