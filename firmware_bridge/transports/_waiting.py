"""What a transport says while it waits for a device: each reason when it is new, then again at growing intervals."""

from __future__ import annotations

import time
from collections.abc import Callable

from firmware_bridge.samples import LinkEvent, LinkEventKind

REPEAT_S = (60.0, 6 * 3600.0)
"""First and longest time after which a reason is repeated, in seconds; each is twice the one before. Weeks of waiting
stay short in a log."""
REASONS_MAX = 16
"""Reasons that are remembered; texts of a library may differ every time."""


class Waiting:
    """Decides when to say why a device is waited for, and builds the event.

    Args:
        clock: Function that returns monotonic time, s.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._due: dict[str, tuple[float, float]] = {}

    def event(
        self, where: str, what: str, fix: str, ending: str, *, now: bool = False, **data: object
    ) -> LinkEvent | None:
        """Return an INFO event with ``where``, ``reason`` and ``fix`` in its data; ``None`` if it was said recently.

        Args:
            where: Device that is waited for.
            what: What happened, to what.
            fix: What to do about it; may be empty.
            ending: What the transport does now.
            now: Whether to say it in any case.
            data: More facts for code.
        """
        now_s = self._clock()
        due_s, interval_s = self._due.get(what, (now_s, REPEAT_S[0]))
        if now_s < due_s and not now:
            return None
        if what not in self._due and len(self._due) >= REASONS_MAX:
            # The reason that is due last was said most often: whatever replaces it starts again.
            del self._due[max(self._due, key=lambda reason: self._due[reason][0])]
        self._due[what] = (now_s + interval_s, min(interval_s * 2, REPEAT_S[1]))
        detail = "; ".join(filter(None, (what, fix, ending)))
        facts = {"where": where, "reason": reason_of(what, where), "fix": fix, **data}
        return LinkEvent(LinkEventKind.INFO, time.monotonic_ns(), detail, facts)

    def over(self) -> None:
        """Forget everything that was said: the device is there."""
        self._due.clear()


def reason_of(what: str, where: str) -> str:
    """Return what happened without the name of the device, which the sentence around it names."""
    for name, short in ((f": {where}", ""), (f" at {where}", " there"), (where, "it")):
        if name in what:
            return what.replace(name, short, 1)
    return what
