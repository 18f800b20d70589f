"""The addresses of ``--to``.

::

    sqlite:FILE
    postgresql://USER@HOST:PORT/DATABASE?sslmode=verify-full&sslrootcert=FILE&password_file=FILE
    parquet:DIR
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, unquote, urlsplit

from edge.cli.extras import needs_extra
from edge.process.secret import credential, read_secret
from firmware_bridge.errors import UsageError
from firmware_bridge.suggest import did_you_mean

if TYPE_CHECKING:
    from edge.collect.stores import Store

CREDENTIAL = "database-password"
"""Name of the password among systemd's credentials."""
POSTGRES_KEYS = ("sslmode", "sslrootcert", "sslcert", "sslkey", "password_file")
MAX_ADDRESS_CHARS = 4096
_EXAMPLE = "write sqlite:FILE, postgresql://USER@HOST/DATABASE or parquet:DIR"
_SAFE = "remove it; set PGPASSWORD, write it to ~/.pgpass, or add ?password_file=FILE"


def open_store(address: str, keep_s: float | None = None, environment: Mapping[str, str] = os.environ) -> Store:
    """Return the store that an address names. Nothing is opened yet.

    Args:
        address: The address.
        keep_s: Age at which hops are removed, s; ``None`` to keep all.
        environment: Variables of the environment.

    Raises:
        UsageError: The address is not one, or holds a password.
        MissingExtraError: A library is not installed.
    """
    scheme, _colon, rest = address.partition(":")
    if len(address) > MAX_ADDRESS_CHARS or scheme not in {"sqlite", "postgresql", "parquet"} or not rest:
        raise UsageError("--to does not name a store", _EXAMPLE)
    if scheme == "parquet":
        from edge.collect.parquet import ParquetStore

        with needs_extra("'--to parquet:'", "collect"):
            return ParquetStore(Path(rest), keep_s)
    if scheme == "sqlite":
        with needs_extra("'--to sqlite:'", "collect"):
            from edge.collect.sqlite import Sqlite
        return Sqlite(rest, keep_s)
    place, url = _postgres(address, environment)
    with needs_extra("'--to postgresql:'", "collect"):
        from edge.collect.postgres import Postgres
    return Postgres(url, place, keep_s)


def _postgres(address: str, environment: Mapping[str, str]) -> tuple[str, dict[str, object]]:
    try:
        parts = urlsplit(address)
        port = parts.port
    except ValueError:
        raise UsageError("the database's URL has an invalid host or port", _EXAMPLE) from None
    if parts.password is not None:
        raise UsageError("the database's URL must not hold a password", _SAFE)
    query: dict[str, str] = {}
    for key, value in parse_qsl(parts.query, keep_blank_values=True):
        if key in {"password", "pass", "passwd"}:
            raise UsageError("the database's URL must not hold a password", _SAFE)
        if key not in POSTGRES_KEYS:
            known = f"{did_you_mean(key, POSTGRES_KEYS)}known keys: {', '.join(POSTGRES_KEYS)}"
            raise UsageError(f"the database's URL has the unknown key '{key}'", known)
        query[key] = value
    name = unquote(parts.path.strip("/"))
    if not name or "/" in name or parts.fragment:
        raise UsageError("the database's URL names no database", _EXAMPLE)
    file = query.pop("password_file", None)
    password = credential(CREDENTIAL, "password", environment) if file is None else read_secret(Path(file), "password")
    url: dict[str, object] = {
        "drivername": "postgresql+psycopg",
        "username": unquote(parts.username or "") or None,
        "password": password,
        "host": parts.hostname,
        "port": port,
        "database": name,
        "query": {"connect_timeout": "5", "application_name": "anyecg collect", **query},
    }
    return f"postgresql://{parts.hostname or ''}{f':{port}' if port else ''}/{name}", url
