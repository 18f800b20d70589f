"""The fleet hour: ``make fleet``. 200 simulated patients on 20 simulated Pis, one broker, one collector, one store.

While they publish, the broker is restarted, the collector is killed, PostgreSQL crashes, and one Pi is offline until it
has made everything. At the end, every estimate must be in the store exactly once, as it was published.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from account import Account, differences, of_rows

from helpers.mosquitto import Mosquitto, running, until
from helpers.postgresql import PASSWORD, PostgreSql, running_postgresql

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
PATHS = os.pathsep.join([str(ROOT), str(ROOT / "tests"), os.environ.get("PYTHONPATH", "")])
ENVIRONMENT = {**os.environ, "PYTHONPATH": PATHS, "PGPASSWORD": PASSWORD}
BROKER = ("max_inflight_messages 2000", "max_queued_messages 0")
"""What a broker for many patches needs: by default it keeps 1000 messages for a collector and drops the others."""
PREFIX = "fleet"


class Collector:
    """The process of ``anyecg collect``.

    Args:
        url: The broker.
        store: The store.
        log: File for what it says.
    """

    def __init__(self, url: str, store: str, log: Path) -> None:
        self._command = [sys.executable, "-m", "edge.cli", "collect", url, "--to", store, "--progress", "10", "--json"]
        self._log = log
        self._process: subprocess.Popen[str] | None = None
        self.kills = 0
        self.peak_mib = 0.0

    def start(self) -> None:
        """Start it, and wait until it is connected."""
        before = self._connections()
        with self._log.open("a") as log:
            self._process = subprocess.Popen(
                self._command, stdout=subprocess.PIPE, stderr=log, env=ENVIRONMENT, text=True
            )

        until(lambda: self._connections() > before)

    def _connections(self) -> int:
        return self._log.read_text().count("broker: connected") if self._log.exists() else 0

    def kill(self) -> None:
        """Kill it, and start it again."""
        assert self._process is not None
        self._note_memory()
        self._process.kill()
        self._process.wait(20)
        self.kills += 1
        self.start()

    def end(self) -> None:
        """End it in any case."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(20)

    def stop(self) -> dict[str, Any]:
        """End it in an orderly way, and return its summary."""
        assert self._process is not None
        self._note_memory()
        self._process.terminate()
        out, _err = self._process.communicate(timeout=120)
        assert self._process.returncode == 143, self._log.read_text()
        return dict(json.loads(out))

    def cpu_s(self) -> float:
        """Processor time of the running process, s."""
        assert self._process is not None
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def _note_memory(self) -> None:
        assert self._process is not None
        status = Path(f"/proc/{self._process.pid}/status").read_text()
        found = [line.split()[1] for line in status.splitlines() if line.startswith("VmHWM")]
        self.peak_mib = max([self.peak_mib, *(int(kib) / 1024 for kib in found)])


def stored(store: str, server: PostgreSql | None, columns: str = "count(*)") -> list[Sequence[Any]]:
    """Return the answer of a database to a query on its hops."""
    order = "" if columns == "count(*)" else " ORDER BY p.name, h.end_us"
    query = f"SELECT {columns} FROM hops h JOIN sessions s ON s.id = h.session_id JOIN patches p ON p.id = s.patch_id"
    if server is not None:
        return list(server.rows(query + order))
    import sqlite3

    with contextlib.closing(sqlite3.connect(f"file:{store.partition(':')[2]}?mode=ro", uri=True)) as connection:
        return list(connection.execute(query + order))


def accounts(store: str, server: PostgreSql | None) -> dict[str, Account]:
    """Return the accounts of what a store holds."""
    if store.startswith("parquet:"):
        return of_rows(_parquet_rows(Path(store.partition(":")[2])))
    rows = stored(store, server, 'p.name, h.end_us, h.time, h.reason, h."value"')
    return of_rows((r[0], r[1], _time(r[2]), r[3], json.loads(r[4]) if isinstance(r[4], str) else r[4]) for r in rows)


def _time(value: Any) -> datetime:
    return value if isinstance(value, datetime) else datetime.fromisoformat(value).replace(tzinfo=UTC)


def _parquet_rows(folder: Path) -> Iterator[tuple[Any, ...]]:
    import pyarrow.dataset as ds

    table = ds.dataset(folder / "hops", partitioning="hive").to_table(["patch", "end_us", "time", "reason", "labs"])
    for row in table.sort_by([("patch", "ascending"), ("end_us", "ascending")]).to_pylist():
        yield row["patch"], row["end_us"], row["time"], row["reason"], [lab["value"] for lab in row["labs"] or ()]


def count(store: str, server: PostgreSql | None) -> int:
    """Return the number of hops in a store; 0 while it is down or empty."""
    try:
        if store.startswith("parquet:"):
            import pyarrow.dataset as ds

            return int(ds.dataset(Path(store.partition(":")[2]) / "hops", partitioning="hive").count_rows())
        return int(stored(store, server)[0][0])
    except Exception:
        return 0


