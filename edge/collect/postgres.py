"""Hops in PostgreSQL, in a partition for each day."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any, cast

import psycopg
import sqlalchemy.exc
from psycopg import sql
from sqlalchemy import URL, text
from sqlalchemy.dialects.postgresql import insert

from edge.collect.database import Database
from edge.collect.tables import HOPS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from sqlalchemy import Connection

DAYS_BACK = 400
"""Days before today that get a partition of their own; older and later ones share one."""
OTHERS = "hops_other"
"""Partition of times for which there is no other, such as those of a computer whose clock is wrong."""
_LOCK = 0x616E_7965_6367
"""Advisory lock for changes of the tables: two collectors may write to one database."""


class Postgres(Database):
    """A database of PostgreSQL.

    Args:
        url: Arguments of SQLAlchemy's ``URL.create``.
        place: The database as messages name it, without a password.
        keep_s: Age at which hops are removed, s; ``None`` to keep all.
    """

    def __init__(self, url: Mapping[str, Any], place: str, keep_s: float | None) -> None:
        super().__init__(URL.create(**url), place, keep_s)
        self._days: set[date] = set()
        self._partitioned: bool | None = None
        self._columns = [column.name for column in HOPS.columns]

    def _insert(self, table: Any) -> Any:
        return insert(table).on_conflict_do_nothing()

    def _write_hops(self, connection: Connection, rows: list[dict[str, object]]) -> int:
        self._know_days(connection, {cast("datetime", row["time"]).date() for row in rows})
        connection.execute(text("CREATE TEMP TABLE IF NOT EXISTS arrived (LIKE hops) ON COMMIT DELETE ROWS"))
        driver: Any = connection.connection.driver_connection
        names = sql.SQL(", ").join(map(sql.Identifier, self._columns))
        moved = sql.SQL("INSERT INTO hops ({0}) SELECT {0} FROM arrived ON CONFLICT DO NOTHING").format(names)
        try:
            with driver.cursor() as cursor:
                with cursor.copy(sql.SQL("COPY arrived ({}) FROM STDIN").format(names)) as copy:
                    for row in rows:
                        copy.write_row([row[name] for name in self._columns])
                cursor.execute(moved)
                return int(cursor.rowcount)
        except (psycopg.DataError, psycopg.IntegrityError) as error:
            raise sqlalchemy.exc.DataError("COPY", None, error) from None
        except psycopg.Error as error:
            raise sqlalchemy.exc.OperationalError("COPY", None, error) from None

    def _remove(self, connection: Connection, oldest: datetime) -> None:
        for day in self._existing(connection):
            if datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(days=1) <= oldest:
                connection.execute(text(f"DROP TABLE {_name(day)}"))
                self._days.discard(day)
        super()._remove(connection, oldest)

    def _know_days(self, connection: Connection, days: Iterable[date]) -> None:
        unknown = set(days) - self._days
        if not unknown:
            return
        connection.execute(text(f"SELECT pg_advisory_xact_lock({_LOCK})"))
        if self._partitioned is None:
            kind = connection.execute(text("SELECT relkind::text FROM pg_class WHERE oid = 'hops'::regclass")).scalar()
            self._partitioned = kind == "p"
        if self._partitioned:
            connection.execute(text(f"CREATE TABLE IF NOT EXISTS {OTHERS} PARTITION OF hops DEFAULT"))
            today = datetime.now(UTC).date()
            existing = self._existing(connection)
            for day in sorted(unknown - existing):
                if today - timedelta(days=DAYS_BACK) <= day <= today + timedelta(days=1):
                    _add(connection, day)
            # A day without a partition is asked for again later: tomorrow it may get one.
            self._days = (self._days | unknown) & self._existing(connection)
        else:
            self._days |= unknown

    def _existing(self, connection: Connection) -> set[date]:
        names = connection.execute(
            text(
                "SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid"
                " WHERE i.inhparent = 'hops'::regclass"
            )
        ).scalars()
        return {date.fromisoformat(name[5:]) for name in names if re.fullmatch(r"hops_\d{8}", name)}

    def _forget(self) -> None:
        super()._forget()
        self._days.clear()


def _name(day: date) -> str:
    return f"hops_{day:%Y%m%d}"


def _add(connection: Connection, day: date) -> None:
    """Add the partition of a day, and move into it what an earlier day has put into the one for others."""
    parts = {
        "day": sql.Identifier(_name(day)),
        "others": sql.Identifier(OTHERS),
        "since": sql.Literal(f"{day} 00:00+00"),
        "until": sql.Literal(f"{day + timedelta(days=1)} 00:00+00"),
    }
    driver: Any = connection.connection.driver_connection
    for statement in (
        "CREATE TABLE {day} (LIKE hops INCLUDING DEFAULTS)",
        (
            "WITH moved AS (DELETE FROM {others} WHERE time >= {since} AND time < {until} RETURNING *)"
            " INSERT INTO {day} SELECT * FROM moved"
        ),
        "ALTER TABLE hops ATTACH PARTITION {day} FOR VALUES FROM ({since}) TO ({until})",
    ):
        connection.exec_driver_sql(sql.SQL(statement).format(**parts).as_string(driver))
