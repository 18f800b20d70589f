"""The thread that talks to the broker. A run never waits for it, whatever the broker does."""

from __future__ import annotations

import random
import threading
import time
from collections import deque
from typing import TYPE_CHECKING

from edge.sinks.mqtt.connection import BrokerError, Connection
from edge.sinks.mqtt.outlet import OFFLINE, ONLINE, Outlet, State

if TYPE_CHECKING:
    from collections.abc import Callable

IN_FLIGHT = 6
"""Most events that wait for the broker's confirmation."""
UNCONFIRMED = 9
"""Most messages that wait for it, the events included: a broker may allow as few as ten."""
STEP_S = 5.0
MIN_BACKOFF_S = 1.0
MAX_BACKOFF_S = 60.0
STABLE_S = 30.0
"""After a connection that lasted this long, s, the delay between attempts starts small again."""
LEAVE_S = 0.3
"""Time beyond the flush that the end of a patch waits for the thread, s."""
SHORT = 3
"""Short connections in a row after which the message asks for another run of the same name."""
SAME_NAME = "; does another run use the same name?"


class Sender:
    """Publishes in a thread of its own, for one patch or several.

    Args:
        connect: Makes a connection that is not open yet.
        said: Takes what happens with the broker, for people.
        availability: Topic that says whether the process runs, if the last will is not that of the only patch.
    """

    def __init__(
        self, connect: Callable[[], Connection], said: Callable[[str], None], availability: str | None = None
    ) -> None:
        self._connect, self._said, self._availability = connect, said, availability
        self._connection: Connection | None = None
        self._lock = threading.Lock()
        self._outlets: list[Outlet] = []
        """The patches that have entered and not left."""
        self._stop = threading.Event()
        self._flight: dict[int, tuple[Outlet, str] | None] = {}
        """Unconfirmed messages by their number, oldest first; the patch and the line of an event."""
        self._control: deque[tuple[str, str, int | None]] = deque()
        """Retained messages that wait: topic, text, seconds after which the broker forgets it."""
        self.connected = False
        self.connections = 0
        self.trouble = ""
        """Why the broker cannot be used now; empty while it can."""
        self._short = 0
        """Connections in a row that were lost soon after they were made."""
        self._thread = threading.Thread(name="mqtt")

    def enter(self, outlet: Outlet) -> None:
        """Announce a patch; the first one starts the thread."""
        outlet.greeted, outlet.until_s = False, None
        outlet.gone.clear()
        with self._lock:
            self._outlets.append(outlet)
            if len(self._outlets) == 1:
                self._stop = threading.Event()
                self._thread = threading.Thread(target=self._run, args=(self._stop,), name="mqtt", daemon=True)
                self._thread.start()
        self.wake()

    def set_state(self, outlet: Outlet, text: str, current_s: float) -> None:
        """Publish a state as soon as possible. Only the newest is sent.

        Args:
            outlet: The patch.
            text: The state.
            current_s: Seconds for which it may still be shown as the current one.
        """
        outlet.state = State(text, time.monotonic() + current_s)
        self.wake()

    def wake(self) -> None:
        """Tell the thread that something waits."""
        connection = self._connection
        if connection is not None:
            connection.wake()

    def leave(self, outlet: Outlet, flush_s: float) -> None:
        """Send what waits for at most ``flush_s`` while the broker answers; the last patch ends the thread."""
        connected = self.connected
        if not connected:
            flush_s = 0.0  # a connection that is being made could take long; nothing is lost by leaving it
        with self._lock:
            if outlet not in self._outlets:
                return
            outlet.until_s = time.monotonic() + flush_s
            last = self._outlets == [outlet]
            if not connected:
                self._outlets.remove(outlet)
        if last:
            self._stop.set()
            self.wake()
            self._thread.join(flush_s + LEAVE_S)
        elif connected:
            self.wake()
            outlet.gone.wait(flush_s + LEAVE_S)
        with self._lock:
            if outlet in self._outlets:
                self._outlets.remove(outlet)
            left = bool(self._outlets)
        if not (last or left):
            # Several have left at the same time.
            self._stop.set()
            self.wake()
            self._thread.join(LEAVE_S)

    def settle(self, outlet: Outlet, wait_s: float) -> None:
        """Wait at most ``wait_s`` until everything is sent; return at once if the broker cannot be used."""
        until_s = time.monotonic() + wait_s
        while (outlet.busy or not self.connected) and time.monotonic() < until_s:
            if self.trouble:
                return
            time.sleep(0.02)

    def _run(self, stop: threading.Event) -> None:
        backoff_s = MIN_BACKOFF_S
        while not stop.is_set():
            connection, began_s = None, time.monotonic()
            try:
                connection = self._connect()
                connection.open(stop.is_set)
                self._connection = connection
                self._serve(connection, stop)
            except (BrokerError, OSError) as error:
                short = self.connected and time.monotonic() - began_s < STABLE_S
                self._short = self._short + 1 if short else 0
                # Two clients of one name end each other's connection; most brokers do not say so.
                self._trouble(f"{error}{SAME_NAME if self._short >= SHORT else ''}", stop)
            finally:
                if stop is self._stop:  # no later thread has taken over
                    self.connected, self._connection = False, None
                    self._take_back()
                if connection is not None:
                    connection.drop()
            if time.monotonic() - began_s > STABLE_S:
                backoff_s = MIN_BACKOFF_S
            # Many patches that lost the same broker must not come back at once.
            stop.wait(backoff_s * random.uniform(0.75, 1.25))  # noqa: S311 - no secret
            backoff_s = min(2.0 * backoff_s, MAX_BACKOFF_S)

    def _take_back(self) -> None:
        """Put the events that were not confirmed back, oldest first."""
        lines: dict[Outlet, list[str]] = {}
        for one in self._flight.values():
            if one is not None:
                lines.setdefault(one[0], []).append(one[1])
        for outlet, taken in lines.items():
            outlet.spool.give_back(taken)
        self._flight.clear()
        self._control.clear()
        for outlet in self._present():
            outlet.greeted, outlet.in_flight = False, 0

    def _present(self) -> list[Outlet]:
        with self._lock:
            return list(self._outlets)

    def _serve(self, connection: Connection, stop: threading.Event) -> None:
        """Publish until the last patch leaves or the connection is lost."""
        if self._availability is not None:
            self._control.append((self._availability, ONLINE, None))
        self.connected, self.trouble = True, ""
        self.connections += 1
        waiting = sum(len(outlet.spool) for outlet in self._present())
        self._said(f"connected{f'; {waiting:,} estimates that waited follow' if waiting > 1 else ''}")
        while True:
            self._meet()
            self._fill(connection)
            ends = [outlet.until_s for outlet in self._present() if outlet.until_s is not None]
            wait_s = min([STEP_S, *(max(0.0, end_s - time.monotonic()) for end_s in ends)])
            for number in connection.step(wait_s):
                self._confirm(number)
            self._part(connection)
            if stop.is_set() and not self._present():
                break
        if self._availability is not None:
            connection.publish(self._availability, OFFLINE, retain=True)
        connection.step(0.0)
        connection.close()

    def _meet(self) -> None:
        """Queue what a connection must know of each patch, and its new state."""
        for outlet in self._present():
            if not outlet.greeted:
                self._control += outlet.greeting()
            state = outlet.new_state()
            if state is not None:
                self._control.append(state)

    def _fill(self, connection: Connection) -> None:
        """Publish as long as few messages are unconfirmed: first what is retained, then events, each patch in turn."""
        while self._control and len(self._flight) < UNCONFIRMED:
            topic, text, expiry_s = self._control.popleft()
            self._flight[connection.publish(topic, text, retain=True, expiry_s=expiry_s)] = None
        turn = deque(self._present())
        while turn and not self._control and self._events() < IN_FLIGHT and len(self._flight) < UNCONFIRMED:
            outlet = turn.popleft()
            line = outlet.spool.take()
            if line is not None:
                outlet.in_flight += 1
                self._flight[connection.publish(outlet.plan.event, line, retain=False)] = outlet, line
                turn.append(outlet)

    def _events(self) -> int:
        return sum(one is not None for one in self._flight.values())

    def _confirm(self, number: int) -> None:
        one = self._flight.pop(number, None)
        if one is not None:
            one[0].in_flight -= 1
            one[0].sent += 1

    def _part(self, connection: Connection) -> None:
        """Release the patches that have nothing more to send."""
        for outlet in self._present():
            if outlet.due:
                connection.publish(outlet.plan.availability, OFFLINE, retain=True)
                with self._lock:
                    self._outlets.remove(outlet)
                outlet.gone.set()

    def _trouble(self, reason: str, stop: threading.Event) -> None:
        if reason != self.trouble and not stop.is_set():
            self.trouble = reason
            self._said(f"{reason}; estimates wait")
