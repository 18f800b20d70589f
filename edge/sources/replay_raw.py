"""The kit's own raw recordings (``.aer``): the bytes of a link through the decoder that read them the first time.

Every item keeps its recorded arrival time, so a replay gives the estimates of the first run.
"""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

from edge.sources import SourceInfo, SourceUrl
from edge.sources.replay_blocks import Timed, paced
from firmware_bridge import devices
from firmware_bridge.errors import InputError, UsageError
from firmware_bridge.rawlog import RawLogReader
from firmware_bridge.samples import LinkEvent, LinkEventKind, LinkItem

KEYS = ("speed", "seconds", "device")
"""What the query may say for a raw recording; the rest is in the bytes."""


def open_raw(url: SourceUrl, path: Path) -> RawReplaySource:
    """The source for a raw recording.

    Raises:
        UsageError: A key or value of the URL is wrong, or ``device=`` is unknown.
        InputError: The recording is damaged at its head, or comes from a device that is not known here.
    """
    url.only(*KEYS)
    speed, seconds = url.speed(1.0), url.number("seconds", math.inf, 1e-3, 1e9)
    return RawReplaySource(url.text, RawLogReader(path), url.params.get("device"), speed, seconds)


class RawReplaySource:
    """A raw recording as a source.

    Args:
        url: As the user wrote it.
        reader: The recording, its head read.
        device: Device whose decoder reads the bytes; the one that the recording names where it is ``None``.
        speed: Factor of real time; infinity for no waiting.
        seconds: Seconds of arrival time to replay; infinity for all.
    """

    def __init__(self, url: str, reader: RawLogReader, device: str | None, speed: float, seconds: float) -> None:
        self._reader = reader
        self._speed = speed
        self._seconds = seconds
        header = reader.header
        try:
            self._device = devices.get(device or header.device)
        except UsageError as error:
            if device is not None:
                raise
            raise InputError(
                f"{reader.path} comes from a device not known here: {header.device!r}", error.fix
            ) from None
        self.info = SourceInfo(
            url=url,
            device=self._device.profile.name,
            live=False,
            host_clock=False,
            session=header.session or None,
            arrival_timed=header.host_clock,
            start_unix_ns=header.start_unix_ns,
            start_host_ns=header.start_monotonic_ns,
            notes=self._device.profile.notes,
        )

    async def items(self) -> AsyncIterator[LinkItem]:
        """Everything that the decoder made of the bytes; then END."""
        async for item in paced(self.timed(), self._speed):
            yield item

    def timed(self) -> Iterator[Timed]:
        """Items with the second at which each is due."""
        decoder = self._device.decoder()
        first_ns: int | None = None
        last_ns = 0
        for raw in self._reader.items():
            first_ns = raw.arrival_ns if first_ns is None else first_ns
            if raw.arrival_ns - first_ns > self._seconds * 1e9:
                break
            last_ns = raw.arrival_ns
            if isinstance(raw, LinkEvent) and raw.kind is LinkEventKind.END:
                break
            due_s = (last_ns - first_ns) / 1e9
            for item in devices.decode_item(decoder, raw):
                yield due_s, item
        due_s = (last_ns - (first_ns or 0)) / 1e9
        if self._reader.damage:
            yield due_s, LinkEvent(LinkEventKind.INFO, last_ns, f"{self._reader.path.name}: {self._reader.damage}")
        end = LinkEvent(LinkEventKind.END, last_ns, f"{self._reader.path.name} ends")
        # What a decoder still held comes before the end, not after it.
        event, *held = devices.decode_item(decoder, end)
        for item in (*held, event):
            yield due_s, item

    async def close(self) -> None:
        """Nothing is held open between two reads."""
