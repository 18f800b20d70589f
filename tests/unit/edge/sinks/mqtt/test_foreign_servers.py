"""Servers that are no brokers, or broken ones: the thread survives all of them, says one line, and tries again."""

from __future__ import annotations

import io
import random
import socket
import threading
import time
from collections.abc import Iterator

import pytest

pytest.importorskip("paho.mqtt.client", reason="the mqtt extra is not installed")

from edge.bundle.reader import load_bundle
from edge.sinks.mqtt import connection, sender
from edge.sinks.mqtt.address import Broker
from edge.sinks.mqtt.sink import MqttLink, MqttSink
from edge.sources import SourceInfo

CONNACK = bytes([0x20, 0x03, 0x00, 0x00, 0x00])
REFUSED = bytes([0x20, 0x03, 0x00, 0x86, 0x00])
"""Bad user name or password."""
OLD = bytes([0x20, 0x02, 0x00, 0x01])
"""The answer of a broker that knows MQTT 3.1.1 only."""
rng = random.Random(7)
ANSWERS = {
    "nothing": b"",
    "http": b"HTTP/1.1 400 Bad Request\r\n\r\n",
    "noise": rng.randbytes(4000),
    "zeros": bytes(4000),
    "refused": REFUSED,
    "old": OLD,
    "cut": CONNACK[:2],
    "noise after the greeting": CONNACK + rng.randbytes(4000),
    "property": bytes([0x20, 0x08, 0x00, 0x00, 0x05, 0xFF, 1, 2, 3, 4]),
    "confirms what was never sent": CONNACK + bytes([0x40, 0x02, 0x99, 0x99]),
    "asks for a disconnection": CONNACK + bytes([0xE0, 0x02, 0x8B, 0x00]),
    "publishes unasked": CONNACK + bytes([0x30, 0x05, 0x00, 0x01]) + b"a\0b",
    "promises a huge packet": CONNACK + bytes([0x30, 0xFF, 0xFF, 0xFF, 0x7F]) + bytes(4000),
}


class Server:
    """Answers every connection with the same bytes and closes it a moment later."""

    def __init__(self, answer: bytes) -> None:
        self._answer = answer
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.accepted = 0
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                client, _address = self._listener.accept()
            except OSError:
                return
            self.accepted += 1
            with client:
                try:
                    client.settimeout(0.05)
                    client.recv(4096)
                    client.sendall(self._answer)
                    client.recv(4096)
                except OSError:
                    pass

    def close(self) -> None:
        self._listener.close()


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "CONNECT_S", 0.5)
    monkeypatch.setattr(sender, "MIN_BACKOFF_S", 0.01)
    monkeypatch.setattr(sender, "MAX_BACKOFF_S", 0.02)


@pytest.fixture(params=list(ANSWERS))
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    one = Server(ANSWERS[request.param])
    one.name = request.param
    yield one
    one.close()


def test_the_thread_survives_and_tries_again(server: Server, capfd: pytest.CaptureFixture[str]) -> None:
    stream = io.StringIO()
    source = SourceInfo("ble:polar_h10", "polar_h10", live=True, host_clock=True)
    link = MqttLink(Broker.parse(f"mqtt://127.0.0.1:{server.port}"), None, None, stream)
    sink = MqttSink(link, "", source, load_bundle("demo"), 1.0)
    sink.open()
    end = time.monotonic() + 20.0
    while server.accepted < 3:
        assert time.monotonic() < end, stream.getvalue()
        time.sleep(0.01)
    assert sink._sender._thread.is_alive()
    sink.close(None)
    said = stream.getvalue()
    assert f"mqtt 127.0.0.1:{server.port}: " in said
    assert "Traceback" not in said + capfd.readouterr().err
    if server.name == "refused":
        assert "wrong user or password" in said
    if server.name == "old":
        assert "MQTT 5" in said
