"""Detection of a link whose bytes the decoder does not understand: a wrong baud rate, or another device.

The warning appears once until something is decoded again. After it, the errors of the decoder, up to hundreds a second,
are joined into one event every ten seconds, so that a port at the wrong rate does not fill a disk within a week.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from firmware_bridge.samples import LinkEvent, LinkEventKind, LinkItem, SampleBlock

AFTER_S = 3.0
"""Time with bytes but without a frame before the warning, s; an idle patch sends its description once a second."""
MIN_BYTES = 64
"""Fewest bytes for the warning; fewer are boot text or noise on an open line."""
JOIN_S = 10.0
"""Time that one joined event covers, s."""
_LIFE = {LinkEventKind.HELLO, LinkEventKind.REFUSED, LinkEventKind.RESTARTED}
_NEW_LINK = {LinkEventKind.CONNECTED, LinkEventKind.DISCONNECTED, LinkEventKind.STALLED}


class Undecoded:
    """Watches the items of one session.

    Args:
        title: The expected device, such as ``AnyECG patch``.
        hint: Possible cause, for the message.
    """

    def __init__(self, title: str, hint: str) -> None:
        self._detail = f"bytes arrive but no frame of the {title}: {hint}"
        self._since_ns: int | None = None
        self._bytes = self._frames = 0
        self._warned = False
        self._joined: tuple[int, int, int] | None = None

    def link(self, event: LinkEvent) -> list[LinkItem]:
        """Take an event of the transport and return the events that were still being joined."""
        if event.kind not in _NEW_LINK and event.kind is not LinkEventKind.END:
            return []
        self._since_ns, self._bytes = None, 0
        return self._released(event.arrival_ns)

    def bytes(self, size: int, arrival_ns: int, items: Sequence[LinkItem], frames: Callable[[], int]) -> list[LinkItem]:
        """Take the items that the decoder made from some bytes.

        Args:
            size: Number of bytes.
            arrival_ns: Arrival time of the bytes, ns.
            items: Items that the decoder returned.
            frames: Function that returns how many complete frames the decoder has counted so far.

        Returns:
            The items to pass on.
        """
        if any(isinstance(item, SampleBlock) or item.kind in _LIFE for item in items) or frames() > self._frames:
            self._frames, self._since_ns, self._bytes, self._warned = frames(), None, 0, False
            return [*self._released(arrival_ns), *items]
        self._bytes += size
        if self._since_ns is None:
            self._since_ns = arrival_ns
        if self._warned:
            return self._join(items, arrival_ns)
        if self._bytes < MIN_BYTES or arrival_ns - self._since_ns < AFTER_S * 1e9:
            return list(items)
        self._warned = True
        data: dict[str, object] = {"bytes": self._bytes, "fault": "undecoded"}
        return [*items, LinkEvent(LinkEventKind.INFO, arrival_ns, self._detail, data)]

    def _join(self, items: Sequence[LinkItem], arrival_ns: int) -> list[LinkItem]:
        out: list[LinkItem] = []
        since_ns, frames, size = self._joined or (arrival_ns, 0, 0)
        for item in items:
            # Before its first frame, a decoder reports discarded bytes as INFO, because they may be boot text.
            if isinstance(item, LinkEvent) and (item.kind is LinkEventKind.CORRUPT or "fault" in item.data):
                frames += 1
                discarded = item.data.get("bytes", 0)
                size += discarded if isinstance(discarded, int) else 0
            else:
                out.append(item)
        self._joined = (since_ns, frames, size) if frames else None
        if arrival_ns - since_ns >= JOIN_S * 1e9:
            out += self._released(arrival_ns)
        return out

    def _released(self, arrival_ns: int) -> list[LinkItem]:
        joined, self._joined = self._joined, None
        if joined is None:
            return []
        since_ns, frames, size = joined
        detail = f"{size} bytes in {frames} pieces discarded within {(arrival_ns - since_ns) * 1e-9:.0f} s"
        data: dict[str, object] = {"bytes": size, "frames": frames, "fault": "undecoded"}
        return [LinkEvent(LinkEventKind.CORRUPT, arrival_ns, detail, data)]