def start_pis(options: argparse.Namespace, broker: Mosquitto, folder: Path) -> list[subprocess.Popen[bytes]]:
    """Start the Pis; the last one is offline until it has made everything."""
    url = f"mqtt://localhost:{broker.port}/{PREFIX}"
    common = ["--broker", url, "--patients", str(options.patients), "--seconds", str(options.seconds)]
    common += ["--speed", str(options.speed)]
    started = []
    for n in range(options.pis):
        own = ["--number", str(n), "--account", str(folder / f"pi{n}.json")]
        own += ["--offline"] if n == options.pis - 1 else []
        command = [sys.executable, str(HERE / "pi.py"), *common, *own]
        started.append(subprocess.Popen(command, env={**ENVIRONMENT, "OPENBLAS_NUM_THREADS": "1"}))
    return started


def trouble(
    options: argparse.Namespace, at: float, broker: Mosquitto, collector: Collector, server: PostgreSql | None
) -> str:
    """Do what comes at a share of all hops, and return what it was."""
    if at == options.troubles[1]:
        broker.stop()
        time.sleep(3.0)
        broker.start()
        return "broker restarted"
    if at == options.troubles[3] and server is not None:
        server.stop("immediate")
        time.sleep(3.0)
        server.start()
        return "PostgreSQL crashed"
    collector.kill()
    return "collector killed"


def fleet(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Run it, and return the report."""
    options.troubles = (0.1, 0.3, 0.45, 0.6, 0.75)
    total = options.pis * options.patients * options.seconds
    with ExitStack() as stack:
        (folder / "broker").mkdir()
        broker = stack.enter_context(running(folder / "broker", settings=BROKER, log="notice"))
        server = stack.enter_context(running_postgresql()) if options.to == "postgresql" else None
        store = server.url if server is not None else f"{options.to}:{folder}/store"
        collector = Collector(f"mqtt://localhost:{broker.port}/{PREFIX}", store, folder / "collector.log")
        stack.callback(collector.end)
        collector.start()
        pis = start_pis(options, broker, folder)
        for pi in pis:
            stack.callback(pi.kill)
        began_s = time.monotonic()
        happened, left = [], list(options.troubles)
        last, still_s = 0, time.monotonic()
        while last < total and time.monotonic() - still_s < options.patience:
            time.sleep(1.0)
            now = count(store, server)
            if now > last:
                last, still_s = now, time.monotonic()
            if left and last >= left[0] * total:
                happened.append(f"{trouble(options, left.pop(0), broker, collector, server)} at {last:,}")
                still_s = time.monotonic()
        wall_s = time.monotonic() - began_s
        codes = [pi.wait(900) for pi in pis]
        collector_cpu_s = collector.cpu_s()
        summary = collector.stop()
        if options.to == "parquet":
            subprocess.run(
                [sys.executable, "-m", "edge.cli", "collect", "--tidy", "--to", store], env=ENVIRONMENT, check=True
            )
        published = {name: one for n in range(options.pis) for name, one in _read(folder / f"pi{n}.json").items()}
        found = accounts(store, server)
        size = _size(store, server)
    return {
        "store": options.to,
        "pis": options.pis,
        "patients": len(published),
        "seconds_of_signal": options.seconds,
        "published": sum(account.hops for account in published.values()),
        "stored": sum(account.hops for account in found.values()),
        "differences": differences(published, found),
        "pis_failed": sum(code != 0 for code in codes),
        "happened": happened,
        "wall_s": round(wall_s, 1),
        "hops_per_s": round(total / wall_s),
        "bytes_per_hop": round(size / total, 1),
        "last_collector": summary | {"cpu_s": round(collector_cpu_s, 1)},
        "collector_peak_mib": round(collector.peak_mib, 1),
        "kills": collector.kills,
        "cpu_s_of_children": round(resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
                                   + resource.getrusage(resource.RUSAGE_CHILDREN).ru_stime, 1),
    }  # fmt: skip


def _read(path: Path) -> dict[str, Account]:
    return {name: Account(*one["account"]) for name, one in json.loads(path.read_text()).items()}


def _size(store: str, server: PostgreSql | None) -> int:
    if server is not None:
        query = "SELECT sum(pg_total_relation_size(oid)) FROM pg_class WHERE relname LIKE 'hops%' AND relkind = 'r'"
        return int(str(server.rows(query)[0][0]))
    path = Path(store.partition(":")[2])
    return path.stat().st_size if path.is_file() else sum(f.stat().st_size for f in path.rglob("*") if f.is_file())


def main(argv: list[str] | None = None) -> int:
    """Run it; return 1 if an estimate is missing, repeated or different."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--to", choices=("postgresql", "sqlite", "parquet"), default="postgresql")
    parser.add_argument("--pis", type=int, default=20)
    parser.add_argument("--patients", type=int, default=10, help="patients of each Pi (default 10)")
    parser.add_argument("--seconds", type=int, default=3600, help="seconds of signal of each patient (default 3600)")
    parser.add_argument("--speed", type=float, default=4.0, help="seconds of signal for each second (default 4)")
    parser.add_argument("--patience", type=float, default=120.0, help="end after this time without a new estimate, s")
    parser.add_argument("--report", type=Path, help="file for the report in JSON")
    options = parser.parse_args(argv)
    signal.signal(signal.SIGTERM, lambda _number, _frame: sys.exit(143))
    with tempfile.TemporaryDirectory(prefix="anyecg-fleet-") as folder:
        report = fleet(options, Path(folder))
    text = json.dumps(report, indent=2)
    print(text)
    if options.report is not None:
        options.report.write_text(text + "\n")
    return int(bool(report["differences"]) or report["pis_failed"] > 0)


if __name__ == "__main__":
    sys.exit(main())
