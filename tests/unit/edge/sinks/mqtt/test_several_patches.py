"""Several patches over one connection: each with its own topics, in turn, and one last will."""

from __future__ import annotations

import json

import pytest
from test_sender import FakeBroker, FakeConnection, estimate, until

from edge.bundle.reader import load_bundle
from edge.sinks.mqtt import sender
from edge.sinks.mqtt.address import Broker
from edge.sinks.mqtt.sink import MqttLink, MqttSink
from edge.sources import SourceInfo

PROCESS = "ecg/station_77/availability"


@pytest.fixture
def broker(monkeypatch: pytest.MonkeyPatch) -> FakeBroker:
    monkeypatch.setattr(sender, "MIN_BACKOFF_S", 0.01)
    monkeypatch.setattr(sender, "MAX_BACKOFF_S", 0.02)
    one = FakeBroker()
    monkeypatch.setattr(MqttLink, "_connect", lambda self: FakeConnection(one))
    return one


def patches(count: int) -> tuple[MqttLink, list[MqttSink]]:
    link = MqttLink(Broker.parse("mqtts://broker/ecg?every=3600"), None, None, None, "77")
    infos = [SourceInfo(f"tcp:10.0.0.{i}:7", "heartypatch", live=True, host_clock=True) for i in range(count)]
    return link, [MqttSink(link, f"p{i}", info, load_bundle("demo"), 1.0) for i, info in enumerate(infos)]


def test_many_patches_share_a_connection_and_each_has_its_topics(broker: FakeBroker) -> None:
    link, sinks = patches(20)
    for one in sinks:
        one.open()
    for one in sinks:
        one.estimate(estimate(-1.0))
    until(lambda: all(broker.topic(f"ecg/p{i}/estimate") for i in range(20)))
    assert len(broker.connections) == 1
    assert max(connection.most for connection in broker.connections) < 10
    assert broker.messages[0] == (PROCESS, "online", True, None)
    for i in range(20):
        found = json.loads(broker.topic(f"homeassistant/device/anyecg_p{i}/config")[0])
        assert found["availability"] == [{"topic": PROCESS}, {"topic": f"ecg/p{i}/availability"}]
        assert found["availability_mode"] == "all"
        assert "availability_topic" not in found
    sinks[3].close(None)
    assert broker.topic("ecg/p3/availability") == ["online", "offline"]
    assert broker.topic(PROCESS) == ["online"]
    # A patch that starts again is back, over the same connection.
    sinks[3].open()
    until(lambda: broker.topic("ecg/p3/availability")[-1] == "online")
    for one in sinks:
        one.close(None)
    until(lambda: broker.messages[-1] == (PROCESS, "offline", True, None))
    assert all(broker.topic(f"ecg/p{i}/availability")[-1] == "offline" for i in range(20))
    assert len(broker.connections) == 1
    assert link.text() == "mqtt        20 estimates sent to broker:8883\n"


def test_one_patch_with_a_long_backlog_does_not_hold_up_the_others(broker: FakeBroker) -> None:
    broker.up = False
    _link, sinks = patches(2)
    for one in sinks:
        one.open()
    for i in range(300):
        sinks[0].estimate(estimate(-20_000.0 + i))
    sinks[1].estimate(estimate(-1.0))
    broker.up = True
    until(lambda: len(broker.topic("ecg/p0/estimate")) == 300)
    order = [topic for topic, *_ in broker.messages if topic.endswith("/estimate")]
    assert order.index("ecg/p1/estimate") < 10
    for one in sinks:
        one.close(None)


def test_patches_that_close_at_the_same_time_end_the_thread(broker: FakeBroker) -> None:
    import threading

    link, sinks = patches(8)
    for one in sinks:
        one.open()
    until(lambda: broker.topic("ecg/p7/state"))
    closing = [threading.Thread(target=one.close, args=(None,)) for one in sinks]
    for thread in closing:
        thread.start()
    for thread in closing:
        thread.join()
    until(lambda: not link.sender._thread.is_alive())
    assert broker.messages[-1] == (PROCESS, "offline", True, None)
    # All patches had left; one that comes back starts a new connection.
    sinks[0].open()
    until(lambda: broker.topic("ecg/p0/availability").count("online") == 2)
    sinks[0].close(None)
    assert broker.topic("ecg/p0/availability")[-1] == "offline"
