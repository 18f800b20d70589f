"""What it costs that a recording of ten seconds ends where its window ends, on long recordings cut down.

Every ten seconds that the chain accepts in a long recording are cut out and run as a recording of their own. For each
head of the bundle this prints mean and largest change of the estimate, and the same for the heart rate.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import numpy as np
from numpy.typing import NDArray

from edge.bundle.reader import Bundle, load_bundle
from edge.engine import Engine, SessionInfo
from edge.model import Model, load_model
from edge.records import Estimate
from edge.sources import SourceUrl
from edge.sources.replay.source import open_reader, read_options
from firmware_bridge.samples import SampleBlock, Unit

Samples = NDArray[np.int32] | NDArray[np.float32]
Facts = tuple[float, Unit, float | None]

HOP_S = 20.0
PIECE_S = 16.0
ONE_HOP_S = 13.0
SESSION = SessionInfo("padding", "cut", lambda ns: ns, lambda: False, stalls=False)


def signal(url: str) -> tuple[Samples, Facts]:
    """Return the samples of a recording without a gap, and its rate, unit and scale."""
    parsed = SourceUrl.parse(url if ":" in url else f"replay:{url}")
    reader = open_reader(Path(parsed.path), read_options(parsed))
    found = reader.signal
    samples = cast("Samples", np.concatenate([chunk.values for chunk in reader.chunks()]))
    return samples, (found.fs_hz, found.unit, found.lsb_mv)


def estimates(bundle: Bundle, model: Model, x: Samples, facts: Facts) -> Iterator[Estimate]:
    """Yield the answers of the engine to one run of samples."""
    fs_hz, unit, lsb_mv = facts
    engine = Engine(bundle, model, SESSION, ONE_HOP_S)
    size = round(5.0 * fs_hz)
    for i in range(0, len(x), size):
        piece = x[i : i + size]
        block = SampleBlock(piece, unit, lsb_mv, fs_hz, None, round((i + len(piece)) / fs_hz * 1e9))
        yield from engine.push(block).estimates
    yield from engine.finish().estimates


def compared(bundle: Bundle, model: Model, x: Samples, facts: Facts) -> Iterator[tuple[Estimate, Estimate | None]]:
    """Yield the estimate of each window of a long recording, and that of the ten seconds alone."""
    fs_hz = facts[0]
    # Pieces with one hop, so that one window alone makes each estimate.
    for start in np.arange(0.0, len(x) / fs_hz - PIECE_S, HOP_S):
        first = round(start * fs_hz)
        piece = x[first : first + round(PIECE_S * fs_hz)]
        whole = next((e for e in estimates(bundle, model, piece, facts) if e.abstained is None), None)
        if whole is None:
            continue
        at = round(whole.window.start_s * fs_hz)
        cut = estimates(bundle, model, piece[at : at + round(10.0 * fs_hz)], facts)
        yield whole, next((e for e in cut if e.labs), None)


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("recordings", nargs="+")
    parser.add_argument("--bundle", default="demo")
    args = parser.parse_args()
    bundle = load_bundle(args.bundle)
    model = load_model(bundle)
    changes: list[list[float]] = []
    rates: list[float] = []
    refused = 0
    for url in args.recordings:
        x, facts = signal(url)
        for whole, cut in compared(bundle, model, x, facts):
            if cut is None:
                refused += 1
                continue
            pairs = zip(whole.labs, cut.labs, strict=True)
            changes.append([abs((b.value or 0.0) - (a.value or 0.0)) for a, b in pairs])
            if whole.heart_rate_bpm is not None and cut.heart_rate_bpm is not None:
                rates.append(abs(cut.heart_rate_bpm - whole.heart_rate_bpm))
    sys.stdout.write(f"windows {len(changes)}, refused when cut {refused}\n\n")
    sys.stdout.write("| head | mean change | largest change |\n|---|---|---|\n")
    for head, column in zip(bundle.manifest.outputs, np.array(changes).T, strict=True):
        sys.stdout.write(f"| `{head.key}` | {column.mean():.4f} | {column.max():.4f} |\n")
    sys.stdout.write(f"| heart rate, bpm | {np.mean(rates):.2f} | {np.max(rates):.2f} |\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
