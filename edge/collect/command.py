"""``anyecg collect``: from a broker, or from session folders, into a database."""

from __future__ import annotations

import argparse
import signal
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from edge.cli.parser import Parser, add_json, write_json
from edge.cli.run import positive
from edge.collect.address import open_store
from edge.collect.stores import StoreDownError
from edge.process.signals import EXIT_CODES, Stopper
from edge.sinks.mqtt.access import access
from edge.sinks.mqtt.address import DISCOVERY, EVERY_S, Broker
from edge.sinks.mqtt.names import slug
from edge.store.keep import parse_keep
from firmware_bridge.errors import EXIT_OK, MissingExtraError, OutputError, UsageError
from firmware_bridge.text import printable

if TYPE_CHECKING:
    from edge.collect.counts import Counts
    from edge.collect.stores import Store
    from edge.collect.subscription import Subscription


def main(argv: Sequence[str]) -> int:
    """Run the command; see ``anyecg collect --help``."""
    args = _parser().parse_args(argv)
    keep = parse_keep(args.keep)
    if keep.max_bytes is not None:
        raise UsageError(f"--keep {args.keep}: a store has a limit of age only", "write --keep 90d, or all")
    if args.broker is not None and args.tidy:
        raise UsageError("--tidy cannot be used with a broker", "stop the collector, then run it with --to alone")
    if (args.broker is None) == (not args.folders) and not args.tidy:
        raise UsageError(
            "name either a broker or, with --from, session folders", "anyecg collect mqtts://USER@HOST/PREFIX --to ..."
        )
    if args.patch is not None and slug(args.patch) != args.patch:
        raise UsageError(f"--patch {args.patch}: not the name of a patch", "use lower-case letters, digits and '_'")
    store = open_store(args.to, keep.max_age_s)
    if args.broker is None:
        counts, code = _import(args, store)
    else:
        counts, code = _collect(args, store)
    if args.json:
        write_json(counts.as_dict() | {"store": store.place})
    else:
        sys.stdout.write(counts.text(printable(store.place)))
    return code


def _parser() -> argparse.ArgumentParser:
    p = Parser("anyecg collect", "Store what patches publish to a broker, or session folders, in a database.")
    p.add_argument("broker", metavar="BROKER", nargs="?", help="mqtts://USER@HOST:PORT/PREFIX[?ca=FILE&name=NAME]")
    p.add_argument(
        "--to", metavar="STORE", required=True, help="sqlite:FILE, postgresql://USER@HOST/DATABASE or parquet:DIR"
    )
    p.add_argument(
        "--from",
        dest="folders",
        metavar="FOLDER",
        type=Path,
        nargs="+",
        help="add what these session folders hold, instead of collecting from a broker",
    )
    p.add_argument("--patch", metavar="NAME", help="with --from: the patch of sessions that do not say it")
    p.add_argument(
        "--keep", metavar="AGE", default="all", help="age at which estimates are removed: 90d, 12h, all (default all)"
    )
    p.add_argument("--tidy", action="store_true", help="remove what is too old and merge all Parquet files now")
    p.add_argument("--seconds", metavar="S", type=positive, help="end after this time (default: run until stopped)")
    p.add_argument(
        "--progress", metavar="S", type=_interval, default=60.0, help="seconds between two progress lines; 0 for none"
    )
    add_json(p)
    return p


def _interval(text: str) -> float:
    """Parse a positive number, or 0 for none."""
    return 0.0 if text == "0" else positive(text)


def _collect(args: argparse.Namespace, store: Store) -> tuple[Counts, int]:
    from edge.collect.collector import Collector

    broker = Broker.parse(args.broker)
    if (broker.discovery, broker.every_s) != (DISCOVERY, EVERY_S):
        raise UsageError("discovery= and every= belong to --mqtt of 'anyecg run'", "remove them from the URL")
    if find_spec("paho") is None:
        raise MissingExtraError("'anyecg collect'", "collect")
    password, context = access(broker)
    client_id = f"anyecg-collect-{slug(broker.name or broker.prefix)}"
    topics = [f"{broker.prefix}/+/estimate", f"{broker.prefix}/+/availability"]

    def subscribe() -> Subscription:
        from edge.collect.subscription import Subscription

        return Subscription(broker, password, context, client_id, topics, store.most)

    collector = Collector(subscribe, broker.prefix, store, _say, args.progress)
    code = _until_signal(collector.stop, lambda: collector.run(args.seconds))
    return collector.counts, code


def _import(args: argparse.Namespace, store: Store) -> tuple[Counts, int]:
    from edge.collect.backfill import backfill

    stop: list[object] = []
    found: list[Counts] = []

    def run() -> None:
        try:
            store.open()
            found.append(backfill(args.folders or [], store, args.patch, _say, lambda: bool(stop)))
            if args.tidy:
                store.tend(everything=True)
        except StoreDownError as error:
            raise OutputError(f"{store.place}: {error}", "check that it is running and may be written") from None
        finally:
            store.close()

    code = _until_signal(lambda: stop.append(True), run)
    return found[0], code


def _until_signal(stop: Callable[[], object], run: Callable[[], None]) -> int:
    """Run something that a signal asks to stop, and return the exit code."""
    came: list[signal.Signals] = []

    def note(number: signal.Signals) -> None:
        came.append(number)
        stop()

    stopper = Stopper(note)
    stopper.install()
    try:
        run()
    finally:
        stopper.remove()
    return EXIT_CODES[came[0]] if came else EXIT_OK


def _say(line: str) -> None:
    with suppress(OSError, ValueError):  # a closed standard error must not end a service
        sys.stderr.write(f"{time.strftime('%H:%M:%S')} {printable(line)}\n")
        sys.stderr.flush()
