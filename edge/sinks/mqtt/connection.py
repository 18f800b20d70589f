"""One connection to a broker, on paho-mqtt. It publishes and subscribes to nothing.

The thread that owns it calls `Connection.step`, which waits for the network or for a wake-up. A lost connection is
never repaired here: its owner makes a new one, and knows which messages were not confirmed.
"""

from __future__ import annotations

import contextlib
import selectors
import socket
import time
from typing import TYPE_CHECKING, Any

from edge.sinks.mqtt.reasons import reason, refusal

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable
    from pathlib import Path

    import paho.mqtt.client as paho

    from edge.sinks.mqtt.address import Broker

CONNECT_S = 5.0
"""Time limit for the network connection, and again for the answer of the broker, s."""
MAX_PACKET_BYTES = 64 << 10
"""Largest packet that the broker may send: it has only confirmations to send."""
KEEPALIVE_S = 30
"""The broker publishes the last will after one and a half times this silence, s."""
CLOSED = "the broker has closed the connection"
"""What is said about a connection that is lost without a reason."""
_SAYS_NOTHING = {"Normal disconnection", "Unspecified error", "Success"}


class BrokerError(Exception):
    """The broker cannot be reached or used; the text is for people and holds no password."""


def tls_context(ca: Path | None) -> ssl.SSLContext:
    """Return the settings of an encrypted connection: the certificate and the host name are checked.

    Args:
        ca: File of the only authority to trust; ``None`` for those of the system.

    Raises:
        OSError: The file cannot be read, or holds no certificate.
    """
    import ssl

    return ssl.create_default_context(cafile=None if ca is None else str(ca))


def new_client(
    broker: Broker,
    password: str | None,
    context: ssl.SSLContext | None,
    client_id: str,
    connect_s: float,
    *,
    manual_ack: bool = False,
) -> paho.Client:
    """Return a client of MQTT 5 that is not connected yet.

    Args:
        broker: The broker.
        password: Password of its user; ``None`` without a user.
        context: Settings of an encrypted connection; ``None`` for none.
        client_id: Identifier of the client.
        connect_s: Time limit for the network connection, s.
        manual_ack: Whether messages are confirmed by their receiver, not on arrival.
    """
    import paho.mqtt.client as paho

    client = paho.Client(
        paho.CallbackAPIVersion.VERSION2, client_id=client_id, protocol=paho.MQTTv5, manual_ack=manual_ack
    )
    client.connect_timeout = connect_s
    if broker.user:
        client.username_pw_set(broker.user, password)
    if context is not None:
        client.tls_set_context(context)
    return client


def await_answer(
    broker: Broker,
    answer: Callable[[], object],
    step: Callable[[], object],
    stopped: Callable[[], bool],
    limit_s: float,
) -> None:
    """Step until the broker has answered the request to connect.

    Args:
        broker: The broker.
        answer: Function that returns the answer; ``None`` before it.
        step: Function that waits for the network for a moment.
        stopped: Whether to give up.
        limit_s: Time limit, s.

    Raises:
        BrokerError: The broker does not answer, or refuses.
    """
    until_s = time.monotonic() + limit_s
    while answer() is None:
        if stopped() or time.monotonic() > until_s:
            raise BrokerError("no answer; is it an MQTT broker?")
        try:
            step()
        except BrokerError as error:
            if answer() is None and not broker.tls:
                raise BrokerError(f"{error}; does it want mqtts://?") from None
            raise
    if getattr(answer(), "is_failure", False):
        raise BrokerError(refusal(str(answer())))


def loss(code: object) -> str | None:
    """Return what the code of a lost connection says; ``None`` if it says nothing."""
    text = str(code)
    return None if text in _SAYS_NOTHING else f"connection lost: {text.lower()}"


