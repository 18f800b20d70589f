"""One measurement in a separate process; ``edge.bench.run`` starts it and reads the JSON that it prints."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path


def main(argv: list[str]) -> int:
    """Run ``MODE BUNDLE [ARGUMENTS]`` and print one JSON object."""
    modes: dict[str, Callable[..., dict[str, float]]] = {"cold": _cold, "memory": _memory, "delay": _delay}
    found = modes[argv[0]](*argv[1:])
    sys.stdout.write(json.dumps(found) + "\n")
    return 0


def _cold(bundle: str, *with_reasons: str) -> dict[str, float]:
    """Measure the start of ``anyecg run`` up to the first sample read, in seconds."""
    from edge.engine import Engine
    from firmware_bridge.samples import LinkItem, SampleBlock

    first: list[float] = []
    push = Engine.push

    def noting(self: Engine, item: LinkItem) -> object:
        if isinstance(item, SampleBlock) and not first:
            first.append(time.clock_gettime(time.CLOCK_MONOTONIC))
        return push(self, item)

    Engine.push = noting  # type: ignore[method-assign, assignment]  # this process exists only to measure
    from edge.cli.main import main as anyecg

    quiet = ["--view", "none", "--out", "/dev/null"]
    anyecg(["run", "--source", "sim:?speed=max&seconds=1", "--bundle", bundle, *quiet, *with_reasons])
    return {"first_sample_monotonic_s": first[0]}


def _memory(bundle: str, hours: str, signal: str, *with_reasons: str) -> dict[str, float]:
    """Measure peak and growth of memory, in MiB, with the libraries for Bluetooth and serial loaded, as on a device."""
    from edge.process.interpreter import keep_interpreter_light
    from edge.process.no_openssl import load_hashlib
    from edge.process.no_tls import load_asyncio

    load_asyncio()  # as ``edge.cli.main`` does
    load_hashlib()
    keep_interpreter_light()

    import bleak.backends.bluezdbus.client
    import numpy as np
    import serial

    from edge.bench.ecg import BLOCK_S, blocks, plain_session
    from edge.engine import Engine
    from edge.process import budget
    from edge.session import live_reasons, load

    del bleak, serial
    loaded = load(bundle)
    reasons = live_reasons(loaded.bundle, loaded.model, 1.0) if with_reasons else None
    engine = Engine(loaded.bundle, loaded.model, plain_session(), reasons=reasons)
    # The allocator keeps or returns a megabyte at a time, so compare the lowest readings of each quarter of an hour.
    quarter_s = 900.0
    total_s = 3.0 * quarter_s + float(hours) * 3600.0
    early_mib = late_mib = float("inf")
    for k, block in enumerate(blocks(np.load(signal), total_s)):
        engine.push(block)
        at_s = k * BLOCK_S
        if k % 100 == 0 and quarter_s <= at_s < 2.0 * quarter_s:
            early_mib = min(early_mib, budget.rss_mib())
        elif k % 100 == 0 and at_s >= total_s - quarter_s:
            late_mib = min(late_mib, budget.rss_mib())
    return {"peak_mib": budget.peak_rss_mib(), "growth_mib": late_mib - early_mib}


def _delay(bundle: str, seconds: str, *with_reasons: str) -> dict[str, float]:
    """Measure the delay from the last sample of a window to the written estimate, in ms, at real time."""
    import tempfile

    from edge.session import load, run
    from edge.sinks.jsonl import open_jsonl
    from edge.sources import open_source

    loaded = load(bundle)
    with tempfile.TemporaryDirectory() as folder:
        sink = open_jsonl(str(Path(folder) / "estimates.jsonl"))
        source = open_source("sim:?speed=1")
        summary, _ = run(
            source, loaded, [sink], seconds=float(seconds) + 13.0, hop_s=0.2, with_reasons=bool(with_reasons)
        )
    return {"p99_ms": summary.latency_ms["written"].p99}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
