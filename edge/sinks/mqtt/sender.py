"""The thread that talks to the broker. A run never waits for it, whatever the broker does."""

from __future__ import annotations

import random
import threading
import time
from typing import TYPE_CHECKING, NamedTuple

from edge.sinks.mqtt.connection import BrokerError, Connection

if TYPE_CHECKING:
    from collections.abc import Callable

    from edge.sinks.mqtt.spool import Spool

IN_FLIGHT = 6
"""Most events that wait for the broker's confirmation: with what follows a connection fewer than any broker allows."""
STEP_S = 5.0
MIN_BACKOFF_S = 1.0
MAX_BACKOFF_S = 60.0
STABLE_S = 30.0
"""After a connection that lasted this long, s, the delay between attempts starts small again."""
SHORT = 3
"""Short connections in a row after which the message asks for another run of the same name."""
SAME_NAME = "; does another run use the same name?"
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


class Sender:
    """Publishes in a thread of its own.

    Args:
        connect: Makes a connection that is not open yet.
        plan: Topics and fixed messages.
        spool: The events that wait.
        said: Takes what happens with the broker, for people.
    """

    def __init__(
        self, connect: Callable[[], Connection], plan: Plan, spool: Spool, said: Callable[[str], None]
    ) -> None:
        self._connect, self._plan, self._spool, self._said = connect, plan, spool, said
        self._connection: Connection | None = None
        self._state: State | None = None
        self._stop = threading.Event()
        self._flush_s = 0.0
        self._flight: dict[int, str] = {}
        """Events by the number of their message, oldest first."""
        self.sent = 0
        """Events that the broker has confirmed."""
        self.connected = False
        self.connections = 0
        self.trouble = ""
        """Why the broker cannot be used now; empty while it can."""
        self._short = 0
        """Connections in a row that were lost soon after they were made."""
        self._thread = threading.Thread(target=self._run, name="mqtt", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def set_state(self, text: str, current_s: float) -> None:
        """Publish a state as soon as possible. Only the newest is sent.

        Args:
            text: The state.
            current_s: Seconds for which it may still be shown as the current one.
        """
        self._state = State(text, time.monotonic() + current_s)
        self.wake()

    def wake(self) -> None:
        """Tell the thread that something waits."""
        connection = self._connection
        if connection is not None:
            connection.wake()

    def stop(self, flush_s: float) -> None:
        """Send what waits for at most ``flush_s`` while the broker answers, disconnect, and end the thread."""
        self._flush_s = flush_s
        self._stop.set()
        self.wake()
        if not self.connected:
            flush_s = 0.0  # a connection that is being made could take long; nothing is lost by leaving it
        self._thread.join(flush_s + 0.3)

    def settle(self, wait_s: float) -> None:
        """Wait at most ``wait_s`` until everything is sent; return at once if the broker cannot be used."""
        until_s = time.monotonic() + wait_s
        while (self._flight or len(self._spool) or not self.connected) and time.monotonic() < until_s:
            if self.trouble:
                return
            time.sleep(0.02)

    def _run(self) -> None:
        backoff_s = MIN_BACKOFF_S
        while not self._stop.is_set():
            connection, began_s = None, time.monotonic()
            try:
                connection = self._connect()
                connection.open(self._stop.is_set)
                self._connection = connection
                self._serve(connection)
            except (BrokerError, OSError) as error:
                short = self.connected and time.monotonic() - began_s < STABLE_S
                self._short = self._short + 1 if short else 0
                # Two clients of one name end each other's connection; most brokers do not say so.
                self._trouble(f"{error}{SAME_NAME if self._short >= SHORT else ''}")
            finally:
                self.connected, self._connection = False, None
                self._spool.give_back(list(self._flight.values()))
                self._flight.clear()
                if connection is not None:
                    connection.drop()
            if time.monotonic() - began_s > STABLE_S:
                backoff_s = MIN_BACKOFF_S
            # Many patches that lost the same broker must not come back at once.
            self._stop.wait(backoff_s * random.uniform(0.75, 1.25))  # noqa: S311 - no secret
            backoff_s = min(2.0 * backoff_s, MAX_BACKOFF_S)

    def _serve(self, connection: Connection) -> None:
        """Publish until the run ends or the connection is lost."""
        self._greet(connection)
        shown: State | None = None
        until_s: float | None = None
        while True:
            shown = self._show(connection, shown)
            self._fill(connection)
            wait_s = STEP_S if until_s is None else max(0.0, min(STEP_S, until_s - time.monotonic()))
            for number in connection.step(wait_s):
                self.sent += self._flight.pop(number, None) is not None
            if self._stop.is_set():
                until_s = until_s or time.monotonic() + self._flush_s
                if (not self._flight and not len(self._spool)) or time.monotonic() > until_s:
                    break
        connection.publish(self._plan.availability, OFFLINE, retain=True)
        connection.step(0.0)
        connection.close()

    def _greet(self, connection: Connection) -> None:
        plan = self._plan
        if plan.discovery is not None:
            connection.publish(*plan.discovery, retain=True)
        connection.publish(plan.availability, ONLINE, retain=True)
        if self._state is None or time.monotonic() >= self._state.until_s:
            # What the broker kept from an earlier run is no longer current.
            connection.publish(plan.state, plan.waiting, retain=True, expiry_s=plan.expire_s)
        self.connected, self.trouble = True, ""
        self.connections += 1
        waiting = len(self._spool)
        self._said(f"connected{f'; {waiting:,} estimates that waited follow' if waiting > 1 else ''}")

    def _show(self, connection: Connection, shown: State | None) -> State | None:
        state = self._state
        if state is None or state is shown:
            return shown
        left_s = state.until_s - time.monotonic()
        if left_s >= 1.0:
            connection.publish(self._plan.state, state.text, retain=True, expiry_s=int(left_s))
        return state

    def _fill(self, connection: Connection) -> None:
        """Publish events as long as few are unconfirmed."""
        while len(self._flight) < IN_FLIGHT:
            line = self._spool.take()
            if line is None:
                break
            self._flight[connection.publish(self._plan.event, line, retain=False)] = line

    def _trouble(self, reason: str) -> None:
        if reason != self.trouble and not self._stop.is_set():
            self.trouble = reason
            self._said(f"{reason}; estimates wait")
