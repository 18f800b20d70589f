"""One connection that receives, on paho-mqtt. The broker keeps what is not confirmed, and sends it again.

A message is confirmed only when `Subscription.confirm` is called. What was not confirmed when a connection was lost
arrives again on the next one: confirmations never outlive the connection to which their message belongs.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from edge.collect.hops import MAX_PAYLOAD_BYTES
from edge.sinks.mqtt.connection import CLOSED, BrokerError, await_answer, loss, new_client
from edge.sinks.mqtt.reasons import reason

if TYPE_CHECKING:
    import ssl

    from edge.sinks.mqtt.address import Broker

CONNECT_S = 10.0
"""Time limit for the network connection, and again for the answers of the broker, s."""
KEEPALIVE_S = 60
KEPT_S = 14 * 86400
"""Time for which the broker keeps messages for a collector that is away, s."""
MAX_PACKET_BYTES = MAX_PAYLOAD_BYTES + 4096
MAX_STEP_BYTES = 16 << 20
"""Bytes of messages after which a step ends, whatever else has arrived."""


class Message(NamedTuple):
    """A message.

    Attributes:
        topic: Its topic.
        payload: Its content.
        number: Number by which it is confirmed; 0 if it needs no confirmation.
    """

    topic: str
    payload: bytes
    number: int


class Subscription:
    """A connection, once.

    Args:
        broker: The broker.
        password: Password of its user; ``None`` without a user.
        context: Settings of an encrypted connection; ``None`` for none.
        client_id: Identifier of the client, under which the broker keeps messages.
        topics: Topics to receive.
        most: Most messages that the broker may send before one of them is confirmed.
    """

    def __init__(
        self,
        broker: Broker,
        password: str | None,
        context: ssl.SSLContext | None,
        client_id: str,
        topics: Sequence[str],
        most: int,
    ) -> None:
        self._broker, self._topics, self._most = broker, topics, most
        self._arrived: list[Message] = []
        self._bytes = 0
        self._answer: Any = None
        self._refused = False
        self._lost = CLOSED
        self.resumed = False
        """Whether the broker has kept the messages since the last connection."""
        client = new_client(broker, password, context, client_id, CONNECT_S, manual_ack=True)
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_subscribe = self._on_subscribe
        client.on_message = self._on_message
        self._client: Any = client

    def open(self, stopped: Callable[[], bool]) -> None:
        """Connect and subscribe.

        Args:
            stopped: Whether to give up.

        Raises:
            BrokerError: The broker cannot be reached or refuses.
        """
        from paho.mqtt.packettypes import PacketTypes
        from paho.mqtt.properties import Properties
        from paho.mqtt.subscribeoptions import SubscribeOptions

        properties = Properties(PacketTypes.CONNECT)
        properties.SessionExpiryInterval = KEPT_S
        properties.ReceiveMaximum = min(self._most, 65_535)
        properties.MaximumPacketSize = MAX_PACKET_BYTES
        try:
            self._client.connect(
                self._broker.host, self._broker.port, KEEPALIVE_S, clean_start=False, properties=properties
            )
        except (OSError, ValueError) as error:
            raise BrokerError(reason(error, tls=self._broker.tls)) from None
        await_answer(self._broker, lambda: self._answer, self._step_early, stopped, CONNECT_S)
        # A retained availability is sent for a new subscription only, not after each connection.
        options = SubscribeOptions(qos=1, retainHandling=SubscribeOptions.RETAIN_SEND_IF_NEW_SUB)
        # The answer may come after everything that the broker has kept, so nothing waits for it.
        self._client.subscribe([(topic, options) for topic in self._topics])

    def step(self, wait_s: float) -> list[Message]:
        """Wait at most ``wait_s`` for the network, and return the messages that have arrived, at most ``most``.

        Raises:
            BrokerError: The connection is lost, or the broker refuses the subscription.
        """
        try:
            code = self._client.loop(wait_s)
            seen = -1
            while code == 0 and seen < len(self._arrived) < self._most and self._bytes < MAX_STEP_BYTES:
                seen = len(self._arrived)
                code = self._client.loop_read()
        except Exception:  # noqa: BLE001 - paho lets the errors of its parser through, of many kinds
            raise BrokerError("what it sends is not valid") from None
        if self._refused:
            raise BrokerError("it refuses the subscription; may this user read the topics?")
        arrived, self._arrived, self._bytes = self._arrived, [], 0
        if code != 0 and not arrived:
            raise BrokerError(self._lost)
        return arrived

    def idle(self) -> None:
        """Read nothing, but tell the broker in time that the collector is alive.

        Raises:
            BrokerError: The connection is lost.
        """
        if self._client.loop_misc() != 0:
            raise BrokerError(self._lost)

    def confirm(self, numbers: Iterable[int]) -> None:
        """Tell the broker that messages need not be sent again; in the order in which they have arrived."""
        with contextlib.suppress(OSError, ValueError):
            for number in numbers:
                if number:
                    self._client.ack(number, 1)

    def close(self) -> None:
        """Disconnect; the broker keeps what arrives from now on."""
        with contextlib.suppress(OSError, ValueError):
            self._client.disconnect()
            self._client.loop_write()
        sock: Any = self._client.socket()
        if sock is not None:
            with contextlib.suppress(OSError):
                sock.close()

    def _step_early(self) -> None:
        """Wait for the network, and keep what arrives together with the answer for the first step."""
        self._arrived = self.step(0.1)

    def _on_connect(self, _client: object, _data: object, flags: Any, code: object, _more: object) -> None:
        self._answer, self.resumed = code, bool(flags.session_present)

    def _on_disconnect(self, _client: object, _data: object, _flags: object, code: object, _more: object) -> None:
        self._lost = loss(code) or self._lost

    def _on_subscribe(self, _client: object, _data: object, _number: int, codes: list[Any], _more: object) -> None:
        self._refused = any(getattr(code, "is_failure", False) for code in codes)

    def _on_message(self, _client: object, _data: object, message: Any) -> None:
        try:
            topic = message.topic
        except UnicodeDecodeError:
            topic = ""
        self._arrived.append(Message(topic, message.payload, message.mid if message.qos else 0))
        self._bytes += len(message.payload)
