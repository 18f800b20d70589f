"""Disturbances of the items of a link, before the timeline of the device processes them.

All disturbances are deterministic: the seed of the random ones is a checksum of the signal.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from firmware_bridge.samples import LinkItem, SampleBlock

PACKET_S = 0.5
"""Duration of a packet, seconds, as Bluetooth patches send them (a Polar H10 sends 73 samples at 130 Hz)."""

WANDER_HZ = 0.3
"""Frequency of the baseline wander, Hz, typical of breathing."""

OFF_EVERY_S = 40.0
"""Period of the losses of contact, seconds."""

Kind = Literal["none", "gain", "wander", "mains", "loss", "rate", "rate without clock", "lead-off"]


@dataclass(frozen=True, slots=True)
class Disturbance:
    """One disturbance; a picklable callable from items to items.

    Attributes:
        kind: Kind of the disturbance.
        size: Factor for gain, mV for wander and mains, share (0 to 1) for loss, rate and lead-off.
        unit: Unit of the size for the report.
    """

    kind: Kind
    size: float
    unit: str = ""

    @property
    def label(self) -> str:
        """Name of the disturbance for the report."""
        if self.kind == "none":
            return "as recorded"
        shown = f"{self.size * 100:+g} %" if self.kind.startswith("rate") else f"{self.size * 100:g} %"
        return f"{self.kind} {shown if self.unit == '%' else f'{self.size:g} {self.unit}'.strip()}"

    def __call__(self, items: Iterable[LinkItem]) -> Iterator[LinkItem]:
        """Yield the disturbed items."""
        rng: np.random.Generator | None = None
        first, lost, seq = 0, 0, 0
        for item in items:
            if not isinstance(item, SampleBlock):
                yield item
                continue
            if rng is None:
                # Seeded by the signal: each recording loses different packets, and the same ones in every run.
                rng = np.random.default_rng(zlib.crc32(item.samples.tobytes()))
            step = max(1, round(PACKET_S * item.fs_hz))
            for i in range(0, len(item), step):
                samples = item.samples[i : i + step]
                if self.kind == "loss" and rng.random() < self.size:
                    lost += len(samples)
                else:
                    yield self._packet(item, samples, first, lost, seq)
                    lost = 0
                first, seq = first + len(samples), seq + 1

    def _packet(
        self, block: SampleBlock, samples: NDArray[np.int32] | NDArray[np.float32], first: int, lost: int, seq: int
    ) -> SampleBlock:
        t_s = (first + np.arange(len(samples))) / block.fs_hz
        # The device claims a wrong rate; with a device clock, the timeline can correct it.
        claimed_hz = block.fs_hz / (1.0 + self.size) if self.kind.startswith("rate") else block.fs_hz
        clock_ns = None if self.kind == "rate without clock" else round(float(t_s[-1]) * 1e9)
        return replace(
            block, samples=self._changed(samples, t_s), fs_hz=claimed_hz, device_time_ns=clock_ns,
            arrival_ns=round((first + len(samples)) / block.fs_hz * 1e9), seq=seq, lost=lost,
            lead_off=self.kind == "lead-off" and bool(t_s[0] % OFF_EVERY_S >= OFF_EVERY_S * (1.0 - self.size)),
        )  # fmt: skip

    def _changed(
        self, samples: NDArray[np.int32] | NDArray[np.float32], t_s: NDArray[np.float64]
    ) -> NDArray[np.int32] | NDArray[np.float32]:
        if self.kind == "gain":
            return (samples * self.size).astype(np.float32)
        if self.kind == "wander":
            return (samples + self.size * np.sin(2 * np.pi * WANDER_HZ * t_s)).astype(np.float32)
        if self.kind == "mains":
            return (samples + self.size * np.sin(2 * np.pi * 50.0 * t_s)).astype(np.float32)
        return samples


DISTURBANCES = (
    Disturbance("none", 0.0),
    Disturbance("gain", 0.25, "×"),
    Disturbance("gain", 0.5, "×"),
    Disturbance("gain", 2.0, "×"),
    Disturbance("wander", 0.5, "mV"),
    Disturbance("wander", 1.0, "mV"),
    Disturbance("mains", 0.1, "mV"),
    Disturbance("mains", 0.5, "mV"),
    Disturbance("loss", 0.01, "%"),
    Disturbance("loss", 0.02, "%"),
    Disturbance("loss", 0.05, "%"),
    Disturbance("loss", 0.10, "%"),
    Disturbance("rate", -0.01, "%"),
    Disturbance("rate", 0.01, "%"),
    Disturbance("rate without clock", -0.01, "%"),
    Disturbance("rate without clock", 0.01, "%"),
    Disturbance("lead-off", 0.1, "%"),
)
"""All disturbances; the first is the undisturbed run for comparison."""
