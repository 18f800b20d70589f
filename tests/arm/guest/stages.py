"""What a run of the chain does not reach, once each: every decoder, text with a clock, sums, the drawn wave.

Prints one JSON object; a test compares that of an emulated machine with that of the host. Integers and times are equal
everywhere; numbers that went through the C library's exp and log are compared with a tolerance.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from edge.bundle.reader import load_bundle
from edge.estimate import Estimator
from edge.sinks.live.wave import WaveBuffer
from edge.sources import open_source
from firmware_bridge import devices
from firmware_bridge.samples import LinkEvent, LinkEventKind, SampleBlock


def main(folder: Path) -> dict[str, Any]:
    """Runs all of them."""
    pieces = json.loads((folder / "pieces.json").read_text())
    return {
        "index bits": np.dtype(np.intp).itemsize * 8,
        "numpy": np.__version__,
        "decoders": {name: decoded(name, **session) for name, session in pieces.items()},
        "text with a clock": digest(asyncio.run(replayed(f"replay:{folder / 'clock.csv'}?speed=max"))),
        "sums": sums(),
        "wave": wave(),
    }


def decoded(name: str, options: dict[str, str], channel: str, pieces: list[str]) -> list[Any]:
    """A whole session of one device: number of items, and a digest of them."""
    decoder = devices.get(name).decoder(**options)
    items = list(decoder.link(LinkEvent(LinkEventKind.CONNECTED, 0)))
    for at, piece in enumerate(pieces):
        items += decoder.feed(bytes.fromhex(piece), at * 1_000_000_000, channel)
        decoder.writes()
    items += decoder.link(LinkEvent(LinkEventKind.END, len(pieces) * 1_000_000_000))
    return [len(items), digest(items)]


async def replayed(url: str) -> list[Any]:
    """All items of a recording."""
    return [item async for item in open_source(url).items()]


def digest(items: list[Any]) -> str:
    """SHA-256 of samples, times, numbers and events."""
    told = hashlib.sha256()
    for item in items:
        if isinstance(item, SampleBlock):
            dtype = "<i4" if item.samples.dtype.kind == "i" else "<f4"
            told.update(np.ascontiguousarray(item.samples, dtype=dtype).tobytes())
            told.update(repr((item.unit, item.lsb_mv, item.fs_hz, item.device_time_ns, item.seq, item.lost)).encode())
            told.update(repr((item.arrival_ns, item.lead_off)).encode())
        else:
            told.update(repr((str(item.kind), item.arrival_ns, item.detail, dict(item.data))).encode())
    return told.hexdigest()


def sums() -> list[Any]:
    """Estimates of the widest outputs that there are, with the largest weights."""
    bundle = load_bundle("demo")
    output = replace(bundle.manifest.output, zero_point=-128)
    estimator = Estimator(replace(bundle, manifest=replace(bundle.manifest, output=output)))
    width = bundle.golden_outputs.shape[1]
    for number in range(40):
        row = np.arange(width) + number
        estimator.add(10.0 + number, np.where(row % 3 == 0, 127, -128).astype(np.int8), 1.0 - 0.01 * (number % 7))
    return [[lab.key, lab.value, list(lab.interval or ()), lab.flag] for lab in estimator.labs()]


def wave() -> list[str]:
    """The picture of a sawtooth with a hole."""
    buffer = WaveBuffer()
    x = (np.arange(1500) % 125) / 125.0
    buffer.push(x[:500], 125.0, 0.0)
    buffer.push(x[600:], 125.0, 4.8)
    return buffer.draw(78, 7, millivolts=True)


if __name__ == "__main__":
    sys.stdout.write(json.dumps(main(Path(sys.argv[1]))) + "\n")
