"""The kit's raw recordings (``.aer``): the bytes of a link, decoded again by the decoder of the device.

Every item keeps its recorded arrival time, so a replay gives the same estimates as the first run.
"""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path

from edge.sources import SourceInfo, SourceUrl
from edge.sources.replay.blocks import Turn, paced
from edge.sources.replay.damage import Damage
from edge.sources.wire import OPTIONS_KEY, decoder_options
from firmware_bridge import devices
from firmware_bridge.errors import InputError, UsageError
from firmware_bridge.items import pieces
from firmware_bridge.rawlog import RawLogReader
from firmware_bridge.samples import LinkEvent, LinkEventKind, LinkItem, SampleBlock

KEYS = ("speed", "seconds", "device")
"""Keys of the query for a raw recording, besides the options of its decoder; the recording contains the rest."""


def open_raw(url: SourceUrl, path: Path) -> RawReplaySource:
    """Return the source for a raw recording.

    Raises:
        UsageError: A key or value of the URL is invalid, or ``device=`` is unknown.
        InputError: The header of the recording is damaged or names an unknown device.
    """
    speed, seconds = url.speed(1.0), url.number("seconds", math.inf, 1e-3, 1e9)
    reader = RawLogReader(path)
    device = _device(reader, url.params.get("device"))
    recorded = reader.header.extra.get(OPTIONS_KEY)
    options = {
        key: value
        for key, value in (recorded.items() if isinstance(recorded, dict) else ())
        if key in device.profile.options and isinstance(value, str)
    }
    options |= decoder_options(url, device, *KEYS)
    return RawReplaySource(url.text, reader, device, speed, seconds, options)


def _device(reader: RawLogReader, name: str | None) -> devices.Device:
    try:
        return devices.get(name or reader.header.device)
    except UsageError as error:
        if name is not None:
            raise
        what = f"{reader.path} comes from an unknown device: {reader.header.device!r}"
        raise InputError(what, error.fix) from None


class RawReplaySource:
    """A raw recording as a source.

    Args:
        url: The URL as the user wrote it.
        reader: The recording; its header has been read.
        device: The device whose decoder reads the bytes.
        speed: Factor of real time; infinity for no waiting.
        seconds: Length of the replay in arrival time, s; infinity for all.
        options: Keyword arguments of the decoder, as text.

    Raises:
        UsageError: An option has an invalid value.
    """

    def __init__(
        self,
        url: str,
        reader: RawLogReader,
        device: devices.Device,
        speed: float,
        seconds: float,
        options: Mapping[str, str],
    ) -> None:
        self._reader = reader
        self._speed = speed
        self._seconds = seconds
        self._device = device
        self._decoder = device.decoder(**options)
        header = reader.header
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
            of_device=True,
            band_hz=self._device.profile.band_hz,
        )

    async def items(self) -> AsyncIterator[LinkItem]:
        """Yield the items that the decoder makes of the bytes, then END."""
        async for item in paced(self.timed(), self._speed):
            yield item

    def timed(self) -> Iterator[Turn]:
        """Yield due time, s, and item; no item where bytes gave none."""
        decoder, damage = self._decoder, Damage()
        first_ns: int | None = None
        last_ns, due_s = 0, 0.0
        for raw in self._reader.items():
            first_ns = raw.arrival_ns if first_ns is None else first_ns
            if raw.arrival_ns - first_ns > self._seconds * 1e9:
                break
            last_ns = raw.arrival_ns
            if isinstance(raw, LinkEvent) and raw.kind is LinkEventKind.END:
                break
            due_s = (last_ns - first_ns) / 1e9
            for piece in pieces(raw):
                for item in devices.decode_item(decoder, piece):
                    if isinstance(item, SampleBlock):
                        damage.block(item)
                    yield due_s, item
                decoder.writes()  # nothing is sent, and nothing may pile up
                yield due_s, None
            damage.record(raw)
        due_s = (last_ns - (first_ns or 0)) / 1e9
        end = LinkEvent(LinkEventKind.END, last_ns, f"{self._reader.path.name} ends")
        # Items that the decoder still held come before the end, not after it.
        event, *held = devices.decode_item(decoder, end)
        for item in held:
            if isinstance(item, SampleBlock):
                damage.block(item)
            yield due_s, item
        if self._reader.damage:
            yield due_s, damage.event(self._reader, last_ns)
        yield due_s, event

    async def close(self) -> None:
        """Do nothing: no file stays open between two reads."""
