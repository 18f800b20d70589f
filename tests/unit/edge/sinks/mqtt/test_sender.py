"""The sink and its thread against a broker that can be away: what is sent when, and that nothing blocks."""

from __future__ import annotations

import dataclasses
import io
import json
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from edge.bundle.reader import load_bundle
from edge.records import BundleRef, Estimate, LabEstimate, QualityRecord, RunSummary, WindowSpan, utc_text
from edge.sinks.mqtt import sender, sink
from edge.sinks.mqtt.address import Broker
from edge.sinks.mqtt.connection import BrokerError
from edge.sinks.mqtt.sink import MqttLink, MqttSink
from edge.sinks.mqtt.spool import Spool
from edge.sources import SourceInfo

CONFIG = "homeassistant/device/anyecg_bed/config"
AVAILABILITY, STATE, EVENT = "ecg/bed/availability", "ecg/bed/state", "ecg/bed/estimate"
PATCH = SourceInfo("ble:polar_h10", "polar_h10", live=True, host_clock=True)


class FakeBroker:
    """Takes messages while it is up. ``confirm`` may be turned off."""

    def __init__(self) -> None:
        self.up = True
        self.confirm = True
        self.reason = "connection refused"
        self.messages: list[tuple[str, str, bool, int | None]] = []
        self.connections: list[FakeConnection] = []

    def topic(self, topic: str) -> list[str]:
        return [payload for name, payload, _retain, _expiry in list(self.messages) if name == topic]

    def times(self) -> list[str]:
        return [json.loads(text)["time"] for text in self.topic(EVENT)]

    def statuses(self) -> list[str]:
        return [json.loads(text)["status"] for text in self.topic(STATE)]


class FakeConnection:
    def __init__(self, broker: FakeBroker) -> None:
        self.broker, self.woken = broker, threading.Event()
        self.number, self.unconfirmed, self.most = 0, list[int](), 0
        self.said_goodbye = False
        broker.connections.append(self)

    def open(self, stopped: Callable[[], bool]) -> None:
        if not self.broker.up:
            raise BrokerError(self.broker.reason)

    def publish(self, topic: str, payload: str, *, retain: bool, expiry_s: int | None = None) -> int:
        self.number += 1
        if self.broker.up:
            self.broker.messages.append((topic, payload, retain, expiry_s))
            self.unconfirmed.append(self.number)
            self.most = max(self.most, len(self.unconfirmed))
        return self.number

    def step(self, wait_s: float) -> list[int]:
        if not self.broker.up:
            raise BrokerError("connection lost")
        if not (self.unconfirmed and self.broker.confirm):
            self.woken.wait(min(wait_s, 0.01))
            self.woken.clear()
            return []
        out, self.unconfirmed = self.unconfirmed, []
        return out

    def wake(self) -> None:
        self.woken.set()

    def close(self) -> None:
        self.said_goodbye = True

    def drop(self) -> None:
        pass


@pytest.fixture
def broker(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeBroker]:
    monkeypatch.setattr(sender, "MIN_BACKOFF_S", 0.01)
    monkeypatch.setattr(sender, "MAX_BACKOFF_S", 0.02)
    one = FakeBroker()
    yield one
    for thread in threading.enumerate():
        if thread.name == "mqtt":
            thread.join(5.0)
            assert not thread.is_alive()


@pytest.fixture
def opened(broker: FakeBroker, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., MqttSink]]:
    sinks: list[MqttSink] = []
    monkeypatch.setattr(MqttLink, "_connect", lambda self: FakeConnection(broker))

    def make(source: SourceInfo = PATCH, stream: Any = None, spool: Spool | None = None) -> MqttSink:
        address = Broker.parse("mqtts://broker/ecg?name=bed&every=3600")
        one = MqttSink(MqttLink(address, None, None, stream), "bed", source, load_bundle("demo"), 1.0, spool)
        one.open()
        sinks.append(one)
        return one

    yield make
    broker.up = True
    for one in sinks:
        one.close(None)


def estimate(at_s: float, value: float = 4.0, **more: Any) -> Estimate:
    """An estimate that is ``at_s`` seconds old, negative for the past."""
    base = Estimate(
        utc_text(time.time_ns() + int(at_s * 1e9)), True, "abc", "polar_h10", WindowSpan(0.0, 10.0),
        BundleRef("demo", 64 * "a"), QualityRecord(1.0), 60.0,
        (LabEstimate("potassium", None, "mmol/L", value, None, None, None, 1, "strong"),),
    )  # fmt: skip
    return dataclasses.replace(base, **more)


def until(what: Callable[[], object]) -> None:
    end = time.monotonic() + 20.0
    while not what():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.002)


def test_a_connection_begins_with_discovery_and_availability_and_ends_with_offline(broker, opened) -> None:
    one = opened()
    until(lambda: broker.topic(STATE))
    first = broker.messages[:3]
    assert [(topic, retain) for topic, _text, retain, _expiry in first] == [
        (CONFIG, True), (AVAILABILITY, True), (STATE, True),
    ]  # fmt: skip
    assert first[1][1] == "online"
    assert json.loads(first[2][1])["status"] == "waiting"
    one.estimate(estimate(-1.0))
    until(lambda: broker.topic(EVENT))
    assert broker.messages[-2][0] == STATE
    assert broker.messages[-2][3] in range(3 * 3600 - 10, 3 * 3600)  # the broker forgets it by itself
    assert broker.messages[-1][2] is False
    one.close(RunSummary(ended_by="SIGTERM"))
    assert broker.messages[-1] == (AVAILABILITY, "offline", True, None)
    assert broker.connections[-1].said_goodbye
    assert one.text() == "mqtt        1 estimates sent to broker:8883\n"


