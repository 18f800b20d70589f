"""Samples that a program has or receives itself, pushed through the whole chain."""

from __future__ import annotations

import time
from pathlib import Path

from numpy.typing import ArrayLike

from edge.api.array import NAME, array_engine, as_lead, blocks, check_rate
from edge.api.bundle import Bundle, as_bundle
from edge.api.options import check_hop
from edge.engine import Output
from edge.model import BackendName
from firmware_bridge.errors import UsageError


class ArrayStream:
    """The whole chain for samples that a program has or receives itself; synchronous, without files or threads.

    ::

        stream = edge.ArrayStream(fs_hz=250.0)
        for ecg_mv in pieces:  # of any length
            for estimate in stream.push(ecg_mv).estimates:
                print(estimate.heart_rate_bpm)
        rest = stream.finish()

    Args:
        fs_hz: Sampling rate, 60 to 4000 Hz.
        bundle: A bundle, or its folder or zip file; ``demo`` is the one in the package.
        hop_s: Seconds between estimates.
        start_unix_ns: Time of the first sample, Unix ns, for the times of the estimates; now by default.
        device: Name of the device, for the estimates.
        backend: The interpreter.

    Raises:
        InputError: The sampling rate is outside the supported range.
        UsageError: The hop is outside the supported range.
        BundleError: The bundle is damaged, or its self-test fails.
    """

    def __init__(
        self,
        fs_hz: float,
        bundle: Bundle | str | Path = "demo",
        *,
        hop_s: float = 1.0,
        start_unix_ns: int | None = None,
        device: str = NAME,
        backend: BackendName = "auto",
    ) -> None:
        self.fs_hz = check_rate(fs_hz)
        found = as_bundle(bundle)
        start_ns = time.time_ns() if start_unix_ns is None else start_unix_ns
        self._engine = array_engine(found, found.load(backend), check_hop(hop_s), start_ns, device)
        self._samples = 0
        self._finished = False

    @property
    def end_s(self) -> float:
        """Signal time just after the last sample, s."""
        return self._engine.timeline.end_s

    def push(self, ecg_mv: ArrayLike, *, lost: int = 0) -> Output:
        """Take the next samples.

        Args:
            ecg_mv: Samples in mV, shape ``(n,)``, of any length; NaN marks missing samples.
            lost: Samples missing before these.

        Returns:
            What is now known: ``estimates``, ``beats_s`` (signal times of R peaks) and ``signal`` (filtered, 125 Hz).

        Raises:
            InputError: The array is not one lead of real numbers.
            UsageError: The stream is finished, or ``lost`` is negative.
        """
        if self._finished:
            raise UsageError("this stream is finished", "make a new ArrayStream")
        out = Output()
        samples = as_lead(ecg_mv)
        if lost < 0:
            raise UsageError(f"lost={lost} is negative", "give the number of samples missing before these")
        for block in blocks(samples, self.fs_hz, self._samples, lost):
            _extend(out, self._engine.push(block))
        self._samples += lost + len(samples)
        return out

    def finish(self) -> Output:
        """End the stream: return what waits, and the answer of a recording of about ten seconds.

        A second call returns nothing.
        """
        out = Output() if self._finished else self._engine.finish()
        self._finished = True
        return out


def _extend(out: Output, more: Output) -> None:
    out.estimates += more.estimates
    out.signal += more.signal
    out.beats_s += more.beats_s
