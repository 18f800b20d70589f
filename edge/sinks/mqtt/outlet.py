"""What one patch publishes: its topics, the newest state, and the estimates that wait."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from edge.sinks.mqtt.spool import Spool

ONLINE, OFFLINE = "online", "offline"


class State(NamedTuple):
    """A state, and the monotonic time at which it is too old, s."""

    text: str
    until_s: float


class Plan(NamedTuple):
    """What is published besides the events.

    Attributes:
        availability: Topic of the availability.
        state: Topic of the state.
        event: Topic of the events.
        discovery: Topic and text of the discovery message; ``None`` for none.
        waiting: State that says that there is no estimate.
        expire_s: Seconds after which the broker forgets a state.
    """

    availability: str
    state: str
    event: str
    discovery: tuple[str, str] | None
    waiting: str
    expire_s: int


class Outlet:
    """One patch at a broker.

    Args:
        plan: Topics and fixed messages.
        spool: The events that wait.

    Attributes:
        state: The newest state.
        shown: The state that was published last.
        greeted: Whether this connection knows the patch.
        in_flight: Events that wait for the broker's confirmation.
        sent: Events that the broker has confirmed.
        until_s: Monotonic time at which the patch leaves at the latest, s; ``None`` while it stays.
        gone: Set when the patch has left.
    """

    def __init__(self, plan: Plan, spool: Spool) -> None:
        self.plan, self.spool = plan, spool
        self.state: State | None = None
        self.shown: State | None = None
        self.greeted = False
        self.in_flight = self.sent = 0
        self.until_s: float | None = None
        self.gone = threading.Event()

    @property
    def busy(self) -> bool:
        """Whether events wait, or wait for a confirmation."""
        return bool(self.in_flight or len(self.spool))

    @property
    def due(self) -> bool:
        """Whether the patch leaves now."""
        return self.until_s is not None and (not self.busy or time.monotonic() > self.until_s)

    def greeting(self) -> list[tuple[str, str, int | None]]:
        """Return topic, text and lifetime of the retained messages with which a connection begins."""
        out: list[tuple[str, str, int | None]] = []
        if self.plan.discovery is not None:
            out.append((*self.plan.discovery, None))
        out.append((self.plan.availability, ONLINE, None))
        if self.state is None or time.monotonic() >= self.state.until_s:
            # What the broker kept from an earlier run is no longer current.
            out.append((self.plan.state, self.plan.waiting, self.plan.expire_s))
        self.greeted, self.shown = True, None
        return out

    def new_state(self) -> tuple[str, str, int | None] | None:
        """Return the state as a retained message if it was not published yet and is current."""
        state = self.state
        if state is None or state is self.shown:
            return None
        self.shown = state
        left_s = state.until_s - time.monotonic()
        return (self.plan.state, state.text, int(left_s)) if left_s >= 1.0 else None
