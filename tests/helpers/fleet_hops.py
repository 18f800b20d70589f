"""Hops and messages of a small fleet, and a broker in memory that repeats what is not confirmed."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from edge.baseline.record import Change, QuantityChange
from edge.collect.hops import Hop, hop_of_estimate, hop_of_message
from edge.collect.subscription import Message
from edge.explain.record import LabReasons
from edge.records import BundleRef, Estimate, LabEstimate, QualityRecord, WindowSpan, to_dict
from edge.rhythm.record import RhythmMinutes, RhythmRecord
from edge.sinks.mqtt.connection import BrokerError
from edge.waves.network_answer import NetworkAnswer
from edge.waves.record import WaveRecord

BEGAN = datetime(2026, 11, 28, 23, 59, 50, tzinfo=UTC)
"""Ten seconds before midnight, so that twenty hops have two days."""
LABS = (
    LabEstimate("potassium", "2823-3", "mmol/L", 4.2, (3.9, 4.5), None, None, 7, "strong"),
    LabEstimate("potassium_high", "2823-3", "1", 0.0123456, (0.01, 0.02), 0.12, False, 7, "moderate"),
    LabEstimate("anaemia", None, "1", None, None, None, None, 7, "limited"),
)


def estimate(number: int, session: str = "night", *, abstained: bool = False) -> Estimate:
    """Return hop ``number`` of a session."""
    end_s = 12.0 + number
    time = (BEGAN + timedelta(seconds=number)).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    whole = Estimate(
        time, True, session, "polar_h10", WindowSpan(end_s - 10.0, end_s), BundleRef("demo 1", "ab" * 32),
        QualityRecord(0.97, ("padded_ends",)), 61.5, LABS, None, 3, {"total": 1.5},
    )  # fmt: skip
    return replace(whole, labs=(), abstained="gap") if abstained else whole


def payload(number: int, session: str = "night", **changes: Any) -> bytes:
    """Return the message of a hop; keys of ``changes`` replace or, with ``None``, remove those of the message."""
    record = {**to_dict(estimate(number, session, abstained=number % 5 == 4)), **changes}
    return json.dumps({key: value for key, value in record.items() if value is not None or key == "abstained"}).encode()


WAVES = WaveRecord(
    beats=9, rr_ms=984.0, pr_ms=160.0, qrs_ms=92.0, qt_ms=400.0, qtc_fridericia_ms=402.0, t_mv=0.312,
    missing={"st": "band"},
)  # fmt: skip
RHYTHM = RhythmRecord(
    "sinus", 0.02, 0.1, 0, bigeminy=False, pauses=0, longest_rr_ms=1000.0,
    minutes=RhythmMinutes("sinus", 30, 0.25, 300, 0.05, 0, 0),
)  # fmt: skip

REASONS = LabReasons({"T": 0.94, "QRS": 0.06}, {"T": "narrow and tall"}, 3.2, 2, 7.0)
NETWORK = NetworkAnswer(0.02, (0.01, 0.03), 0.1, False)
CHANGE = Change(
    5.0, 22, {"t_mv": QuantityChange(0.21, -0.05, 0.06, "measured", False)},
    {"qtc_ms": "rate_outside", "r_mv": "scale_unknown", "t_over_r": "scale_unknown", "st_mv": "band"},
)  # fmt: skip


def measured(number: int, patch: str = "bedroom", *, abstained: bool = False) -> Hop:
    """Return a hop with waves and rhythm."""
    e = estimate(number, abstained=abstained)
    e = replace(e, abstained="rhythm") if abstained else e
    return hop_of_estimate(patch, replace(e, waves=WAVES, rhythm=RHYTHM), "polar_h10")


def detailed(number: int, patch: str = "bedroom") -> Hop:
    """Return a hop with a change, reasons and an answer of the network."""
    e = estimate(number)
    labs = (e.labs[0], e.labs[1]._replace(reasons=REASONS, network=NETWORK), *e.labs[2:])
    return hop_of_estimate(patch, replace(e, labs=labs, change=CHANGE), "polar_h10")


def hops(count: int, patch: str = "bedroom", session: str = "night") -> list[Hop]:
    """Return the first hops of a session."""
    return [hop_of_message(patch, payload(number, session)) for number in range(count)]


class BrokerInMemory:
    """What a broker keeps for one collector.

    Args:
        messages: Topics and payloads.
        cuts: Steps, counted from the first one, after which the connection is lost.
    """

    def __init__(self, messages: list[tuple[str, bytes]], cuts: tuple[int, ...] = ()) -> None:
        self.kept = {number: Message(topic, data, number) for number, (topic, data) in enumerate(messages, 1)}
        self.cuts, self.steps = set(cuts), 0
        self.connections: list[Connection] = []

    def subscribe(self) -> Any:
        """Return a connection that is not open yet."""
        self.connections.append(Connection(self))
        return self.connections[-1]


class Connection:
    """One connection: it sends each message that is kept once."""

    def __init__(self, broker: BrokerInMemory) -> None:
        self._broker = broker
        self._sent: set[int] = set()
        self.resumed = True
        self.confirmed: list[int] = []
        self.closed = False

    def open(self, stopped: object) -> None:
        """Do nothing."""

    def step(self, wait_s: float) -> list[Message]:
        """Return the next five messages."""
        self._broker.steps += 1
        if self._broker.steps in self._broker.cuts:
            raise BrokerError("cut")
        new = [number for number in self._broker.kept if number not in self._sent][:5]
        self._sent |= set(new)
        return [self._broker.kept[number] for number in new]

    def idle(self) -> None:
        """Count as a step."""
        self._broker.steps += 1

    def confirm(self, numbers: list[int]) -> None:
        """Forget messages."""
        for number in numbers:
            self.confirmed.append(number)
            self._broker.kept.pop(number)

    def close(self) -> None:
        """Note that it is closed."""
        self.closed = True
