"""The signal and session that measurements use. Small, because the process under measurement loads it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from edge.engine import SessionInfo
from firmware_bridge.samples import SampleBlock

BLOCK_S = 0.1


def blocks(ecg: NDArray[np.int32], seconds: float, fs_hz: float = 250.0) -> Iterator[SampleBlock]:
    """Yield ``seconds`` of ECG as a patch would send it: ``ecg`` repeated, in blocks of 0.1 s, with a device clock."""
    n = round(BLOCK_S * fs_hz)
    for k in range(round(seconds / BLOCK_S)):
        start = k * n % len(ecg)
        end_ns = round((k + 1) * n * 1e9 / fs_hz)
        yield SampleBlock(ecg[start : start + n], "counts", 1e-3, fs_hz, end_ns, end_ns, seq=k)


def plain_session() -> SessionInfo:
    """Return a session without clocks, for measuring."""
    return SessionInfo("bench", "bench", lambda ns: ns, lambda: False, stalls=False)
