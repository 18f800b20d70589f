"""A live source: a transport, the decoder of a device and, optionally, a raw recording of the bytes between them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from edge.sources import SourceInfo, SourceUrl, session_name
from edge.sources.turns import Turns
from edge.sources.undecoded import Undecoded
from firmware_bridge.devices import Device, decode_item
from firmware_bridge.items import RawChunk, TransportItem, pieces
from firmware_bridge.rawlog import RawLogHeader, RawLogWriter
from firmware_bridge.samples import LinkEvent, LinkEventKind, LinkItem
from firmware_bridge.transports import GatheringTransport, Transport

OPTIONS_KEY = "options"
"""Key for the options of the decoder in the header of a raw recording."""
ALWAYS = "always"
"""Value of the key ``wait`` with which a source also waits for a device that this computer refuses now."""
STOP_S = 1.0
"""Time for telling the device to stop, s."""


def decoder_options(url: SourceUrl, device: Device, *own: str) -> dict[str, str]:
    """Return the options of the device's decoder from the query; any other key must be one of the ``own`` keys.

    Raises:
        UsageError: Neither the source nor the device knows a key; the message lists the known ones.
    """
    url.only(*own, *device.profile.options)
    return {key: value for key, value in url.params.items() if key in device.profile.options and key not in own}


def patience(url: SourceUrl) -> tuple[bool, bool]:
    """Return whether to wait for a missing device, and whether even if waiting alone does not help (``wait=always``).

    Raises:
        UsageError: The value is neither a switch nor ``always``.
    """
    if url.params.get("wait", "").lower() == ALWAYS:
        return True, True
    return url.flag("wait", default=True), False


class WireSource:
    """A source that decodes the bytes of a transport.

    Args:
        transport: The transport that delivers the bytes.
        device: The device that sends them.
        info: Description of the source; the session gets its name here, so that a recording carries the same name.
        options: Keyword arguments of the device's decoder, as text.
        hint: Possible cause if bytes arrive but no frame, for the message.

    Raises:
        UsageError: An option has an invalid value.
    """

    def __init__(
        self,
        transport: Transport,
        device: Device,
        info: SourceInfo,
        options: Mapping[str, str] | None = None,
        hint: str = "another device?",
    ) -> None:
        self._transport = transport
        self._device = device
        self._options = dict(options or {})
        self._decoder = device.decoder(**self._options)
        self._undecoded = Undecoded(device.profile.title, hint)
        self._recorder: RawLogWriter | None = None
        self._closed = self._busy = False
        self._taken = self._seen = 0
        named = replace(info, session=session_name(info))
        self.info = replace(named, of_device=True, band_hz=device.profile.band_hz)

    def record(self, path: Path) -> None:
        """Copy everything that arrives into a raw recording, before decoding.

        The recording carries the session's name, so that its replay gives the same estimates under the same name.

        Raises:
            OutputError: The file cannot be created.
        """
        header = RawLogHeader(
            device=self._device.profile.name,
            url=self.info.url,
            session=self.info.session or "",
            start_unix_ns=time.time_ns(),
            start_monotonic_ns=time.monotonic_ns(),
            host_clock=self.info.host_clock,
            extra={OPTIONS_KEY: self._options} if self._options else {},
        )
        self._recorder = RawLogWriter(path, header)

    def gather(self, seconds: float) -> bool:
        """Read a stream at most once in that time, if the transport can; return whether it does."""
        if not isinstance(self._transport, GatheringTransport):
            return False
        self._transport.gather(seconds)
        return True

    @property
    def recorder(self) -> RawLogWriter | None:
        """The raw recording, if there is one."""
        return self._recorder

    async def items(self) -> AsyncIterator[LinkItem]:
        """Yield all items in order.

        Raises:
            LinkError: The device cannot be opened, and waiting would not help or is disabled.
            OutputError: The recording can no longer be written.
        """
        connected, turns = False, Turns()
        async for item in self._transport.stream():
            self._taken, self._busy = self._taken + 1, True
            if self._recorder is not None:
                self._recorder.item(item)
            for piece in pieces(item):
                out = self._decode(piece)
                if isinstance(item, LinkEvent) and item.kind in {LinkEventKind.DISCONNECTED, LinkEventKind.STALLED}:
                    connected = False
                elif isinstance(item, RawChunk) or item.kind is LinkEventKind.CONNECTED:
                    connected = True
                await self._send(connected)
                for one in out:
                    yield one
                await turns.give()
            self._busy = False

    def counters(self) -> dict[str, int]:
        """Return the counters of the decoder."""
        return self._decoder.counters()

    async def close(self) -> None:
        """Stop the device, release it and close the recording."""
        if self._closed:
            return
        self._closed = True
        try:
            # A peer that reads nothing must not delay the end.
            with suppress(TimeoutError):
                async with asyncio.timeout(STOP_S):
                    for write in self._device.profile.stop:
                        await self._transport.write(write.data, write.channel)
        finally:
            await self._transport.close()
            if self._recorder is not None:
                self._recorder.close()

    def stuck(self) -> bool:
        """Return whether the source still handles the item that it handled at the last call."""
        before, self._seen = self._seen, self._taken
        return self._busy and self._taken == before

    def _decode(self, item: TransportItem) -> list[LinkItem]:
        out = decode_item(self._decoder, item)
        if isinstance(item, RawChunk):
            return self._undecoded.bytes(len(item.data), item.arrival_ns, out, self._frames)
        if item.kind is LinkEventKind.END:
            # Items that the decoder still held come before the end, not after it.
            return [*self._undecoded.link(item), *out[1:], item]
        return [*self._undecoded.link(item), *out]

    def _frames(self) -> int:
        return self._decoder.counters().get("frames", 0)

    async def _send(self, connected: bool) -> None:
        for write in self._decoder.writes():
            # The decoder repeats at the next connection what cannot be sent now.
            if connected and await self._transport.write(write.data, write.channel) and self._recorder is not None:
                self._recorder.sent(time.monotonic_ns(), write.data, write.channel)
