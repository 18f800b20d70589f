"""A source: ``npy:ecg.npy?fs=250``, one lead in mV in a numpy file."""

from __future__ import annotations

from collections.abc import AsyncIterator

import numpy as np
from numpy.typing import NDArray

from edge.sources import SourceInfo, SourceUrl
from firmware_bridge.errors import InputError
from firmware_bridge.samples import LinkEvent, LinkEventKind, LinkItem, SampleBlock

BLOCK = 250


def open_npy(url: SourceUrl) -> NpySource:
    """Return the source; wrong keys and files end in one line, because the errors are the kit's own."""
    url.only("fs", "speed")
    fs_hz = url.number("fs", 250.0, 60.0, 4000.0)
    try:
        ecg_mv = np.load(url.path, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise InputError(f"{url.path} cannot be read: {error}", "write it with numpy.save") from None
    if ecg_mv.ndim != 1 or ecg_mv.dtype.kind != "f":
        raise InputError(f"{url.path} does not hold one lead of floats", "save an array of shape (n,)")
    return NpySource(url.text, ecg_mv.astype(np.float32), fs_hz)


class NpySource:
    """A numpy array as a stream of blocks."""

    def __init__(self, url: str, ecg_mv: NDArray[np.float32], fs_hz: float) -> None:
        self._ecg_mv, self._fs_hz = ecg_mv, fs_hz
        self.info = SourceInfo(url=url, device="npy", live=False, host_clock=False, fs_hz=fs_hz)

    async def items(self) -> AsyncIterator[LinkItem]:
        """Yield the blocks, then END. Times count from the first sample."""
        for start in range(0, len(self._ecg_mv), BLOCK):
            samples = self._ecg_mv[start : start + BLOCK]
            yield SampleBlock(samples, "mV", 1.0, self._fs_hz, None, self._ns(start + len(samples)))
        yield LinkEvent(LinkEventKind.END, self._ns(len(self._ecg_mv)), "the file ends")

    async def close(self) -> None:
        """Do nothing: no file is open."""

    def _ns(self, samples: int) -> int:
        return round(samples / self._fs_hz * 1e9)
