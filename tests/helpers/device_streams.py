"""Streams of the devices whose frames the tests make: a signal as bytes."""

from __future__ import annotations

from helpers.devices_frames import bitalino_frame, cyton, ganglion, healthypi5, healthypi_v4, heartypatch


def eights(values):
    return values[: len(values) // 8 * 8].reshape(-1, 8).tolist()


MAKERS = {
    "healthypi_v4": (125, 2000, lambda v: [healthypi_v4(x) for x in v.tolist()]),
    "healthypi5": (128, 2**20, lambda v: [healthypi5(e) for e in eights(v)]),
    "heartypatch": (128, 2**20, lambda v: [heartypatch(k, e) for k, e in enumerate(eights(v))]),
    "openbci_cyton": (250, 44_739, lambda v: [cyton(k, [x, *[0] * 7]) for k, x in enumerate(v.tolist())]),
    "openbci_ganglion": (
        200,
        534_800,
        lambda v: [ganglion(k % 100, *p) for k, p in enumerate(v[: len(v) // 2 * 2].reshape(-1, 2).tolist())],
    ),
    "bitalino": (1000, 120, lambda v: [bitalino_frame(k, [x + 512]) for k, x in enumerate(v.tolist())]),
    "ad8232_text": (190, 150, lambda v: [b"%d\r\n" % (x + 400) for x in v.tolist()]),
}
"""Device -> sampling rate, counts per millivolt, function that frames a signal."""
