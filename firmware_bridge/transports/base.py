"""The interface of every transport."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Protocol

from firmware_bridge.items import DATA_CHANNEL, TransportItem


class Transport(Protocol):
    """A connection that is made again for ever, until it is closed.

    Events that a transport sends: CONNECTED when it is open, DISCONNECTED (with the reason) when it is gone, STALLED
    before it reconnects for lack of data, INFO for what a person should know, END when nothing will ever follow.
    """

    def stream(self) -> AsyncIterator[TransportItem]:
        """Everything that arrives, until END or ``close``. Called once.

        Raises:
            LinkError: The device cannot be opened, and waiting would not help or was not wanted.
        """
        ...

    async def write(self, data: bytes, channel: str = DATA_CHANNEL) -> bool:
        """Sends to the device. ``False`` where there is no connection: whoever sends repeats it at CONNECTED."""
        ...

    async def close(self) -> None:
        """Ends ``stream`` and frees the device. May be called twice."""
        ...
