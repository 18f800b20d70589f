"""What a collector costs for each estimate: processor time and bytes, by store and number of outputs.

    python benchmarks/bench_collect.py
    python benchmarks/bench_collect.py --postgresql postgresql://USER@HOST/EMPTY_DATABASE

The messages are those of 200 patches, one each second. Checking and storing are measured alone, without a broker.
"""

from __future__ import annotations

import argparse
import os
import random
import tempfile
import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from edge.collect.address import open_store
from edge.collect.hops import Hop, hop_of_message
from edge.collect.stores import Batch, Store
from edge.records import BundleRef, Estimate, LabEstimate, QualityRecord, WindowSpan, utc_text
from edge.sinks.mqtt.messages import event

PATCHES = 200
BATCH = 2000
BEGAN = datetime(2026, 11, 1, tzinfo=UTC)


def message(outputs: int, number: int, rng: random.Random) -> tuple[str, bytes]:
    """Return patch and payload of a hop with random values."""
    second, patch = divmod(number, PATCHES)
    labs = []
    for i in range(outputs):
        value = float(f"{rng.random():.6g}")
        low, high = float(f"{0.9 * value:.6g}"), float(f"{1.1 * value:.6g}")
        labs.append(
            LabEstimate(f"output_{i}_high", "2823-3", "1", value, (low, high), 0.5, value >= 0.5, 100, "moderate")
        )
    end_s = 12.0 + second
    text = utc_text(int((BEGAN + timedelta(seconds=second, milliseconds=5 * patch)).timestamp() * 1000) * 1_000_000)
    e = Estimate(
        text, True, f"{patch:012x}", "polar_h10", WindowSpan(end_s - 10.0, end_s), BundleRef("bench 1", "ab" * 32),
        QualityRecord(round(rng.random(), 3)), round(60 + 20 * rng.random(), 1), tuple(labs), None, 0,
        {"prepare": 0.1, "inference": 0.2, "total": 0.412},
    )  # fmt: skip
    return f"patch{patch}", event(e, f"patch{patch}", live=True).encode()


def refuse(count: int, why: str) -> None:
    """Fail: no message of the benchmark may be refused."""
    raise SystemExit(f"{count} refused: {why}")


def stored(store: Store, hops: list[Hop], url: str | None) -> tuple[float, float]:
    """Store hops, and return the processor time of this process and of a local server, s for each hop."""
    store.open()
    store.write(Batch(hops[:BATCH]), refuse)
    own_s, server_s = time.process_time(), backend_s(url)
    for at in range(BATCH, len(hops), BATCH):
        store.write(Batch(hops[at : at + BATCH]), refuse)
    count = len(hops) - BATCH
    out = (time.process_time() - own_s) / count, (backend_s(url) - server_s) / count
    store.tend(everything=True)
    return out


def backend_s(url: str | None) -> float:
    """Return the processor time of the server's process for the collector, s; 0 for one on another computer."""
    if url is None:
        return 0.0
    import psycopg

    with psycopg.connect(url) as connection:
        query = b"SELECT pid FROM pg_stat_activity WHERE application_name = 'anyecg collect'"
        pids = [row[0] for row in connection.execute(query)]
    ticks = 0
    for pid in pids:
        with suppress(OSError):
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def size(address: str) -> int:
    """Return the bytes of a store."""
    if address.startswith("postgresql:"):
        import psycopg

        query = b"SELECT sum(pg_total_relation_size(oid)) FROM pg_class WHERE relname LIKE 'hops%' AND relkind = 'r'"
        with psycopg.connect(address) as connection:
            row = connection.execute(query).fetchone()
            return int(row[0]) if row else 0
    path = Path(address.partition(":")[2])
    return sum(f.stat().st_size for f in ([path] if path.is_file() else path.rglob("*.parquet")))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--hops", type=int, default=20_000)
    parser.add_argument("--outputs", type=int, nargs="+", default=[12, 108])
    parser.add_argument("--postgresql", metavar="URL", help="an empty database, which then holds the hops")
    options = parser.parse_args()
    print("outputs  store       message    check     store    server   a second, one core   stored")
    for outputs in options.outputs:
        rng = random.Random(1)
        messages = [message(outputs, number, rng) for number in range(options.hops)]
        cpu_s = time.process_time()
        hops = [hop_of_message(patch, payload) for patch, payload in messages]
        check_us = (time.process_time() - cpu_s) / len(hops) * 1e6
        mean = sum(len(payload) for _patch, payload in messages) / len(messages)
        with tempfile.TemporaryDirectory(prefix="anyecg-bench-") as folder:
            stores = [f"sqlite:{folder}/fleet.db", f"parquet:{folder}/parquet"]
            stores += [] if options.postgresql is None else [options.postgresql]
            before = 0 if options.postgresql is None or outputs == options.outputs[0] else size(options.postgresql)
            for address in stores:
                store = open_store(address)
                some = [hop._replace(session=f"{hop.session}{outputs}") for hop in hops]
                own_s, server_s = stored(store, some, address if address.startswith("postgresql:") else None)
                store.close()
                kind = address.partition(":")[0]
                held = (size(address) - (before if kind == "postgresql" else 0)) / len(hops)
                rate = 1e6 / (check_us + own_s * 1e6)
                print(
                    f"{outputs:7}  {kind:10}  {mean:5.0f} B  {check_us:4.0f} us  {own_s * 1e6:4.0f} us"
                    f"  {server_s * 1e6:4.0f} us  {rate:12.0f}          {held:5.0f} B"
                )


if __name__ == "__main__":
    main()