def test_a_state_follows_a_change_at_once_and_otherwise_waits(broker, opened) -> None:
    one = opened()
    for _ in range(3):
        one.estimate(estimate(-1.0))
    one.estimate(estimate(-1.0, abstained="lead_off", labs=()))
    until(lambda: len(broker.topic(EVENT)) == 4)
    until(lambda: broker.statuses()[-1] == "lead_off")
    assert len(broker.statuses()) <= 3


def test_what_waited_follows_with_its_own_times_and_only_the_newest_is_current(broker, opened) -> None:
    broker.up = False
    stream = io.StringIO()
    one = opened(stream=stream)
    until(lambda: "connection refused; estimates wait" in stream.getvalue())
    old = [estimate(-20_000.0 + i, value=3.0) for i in range(300)]
    for e in old:
        one.estimate(e)
    one.estimate(newest := estimate(-2.0, value=5.0))
    broker.up = True
    until(lambda: len(broker.topic(EVENT)) == 301)
    assert broker.times() == [e.time for e in [*old, newest]]
    states = [json.loads(text) for text in broker.topic(STATE)]
    assert [state["labs"]["potassium"]["value"] for state in states] == [5.0]
    # A broker may allow as few as ten unconfirmed messages.
    assert max(connection.most for connection in broker.connections) < 10
    until(lambda: "connected; 301 estimates that waited follow" in stream.getvalue())
    # The same reason is said once, however often it is tried.
    assert stream.getvalue().count("connection refused") == 1


def test_a_state_that_became_too_old_while_the_broker_was_away_is_not_published(broker, opened, monkeypatch) -> None:
    broker.up = False
    one = opened()
    one.estimate(estimate(-1.0))
    state = one._outlet.state
    one._outlet.state = state._replace(until_s=time.monotonic() - 1.0)
    broker.up = True
    until(lambda: broker.topic(EVENT))
    assert broker.statuses() == ["waiting"]


def test_estimates_of_a_recording_are_history_and_never_the_current_state(broker, opened) -> None:
    one = opened(dataclasses.replace(PATCH, live=False))
    for i in range(50):
        one.estimate(estimate(-1e8 + i))
    one.close(RunSummary(ended_by="end"))
    assert len(broker.times()) == 50
    assert broker.statuses() == ["waiting"]


def test_what_was_not_confirmed_is_sent_again(broker, opened) -> None:
    one = opened()
    until(lambda: broker.topic(STATE))
    broker.confirm = False
    sent = [estimate(-9.0 + i) for i in range(3)]
    for e in sent:
        one.estimate(e)
    until(lambda: len(broker.topic(EVENT)) == 3)
    broker.up = False
    until(lambda: one._sender.trouble == "connection lost" or not one._sender.connected)
    broker.up = broker.confirm = True
    until(lambda: len(broker.topic(EVENT)) == 6)
    assert broker.times() == 2 * [e.time for e in sent]
    until(lambda: one.sent == 3)


def test_what_falls_out_is_counted_in_the_summary(broker, opened) -> None:
    broker.up = False
    one = opened(spool=Spool(limit=10_000))
    until(lambda: one._sender.trouble)
    for i in range(2000):
        one.estimate(estimate(-3000.0 + i))
    assert one._spool.size <= 10_000
    one.close(RunSummary(ended_by="SIGINT"))
    assert one.text() == "mqtt        0 estimates sent to broker:8883, 2,000 not sent; connection refused\n"


@pytest.mark.parametrize("ended_by", ["SIGTERM", "end"])
def test_a_broker_that_never_answers_does_not_delay_the_end(broker, opened, monkeypatch, ended_by) -> None:
    """The time is measured by calls, not by a clock: the end joins the thread for less than a second."""
    release, joined = threading.Event(), list[float | None]()
    monkeypatch.setattr(FakeConnection, "open", lambda self, stopped: release.wait(20.0) and None)
    monkeypatch.setattr(sink, "FLUSH_RECORDING_S", 0.05)
    one = opened(dataclasses.replace(PATCH, live=False))
    one.estimate(estimate(-1.0))
    join = one._sender._thread.join
    monkeypatch.setattr(one._sender._thread, "join", lambda timeout=None: (joined.append(timeout), join(0.01)))
    one.close(RunSummary(ended_by=ended_by))
    assert joined == [0.3]
    assert "1 not sent" in one.text()
    monkeypatch.undo()
    release.set()


def test_connections_that_are_always_lost_soon_hint_at_a_second_run_of_the_name(broker, opened, monkeypatch) -> None:
    def lose(self: FakeConnection, wait_s: float) -> list[int]:
        raise BrokerError("the broker has closed the connection")

    monkeypatch.setattr(FakeConnection, "step", lose)
    stream = io.StringIO()
    opened(stream=stream)
    until(lambda: "does another run use the same name?" in stream.getvalue())
    assert len(broker.connections) >= 3
    monkeypatch.undo()


def test_a_broken_standard_error_changes_nothing(broker, opened) -> None:
    stream = io.StringIO()
    stream.close()
    one = opened(stream=stream)
    one.estimate(estimate(-1.0))
    until(lambda: broker.topic(EVENT))
