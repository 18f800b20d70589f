"""The tables and views of a database, and how an older one is brought to this version.

``docs/fleet.md`` describes them. A change adds a step to `STEPS` and never takes anything away, so that a dashboard
that works today works tomorrow.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import (
    ARRAY,
    JSON,
    REAL,
    BigInteger,
    Boolean,
    Column,
    DateTime,
    ForeignKey,
    Identity,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    SmallInteger,
    String,
    Table,
    Text,
    UniqueConstraint,
    func,
    inspect,
    select,
    text,
)

from edge.collect.hops import DETAILS
from edge.waves.record import DIGITS
from firmware_bridge.errors import OutputError

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Connection

VERSION = 3
"""Version of the tables."""

META = MetaData()
_TIME = DateTime(timezone=True)
_REALS = ARRAY(REAL).with_variant(JSON(), "sqlite")
_FLAGS = ARRAY(Boolean).with_variant(JSON(), "sqlite")
_ID = BigInteger().with_variant(Integer(), "sqlite")


def _id() -> Column[int]:
    return Column("id", _ID, Identity(always=False), primary_key=True)


SCHEMA = Table(
    "anyecg_schema", META, Column("version", Integer, primary_key=True), Column("made", _TIME, nullable=False)
)
PATCHES = Table("patches", META, _id(), Column("name", String(64), nullable=False, unique=True))
SESSIONS = Table(
    "sessions",
    META,
    _id(),
    Column("patch_id", _ID, ForeignKey("patches.id"), nullable=False),
    Column("name", String(64), nullable=False),
    Column("device", Text, nullable=False),
    Column("started", _TIME, nullable=False),
    UniqueConstraint("patch_id", "name"),
)
LAYOUTS = Table(
    "layouts",
    META,
    _id(),
    Column("digest", String(32), nullable=False, unique=True),
    Column("bundle", Text, nullable=False),
    Column("sha256", Text, nullable=False),
)
OUTPUTS = Table(
    "outputs",
    META,
    Column("layout_id", _ID, ForeignKey("layouts.id"), primary_key=True, autoincrement=False),
    Column("position", SmallInteger, primary_key=True, autoincrement=False),
    Column("key", Text, nullable=False),
    Column("loinc", Text),
    Column("unit", Text, nullable=False),
    Column("threshold", REAL),
    Column("evidence", Text, nullable=False),
)
HOPS = Table(
    "hops",
    META,
    Column("session_id", _ID, ForeignKey("sessions.id"), nullable=False),
    Column("end_us", BigInteger, nullable=False),
    Column("time", _TIME, nullable=False),
    Column("start_us", BigInteger, nullable=False),
    Column("synced", Boolean, nullable=False),
    Column("layout_id", _ID, ForeignKey("layouts.id")),
    Column("quality", REAL),
    Column("flags", Text),
    Column("rate_bpm", REAL),
    Column("reason", Text),
    Column("lost", BigInteger, nullable=False),
    Column("latency_ms", REAL),
    Column("windows", Integer),
    Column("value", _REALS),
    Column("low", _REALS),
    Column("high", _REALS),
    Column("flag", _FLAGS),
    Column("applied", Text),
    Column("rhythm", Text),
    Column("af_share", REAL),
    Column("ectopic_share", REAL),
    *(Column(name, REAL) for name in DIGITS),
    *(Column(name, Text) for name in DETAILS),
    PrimaryKeyConstraint("session_id", "end_us", "time"),
    postgresql_partition_by="RANGE (time)",
)
EVENTS = Table(
    "events",
    META,
    Column("session_id", _ID, ForeignKey("sessions.id"), primary_key=True, autoincrement=False),
    Column("digest", String(32), primary_key=True),
    Column("time", _TIME, nullable=False),
    Column("kind", Text, nullable=False),
    Column("detail", Text, nullable=False),
    Column("repeats", Integer, nullable=False),
)
AVAILABILITY = Table(
    "availability",
    META,
    Column("patch_id", _ID, ForeignKey("patches.id"), primary_key=True, autoincrement=False),
    Column("time", _TIME, primary_key=True),
    Column("online", Boolean, nullable=False),
)

VIEWS = (
    """CREATE VIEW estimates AS
    SELECT p.name AS patch, s.name AS session, h.time, CAST(h.end_us AS DOUBLE PRECISION) / 1e6 AS end_s,
        o.key, o.loinc, o.unit, {value} AS value, {low} AS low, {high} AS high, o.threshold, {flag} AS flag,
        o.evidence, h.windows, h.quality, h.session_id
    FROM hops h JOIN sessions s ON s.id = h.session_id JOIN patches p ON p.id = s.patch_id
        JOIN outputs o ON o.layout_id = h.layout_id""",
    """CREATE VIEW gaps AS
    SELECT p.name AS patch, s.name AS session, h.time, CAST(h.start_us AS DOUBLE PRECISION) / 1e6 AS start_s,
        CAST(h.end_us AS DOUBLE PRECISION) / 1e6 AS end_s, h.reason, h.session_id
    FROM hops h JOIN sessions s ON s.id = h.session_id JOIN patches p ON p.id = s.patch_id
    WHERE h.reason IN ('gap', 'stalled')""",
)
"""One row for each output of an estimate; and the gaps."""
WAVES_VIEW = """CREATE VIEW waves AS
    SELECT p.name AS patch, s.name AS session, h.time, CAST(h.end_us AS DOUBLE PRECISION) / 1e6 AS end_s,
        h.quality, h.rate_bpm, h.rhythm, h.af_share, h.ectopic_share, {waves}, h.session_id
    FROM hops h JOIN sessions s ON s.id = h.session_id JOIN patches p ON p.id = s.patch_id
    WHERE h.rhythm IS NOT NULL"""
"""One row for each window: rhythm, intervals and amplitudes."""
DETAILS_VIEW = """CREATE VIEW details AS
    SELECT p.name AS patch, s.name AS session, h.time, CAST(h.end_us AS DOUBLE PRECISION) / 1e6 AS end_s,
        h.reason, {details}, h.session_id
    FROM hops h JOIN sessions s ON s.id = h.session_id JOIN patches p ON p.id = s.patch_id
    WHERE {any}"""
"""One row for each hop that has a change, reasons or an answer of the network beside a fused one, as JSON."""


def _output(dialect: str, column: str) -> str:
    """Return the expression for the value of an output in an array of a hop. PostgreSQL counts from 1."""
    return (
        f'h."{column}"[o.position + 1]'
        if dialect == "postgresql"
        else f"json_extract(h.{column}, '$[' || o.position || ']')"
    )


def prepare(connection: Connection) -> None:
    """Create the tables, or bring those of an older version to this one.

    Raises:
        OutputError: The tables are of a newer version.
    """
    found = 0
    if inspect(connection).has_table(SCHEMA.name):
        found = connection.execute(select(func.max(SCHEMA.c.version))).scalar() or 0
    if found > VERSION:
        raise OutputError(f"the database has tables of version {found}, not {VERSION}", "update anyecg-edge")
    for step in STEPS[found:]:
        step(connection)
    for version in range(found + 1, VERSION + 1):
        connection.execute(SCHEMA.insert().values(version=version, made=func.current_timestamp()))


def _first(connection: Connection) -> None:
    """Create everything. A table ``hops`` that exists, such as a hypertable of TimescaleDB, is used as it is."""
    META.create_all(connection)
    dialect = connection.dialect.name
    if dialect == "postgresql":
        connection.execute(text("CREATE INDEX IF NOT EXISTS hops_time ON hops USING brin (time)"))
    else:
        connection.execute(text("CREATE INDEX IF NOT EXISTS hops_time ON hops (time)"))
    for view in VIEWS:
        columns = {name: _output(dialect, name) for name in ("value", "low", "high", "flag")}
        connection.execute(text(view.format(**columns)))


def _waves(connection: Connection) -> None:
    """Add the columns of rhythm and waves, and their view."""
    _add_columns(connection)
    connection.execute(text(WAVES_VIEW.format(waves=", ".join(f"h.{name}" for name in DIGITS))))


def _details(connection: Connection) -> None:
    """Add the columns of change, reasons and the network's own answers, and their view."""
    _add_columns(connection)
    names = [f"h.{name}" for name in DETAILS]
    known = " OR ".join(f"{name} IS NOT NULL" for name in names)
    connection.execute(text(DETAILS_VIEW.format(details=", ".join(names), any=known)))


def _add_columns(connection: Connection) -> None:
    """Add the columns that ``hops`` lacks, because an older version or a user has made it."""
    present = {column["name"] for column in inspect(connection).get_columns(HOPS.name)}
    for column in HOPS.columns:
        if column.name not in present:
            kind = column.type.compile(dialect=connection.dialect)
            connection.execute(text(f"ALTER TABLE hops ADD COLUMN {column.name} {kind}"))


STEPS: tuple[Callable[[Connection], None], ...] = (_first, _waves, _details)
"""What each version adds to the one before."""
