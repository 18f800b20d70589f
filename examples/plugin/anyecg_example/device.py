"""A device: a patch that sends one line of text per sample, the value in microvolts; 250 a second."""

from __future__ import annotations

import numpy as np

from firmware_bridge.devices import Device, DeviceKind, Write
from firmware_bridge.items import DATA_CHANNEL
from firmware_bridge.samples import LinkEvent, LinkItem, SampleBlock

FS_HZ = 250.0
MAX_LINE_BYTES = 32


class TextDecoder:
    """One session with one patch: bytes in, samples out. It never raises, whatever the bytes are."""

    def __init__(self) -> None:
        self._rest = b""
        self._samples = self._bad = 0

    def feed(self, data: bytes, arrival_ns: int, channel: str = DATA_CHANNEL) -> list[LinkItem]:
        """Decode received bytes, split anywhere."""
        del channel
        *lines, rest = (self._rest + data).split(b"\n")
        self._rest = rest if len(rest) <= MAX_LINE_BYTES else b""
        values, missing = [], 0
        for line in lines:
            text = line.strip()
            if text.lstrip(b"-").isdigit() and len(text) <= MAX_LINE_BYTES:
                values.append(int(text))
            else:
                missing += 1
        self._samples += len(values)
        self._bad += missing
        if not values:
            return []
        samples = np.clip(values, -(2**31), 2**31 - 1).astype(np.int32)
        return [SampleBlock(samples, "counts", 1e-3, FS_HZ, None, arrival_ns, lost=missing)]

    def link(self, event: LinkEvent) -> list[LinkItem]:
        """Forget an incomplete line whenever the link changes."""
        del event
        self._rest = b""
        return []

    def writes(self) -> list[Write]:
        """Return nothing: this patch takes no commands."""
        return []

    def counters(self) -> dict[str, int]:
        """Return what was counted."""
        return {"frames": self._samples, "corrupt": self._bad}


DEVICE = Device(
    profile=DeviceKind(
        name="text_patch",
        title="Text patch (example)",
        transports=("serial", "tcp"),
        fs_hz=(FS_HZ,),
        scale="fixed",
        band_hz=None,
        clock="none: samples are counted",
        loss_detection="a damaged line counts as one lost sample; lines that never arrive are not noticed",
        baud=115_200,
    ),
    decoder=TextDecoder,
)
