"""A simulated Pi: publishes the estimates of several simulated patients through the sink of ``--mqtt``.

The estimates of one patient come from the real engine over two minutes of a simulated ECG with faults. Each patient of
this Pi plays them in a loop from another place, with a session, times and windows of its own. At the end, it writes
what it has published to a file.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from account import Ledger

from edge.records import Estimate, RunSummary, WindowSpan, utc_text
from edge.sessions.folder import SessionFolder
from edge.sinks.mqtt.address import Broker
from edge.sinks.mqtt.sink import MqttLink, MqttSink
from edge.sinks.mqtt.spool import Spool
from edge.sources import SourceInfo
from helpers.small_session import demo_bundle, write_session

TAPE_S = 120.0
MAX_WAITING = 200
"""Estimates that may wait in the sink of a patient that is connected: the patient waits for them."""
FAULTS = "leadoff@34:2;unplug@70:3"


def tape(number: int) -> list[Estimate]:
    """Return the estimates of two minutes of one simulated patient."""
    with tempfile.TemporaryDirectory(prefix="anyecg-tape-") as folder:
        url = f"sim:?potassium={4.0 + 0.15 * (number % 20):.2f}&seed={number}&faults={FAULTS}"
        return list(SessionFolder(write_session(Path(folder) / "s", url, TAPE_S)).estimates())


class Patient:
    """A patient whose estimates are those of a tape.

    Args:
        name: Name of the patch.
        played: The tape.
        offset: Estimate at which it begins.
        began: Start of its signal, UTC.
        broker: URL of the broker, without a name.
    """

    def __init__(self, name: str, played: list[Estimate], offset: int, began: datetime, broker: str) -> None:
        self.name, self.hops = name, 0
        self._tape, self._offset, self._began = played, offset, began
        self._ledger = Ledger()
        self._spool = Spool()
        source = SourceInfo(f"sim:?name={name}", "anyecg_patch", live=False, host_clock=True)
        address = Broker.parse(f"{broker}?name={name}&discovery=off")
        link = MqttLink(address, None, None, None)
        self._sink = MqttSink(link, name, source, demo_bundle().bundle, 1.0, self._spool)

    def connect(self) -> None:
        """Begin to send."""
        self._sink.open()

    def hop(self) -> None:
        """Make the next estimate."""
        e = self._tape[(self._offset + self.hops) % len(self._tape)]
        end_s = 12.0 + self.hops
        time_utc = self._began + timedelta(seconds=end_s)
        text = utc_text(round(time_utc.timestamp() * 1000) * 1_000_000)
        span = WindowSpan(end_s - (e.window.end_s - e.window.start_s), end_s)
        self._sink.estimate(replace(e, session=f"session_{self.name}", time=text, window=span))
        self._ledger.add(round(end_s * 1e6), time_utc, e.abstained, [lab.value for lab in e.labs])
        self.hops += 1

    @property
    def waiting(self) -> int:
        """Estimates that wait."""
        return len(self._spool)

    def finish(self) -> dict[str, object]:
        """Send the rest, and return the account."""
        until_s = time.monotonic() + 900.0
        while not self._sink.text().startswith(f"mqtt        {self.hops:,} estimates sent"):
            if time.monotonic() > until_s:
                break
            time.sleep(0.2)
        self._sink.close(RunSummary(ended_by="end"))
        return {"account": self._ledger.account(), "said": self._sink.text().strip()}


def main() -> None:
    """Run one Pi."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--broker", required=True)
    parser.add_argument("--number", type=int, required=True)
    parser.add_argument("--patients", type=int, required=True)
    parser.add_argument("--seconds", type=int, required=True, help="seconds of signal of each patient")
    parser.add_argument("--speed", type=float, required=True, help="seconds of signal for each second")
    parser.add_argument("--offline", action="store_true", help="connect after everything has been made")
    parser.add_argument("--account", type=Path, required=True)
    options = parser.parse_args()
    played = tape(options.number)
    began = datetime.fromtimestamp(round(time.time()) - options.seconds - 60, UTC)
    patients = [
        Patient(f"pi{options.number:02}_p{i:02}", played, 11 * i, began, options.broker)
        for i in range(options.patients)
    ]
    if not options.offline:
        _each(patients, Patient.connect)
    start_s = time.monotonic()
    for second in range(options.seconds):
        for patient in patients:
            while not options.offline and patient.waiting > MAX_WAITING:
                time.sleep(0.05)
            patient.hop()
        time.sleep(max(0.0, start_s + (second + 1) / options.speed - time.monotonic()))
    if options.offline:
        _each(patients, Patient.connect)
    options.account.write_text(json.dumps({patient.name: patient.finish() for patient in patients}))


def _each(patients: list[Patient], act: Callable[[Patient], None]) -> None:
    for patient in patients:
        act(patient)


if __name__ == "__main__":
    sys.exit(main())
