"""What ``anyecg run`` makes of its options, for one patch and for several."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from edge.sources import Source, SourceUrl
from firmware_bridge.errors import UsageError

if TYPE_CHECKING:
    from edge.bundle.reader import Bundle
    from edge.engine import SessionInfo
    from edge.http.server import PageServer
    from edge.person import Anchoring
    from edge.records import Applied
    from edge.sinks import Sink

PATIENT = {"serial", "ble", "tcp"}
"""Schemes of the sources that wait for a device."""
RAW_HZ = 250.0
"""Sampling rate for the forecast of a raw recording, Hz."""


def plugin_sinks(urls: Sequence[str] | None) -> list[Sink]:
    """Return the sinks of other packages.

    Raises:
        AnyEcgError: One is not installed, broken, or refuses what it was given.
    """
    if not urls:
        return []
    from edge.sinks.plugin import open_sink

    return [open_sink(url) for url in urls]


def source_url(url: str, speed: str | None, record: str | None, *, wait: bool = False) -> SourceUrl:
    """Join ``--speed``, ``--record`` and ``--wait`` into the source URL.

    Raises:
        UsageError: The URL is invalid, or both it and ``--speed`` set a speed.
    """
    parsed = SourceUrl.parse(url)
    if speed is not None:
        if "speed" in parsed.params:
            raise UsageError("the speed is set in the source URL and with --speed", "set it once")
        url += ("&" if "?" in url else "?") + f"speed={speed}"
    device = SourceUrl.parse(parsed.rest.partition(",")[2]) if parsed.scheme == "record" and wait else parsed
    if wait and device.scheme in PATIENT and "wait" not in device.params:
        url += ("&" if "?" in url else "?") + "wait=always"
    if record is not None:
        path = record if record.endswith(".aer") else record + ".aer"
        if "," in path:
            raise UsageError(
                f"--record {record}: the name of a recording must not contain a comma", "choose another name"
            )
        url = f"record:{path},{url}"
    return SourceUrl.parse(url)


def anchored(path: Path, bundle: Bundle, out: dict[str, Applied]) -> Anchoring:
    """Load the person's results, and note them in ``out``."""
    from edge.person import Anchoring, applied, load_person, notes

    person = load_person(path)
    anchoring = Anchoring(person, bundle)
    out["person"] = applied(person, path)
    for note in notes(person, time.time_ns()):
        sys.stderr.write(f"note: {note}\n")
    return anchoring


def with_baseline(session: SessionInfo, source: Source, path: Path, out: dict[str, Applied]) -> SessionInfo:
    """Let a run compare its windows with a baseline, and note the file in ``out``.

    Args:
        session: What the estimates carry.
        source: The source.
        path: File of the baseline.
        out: The files that are applied, by kind.

    Raises:
        UsageError: The file is not a baseline.
    """
    from edge.baseline.start import compared

    trend, notes = compared(source.info, path, out)
    for note in notes:
        sys.stderr.write(f"note: {note}\n")
    return replace(session, trend=trend)


def write_notes(source: Source, name: str = "") -> None:
    """Say what the source has decided or warns of.

    Args:
        source: The source.
        name: Name of the patch; empty for none.
    """
    head = f"note: {name}: " if name else "note: "
    if source.info.decided is not None:
        sys.stderr.write(f"{head}reading {source.info.device}: {source.info.decided.line()}\n")
    for note in source.info.notes:
        sys.stderr.write(f"{head}{note}\n")


def page_of(args: argparse.Namespace) -> AbstractContextManager[PageServer | None]:
    """Return the page for ``--http`` as a context; entering it listens.

    Raises:
        UsageError: A token is given without a page.
    """
    if args.http is None:
        if args.http_token_file is not None:
            raise UsageError("--http-token-file needs a page", "add --http ADDRESS")
        return nullcontext()
    from edge.http.open import open_page

    return open_page(args.http, args.http_token_file, sys.stderr)
