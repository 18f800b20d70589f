"""The sink for ``--mqtt``."""

from __future__ import annotations

import sys
import time
from contextlib import suppress
from datetime import datetime
from importlib.util import find_spec
from typing import TYPE_CHECKING, TextIO

from edge.sinks import BaseSink
from edge.sinks.link import LINES_BURST, LINES_EVERY_S, Pace
from edge.sinks.mqtt.access import access
from edge.sinks.mqtt.address import Broker
from edge.sinks.mqtt.discovery import Topics, discovery, discovery_topic
from edge.sinks.mqtt.messages import StateMaker, event
from edge.sinks.mqtt.names import node_id
from edge.sinks.mqtt.outlet import OFFLINE, Outlet, Plan
from edge.sinks.mqtt.sender import Sender
from edge.sinks.mqtt.spool import Spool
from firmware_bridge.errors import MissingExtraError
from firmware_bridge.text import printable

if TYPE_CHECKING:
    import ssl

    from edge.bundle.reader import Bundle
    from edge.records import Estimate, RunSummary
    from edge.sinks.mqtt.connection import Connection
    from edge.sources import SourceInfo

MIN_EXPIRE_S = 60
FLUSH_S = 0.8
"""Longest time that the end of a run waits for the broker, s."""
FLUSH_RECORDING_S = 30.0
"""The same for a recording, whose estimates come faster than a broker takes them."""


class MqttLink:
    """One connection to a broker, for the sinks of one patch or of several.

    Args:
        broker: The broker.
        password: Password of its user.
        context: Settings of an encrypted connection; ``None`` for none.
        stream: Output for messages about the broker; ``None`` for none.
        station: Identifier of a process with several patches; ``None`` for the process of one patch.
    """

    def __init__(
        self,
        broker: Broker,
        password: str | None,
        context: ssl.SSLContext | None,
        stream: TextIO | None,
        station: str | None = None,
    ) -> None:
        self.broker = broker
        self._password, self._context = password, context
        self._stream, self._pace = stream, Pace(LINES_BURST, LINES_EVERY_S, time.monotonic)
        self._will, self._client_id = "", ""
        self.availability: str | None = None
        """Topic of the process, if it has several patches."""
        if station is not None:
            self.availability = f"{broker.prefix}/station_{station}/availability"
            self._will, self._client_id = self.availability, f"anyecg-station-{station}"
        self.sender = Sender(self._connect, self._say, self.availability)
        self._sinks: list[MqttSink] = []

    def join(self, sink: MqttSink) -> None:
        """Note a patch. The only patch of a process has the last will."""
        self._sinks.append(sink)
        if self.availability is None:
            self._will, self._client_id = sink.topics.availability, f"anyecg-{sink.node}"

    def text(self) -> str:
        """Return what happened as a line for the summary."""
        dropped = sum(sink.dropped for sink in self._sinks)
        said = f"{sum(sink.sent for sink in self._sinks):,} estimates sent to {self.broker.place}"
        if dropped:
            said += f", {dropped:,} not sent"
        if self.sender.trouble:
            said += f"; {self.sender.trouble}"
        return f"mqtt        {printable(said)}\n"

    def _connect(self) -> Connection:
        from edge.sinks.mqtt.connection import Connection

        return Connection(self.broker, self._password, self._context, self._client_id, (self._will, OFFLINE), self._say)

    def _say(self, line: str) -> None:
        if self._stream is not None and self._pace.take():
            with suppress(OSError, ValueError):
                self._stream.write(f"mqtt {self.broker.place}: {printable(line)}\n")
                self._stream.flush()


