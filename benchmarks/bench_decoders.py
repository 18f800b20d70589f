"""Measure the cost of decoding for every device: share of a core at 1 kHz, and time for the frames of an hour.

Each decoder reads a valid stream in two ways: every frame separately, as when a machine reads each frame on arrival
(the most expensive way), and in pieces of 64 KiB, as from a recording. The lower limit is ``numpy.frombuffer`` on the
same samples. Prints a table. The exit code is 1 if the share of a core at 1 kHz is 1 % or more, or if an hour at the
device's fastest rate takes 2 s or more.

Run: ``python benchmarks/bench_decoders.py [seconds of signal]``
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from firmware_bridge import devices
from firmware_bridge.samples import LinkEvent, LinkEventKind, SampleBlock
from helpers.devices_frames import CASES, Case

SECONDS = 120.0
PIECE = 65_536
SHARE_MAX = 0.01
HOUR_MAX_S = 2.0


def stream(name: str, seconds: float) -> tuple[list[bytes], float, int]:
    """Return frames for a number of seconds at the device's fastest rate, that rate in Hz, and their samples."""
    case = CASES[name]
    profile = devices.get(name).profile
    probe = case.frames(np.random.default_rng(0), 3)
    per_frame = max(len(values) for _piece, values in probe)
    rate = max(profile.fs_hz, default=250.0)
    frames = case.frames(np.random.default_rng(0), max(3, round(seconds * rate / per_frame)))
    return [piece for piece, _values in frames], rate, sum(len(values) for _piece, values in frames)


def grouped(pieces: list[bytes], size: int) -> list[bytes]:
    """Join pieces to larger ones of ``size`` bytes."""
    whole = b"".join(pieces)
    return [whole[at : at + size] for at in range(0, len(whole), size)]


def timed(case: Case, name: str, pieces: list[bytes], samples: int) -> float:
    """Return the CPU time of one decoder for all pieces, seconds; the best of three rounds."""
    best = float("inf")
    for _ in range(3):
        decoder = devices.get(name).decoder(**case.options)
        decoder.link(LinkEvent(LinkEventKind.CONNECTED, 0))
        got = 0
        begin = time.thread_time()
        for at, piece in enumerate(pieces):
            for item in decoder.feed(piece, at, case.channel):
                if isinstance(item, SampleBlock):
                    got += len(item)
        elapsed = time.thread_time() - begin
        if got < 0.99 * samples - 100:
            raise SystemExit(f"{name}: only {got} of {samples} samples were decoded")
        best = min(best, elapsed)
    return best


def reference(samples: int) -> float:
    """Return the time that numpy takes to convert as many samples to ``int32`` in pieces of 64 KiB, seconds."""
    data = np.arange(samples, dtype="<i2").tobytes()
    begin = time.thread_time()
    for at in range(0, len(data), PIECE):
        np.frombuffer(data[at : at + PIECE], "<i2").astype(np.int32)
    return time.thread_time() - begin


def measure(name: str, seconds: float) -> tuple[float, float, float, float]:
    """Return rate in Hz, share of a core at 1 kHz, seconds for an hour at that rate, and cost relative to numpy."""
    case = CASES[name]
    pieces, rate, samples = stream(name, seconds)
    live = timed(case, name, pieces, samples)
    bulk = live if case.notify else timed(case, name, grouped(pieces, PIECE), samples)
    return rate, live / samples * 1000, bulk / samples * rate * 3600, bulk / max(reference(samples), 1e-9)


def main() -> int:
    """Measure every device and print the table."""
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else SECONDS
    print(f"{'device':<16} {'Hz':>5}  {'share of a core':>18}  {'an hour of frames':>17}  {'times numpy':>11}")
    wrong = []
    for name in CASES:
        rate, share, hour_s, times = measure(name, seconds)
        print(f"{name:<16} {rate:>5g}  {share:>18.3%}  {hour_s:>15.3f} s  {times:>11.0f}")
        if share >= SHARE_MAX or hour_s >= HOUR_MAX_S:
            wrong.append(name)
    print(
        f"too slow: {', '.join(wrong)}"
        if wrong
        else "every decoder needs less than 1 % of a core at 1 kHz and 2 s for an hour"
    )
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
