"""Hops in a database, through SQLAlchemy: what SQLite and PostgreSQL have in common."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import sqlalchemy.exc
from sqlalchemy import create_engine, select, tuple_

from edge.collect.stores import Batch, StoreDownError
from edge.collect.tables import AVAILABILITY, EVENTS, HOPS, LAYOUTS, OUTPUTS, PATCHES, SESSIONS, prepare

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import URL, Connection, Engine

    from edge.collect.hops import Event, Hop, Layout
    from edge.collect.stores import Refused

MAX_REMEMBERED = 200_000
"""Identifiers of patches or sessions from which on they are read from the database again."""
MAX_LAYOUTS = 1000
"""The same for layouts, each of which may take 100 KB."""
TEND_EVERY_S = 600.0
MOST = 2000
PATIENCE_S = 0.5


class Database(ABC):
    """A store on SQLAlchemy.

    Args:
        url: Address of the database for SQLAlchemy.
        place: The database as messages name it, without a password.
        keep_s: Age at which hops are removed, s; ``None`` to keep all.
    """

    most = MOST
    patience_s = PATIENCE_S

    def __init__(self, url: URL, place: str, keep_s: float | None) -> None:
        self.place = place
        self._keep_s = keep_s
        self._tended_s = 0.0
        self._patches: dict[str, int] = {}
        self._sessions: dict[tuple[str, str], int] = {}
        self._layouts: dict[Layout, int] = {}
        # Parameters are estimates of patients, which have no place in an error message.
        self._engine: Engine = create_engine(url, hide_parameters=True, pool_size=1, max_overflow=0, pool_pre_ping=True)

    def open(self) -> None:
        """Connect, and make the tables.

        Raises:
            StoreDownError: The database cannot be reached or used now.
            OutputError: The tables are of a newer version.
        """
        try:
            with self._engine.begin() as connection:
                prepare(connection)
        except (sqlalchemy.exc.SQLAlchemyError, OSError) as error:
            raise StoreDownError(reason(error)) from None

    def write(self, batch: Batch, refused: Refused) -> int:
        """Store a batch in one transaction. What the database itself refuses is left out and counted.

        Raises:
            StoreDownError: The database cannot be written now.
        """
        try:
            with self._engine.begin() as connection:
                return self._write(connection, batch)
        except (sqlalchemy.exc.DataError, sqlalchemy.exc.IntegrityError) as error:
            self._forget()
            if len(batch) == 1:
                refused(1, reason(error))
                return 0
            # One hop is at fault; halves are tried so that it does not hold up the others.
            return sum(self.write(half, refused) for half in _halves(batch))
        except (sqlalchemy.exc.SQLAlchemyError, OSError) as error:
            self._forget()
            raise StoreDownError(reason(error)) from None

    def patches_of(self, session: str) -> list[str]:
        """Return the patches that have a session of this name.

        Raises:
            StoreDownError: The database cannot be read now.
        """
        try:
            with self._engine.connect() as connection:
                query = select(PATCHES.c.name).join(SESSIONS).where(SESSIONS.c.name == session).distinct()
                return list(connection.execute(query).scalars())
        except (sqlalchemy.exc.SQLAlchemyError, OSError) as error:
            raise StoreDownError(reason(error)) from None

    def tend(self, *, everything: bool = False) -> None:
        """Remove what is too old, every ten minutes.

        Raises:
            StoreDownError: The database cannot be written now.
        """
        now_s = time.monotonic()
        if self._keep_s is None or (now_s < self._tended_s and not everything):
            return
        oldest = datetime.now(UTC) - timedelta(seconds=self._keep_s)
        try:
            with self._engine.begin() as connection:
                self._remove(connection, oldest)
        except (sqlalchemy.exc.SQLAlchemyError, OSError) as error:
            raise StoreDownError(reason(error)) from None
        self._tended_s = now_s + TEND_EVERY_S

    def close(self) -> None:
        """Close the connection."""
        self._engine.dispose()

    @abstractmethod
    def _insert(self, table: Any) -> Any:
        """Return an ``INSERT`` that leaves existing rows as they are."""

    @abstractmethod
    def _write_hops(self, connection: Connection, rows: list[dict[str, object]]) -> int:
        """Write rows of ``hops`` and return how many are new."""

    def _remove(self, connection: Connection, oldest: datetime) -> None:
        """Remove what is before a time."""
        for table in (HOPS, EVENTS, AVAILABILITY):
            connection.execute(table.delete().where(table.c.time < oldest))

    def _write(self, connection: Connection, batch: Batch) -> int:
        self._forget_many()
        named: list[Hop | Event] = [*batch.hops, *batch.events]
        self._know_patches(connection, {one.patch for one in named} | {one.patch for one in batch.availability})
        self._know_sessions(connection, named)
        self._know_layouts(connection, batch.hops)
        new = self._write_hops(connection, [self._row(hop) for hop in batch.hops]) if batch.hops else 0
        if batch.availability:
            rows = [
                {"patch_id": self._patches[a.patch], "time": a.time, "online": a.online} for a in batch.availability
            ]
            connection.execute(self._insert(AVAILABILITY), rows)
        if batch.events:
            connection.execute(self._insert(EVENTS), [self._event_row(event) for event in batch.events])
        return new

    def _row(self, hop: Hop) -> dict[str, object]:
        row = hop.columns()
        del row["patch"], row["session"], row["device"], row["layout"]
        row["session_id"] = self._sessions[hop.patch, hop.session]
        row["layout_id"] = None if hop.layout is None else self._layouts[hop.layout]
        return row

    def _event_row(self, event: Event) -> dict[str, object]:
        row = event._asdict()
        del row["patch"], row["session"]
        return row | {"session_id": self._sessions[event.patch, event.session]}

    def _know_patches(self, connection: Connection, names: set[str]) -> None:
        unknown = sorted(names - self._patches.keys())
        if not unknown:
            return
        connection.execute(self._insert(PATCHES), [{"name": name} for name in unknown])
        found = connection.execute(select(PATCHES.c.name, PATCHES.c.id).where(PATCHES.c.name.in_(unknown)))
        self._patches.update((name, number) for name, number in found)

    def _know_sessions(self, connection: Connection, named: Sequence[Hop | Event]) -> None:
        unknown: dict[tuple[str, str], dict[str, object]] = {}
        for one in named:
            key = one.patch, one.session
            if key not in self._sessions and key not in unknown:
                device = getattr(one, "device", one.patch)
                started = one.time - timedelta(microseconds=getattr(one, "end_us", 0))
                about = {"name": one.session, "device": device, "started": started}
                unknown[key] = about | {"patch_id": self._patches[one.patch]}
        if not unknown:
            return
        connection.execute(self._insert(SESSIONS), list(unknown.values()))
        wanted = [(self._patches[patch], session) for patch, session in unknown]
        found = connection.execute(
            select(PATCHES.c.name, SESSIONS.c.name, SESSIONS.c.id)
            .join(PATCHES)
            .where(tuple_(SESSIONS.c.patch_id, SESSIONS.c.name).in_(wanted))
        )
        self._sessions.update(((patch, session), number) for patch, session, number in found)

    def _know_layouts(self, connection: Connection, hops: Sequence[Hop]) -> None:
        unknown = {hop.layout for hop in hops if hop.layout is not None and hop.layout not in self._layouts}
        for layout in unknown:
            digest = layout.digest()
            about = {"digest": digest, "bundle": layout.bundle, "sha256": layout.sha256}
            connection.execute(self._insert(LAYOUTS), [about])
            number = connection.execute(select(LAYOUTS.c.id).where(LAYOUTS.c.digest == digest)).scalar_one()
            rows = [{"layout_id": number, "position": i, **head._asdict()} for i, head in enumerate(layout.heads)]
            connection.execute(self._insert(OUTPUTS), rows)
            self._layouts[layout] = number

    def _forget_many(self) -> None:
        """Keep memory bounded, whatever patches publish."""
        for known in (self._patches, self._sessions):
            if len(known) > MAX_REMEMBERED:
                known.clear()
        if len(self._layouts) > MAX_LAYOUTS:
            self._layouts.clear()

    def _forget(self) -> None:
        """Forget the identifiers: those of a transaction that was rolled back no longer exist."""
        for known in (self._patches, self._sessions, self._layouts):
            known.clear()


def reason(error: Exception) -> str:
    """Return an error of the database as one line without its statement."""
    text = str(getattr(error, "orig", None) or error)
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__


def _halves(batch: Batch) -> tuple[Batch, Batch]:
    first, second = Batch(), Batch()
    for name in ("hops", "availability", "events"):
        items = getattr(batch, name)
        setattr(first, name, items[: (len(items) + 1) // 2])
        setattr(second, name, items[(len(items) + 1) // 2 :])
    return (first, second) if len(second) else (Batch(hops=first.hops), Batch([], first.availability, first.events))
