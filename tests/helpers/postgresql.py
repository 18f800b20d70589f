"""A real database server, Debian's PostgreSQL, as a user that is not root: it refuses to run as root."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from helpers.free_ports import ports

PATH = os.pathsep.join([os.environ.get("PATH", ""), *map(str, sorted(Path("/usr/lib/postgresql").glob("*/bin")))])
PASSWORD = "s3cret-of-the-database"


class PostgreSql:
    """A server with a database ``fleet`` and a user ``collector``, who needs a password.

    Args:
        folder: Folder of its files, owned by the user that runs the server.
        user: Arguments of ``subprocess`` that choose this user.
    """

    def __init__(self, folder: Path, user: dict[str, object]) -> None:
        self._folder, self._user = folder, user
        (self.port,) = ports(1)
        secret = folder / "password"
        secret.write_text(PASSWORD)
        secret.chmod(0o644)
        self._run("initdb", "-D", folder / "data", "-U", "collector", "-A", "scram-sha-256", f"--pwfile={secret}")

    @property
    def url(self) -> str:
        """Its address."""
        return f"postgresql://collector@127.0.0.1:{self.port}/postgres"

    def start(self) -> None:
        """Start it and wait until it takes connections."""
        options = f"-p {self.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories='' -c fsync=on"
        self._run("pg_ctl", "-D", self._folder / "data", "-l", self._folder / "log", "-w", "-o", options, "start")

    def stop(self, how: str = "fast") -> None:
        """Stop it: ``fast``, or ``immediate`` as if it had crashed."""
        self._run("pg_ctl", "-D", self._folder / "data", "-m", how, "-w", "stop")

    def rows(self, query: str) -> list[tuple[object, ...]]:
        """Return the answer to a query."""
        import psycopg

        with psycopg.connect(self.url, password=PASSWORD, connect_timeout=20) as connection:
            cursor = connection.execute(query.encode())
            return cursor.fetchall() if cursor.description else []

    def _run(self, name: str, *arguments: object) -> None:
        program = shutil.which(name, path=PATH)
        assert program is not None
        done = subprocess.run(
            [program, *map(str, arguments)],
            cwd=self._folder, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
            text=True, timeout=120, **self._user,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr


@contextmanager
def running_postgresql() -> Iterator[PostgreSql]:
    """Run a server; skip the test if it is not installed."""
    if shutil.which("initdb", path=PATH) is None:
        pytest.skip("PostgreSQL is not installed (Debian: postgresql)")
    pytest.importorskip("psycopg", reason="the collect extra is not installed")
    user: dict[str, object] = {}
    folder = Path(tempfile.mkdtemp(prefix="anyecg-postgresql-"))
    if os.geteuid() == 0:
        entry = next((one for one in pwd.getpwall() if one.pw_name in {"postgres", "nobody"}), None)
        if entry is None:
            pytest.skip("there is no user other than root")
        os.chown(folder, entry.pw_uid, entry.pw_gid)
        user = {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}
    server = None
    try:
        server = PostgreSql(folder, user)
        server.start()
        yield server
    finally:
        if server is not None:
            with suppress(AssertionError):  # it is not running
                server.stop("immediate")
        shutil.rmtree(folder, ignore_errors=True)
