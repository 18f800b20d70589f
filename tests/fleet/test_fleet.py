"""The fleet of ``make fleet``, smaller: every estimate once, whatever is restarted or killed."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from account import Account, Ledger, differences, of_rows

pytest.importorskip("sqlalchemy", reason="the collect extra is not installed")
pytest.importorskip("paho.mqtt.client", reason="the collect extra is not installed")

import run as fleet

EXAMPLE = fleet.ROOT / "examples" / "fleet" / "mosquitto.conf"


def run(folder: Path, *words: str) -> dict[str, Any]:
    report = folder / "report.json"
    done = subprocess.run(
        [sys.executable, fleet.HERE / "run.py", "--report", report, *words],
        env=fleet.ENVIRONMENT, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return dict(json.loads(report.read_text()))


@pytest.mark.slow
@pytest.mark.alone
@pytest.mark.timeout(3600)
def test_two_hundred_patients_on_twenty_pis_into_postgresql(tmp_path: Path) -> None:
    pytest.importorskip("psycopg", reason="the collect extra is not installed")
    report = run(tmp_path, "--seconds", "120", "--speed", "3")
    assert (report["patients"], report["published"], report["stored"]) == (200, 24_000, 24_000)
    assert report["differences"] == []
    assert {"broker restarted", "PostgreSQL crashed"} <= {one.partition(" at ")[0] for one in report["happened"]}
    assert report["kills"] >= 2
    assert report["collector_peak_mib"] < 200.0


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("store", ["sqlite", "parquet"])
def test_every_estimate_is_once_in_a_file(store: str, tmp_path: Path) -> None:
    report = run(tmp_path, "--to", store, "--pis", "2", "--patients", "5", "--seconds", "300", "--speed", "10")
    assert report["published"] == report["stored"] == 3000
    assert report["differences"] == []
    assert report["kills"] >= 2


def test_the_account_notices_what_is_missing_repeated_or_changed() -> None:
    time = datetime(2026, 11, 29, tzinfo=UTC)
    rows = [("a", i, time, None, [1.0, None]) for i in range(3)] + [("b", 0, time, "gap", None)]
    whole = of_rows(rows)
    assert differences(whole, of_rows(rows)) == []
    assert differences(whole, of_rows(rows[:2] + rows[3:])) == ["a: 3 published, 2 stored"]
    assert differences(whole, of_rows([*rows[:3], rows[2], rows[3]])) == ["a: 3 published, 4 stored"]
    assert differences(whole, of_rows(rows[:3])) == ["b: 1 published, 0 stored"]
    changed = [*rows[:2], ("a", 2, time, None, [1.00001, None]), rows[3]]
    assert differences(whole, of_rows(changed)) == ["a: 3 stored, and not as they were published"]
    assert differences({}, {"c": Account(1, "")}) == ["c: nobody published it"]
    assert Ledger().account().hops == 0


def test_the_broker_of_the_example_keeps_everything_for_the_collector() -> None:
    lines = EXAMPLE.read_text().splitlines()
    assert set(fleet.BROKER) <= set(lines)
