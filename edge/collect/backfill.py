"""Session folders into a store, under the keys that their estimates have when they come from a broker."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, cast

from edge.collect.counts import Counts
from edge.collect.hops import PATCH, Event, Hop, RefusedError, event_of, hop_of_estimate
from edge.collect.stores import Batch, StoreDownError
from edge.sessions.folder import SessionFolder
from edge.sessions.listing import find_sessions
from firmware_bridge.errors import OutputError, UsageError

if TYPE_CHECKING:
    from edge.collect.stores import Store

LINKS = ("ble:", "serial:", "tcp:")
"""Beginnings of the source URLs of devices. The name of a recording may name a person, so it is not stored."""


def backfill(
    folders: list[Path], store: Store, patch: str | None, said: Callable[[str], None], stopped: Callable[[], bool]
) -> Counts:
    """Store what session folders hold. What the store has already stays as it is.

    Args:
        folders: Session folders, and folders that hold some.
        store: The store, open.
        patch: Name of the patch for sessions that do not say it; ``None`` to ask the store.
        said: Takes what happens, for people.
        stopped: Whether to end early.

    Raises:
        InputError: A folder cannot be read.
        UsageError: The name of the patch of a session is not known.
        OutputError: The store cannot be written.
    """
    counts = Counts()
    for folder in dict.fromkeys(path for given in folders for path in find_sessions(given)):
        session = SessionFolder(folder)
        before = counts.stored
        try:
            names = _patches(session, store, patch)
            for batch in _batches(session, names, store.most, counts):
                new = store.write(batch, lambda count, why: _refuse(counts, "database", why, said, count))
                counts.stored += new
                counts.known += len(batch.hops) - new
                if stopped():
                    return counts
        except StoreDownError as error:
            raise OutputError(f"{store.place}: {error}", "run the same command again when it is available") from None
        counts.patches |= set(names.values())
        damage = f"; {'; '.join(session.damage)}" if session.damage else ""
        said(f"{folder}: {counts.stored - before:,} new{damage}")
    return counts


def _patches(session: SessionFolder, store: Store, patch: str | None) -> dict[str, str]:
    """Return the patch of each run: as the run published, as the store knows it, or as the user says."""
    found: dict[str, str] = {}
    runs = session.about.get("runs")
    for run in runs if isinstance(runs, list) else ():
        name = run.get("patch") if isinstance(run, dict) else None
        if isinstance(name, str) and PATCH.fullmatch(name):
            found[str(run.get("session"))] = name
    for run_name in session.names:
        if run_name not in found:
            known = [patch] if patch is not None else store.patches_of(run_name)
            if len(known) != 1:
                raise UsageError(
                    f"{session.path}: run {run_name} does not say which patch it is of", "add --patch NAME"
                )
            found[run_name] = known[0]
    return found


def _batches(session: SessionFolder, patches: Mapping[str, str], most: int, counts: Counts) -> Iterator[Batch]:
    hops, events = _hops(session, patches, counts), _events(session, patches, counts)
    while some := list(islice(hops, most)):
        yield Batch(hops=some)
    while more := list(islice(events, most)):
        yield Batch(events=more)


def _hops(session: SessionFolder, patches: Mapping[str, str], counts: Counts) -> Iterator[Hop]:
    devices = _devices(session)
    for e in session.estimates():
        counts.messages += 1
        try:
            patch = patches[e.session]
            yield hop_of_estimate(patch, e, devices.get(e.session, patch))
        except KeyError:
            counts.refused["session"] += 1
        except RefusedError as error:
            counts.refused[error.kind] += 1


def _events(session: SessionFolder, patches: Mapping[str, str], counts: Counts) -> Iterator[Event]:
    for line in session.events():
        try:
            yield event_of(patches[str(line.get("session"))], line)
        except (KeyError, RefusedError):
            counts.refused["event"] += 1


def _devices(session: SessionFolder) -> dict[str, str]:
    runs = cast("list[dict[str, object]]", session.about["runs"])
    return {
        str(run["session"]): session.device
        for run in runs
        if isinstance(run, dict) and "session" in run and str(run.get("source")).startswith(LINKS)
    }


def _refuse(counts: Counts, kind: str, why: str, said: Callable[[str], None], count: int) -> None:
    counts.refused[kind] += count
    said(f"refused: {why}")
