"""Notices a link that gives bytes of which a decoder makes nothing: a wrong baud rate, or another device.

Said once until something is decoded again. From then on the complaints of the decoder, up to hundreds a second, are
joined into one every ten seconds: a port at the wrong rate must not fill a disk with them over a week.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from firmware_bridge.samples import LinkEvent, LinkEventKind, LinkItem, SampleBlock

AFTER_S = 3.0
"""Bytes for so long without one frame; an idle patch describes itself once a second."""
MIN_BYTES = 64
"""Fewer are boot text or noise on an open line."""
JOIN_S = 10.0
"""Time that one joined complaint stands for."""
_LIFE = {LinkEventKind.HELLO, LinkEventKind.REFUSED, LinkEventKind.RESTARTED}
_NEW_LINK = {LinkEventKind.CONNECTED, LinkEventKind.DISCONNECTED, LinkEventKind.STALLED}


class Undecoded:
    """One session's watch.

    Args:
        title: What was expected, such as ``AnyECG patch``.
        hint: What may be wrong, and where.
    """

    def __init__(self, title: str, hint: str) -> None:
        self._detail = f"bytes come but no frame of the {title}: {hint}"
        self._since_ns: int | None = None
        self._bytes = self._frames = 0
        self._said = False
        self._joined: tuple[int, int, int] | None = None

    def link(self, event: LinkEvent) -> list[LinkItem]:
        """Takes an event of the transport; gives what was still being joined."""
        if event.kind not in _NEW_LINK and event.kind is not LinkEventKind.END:
            return []
        self._since_ns, self._bytes = None, 0
        return self._released(event.arrival_ns)

    def bytes(self, size: int, arrival_ns: int, items: Sequence[LinkItem], frames: Callable[[], int]) -> list[LinkItem]:
        """Takes what the decoder made of some bytes.

        Args:
            size: How many bytes.
            arrival_ns: When they came.
            items: What the decoder gave.
            frames: Tells how many whole frames it has counted since it was made.

        Returns:
            The items to hand on.
        """
        if any(isinstance(item, SampleBlock) or item.kind in _LIFE for item in items) or frames() > self._frames:
            self._frames, self._since_ns, self._bytes, self._said = frames(), None, 0, False
            return [*self._released(arrival_ns), *items]
        self._bytes += size
        if self._since_ns is None:
            self._since_ns = arrival_ns
        if self._said:
            return self._join(items, arrival_ns)
        if self._bytes < MIN_BYTES or arrival_ns - self._since_ns < AFTER_S * 1e9:
            return list(items)
        self._said = True
        data: dict[str, object] = {"bytes": self._bytes, "fault": "undecoded"}
        return [*items, LinkEvent(LinkEventKind.INFO, arrival_ns, self._detail, data)]

    def _join(self, items: Sequence[LinkItem], arrival_ns: int) -> list[LinkItem]:
        out: list[LinkItem] = []
        since_ns, frames, size = self._joined or (arrival_ns, 0, 0)
        for item in items:
            # Before the first frame ever, a decoder tells of what it throws away as INFO: it may be boot text.
            if isinstance(item, LinkEvent) and (item.kind is LinkEventKind.CORRUPT or "fault" in item.data):
                frames += 1
                thrown = item.data.get("bytes", 0)
                size += thrown if isinstance(thrown, int) else 0
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
        detail = f"{size} bytes in {frames} pieces thrown away within {(arrival_ns - since_ns) * 1e-9:.0f} s"
        data: dict[str, object] = {"bytes": size, "frames": frames, "fault": "undecoded"}
        return [LinkEvent(LinkEventKind.CORRUPT, arrival_ns, detail, data)]
