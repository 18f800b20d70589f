"""The interface of every transport."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Protocol, runtime_checkable

from firmware_bridge.items import DATA_CHANNEL, TransportItem


class Transport(Protocol):
    """A connection that reconnects until it is closed.

    A transport sends these events: CONNECTED when it is open, DISCONNECTED (with the reason) when it is gone, STALLED
    before it reconnects for lack of data, INFO for information to the user, END when nothing more will follow.
    """

    def stream(self) -> AsyncIterator[TransportItem]:
        """Yield everything that arrives, until END or ``close``. Call it once.

        A reader that leaves early does not end the connection: it can still write, and then closes.

        Raises:
            LinkError: The device cannot be opened, and waiting would not help or is disabled.
        """
        ...

    async def write(self, data: bytes, channel: str = DATA_CHANNEL) -> bool:
        """Send to the device; return ``False`` without a connection: the caller then repeats it at CONNECTED."""
        ...

    async def close(self) -> None:
        """End ``stream`` and release the device. May be called twice."""
        ...


@runtime_checkable
class GatheringTransport(Protocol):
    """A transport that can leave the bytes of a stream to the kernel for some time."""

    def gather(self, seconds: float) -> None:
        """Read a stream at most once in that time; bytes are that much later. Call it before ``stream``."""
        ...
