"""Receives from a broker and stores: a message is confirmed only after the transaction that holds it.

So nothing is lost when the collector, the store or the connection ends at any moment: the broker sends again what is
not confirmed, and a store ignores a hop that it has.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from edge.collect.counts import Counts
from edge.collect.hops import PATCH, Availability, RefusedError, hop_of_message
from edge.collect.stores import Batch, StoreDownError
from edge.sinks.link import LINES_BURST, LINES_EVERY_S, Pace
from edge.sinks.mqtt.connection import BrokerError

if TYPE_CHECKING:
    from edge.collect.stores import Store
    from edge.collect.subscription import Message, Subscription

STEP_S = 0.05
"""Longest wait for the network, s. A batch is written when nothing arrives for as long as this times `QUIET_STEPS`."""
QUIET_STEPS = 4
MIN_WAIT_S, MAX_WAIT_S = 1.0, 60.0
"""Shortest and longest time between two attempts to reach the broker or the store, s."""
MAX_PATCHES = 100_000
"""Most names of patches that are counted."""
TEND_S = 5.0
ONLINE = {b"online": True, b"offline": False}


class Collector:
    """Stores what the patches publish below a prefix.

    Args:
        subscribe: Makes a connection that is not open yet.
        prefix: First levels of the topics.
        store: The store, not open yet.
        said: Takes what happens, for people.
        every_s: Seconds between two progress lines; 0 for none.
    """

    def __init__(
        self,
        subscribe: Callable[[], Subscription],
        prefix: str,
        store: Store,
        said: Callable[[str], None],
        every_s: float = 0.0,
    ) -> None:
        self._subscribe, self._prefix, self._store, self._said = subscribe, f"{prefix}/", store, said
        self._every_s = every_s
        self._stopped = False
        self._ends_s: float | None = None
        self._trouble = ""
        self._tend_s = 0.0
        self._shown_s, self._shown_stored = time.monotonic(), 0
        self._pace = Pace(LINES_BURST, LINES_EVERY_S, time.monotonic)
        self.counts = Counts()
        self._begin()

    def stop(self) -> None:
        """Ask it to end: it writes what has arrived first. May be called by a signal handler."""
        self._stopped = True

    def run(self, seconds: float | None = None) -> None:
        """Collect until `stop` is called.

        Args:
            seconds: Time after which to end; ``None`` for no limit.

        Raises:
            AnyEcgError: The store can never be used.
        """
        self._ends_s = None if seconds is None else time.monotonic() + seconds
        try:
            if not self._until_store(self._store.open, lambda: None):
                return
            wait_s = MIN_WAIT_S
            while not self._ended():
                connection = self._subscribe()
                began_s = time.monotonic()
                try:
                    connection.open(self._ended)
                    self._greet(resumed=connection.resumed)
                    self._serve(connection)
                except BrokerError as error:
                    self._note(f"broker: {error}; its messages wait there")
                finally:
                    connection.close()
                    # What is not confirmed arrives again.
                    self._begin()
                wait_s = MIN_WAIT_S if time.monotonic() - began_s > MAX_WAIT_S else min(2.0 * wait_s, MAX_WAIT_S)
                self._sleep(wait_s * random.uniform(0.5, 1.0), lambda: None)  # noqa: S311 - no secret
        finally:
            self._store.close()

    def _begin(self) -> None:
        """Begin a connection with nothing that belongs to an earlier one."""
        self._batch = Batch()
        self._numbers: list[int] = []
        """Messages to confirm after the batch, in order."""
        self._waiting: list[Message] = []
        """Messages that arrived while the store took nothing."""
        self._online: dict[str, bool] = {}
        self._since_s = time.monotonic()

    def _greet(self, *, resumed: bool) -> None:
        self._trouble = ""
        self.counts.connections += 1
        kept = "it has kept what was published meanwhile" if resumed else "it keeps messages from now on"
        self._say(f"broker: connected; {kept}")

    def _serve(self, connection: Subscription) -> None:
        quiet = 0
        while not self._ended():
            messages = [*self._waiting, *connection.step(0.0 if self._waiting else STEP_S)]
            self._waiting = []
            quiet = 0 if messages else quiet + 1
            self._take(messages)
            now_s = time.monotonic()
            if not self._numbers:
                self._since_s = now_s
            elif (
                len(self._numbers) >= self._store.most
                or quiet == QUIET_STEPS
                or now_s - self._since_s > self._store.patience_s
            ):
                self._flush(connection)
            self._tend()
            self._show(now_s)
        self._flush(connection)

    def _take(self, messages: list[Message]) -> None:
        for message in messages:
            self.counts.messages += 1
            try:
                self._add(message)
            except RefusedError as error:
                self.counts.refused[error.kind] += 1
                if self._pace.take():
                    self._said(f"refused a message ({error.kind}): {error}")
            self._numbers.append(message.number)

    def _add(self, message: Message) -> None:
        patch, _slash, kind = message.topic.removeprefix(self._prefix).partition("/")
        if not message.topic.startswith(self._prefix) or not PATCH.fullmatch(patch):
            raise RefusedError("topic", "the topic does not name a patch")
        if kind == "estimate":
            self._batch.hops.append(hop_of_message(patch, message.payload))
        elif kind == "availability":
            online = ONLINE.get(message.payload)
            if online is None:
                raise RefusedError("value", "the availability is neither online nor offline")
            if self._online.get(patch) is not online:
                self._batch.availability.append(Availability(patch, datetime.now(UTC), online))
                if len(self._online) < MAX_PATCHES:
                    self._online[patch] = online
        else:
            raise RefusedError("topic", "the topic is not one of a patch")
        if len(self.counts.patches) < MAX_PATCHES:
            self.counts.patches.add(patch)

    def _flush(self, connection: Subscription) -> None:
        """Write the batch, then confirm its messages; wait as long as the store takes nothing."""
        batch = self._batch

        def write() -> None:
            new = self._store.write(batch, self._refused)
            self.counts.stored += new
            self.counts.known += len(batch.hops) - new

        if not len(batch) or self._until_store(write, lambda: self._hear(connection)):
            connection.confirm(self._numbers)
            self._batch, self._numbers = Batch(), []

    def _hear(self, connection: Subscription) -> None:
        """Keep the connection alive while the store is down. Messages that need no confirmation are lost.

        Not every broker sends only as much as it may: mosquitto 2.0 does not after a connection was lost.
        """
        if len(self._waiting) >= self._store.most:
            connection.idle()
            return
        for message in connection.step(STEP_S):
            if message.number:
                self._waiting.append(message)
            else:
                self.counts.refused["unconfirmed"] += 1

    def _refused(self, count: int, why: str) -> None:
        self.counts.refused["database"] += count
        if self._pace.take():
            self._said(f"{self._store.place} refuses {count} messages: {why}")

    def _until_store(self, act: Callable[[], None], meanwhile: Callable[[], None]) -> bool:
        """Repeat something until the store can do it; return whether it did before the end."""
        wait_s = MIN_WAIT_S
        while True:
            try:
                act()
            except StoreDownError as error:
                self._note(f"{self._store.place}: {error}; messages wait at the broker")
                self.counts.waits += 1
            else:
                if self._trouble:
                    self._say(f"{self._store.place}: available again")
                self._trouble = ""
                return True
            if self._ended():
                return False
            self._sleep(wait_s, meanwhile)
            wait_s = min(2.0 * wait_s, MAX_WAIT_S)

    def _sleep(self, seconds: float, meanwhile: Callable[[], None]) -> None:
        until_s = time.monotonic() + seconds
        while not self._ended() and time.monotonic() < until_s:
            meanwhile()
            time.sleep(STEP_S)

    def _ended(self) -> bool:
        return self._stopped or (self._ends_s is not None and time.monotonic() > self._ends_s)

    def _tend(self) -> None:
        now_s = time.monotonic()
        if now_s < self._tend_s:
            return
        self._tend_s = now_s + TEND_S
        try:
            self._store.tend()
        except StoreDownError as error:
            self._say(f"{self._store.place}: {error}")

    def _show(self, now_s: float) -> None:
        passed_s = now_s - self._shown_s
        if not self._every_s or passed_s < self._every_s:
            return
        counts = self.counts
        rate = (counts.stored - self._shown_stored) / passed_s
        self._shown_s, self._shown_stored = now_s, counts.stored
        refused = f", {counts.refused.total():,} refused" if counts.refused else ""
        self._said(f"{rate:,.1f} per second, {counts.stored:,} stored of {len(counts.patches):,} patches{refused}")

    def _note(self, trouble: str) -> None:
        """Say what prevents collecting, once until the reason changes."""
        if trouble != self._trouble:
            self._trouble = trouble
            self._say(trouble)

    def _say(self, line: str) -> None:
        if self._pace.take():
            self._said(line)
