"""Estimate laboratory values from an ECG that is in memory as a numpy array.

::

    python examples/estimate_from_array.py               # 40 s of a simulated ECG
    python examples/estimate_from_array.py ecg.npy 250   # one lead in mV, shape (n,), and its sampling rate in Hz
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edge.engine import Engine, SessionInfo
from edge.records import Estimate
from edge.session import load
from firmware_bridge.errors import AnyEcgError, InputError
from firmware_bridge.samples import SampleBlock
from firmware_bridge.synth.ecgsyn import EcgParams, EcgSynth

BLOCK_S = 0.1
"""Seconds of signal per block. Any other length gives the same estimates."""


def estimate(ecg_mv: NDArray[np.floating], fs_hz: float, bundle: str = "demo", hop_s: float = 1.0) -> list[Estimate]:
    """Run the whole chain over an array.

    Args:
        ecg_mv: One lead in millivolts, shape ``(n,)``, finite.
        fs_hz: Sampling rate, 60 to 4000 Hz.
        bundle: Folder or zip of a bundle, or ``demo``.
        hop_s: Seconds between estimates.

    Returns:
        One estimate or abstention per hop.

    Raises:
        BundleError: The bundle is incomplete, altered, or fails its self-test.
        InputError: The sampling rate is out of range.
    """
    loaded = load(bundle)
    session = SessionInfo(
        session="array",
        device="array",
        wall_ns=lambda arrival_ns: arrival_ns,  # no wall clock: times count from 1970
        clock_synced=lambda: False,
        stalls=False,
    )
    engine = Engine(loaded.bundle, loaded.model, session, hop_s)
    found: list[Estimate] = []
    size = max(1, round(BLOCK_S * fs_hz))
    for start in range(0, len(ecg_mv), size):
        samples = ecg_mv[start : start + size].astype(np.float32)
        arrival_ns = round((start + len(samples)) / fs_hz * 1e9)
        block = SampleBlock(samples, "mV", lsb_mv=1.0, fs_hz=fs_hz, device_time_ns=None, arrival_ns=arrival_ns)
        found += engine.push(block).estimates
    return found + engine.finish().estimates


def read(path: str) -> NDArray[np.floating]:
    """Read a one-dimensional float array from a ``.npy`` file.

    Raises:
        InputError: The file is missing or holds something else.
    """
    try:
        ecg = np.load(path, allow_pickle=False)
    except (OSError, ValueError) as e:
        raise InputError(f"{path} cannot be read: {e}", "write it with numpy.save") from None
    if not isinstance(ecg, np.ndarray) or ecg.ndim != 1 or ecg.dtype.kind != "f":
        raise InputError(f"{path} does not hold a float array of shape (n,)", "give one lead in millivolts")
    return ecg


def main(argv: Sequence[str]) -> int:
    """Print the last estimate of a recording."""
    parser = argparse.ArgumentParser(description="Estimate laboratory values from an ECG in a numpy array.")
    parser.add_argument("file", nargs="?", help=".npy file with one lead in mV; without it, a simulated ECG")
    parser.add_argument("fs_hz", nargs="?", type=float, default=250.0, help="sampling rate in Hz (default 250)")
    args = parser.parse_args(argv)
    if args.file is None:
        ecg_mv: NDArray[np.floating] = EcgSynth(EcgParams(), seed=1).generate(round(40 * args.fs_hz), args.fs_hz)
    else:
        ecg_mv = read(args.file)
    found = estimate(ecg_mv, args.fs_hz)
    made = [e for e in found if e.abstained is None]
    print(f"{len(found)} hops, {len(made)} estimates")
    if made:
        print(text(made[-1]))
    return 0


def text(e: Estimate) -> str:
    """Return an estimate as lines of text."""
    rate = "unknown" if e.heart_rate_bpm is None else f"{e.heart_rate_bpm:.0f} bpm"
    lines = [f"at {e.window.end_s:.0f} s: heart rate {rate}, quality {e.quality.score:.2f}"]
    for lab in e.labs:
        value = "unknown" if lab.value is None else f"{lab.value:.3f}"
        unit = "" if lab.unit == "1" else lab.unit
        flag = "  FLAG" if lab.flag else ""
        lines.append(f"  {lab.key:<16} {value:>8} {unit:<7} evidence {lab.tier}{flag}")
    return "\n".join([*lines, e.notice])


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except AnyEcgError as error:
        print(error, file=sys.stderr)
        sys.exit(error.exit_code)
