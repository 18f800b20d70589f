"""The loop: confirmed only after it is stored, whatever is lost, down, repeated or hostile."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from edge.collect import collector as module
from edge.collect.collector import Collector
from edge.collect.hops import Availability, Hop
from edge.collect.stores import Batch, Refused, StoreDownError
from helpers.fleet_hops import BrokerInMemory, payload


class MemoryStore:
    """Keeps hops in memory, and is down for the calls that it is told.

    Args:
        down: Numbers of the writes that fail, from 1.
    """

    place, most = "memory", 7

    def __init__(self, down: tuple[int, ...] = ()) -> None:
        self.patience_s = 0.0
        self._down, self._writes = down, 0
        self.rows: dict[object, Hop] = {}
        self.availability: list[Availability] = []
        self.opened = self.closed = 0
        self.before_write: Callable[[], None] = lambda: None

    def open(self) -> None:
        self.opened += 1

    def write(self, batch: Batch, refused: Refused) -> int:
        self._writes += 1
        self.before_write()
        if self._writes in self._down:
            raise StoreDownError("it is down")
        before = len(self.rows)
        self.rows.update((hop.key, hop) for hop in batch.hops)
        self.availability += batch.availability
        return len(self.rows) - before

    def patches_of(self, session: str) -> list[str]:
        return []

    def tend(self, *, everything: bool = False) -> None:
        pass

    def close(self) -> None:
        self.closed += 1


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "STEP_S", 0.0)
    monkeypatch.setattr(module, "MIN_WAIT_S", 0.001)
    monkeypatch.setattr(module, "MAX_WAIT_S", 0.002)


def messages(count: int, patches: int = 3) -> list[tuple[str, bytes]]:
    return [
        (f"fleet/patch{p}/estimate", payload(number, session=f"s{p}"))
        for number in range(count)
        for p in range(patches)
    ]


def collect(broker: BrokerInMemory, store: MemoryStore, steps: int = 400) -> tuple[Collector, list[str]]:
    """Collect until the broker has nothing left, or some steps have passed."""
    said: list[str] = []
    one = Collector(broker.subscribe, "fleet", store, said.append)
    take = broker.subscribe

    def subscribe() -> object:
        connection = take()
        step, idle = connection.step, connection.idle

        def look() -> None:
            if not broker.kept or broker.steps > steps:
                one.stop()

        connection.step = lambda wait_s: (look(), step(wait_s))[1]
        connection.idle = lambda: (look(), idle())[1]
        return connection

    one._subscribe = subscribe
    one.run()
    return one, said


def test_everything_is_stored_and_then_confirmed_in_order() -> None:
    broker, store = BrokerInMemory(messages(10)), MemoryStore()
    one, said = collect(broker, store)
    assert len(store.rows) == one.counts.stored == 30
    assert broker.kept == {}
    assert broker.connections[0].confirmed == list(range(1, 31))
    assert one.counts.patches == {"patch0", "patch1", "patch2"}
    assert (store.opened, store.closed) == (1, 1)
    assert said == ["broker: connected; it has kept what was published meanwhile"]


def test_nothing_is_confirmed_before_it_is_stored() -> None:
    broker, store = BrokerInMemory(messages(10)), MemoryStore(down=(1, 3, 4))
    seen: list[bool] = []
    stored: set[int] = set()

    def look() -> None:
        done = {number for connection in broker.connections for number in connection.confirmed}
        seen.append(len(done) <= len(store.rows))
        stored.update(done)

    store.before_write = look
    one, said = collect(broker, store)
    assert all(seen)
    assert len(store.rows) == 30
    assert broker.kept == {}
    assert one.counts.waits == 3
    assert said[1:3] == ["memory: it is down; messages wait at the broker", "memory: available again"]


def test_a_lost_connection_repeats_what_was_not_confirmed() -> None:
    broker, store = BrokerInMemory(messages(10), cuts=(2, 5, 6)), MemoryStore()
    store.patience_s = 60.0
    one, said = collect(broker, store)
    assert len(store.rows) == 30
    assert broker.kept == {}
    assert len(broker.connections) == 4
    assert all(connection.closed for connection in broker.connections)
    assert one.counts.messages > 30
    assert "broker: cut; its messages wait there" in said


def test_a_connection_that_is_lost_while_the_store_is_down_is_made_again() -> None:
    broker, store = BrokerInMemory(messages(10), cuts=(3, 8)), MemoryStore(down=(1, 2, 3, 4, 5, 6))
    collect(broker, store)
    assert len(store.rows) == 30
    assert broker.kept == {}


def test_what_cannot_be_stored_is_confirmed_and_counted() -> None:
    """The broker must not send a refused message again and again."""
    hostile = [
        ("fleet/bedroom/estimate", b"{"),
        ("fleet/bedroom/availability", b"perhaps"),
        ("fleet/bed room/estimate", payload(0)),
        ("fleet/bedroom/command", b"x"),
        ("other/bedroom/estimate", payload(0)),
        ("", b""),
        ("fleet/" + "x" * 65_000 + "/estimate", payload(0)),
    ]
    broker, store = BrokerInMemory([*hostile, *messages(2, 1)]), MemoryStore()
    one, said = collect(broker, store)
    assert broker.kept == {}
    assert len(store.rows) == 2
    assert one.counts.refused == {"json": 1, "value": 1, "topic": 5}
    assert one.counts.patches == {"patch0"}
    assert any("refused a message (json)" in line for line in said)


def test_a_flood_of_refused_messages_says_little() -> None:
    broker, store = BrokerInMemory([("fleet/bedroom/estimate", b"{")] * 500), MemoryStore()
    one, said = collect(broker, store, 2000)
    assert one.counts.refused == {"json": 500}
    assert len(said) < 30


def test_a_change_of_the_availability_is_stored_once() -> None:
    texts = [b"online", b"online", b"offline", b"offline", b"online"]
    broker, store = BrokerInMemory([("fleet/bedroom/availability", text) for text in texts]), MemoryStore()
    collect(broker, store)
    assert [(one.patch, one.online) for one in store.availability] == [
        ("bedroom", True), ("bedroom", False), ("bedroom", True),
    ]  # fmt: skip


def test_it_ends_while_the_store_is_down_and_confirms_nothing() -> None:
    broker, store = BrokerInMemory(messages(100)), MemoryStore(down=tuple(range(1, 10_000)))
    one, _said = collect(broker, store, 50)
    assert len(broker.kept) == 300
    assert one.counts.stored == 0
    assert one.counts.messages + len(one._waiting) <= 5 + 2 * store.most, "a broker that sends more fills the memory"
    assert store.closed == 1
