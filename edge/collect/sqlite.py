"""Hops in a SQLite file."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from sqlalchemy import URL, event
from sqlalchemy.dialects.sqlite import insert

from edge.collect.database import Database
from edge.collect.tables import HOPS
from firmware_bridge.posix import CLOSE_ON_EXEC

if TYPE_CHECKING:
    from sqlalchemy import Connection


class Sqlite(Database):
    """A SQLite file, with a write-ahead log that reaches the disk with every transaction.

    Args:
        path: The file.
        keep_s: Age at which hops are removed, s; ``None`` to keep all.
    """

    def __init__(self, path: str, keep_s: float | None) -> None:
        super().__init__(URL.create("sqlite", database=path), f"sqlite:{path}", keep_s)
        self._path = path
        event.listen(self._engine, "connect", _configure)

    def open(self) -> None:
        """Create the file, for its owner only, and make the tables.

        Raises:
            StoreDownError: The file cannot be opened or written now.
            OutputError: The tables are of a newer version.
        """
        with suppress(OSError):  # opening it says what is wrong
            os.close(os.open(self._path, os.O_RDWR | os.O_CREAT | CLOSE_ON_EXEC, 0o600))
        super().open()

    def _insert(self, table: Any) -> Any:
        return insert(table).on_conflict_do_nothing()

    def _write_hops(self, connection: Connection, rows: list[dict[str, object]]) -> int:
        return int(connection.execute(self._insert(HOPS), rows).rowcount)


def _configure(connection: Any, _record: object) -> None:
    cursor = connection.cursor()
    # FULL, because the broker forgets a message as soon as its transaction is confirmed.
    for setting in ("journal_mode=WAL", "synchronous=FULL", "busy_timeout=5000"):
        cursor.execute(f"PRAGMA {setting}")
    cursor.close()