class MqttSink(BaseSink):
    """Publishes the newest state, retained, and every estimate as an event.

    Args:
        link: The connection to the broker.
        name: Name of the patch that a user has chosen; empty for none.
        source: Description of the source.
        bundle: The bundle that makes the estimates.
        hop_s: Seconds between estimates.
        spool: The events that wait.
    """

    def __init__(
        self,
        link: MqttLink,
        name: str,
        source: SourceInfo,
        bundle: Bundle,
        hop_s: float,
        spool: Spool | None = None,
    ) -> None:
        broker = link.broker
        self._live = source.live
        self.node = node_id(name, source.url)
        self._maker = StateMaker(bundle)
        self._every_s = broker.every_s
        self._expire_s = max(MIN_EXPIRE_S, round(3 * max(broker.every_s, hop_s)))
        self._spool = Spool() if spool is None else spool
        self.topics = Topics(broker.prefix, self.node, link.availability)
        self._shown: object = None
        self._next_s = 0.0
        found = None
        if broker.discovery is not None:
            shown = printable(name) or f"ECG patch {self.node}"
            model = source.device if source.live else "recording or simulation"
            text = discovery(bundle, self._maker.slugs, self.topics, self.node, shown, model, self._expire_s)
            found = discovery_topic(broker.discovery, self.node), text
        plan = Plan(
            self.topics.availability, self.topics.state, self.topics.event, found, self._maker.waiting(),
            self._expire_s,
        )  # fmt: skip
        self._outlet = Outlet(plan, self._spool)
        self._link, self._sender = link, link.sender
        link.join(self)

    @property
    def sent(self) -> int:
        """Estimates that the broker has confirmed."""
        return self._outlet.sent

    @property
    def dropped(self) -> int:
        """Estimates that were not sent."""
        return self._spool.dropped

    def open(self) -> None:
        """Start to connect in the background."""
        self._sender.enter(self._outlet)

    def estimate(self, e: Estimate) -> None:
        """Queue the estimate, and show it if it is current and due."""
        self._spool.put(event(e, self.node, live=self._live))
        age_s = time.time() - datetime.fromisoformat(e.time).timestamp()
        if age_s > self._expire_s:
            # A recording, or a patch that sent late: part of the history, but not what is now.
            self._sender.wake()
            return
        state = (e.abstained, tuple(lab.flag for lab in e.labs))
        now_s = time.monotonic()
        if state == self._shown and now_s < self._next_s:
            self._sender.wake()
            return
        self._shown, self._next_s = state, now_s + self._every_s
        self._sender.set_state(self._outlet, self._maker.state(e), self._expire_s - max(0.0, age_s))

    def close(self, summary: RunSummary | None) -> None:
        """Send what waits, within limits, and count what is left."""
        interrupted = summary is None or summary.ended_by.startswith("SIG")
        if not self._live and not interrupted:
            self._sender.settle(self._outlet, FLUSH_RECORDING_S)
        self._sender.leave(self._outlet, FLUSH_S)
        self._spool.drop_all()

    def text(self) -> str:
        """Return what happened with the broker as a line for the summary."""
        return self._link.text()


def check_mqtt(url: str) -> Broker:
    """Check everything about a broker that can be checked without its password or a connection.

    Raises:
        UsageError: The URL or the certificate file is not usable.
        MissingExtraError: The library is not installed.
    """
    broker = Broker.parse(url)
    if find_spec("paho") is None:
        raise MissingExtraError("--mqtt", "mqtt")
    return broker


def open_link(url: str, *, quiet: bool, station: str | None = None) -> MqttLink:
    """Return the connection for ``--mqtt``. Nothing is connected yet.

    Args:
        url: URL of the broker.
        quiet: Whether to say nothing on standard error.
        station: Identifier of a process with several patches; ``None`` for the process of one patch.

    Raises:
        UsageError: The URL, the password or the certificate file is not usable.
        MissingExtraError: The library is not installed.
    """
    broker = check_mqtt(url)
    password, context = access(broker)
    return MqttLink(broker, password, context, None if quiet else sys.stderr, station)


def open_mqtt(url: str, source: SourceInfo, bundle: Bundle, hop_s: float, *, quiet: bool) -> MqttSink:
    """Return the sink for ``--mqtt`` of the only patch. Nothing is connected yet.

    Args:
        url: URL of the broker.
        source: Description of the source.
        bundle: The bundle that makes the estimates.
        hop_s: Seconds between estimates.
        quiet: Whether to say nothing on standard error.

    Raises:
        UsageError: The URL, the password or the certificate file is not usable.
        MissingExtraError: The library is not installed.
    """
    link = open_link(url, quiet=quiet)
    return MqttSink(link, link.broker.name, source, bundle, hop_s)