class Connection:
    """A connection, once.

    Args:
        broker: The broker.
        password: Password of its user; ``None`` without a user.
        context: Settings of an encrypted connection; ``None`` for none.
        client_id: Identifier of the client. It stays the same, so that the broker ends an earlier connection of this
            patch, and publishes its last will, before this one begins.
        will: Topic and payload that the broker publishes when the connection is lost.
        said: Function that takes a sentence for people when the broker refuses a message.
    """

    def __init__(
        self,
        broker: Broker,
        password: str | None,
        context: ssl.SSLContext | None,
        client_id: str,
        will: tuple[str, str],
        said: Callable[[str], None],
    ) -> None:
        self._broker, self._said = broker, said
        self._confirmed: list[int] = []
        self._answer: object = None
        self._lost = CLOSED
        self._wake_in, self._wake_out = socket.socketpair()
        self._wake_in.setblocking(False)
        self._wake_out.setblocking(False)
        client = new_client(broker, password, context, client_id, CONNECT_S)
        client.will_set(*will, qos=1, retain=True)
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_publish = self._on_publish
        self._client = client

    def open(self, stopped: Callable[[], bool]) -> None:
        """Connect.

        Args:
            stopped: Whether to give up.

        Raises:
            BrokerError: The broker cannot be reached or refuses.
        """
        from paho.mqtt.packettypes import PacketTypes
        from paho.mqtt.properties import Properties

        try:
            properties = Properties(PacketTypes.CONNECT)
            properties.MaximumPacketSize = MAX_PACKET_BYTES
            self._client.connect(self._broker.host, self._broker.port, KEEPALIVE_S, properties=properties)
        except (OSError, ValueError) as error:
            raise BrokerError(reason(error, tls=self._broker.tls)) from None
        await_answer(self._broker, lambda: self._answer, lambda: self.step(0.2), stopped, CONNECT_S)

    def publish(self, topic: str, payload: str, *, retain: bool, expiry_s: int | None = None) -> int:
        """Publish and return the number of the message, which `step` returns when the broker has it.

        Args:
            topic: The topic.
            payload: The text.
            retain: Whether the broker keeps it for later subscribers.
            expiry_s: Time after which the broker forgets it, s.
        """
        from paho.mqtt.packettypes import PacketTypes
        from paho.mqtt.properties import Properties

        properties = Properties(PacketTypes.PUBLISH)
        if expiry_s is not None:
            properties.MessageExpiryInterval = expiry_s
        number: int = self._client.publish(topic, payload, qos=1, retain=retain, properties=properties).mid
        return number

    def step(self, wait_s: float) -> list[int]:
        """Wait at most ``wait_s`` for the network, and return the messages that the broker has confirmed.

        Raises:
            BrokerError: The connection is lost.
        """
        sock = self._client.socket()
        if sock is None:
            raise BrokerError(self._lost)
        waiting = sock.pending() if hasattr(sock, "pending") else 0
        with selectors.DefaultSelector() as selector:
            write = selectors.EVENT_WRITE if self._client.want_write() else 0
            selector.register(sock, selectors.EVENT_READ | write)
            selector.register(self._wake_in, selectors.EVENT_READ)
            ready = {key.fileobj: events for key, events in selector.select(0 if waiting else wait_s)}
        with contextlib.suppress(BlockingIOError):
            while self._wake_in.recv(64):
                pass
        events = ready.get(sock, 0)
        try:
            if waiting or events & selectors.EVENT_READ:
                self._client.loop_read()
            if events & selectors.EVENT_WRITE:
                self._client.loop_write()
            self._client.loop_misc()
        except Exception:  # noqa: BLE001 - paho lets the errors of its parser through, of many kinds
            raise BrokerError("the broker has sent something that is not MQTT") from None
        if self._client.socket() is None and not getattr(self._answer, "is_failure", False):
            raise BrokerError(self._lost)
        confirmed, self._confirmed = self._confirmed, []
        return confirmed

    def wake(self) -> None:
        """End the wait of `step`. May be called from any thread."""
        with contextlib.suppress(OSError):
            self._wake_out.send(b"\0")

    def close(self) -> None:
        """Disconnect cleanly, so that the broker does not publish the last will, and close everything."""
        with contextlib.suppress(OSError, ValueError):
            self._client.disconnect()
            self._client.loop_write()
        self.drop()

    def drop(self) -> None:
        """Close without disconnecting cleanly: the broker publishes the last will."""
        sock: Any = self._client.socket()
        for one in (sock, self._wake_in, self._wake_out):
            if one is not None:
                with contextlib.suppress(OSError):
                    one.close()

    def _on_connect(self, _client: object, _data: object, _flags: object, reason: object, _more: object) -> None:
        self._answer = reason

    def _on_disconnect(self, _client: object, _data: object, _flags: object, reason: object, _more: object) -> None:
        self._lost = loss(reason) or self._lost

    def _on_publish(self, _client: object, _data: object, number: int, reason: object, _more: object) -> None:
        self._confirmed.append(number)
        if getattr(reason, "is_failure", False):
            self._said(f"the broker refuses a message ({str(reason).lower()}); may this user write to the topics?")
