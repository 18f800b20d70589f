"""A collector with a real PostgreSQL and a real broker: partitions, passwords, the files of examples/fleet."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("sqlalchemy", reason="the collect extra is not installed")
pytest.importorskip("psycopg", reason="the collect extra is not installed")
pytest.importorskip("paho.mqtt.client", reason="the collect extra is not installed")

from edge.collect.address import open_store
from edge.collect.hops import DETAILS, Availability, Hop, event_of
from edge.collect.stores import Batch, Store, StoreDownError
from edge.waves.record import DIGITS
from helpers.fleet_hops import detailed, hops, measured, payload
from helpers.free_ports import ports
from helpers.mosquitto import certificates, program, until
from helpers.postgresql import PASSWORD, PostgreSql, running_postgresql

pytestmark = pytest.mark.slow

EXAMPLES = Path(__file__).resolve().parents[2] / "examples" / "fleet"
DAY_S = 86_400.0
NOW = datetime.now(UTC).replace(microsecond=0)


@pytest.fixture(scope="module")
def server() -> Iterator[PostgreSql]:
    with running_postgresql() as one:
        yield one


@pytest.fixture
def database(server: PostgreSql) -> PostgreSql:
    """The server with an empty database."""
    server.rows("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
    return server


def opened(server: PostgreSql, keep_s: float | None = None) -> Store:
    os.environ["PGPASSWORD"] = PASSWORD
    try:
        store = open_store(server.url, keep_s)
        store.open()
        return store
    finally:
        del os.environ["PGPASSWORD"]


def put(store: Store, *some: Hop) -> int:
    os.environ["PGPASSWORD"] = PASSWORD
    refused: list[str] = []
    try:
        return store.write(Batch(list(some)), lambda count, why: refused.append(why))
    finally:
        del os.environ["PGPASSWORD"]
        assert refused == []


def at(age: timedelta, patch: str = "bedroom") -> Hop:
    return hops(1, patch)[0]._replace(time=NOW - age)


def partitions(server: PostgreSql) -> dict[str, object]:
    """Return the number of hops in each partition."""
    names = server.rows("SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'hops'::regclass")
    return {str(name): server.rows(f"SELECT count(*) FROM {name}")[0][0] for (name,) in names}


def test_a_day_has_a_partition_and_an_impossible_day_has_none(database: PostgreSql) -> None:
    store = opened(database)
    today, yesterday = at(timedelta()), at(timedelta(days=1))
    future, old = at(timedelta(days=-3)), at(timedelta(days=20_000))
    assert put(store, today, yesterday, future, old) == 4
    assert put(store, today, yesterday, future, old) == 0
    names = [f"hops_{hop.time:%Y%m%d}" for hop in (today, yesterday)]
    assert partitions(database) == {names[0]: 1, names[1]: 1, "hops_other": 2}
    store.close()


def test_what_came_with_a_wrong_clock_moves_when_its_day_has_come(
    database: PostgreSql, monkeypatch: pytest.MonkeyPatch
) -> None:
    from edge.collect import postgres

    store = opened(database)
    early = at(timedelta(days=30))
    monkeypatch.setattr(postgres, "DAYS_BACK", 3)
    assert put(store, early) == 1
    assert partitions(database) == {"hops_other": 1}
    monkeypatch.undo()
    assert put(store, early, early._replace(end_us=5)) == 1
    assert partitions(database) == {"hops_other": 0, f"hops_{early.time:%Y%m%d}": 2}
    store.close()


def test_days_that_are_too_old_are_dropped(database: PostgreSql) -> None:
    store = opened(database, 7 * DAY_S)
    recent = at(timedelta(days=2))
    put(store, recent, at(timedelta(days=9)), at(timedelta(days=20_000)))
    store.tend(everything=True)
    assert partitions(database) == {f"hops_{recent.time:%Y%m%d}": 1, "hops_other": 0}
    assert put(store, recent) == 0
    store.close()


def test_hops_read_back_as_they_were_written(database: PostgreSql) -> None:
    store = opened(database)
    some = hops(6)
    put(store, *some)
    found = database.rows("SELECT end_us, time, reason, value, low, high, flag, quality, rate_bpm FROM hops ORDER BY 1")
    for row, hop in zip(found, some, strict=True):
        expected = (hop.end_us, hop.time, hop.reason, hop.value, hop.low, hop.high, hop.flag, hop.quality, hop.rate_bpm)
        assert row == expected
    assert store.patches_of("night") == ["bedroom"]
    store.close()


def test_a_database_of_version_1_gets_the_columns_of_later_ones(database: PostgreSql) -> None:
    store = opened(database)
    put(store, *hops(3), at(timedelta(days=900)))
    store.close()
    names = ("rhythm", "af_share", "ectopic_share", *DIGITS, *DETAILS)
    drop = ", ".join(f"DROP COLUMN {name}" for name in names)
    database.rows(f"DROP VIEW waves; DROP VIEW details; ALTER TABLE hops {drop}")
    database.rows("DELETE FROM anyecg_schema WHERE version > 1")
    again = opened(database)
    assert put(again, *hops(3), measured(8), measured(9)._replace(time=NOW), detailed(10)) == 3
    found = database.rows("SELECT patch, rhythm, af_share, qt_ms, st_mv FROM waves")
    assert found == [("bedroom", "sinus", 0.25, 400.0, None)] * 2
    told = "SELECT end_s, (change::json -> 't_mv' ->> 'value')::real, reasons::json -> 'potassium_high' ->> 'windows'"
    assert database.rows(f"{told} FROM details") == [(22.0, pytest.approx(0.21), "2")]
    assert database.rows("SELECT count(*) FROM hops") == [(7,)]
    assert database.rows("SELECT version FROM anyecg_schema ORDER BY 1") == [(1,), (2,), (3,)]
    again.close()


def test_a_server_that_crashes_is_down_and_then_takes_the_same_batch(database: PostgreSql) -> None:
    store = opened(database)
    put(store, *hops(3))
    database.stop("immediate")
    try:
        with pytest.raises(StoreDownError):
            put(store, *hops(6))
    finally:
        database.start()
    assert put(store, *hops(6)) == 3
    store.close()


def test_the_table_of_timescaledb_is_used_as_it_is(database: PostgreSql) -> None:
    """Without the extension, which Debian does not have: the table is the same."""
    text = (EXAMPLES / "timescaledb.sql").read_text()
    (table,) = re.findall(r"CREATE TABLE hops \(.*?\n\);", text, re.DOTALL)
    database.rows(table)
    store = opened(database)
    assert put(store, *hops(20)) == 20
    assert put(store, *hops(20)) == 0
    assert database.rows("SELECT count(*) FROM pg_inherits WHERE inhparent = 'hops'::regclass") == [(0,)]
    assert database.rows("SELECT count(*) FROM estimates") == [(48,)]
    store.close()
    from edge.collect.tables import HOPS

    columns = re.findall(r"^    \"?(\w+)\"? [A-Z]", table, re.MULTILINE)
    assert [column for column in columns if column != "PRIMARY"] == [column.name for column in HOPS.columns]


def expanded(query: str) -> str:
    """Return a query of the dashboard as Grafana sends it."""
    between = (
        rf"\1 BETWEEN '{NOW - timedelta(days=1):%Y-%m-%dT%H:%M:%SZ}' AND '{NOW + timedelta(days=1):%Y-%m-%dT%H:%M:%SZ}'"
    )
    query = re.sub(r"\$__timeFilter\(([\w.]+)\)", between, query)
    query = query.replace("${patch:sqlstring}", "'bedroom'").replace("${output:sqlstring}", "'potassium_high'")
    assert "$" not in query
    return query


def test_every_query_of_the_dashboard_finds_something(database: PostgreSql) -> None:
    store = opened(database)
    some = [
        hop._replace(time=NOW - timedelta(seconds=i), flag=hop.flag and [None, True, None])
        for i, hop in enumerate(hops(20))
    ]
    line = {"time": f"{NOW:%Y-%m-%dT%H:%M:%S}.000Z", "session": "night", "kind": "connected", "detail": "x"}
    os.environ["PGPASSWORD"] = PASSWORD
    store.write(Batch(some, [Availability("bedroom", NOW, True)], [event_of("bedroom", line)]), lambda count, why: None)
    store.close()
    del os.environ["PGPASSWORD"]
    dashboard: dict[str, Any] = json.loads((EXAMPLES / "grafana-dashboard.json").read_text())
    queries = [target["rawSql"] for panel in dashboard["panels"] for target in panel["targets"]]
    queries += [one["query"] for one in dashboard["templating"]["list"] if one["type"] == "query"]
    assert len(queries) == 13
    for query in queries:
        assert database.rows(expanded(query)), query
    (first,) = database.rows(expanded(queries[4]) + " LIMIT 1")
    assert first[1:] == (pytest.approx(0.0123456), pytest.approx(0.01), pytest.approx(0.02), pytest.approx(0.12))


def test_a_password_is_in_no_list_and_no_message_and_a_wrong_one_is_waited_for(
    database: PostgreSql, tmp_path: Path
) -> None:
    wrong = "wrong-" + PASSWORD
    process = subprocess.Popen(
        [sys.executable, "-m", "edge.cli", "collect", "mqtt://localhost:1/x", "--to", database.url],
        env={**os.environ, "PGPASSWORD": wrong}, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stderr is not None
    said = process.stderr.readline()
    assert wrong not in Path(f"/proc/{process.pid}/cmdline").read_text()
    process.send_signal(signal.SIGTERM)
    out, rest = process.communicate(timeout=60)
    assert "password authentication failed" in said
    assert "messages wait at the broker" in said
    assert process.returncode == 143
    assert wrong not in said + out + rest


class Client:
    """A user of the broker that publishes."""

    def __init__(self, port: int, user: str, folder: Path) -> None:
        import paho.mqtt.client as paho

        self._client = paho.Client(paho.CallbackAPIVersion.VERSION2, client_id=user, protocol=paho.MQTTv5)
        self._client.username_pw_set(user, f"{user}-password")
        self._client.tls_set(str(folder / "ca.pem"))
        self._client.connect("localhost", port)
        self._client.loop_start()

    def publish(self, topic: str, data: bytes) -> None:
        """Publish, and wait until the broker has answered."""
        self._client.publish(topic, data, qos=1).wait_for_publish(30)

    def close(self) -> None:
        """Disconnect."""
        self._client.disconnect()
        self._client.loop_stop()


def start_example_broker(folder: Path) -> tuple[int, subprocess.Popen[bytes]]:
    """Start a broker with the files of examples/fleet, and return its port and its process."""
    certificates(folder)
    (port,) = ports(1)
    for user in ("collector", "bedroom"):
        create = [] if (folder / "anyecg.passwords").exists() else ["-c"]
        command = [program("mosquitto_passwd"), "-b", *create, folder / "anyecg.passwords", user, f"{user}-password"]
        subprocess.run(command, check=True, capture_output=True)
    (folder / "anyecg.acl").write_text((EXAMPLES / "mosquitto.acl").read_text())
    text = (EXAMPLES / "mosquitto.conf").read_text().replace("/etc/mosquitto/certs", str(folder))
    text = text.replace("/etc/mosquitto", str(folder)).replace("listener 8883", f"listener {port} 127.0.0.1")
    root = ["user root"] if os.geteuid() == 0 else []
    lines = [text, *root, "persistence true", f"persistence_location {folder}/", f"log_dest file {folder}/log"]
    (folder / "conf").write_text("\n".join(lines) + "\n")
    process = subprocess.Popen([program("mosquitto"), "-c", folder / "conf"], stderr=subprocess.DEVNULL)

    def listens() -> bool:
        assert process.poll() is None, "mosquitto refuses the configuration of the example"
        with socket.socket() as one:
            return one.connect_ex(("127.0.0.1", port)) == 0

    until(listens)
    return port, process


def test_with_the_broker_of_the_example_a_patch_writes_its_own_topics_only(tmp_path: Path) -> None:
    port, broker = start_example_broker(tmp_path)
    log = tmp_path / "said"
    with log.open("w") as stream:
        process = subprocess.Popen(
            [
                sys.executable, "-m", "edge.cli", "collect", "--json", "--to", f"sqlite:{tmp_path}/fleet.db",
                f"mqtts://collector@localhost:{port}/anyecg?ca={tmp_path}/ca.pem",
            ],
            env={**os.environ, "ANYECG_MQTT_PASSWORD": "collector-password"}, stderr=stream,
            stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
    try:
        until(lambda: "broker: connected" in log.read_text())
        patch = Client(port, "bedroom", tmp_path)
        patch.publish("anyecg/bedroom/estimate", payload(0))
        patch.publish("anyecg/bedroom/estimate", b"\x00" * 1000)
        patch.publish("anyecg/bedroom/estimate", payload(0))
        patch.publish("anyecg/bedroom/availability", b"online")
        patch.publish("anyecg/kitchen/estimate", payload(0))  # mosquitto 2.0.11 then ends the connection, too
        patch.close()
        time.sleep(2.0)
        process.send_signal(signal.SIGTERM)
        out, _none = process.communicate(timeout=60)
    finally:
        process.kill()
        broker.terminate()
        broker.wait(20)
    counts = json.loads(out)
    assert (counts["stored"], counts["already_stored"], counts["patches"]) == (1, 1, 1)
    assert counts["refused"] == {"json": 1}
    assert "collector-password" not in log.read_text() + out


def test_the_service_of_the_example_is_valid(tmp_path: Path) -> None:
    text = (EXAMPLES / "anyecg-collect.service").read_text()
    assert "password" not in text.partition("ExecStart=")[2].partition("LoadCredential")[0]
    import shutil

    tool = shutil.which("systemd-analyze")
    if tool is None:
        pytest.skip("systemd-analyze is not installed (Debian: systemd)")
    unit = tmp_path / "anyecg-collect.service"
    unit.write_text(text.replace("/opt/anyecg/bin/anyecg", "/bin/true"))
    done = subprocess.run([tool, "verify", unit], capture_output=True, text=True, timeout=60)
    assert "anyecg-collect.service" not in done.stderr, done.stderr
