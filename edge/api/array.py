"""An ECG in memory as blocks, as a source, and through the engine."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edge.bundle.reader import Bundle
from edge.engine import Engine, SessionInfo
from edge.grid.wallclock import recorded_wall_ns
from edge.model import Model
from edge.records import Estimate
from edge.sources import SourceInfo
from firmware_bridge.errors import InputError
from firmware_bridge.samples import MAX_FS_HZ, MIN_FS_HZ, LinkEvent, LinkEventKind, LinkItem, SampleBlock

BLOCK_S = 1.0
"""Seconds of an array per block; any other length gives the same results."""

NAME = "array"


def as_lead(ecg_mv: ArrayLike) -> NDArray[np.float32]:
    """Return an array as samples of one lead.

    Args:
        ecg_mv: One lead in mV, shape ``(n,)``: a numpy array, a pandas series, a list. NaN marks missing samples.

    Raises:
        InputError: It is not one lead of real numbers.
    """
    try:
        found: NDArray[Any] = np.asarray(ecg_mv)
    except ValueError as error:
        raise InputError(f"the ECG is not an array: {error}", "give one lead in mV, shape (n,)") from None
    if found.ndim != 1:
        raise InputError(f"the ECG has the shape {found.shape}", "give one lead, shape (n,), such as ecg[:, 0]")
    if found.dtype.kind not in "fiu":
        raise InputError(f"the ECG has the type {found.dtype}", "give real numbers in mV")
    return found.astype(np.float32)


def check_rate(fs_hz: float) -> float:
    """Return the sampling rate.

    Raises:
        InputError: It is outside the supported range.
    """
    if not MIN_FS_HZ <= fs_hz <= MAX_FS_HZ:
        raise InputError(f"a sampling rate of {fs_hz:g} Hz is not supported", f"use {MIN_FS_HZ:g} to {MAX_FS_HZ:g} Hz")
    return float(fs_hz)


def blocks(ecg_mv: NDArray[np.float32], fs_hz: float, first: int = 0, lost: int = 0) -> Iterator[SampleBlock]:
    """Yield an array as blocks.

    Args:
        ecg_mv: Samples in mV, shape ``(n,)``.
        fs_hz: Sampling rate, Hz.
        first: Number of samples before these, lost ones included.
        lost: Samples missing just before these.
    """
    size = max(1, round(BLOCK_S * fs_hz))
    for start in range(0, max(len(ecg_mv), bool(lost)), size):
        samples = ecg_mv[start : start + size]
        arrival_ns = round((first + lost + start + len(samples)) / fs_hz * 1e9)
        yield SampleBlock(
            samples, "mV", 1.0, fs_hz, device_time_ns=None, arrival_ns=arrival_ns, lost=0 if start else lost
        )


class ArraySource:
    """An array as a `Source`.

    Args:
        ecg_mv: Samples in mV, shape ``(n,)``.
        fs_hz: Sampling rate, Hz.
    """

    def __init__(self, ecg_mv: NDArray[np.float32], fs_hz: float) -> None:
        self._ecg_mv, self._fs_hz = ecg_mv, check_rate(fs_hz)
        self.info = SourceInfo(NAME, NAME, live=False, host_clock=False, fs_hz=self._fs_hz, session=NAME)

    async def items(self) -> AsyncIterator[LinkItem]:
        """Yield all blocks, then END."""
        for block in blocks(self._ecg_mv, self._fs_hz):
            yield block
        end_ns = round(len(self._ecg_mv) / self._fs_hz * 1e9)
        yield LinkEvent(LinkEventKind.END, end_ns, "the array ends")

    async def close(self) -> None:
        """Do nothing."""


def array_engine(bundle: Bundle, model: Model, hop_s: float, start_unix_ns: int, device: str = NAME) -> Engine:
    """Return an engine for samples in memory, whose arrival times count from the first sample.

    Args:
        bundle: A verified bundle.
        model: Its model.
        hop_s: Seconds between estimates.
        start_unix_ns: Time of the first sample, Unix ns.
        device: Name of the device, for the estimates.
    """
    session = SessionInfo(NAME, device, recorded_wall_ns(start_unix_ns), lambda: False, stalls=False)
    return Engine(bundle, model, session, hop_s)


def predict(engine: Engine, ecg_mv: ArrayLike, fs_hz: float) -> list[Estimate]:
    """Return the answers of a whole recording, at least one.

    Raises:
        InputError: The array is not one lead of real numbers, or the sampling rate is out of range.
    """
    found: list[Estimate] = []
    for block in blocks(as_lead(ecg_mv), check_rate(fs_hz)):
        found += engine.push(block).estimates
    found += engine.finish().estimates
    return found or [engine.too_short()]
