"""Memory of the micro tier over a run, in MiB; what ``edge.bench.child memory`` reads, in less signal."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from edge.process.no_tls import load_asyncio

load_asyncio()  # as ``edge.cli.main`` does

import bleak.backends.bluezdbus.client  # noqa: E402, F401
import numpy as np  # noqa: E402
import serial  # noqa: E402, F401
from guest_memory import resident_kib  # noqa: E402

from edge.bench.ecg import blocks, plain_session  # noqa: E402
from edge.engine import Engine  # noqa: E402
from edge.session import load  # noqa: E402

EVERY = 50
"""Blocks between two readings: five seconds of signal."""


def main(signal: str, seconds: str) -> None:
    """Runs the chain over a signal; prints the peak, and what the kernel says of the whole process at the end."""
    loaded = load("demo")
    engine = Engine(loaded.bundle, loaded.model, plain_session())
    readings = []
    for k, block in enumerate(blocks(np.load(signal), float(seconds))):
        engine.push(block)
        if k % EVERY == 0:
            readings.append(resident_kib())
    readings.append(resident_kib())
    with Path("/proc/self/status").open(encoding="ascii") as file:
        status = dict(line.split(":", 1) for line in file if ":" in line)
    found = {"peak": max(readings), "end": readings[-1], "process": int(status["VmRSS"].split()[0])}
    print(json.dumps({name: kib / 1024 for name, kib in found.items()}))


if __name__ == "__main__":
    main(*sys.argv[1:])
