"""Addresses of ``--to``; and what every store does with the same hops: repeated, of two days, too old."""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("sqlalchemy", reason="the collect extra is not installed")
pytest.importorskip("pyarrow", reason="the collect extra is not installed")

import pyarrow.dataset as ds
import pyarrow.parquet as pq

from edge.baseline.record import change_dict
from edge.collect import database, tables
from edge.collect.address import open_store
from edge.collect.hops import DETAILS, Availability, event_of
from edge.collect.stores import Batch, Store, StoreDownError
from edge.explain.record import reasons_dict
from edge.waves.record import DIGITS
from firmware_bridge.errors import OutputError, UsageError
from helpers.fleet_hops import BEGAN, CHANGE, REASONS, detailed, hops, measured

SECRET = "hunter2-correct-horse"
DAY_S = 86_400.0


def refuse(count: int, why: str) -> None:
    raise AssertionError(why)


@pytest.fixture(params=["sqlite", "parquet"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    one = open_store(f"{request.param}:{tmp_path}/store")
    one.open()
    yield one
    one.close()


def keys(store: Store) -> list[tuple[Any, ...]]:
    """Return patch, session and end of every hop in a store, repetitions included."""
    path = Path(store.place.partition(":")[2])
    if path.is_dir():
        rows = ds.dataset(path / "hops", partitioning="hive").to_table(["patch", "session", "end_us"]).to_pylist()
        return sorted(tuple(row.values()) for row in rows)
    return query(
        path,
        "SELECT p.name, s.name, end_us FROM hops h JOIN sessions s ON s.id = session_id"
        " JOIN patches p ON p.id = patch_id ORDER BY 1, 2, 3",
    )


def query(path: Path, text: str) -> list[tuple[Any, ...]]:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        return list(connection.execute(text))


def test_repetitions_within_and_across_batches_are_stored_once(store: Store) -> None:
    some = hops(20)
    first = Batch([*some[:12], *some[5:9]], [Availability("bedroom", BEGAN, True)])
    store.write(first, refuse)
    store.write(first, refuse)
    store.write(Batch(some[8:] + hops(3, "kitchen")), refuse)
    store.tend(everything=True)
    expected = [("bedroom", "night", hop.end_us) for hop in some]
    expected += [("kitchen", "night", hop.end_us) for hop in some[:3]]
    assert keys(store) == expected
    assert sorted(store.patches_of("night")) == ["bedroom", "kitchen"]
    assert store.patches_of("day") == []


def test_sqlite_tells_new_hops_from_known_ones_and_has_views(tmp_path: Path) -> None:
    path = tmp_path / "fleet.db"
    store = open_store(f"sqlite:{path}")
    store.open()
    assert store.write(Batch(hops(10)), refuse) == 10
    assert store.write(Batch(hops(12)), refuse) == 2
    line = {"time": "2026-11-28T23:59:50.000Z", "session": "night", "kind": "connected", "detail": "x"}
    for _ in range(2):
        assert store.write(Batch(events=[event_of("bedroom", line)]), refuse) == 0
    store.close()
    assert path.stat().st_mode & 0o077 == 0
    rows = query(
        path, "SELECT key, unit, value, low, high, threshold, flag, evidence FROM estimates WHERE end_s = 15.0"
    )
    assert rows == [
        ("potassium", "mmol/L", 4.2, 3.9, 4.5, None, None, "strong"),
        ("potassium_high", "1", 0.0123456, 0.01, 0.02, 0.12, 0, "moderate"),
        ("anaemia", "1", None, None, None, None, None, "limited"),
    ]
    assert query(path, "SELECT patch, start_s, end_s, reason FROM gaps") == [
        ("bedroom", 6.0, 16.0, "gap"), ("bedroom", 11.0, 21.0, "gap"),
    ]  # fmt: skip
    assert query(path, "SELECT kind, repeats FROM events") == [("connected", 1)]
    assert query(path, "SELECT device, started FROM sessions") == [("polar_h10", "2026-11-28 23:59:38.000000")]
    assert query(path, "PRAGMA journal_mode") == [("wal",)]


def test_tables_of_a_newer_version_are_refused_and_older_ones_are_completed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "fleet.db"
    for _ in range(2):
        store = open_store(f"sqlite:{path}")
        store.open()
        store.write(Batch(hops(2)), refuse)
        store.close()
    assert query(path, "SELECT version FROM anyecg_schema") == [(1,), (2,), (3,)]
    add = tables.text("ALTER TABLE patches ADD COLUMN ward TEXT")
    monkeypatch.setattr(tables, "STEPS", (*tables.STEPS, lambda connection: connection.execute(add)))
    monkeypatch.setattr(tables, "VERSION", 4)
    store = open_store(f"sqlite:{path}")
    store.open()
    store.close()
    assert query(path, "SELECT name, ward FROM patches") == [("bedroom", None)]
    monkeypatch.undo()
    with pytest.raises(OutputError, match="version 4, not 3"):
        open_store(f"sqlite:{path}").open()


def test_waves_and_rhythm_have_columns_and_a_view(tmp_path: Path) -> None:
    path = tmp_path / "fleet.db"
    store = open_store(f"sqlite:{path}")
    store.open()
    store.write(Batch([measured(0), measured(1, abstained=True), *hops(3, "kitchen")]), refuse)
    store.close()
    rows = query(path, "SELECT patch, end_s, rhythm, af_share, ectopic_share, qt_ms, t_mv, st_mv FROM waves")
    assert rows == [("bedroom", 12.0 + i, "sinus", 0.25, 0.05, 400.0, pytest.approx(0.312), None) for i in (0, 1)]
    assert query(path, "SELECT reason, qtc_fridericia_ms FROM hops WHERE reason = 'rhythm'") == [("rhythm", 402.0)]


def test_change_reasons_and_the_network_have_columns_and_a_view(tmp_path: Path) -> None:
    path = tmp_path / "fleet.db"
    store = open_store(f"sqlite:{path}")
    store.open()
    store.write(Batch([detailed(0), *hops(3, "kitchen")]), refuse)
    store.close()
    (row,) = query(path, "SELECT patch, end_s, reason, change, reasons, network FROM details")
    assert row[:3] == ("bedroom", 12.0, None)
    change, reasons, network = map(json.loads, row[3:])
    assert change == change_dict(CHANGE)
    assert reasons == {"potassium_high": reasons_dict(REASONS)}
    assert network == {"potassium_high": {"value": 0.02, "interval": [0.01, 0.03], "threshold": 0.1, "flag": False}}
    found = query(path, "SELECT json_extract(change, '$.t_mv.value') FROM details")
    assert found == [(0.21,)]


OLDER = {
    1: (("rhythm", "af_share", "ectopic_share", *DIGITS, *DETAILS), ("waves", "details")),
    2: (DETAILS, ("details",)),
}
"""Columns and views that a database of each older version lacks."""


@pytest.mark.parametrize("version", OLDER)
def test_an_older_database_gets_the_columns_and_keeps_its_hops(version: int, tmp_path: Path) -> None:
    path = tmp_path / "fleet.db"
    store = open_store(f"sqlite:{path}")
    store.open()
    store.write(Batch(hops(2)), refuse)
    store.close()
    columns, views = OLDER[version]
    with contextlib.closing(sqlite3.connect(path)) as connection:
        for view in ("details", "waves"):
            connection.execute(f"DROP VIEW {view}")
        for name in columns:
            connection.execute(f"ALTER TABLE hops DROP COLUMN {name}")
        if "waves" not in views:
            connection.execute(tables.WAVES_VIEW.format(waves=", ".join(f"h.{name}" for name in DIGITS)))
        connection.execute(f"DELETE FROM anyecg_schema WHERE version > {version}")
        connection.commit()
    for _ in range(2):
        store = open_store(f"sqlite:{path}")
        store.open()
        assert store.write(Batch([*hops(2), measured(7), detailed(8)]), refuse) in {0, 2}
        store.close()
    assert query(path, "SELECT version FROM anyecg_schema") == [(1,), (2,), (3,)]
    assert query(path, "SELECT end_us, rhythm, pr_ms FROM hops ORDER BY end_us") == [
        (12_000_000, None, None), (13_000_000, None, None), (19_000_000, "sinus", 160.0), (20_000_000, None, None),
    ]  # fmt: skip
    assert query(path, "SELECT end_s, change IS NOT NULL FROM details") == [(20.0, 1)]
    assert query(path, "SELECT end_s FROM waves") == [(19.0,)]
    assert query(path, "SELECT count(*) FROM estimates") == [(12,)]


def test_parquet_files_of_an_older_version_are_merged_with_newer_ones(tmp_path: Path) -> None:
    folder = tmp_path / "store"
    store = open_store(f"parquet:{folder}")
    store.open()
    store.write(Batch(hops(5)), refuse)
    (old,) = (folder / "hops").glob("*/*.parquet")
    table = pq.read_table(old, partitioning=None)
    added = ["rhythm", "af_share", "ectopic_share", *DIGITS, *DETAILS]
    pq.write_table(table.drop_columns(added), old)
    store.write(Batch([measured(6), detailed(7)]), refuse)
    store.tend(everything=True)
    store.close()
    (merged,) = (folder / "hops").glob("*/*.parquet")
    rows = pq.read_table(merged, partitioning=None).to_pylist()
    assert [row["rhythm"] for row in rows] == [None] * 5 + ["sinus", None]
    assert [row["change"] is not None for row in rows] == [False] * 6 + [True]
    assert json.loads(rows[-1]["reasons"]) == {"potassium_high": reasons_dict(REASONS)}
    assert rows[-2]["qt_ms"] == 400.0
    assert rows[0]["qt_ms"] is None
    assert rows[0]["labs"] is not None


def test_what_the_database_refuses_does_not_keep_the_others_out(tmp_path: Path) -> None:
    path = tmp_path / "fleet.db"
    store = open_store(f"sqlite:{path}")
    store.open()
    some = hops(8)
    some[5] = some[5]._replace(synced=None)  # type: ignore[arg-type]  # what the table does not accept
    refused: list[tuple[int, str]] = []
    assert store.write(Batch(some), lambda count, why: refused.append((count, why))) == 7
    assert [count for count, _why in refused] == [1]
    assert "NOT NULL" in refused[0][1]
    store.close()


def test_a_patch_that_always_changes_its_names_does_not_fill_the_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "MAX_REMEMBERED", 4)
    monkeypatch.setattr(database, "MAX_LAYOUTS", 4)
    store: Any = open_store(f"sqlite:{tmp_path}/fleet.db")
    store.open()
    written: list[tuple[str, str, int]] = []
    for number in range(20):
        (hop,) = hops(1, f"patch{number:02}", f"s{number:02}")
        assert hop.layout is not None
        hop = hop._replace(layout=hop.layout._replace(bundle=f"bundle {number}"))
        assert store.write(Batch([hop]), refuse) == 1
        assert max(map(len, (store._patches, store._sessions, store._layouts))) <= 5
        written.append((hop.patch, hop.session, hop.end_us))
    assert store.write(Batch(hops(1, "patch00", "s00")), refuse) == 0
    assert keys(store) == written
    store.close()


@pytest.mark.parametrize("kind", ["sqlite", "parquet"])
def test_a_store_opens_on_a_system_without_posix_flags(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "O_CLOEXEC")
    store = open_store(f"{kind}:{tmp_path}/store")
    store.open()
    store.close()


def test_a_file_that_cannot_be_written_is_down(tmp_path: Path) -> None:
    store = open_store(f"sqlite:{tmp_path}/nowhere/fleet.db")
    with pytest.raises(StoreDownError, match="unable to open database file"):
        store.open()
    (tmp_path / "file").touch()
    with pytest.raises(StoreDownError):
        open_store(f"parquet:{tmp_path}/file/x").open()


@pytest.mark.parametrize("kind", ["sqlite", "parquet"])
def test_what_is_too_old_is_removed(kind: str, tmp_path: Path) -> None:
    now = datetime.now(UTC).replace(microsecond=0)
    store = open_store(f"{kind}:{tmp_path}/store", 7 * DAY_S)
    store.open()
    old = [hop._replace(time=now - timedelta(days=9)) for hop in hops(3)]
    store.write(Batch([*old, hops(1, "new")[0]._replace(time=now)]), refuse)
    store.tend(everything=True)
    assert [key[0] for key in keys(store)] == ["new"]
    store.close()


def test_parquet_has_a_folder_for_each_day_and_few_files(tmp_path: Path) -> None:
    folder = tmp_path / "store"
    store = open_store(f"parquet:{folder}")
    store.open()
    for first in range(0, 20, 2):
        store.write(Batch(hops(20)[first : first + 2]), refuse)
    files = sorted((folder / "hops").glob("*/*.parquet"))
    assert [file.parent.name for file in files] == ["day=2026-11-28"] * 5 + ["day=2026-11-29"] * 5
    assert {file.name[:2] for file in files} == {"23", "00"}
    store.tend(everything=True)
    first, second = sorted((folder / "hops").glob("*/*.parquet"))
    table = pq.read_table(first, partitioning=None)
    assert len(table) == 10
    assert table.to_pylist()[3]["labs"][1] == {
        "key": "potassium_high", "loinc": "2823-3", "unit": "1", "value": pytest.approx(0.0123456, rel=1e-6),
        "low": pytest.approx(0.01), "high": pytest.approx(0.02), "threshold": pytest.approx(0.12), "flag": False,
        "evidence": "moderate",
    }  # fmt: skip
    assert second.stat().st_mode & 0o077 == 0
    with pytest.raises(OutputError, match="another collector"):
        open_store(f"parquet:{folder}").open()
    store.close()


def test_a_merge_that_was_killed_before_it_removed_its_files_loses_and_repeats_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "store"
    store = open_store(f"parquet:{folder}")
    store.open()
    store.write(Batch(hops(5)), refuse)
    store.write(Batch(hops(8)), refuse)

    def killed(self: Path) -> None:
        raise OSError("killed")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", lambda self, missing_ok=False: None if missing_ok else killed(self))
        with pytest.raises(StoreDownError, match="killed"):
            store.tend(everything=True)
    store.close()
    again = open_store(f"parquet:{folder}")
    again.open()
    assert len(keys(again)) == 5 + 8 + 8
    again.tend(everything=True)
    assert len(keys(again)) == 8
    again.close()


def test_a_damaged_file_does_not_keep_others_from_being_merged(tmp_path: Path) -> None:
    folder = tmp_path / "store"
    store = open_store(f"parquet:{folder}")
    store.open()
    for _ in range(2):
        store.write(Batch(hops(20)), refuse)
    (folder / "hops" / "day=2026-11-28" / "23-0.parquet").write_bytes(b"PAR1 damaged")
    with pytest.raises(StoreDownError, match="cannot read"):
        store.patches_of("night")
    with pytest.raises(StoreDownError, match="cannot merge"):
        store.tend(everything=True)
    store.tend(everything=True)
    assert len(list((folder / "hops").glob("day=2026-11-29/*.parquet"))) == 1
    store.close()


@pytest.mark.parametrize(
    ("address", "what"),
    [
        ("fleet.db", "does not name a store"),
        ("sqlite:", "does not name a store"),
        ("mysql://h/d", "does not name a store"),
        (f"postgresql://u:{SECRET}@h/d", "must not hold a password"),
        (f"postgresql://u@h/d?password={SECRET}", "must not hold a password"),
        (f"postgresql://u:{SECRET}@h:port/d", "invalid host or port"),
        ("postgresql://u@h", "names no database"),
        ("postgresql://u@h/d?sslmod=x", "did you mean"),
        ("postgresql://u@h/d?password_file=/nowhere", "No such file"),
    ],
)
def test_addresses_that_are_refused(address: str, what: str) -> None:
    with pytest.raises(UsageError, match=what) as caught:
        open_store(address)
    assert SECRET not in str(caught.value)


def test_the_password_of_a_database_comes_from_a_file_or_systemd(tmp_path: Path) -> None:
    for name, place in (("database-password", ""), ("own", f"?password_file={tmp_path}/own")):
        (tmp_path / name).write_text(f"{SECRET}\n")
        (tmp_path / name).chmod(0o600)
        store: Any = open_store(f"postgresql://u@h:5433/d{place}", None, {"CREDENTIALS_DIRECTORY": str(tmp_path)})
        assert store._engine.url.password == SECRET
        assert SECRET not in json.dumps([store.place, str(store._engine.url), repr(store._engine)])
        assert store.place == "postgresql://h:5433/d"
        store.close()
