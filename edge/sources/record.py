"""``record:FILE,INNER_URL``: any live source, with its raw bytes recorded in a file that ``replay:`` can play."""

from __future__ import annotations

from pathlib import Path

from edge.sources import Source, SourceUrl, open_source
from edge.sources.wire import WireSource
from firmware_bridge.errors import UsageError
from firmware_bridge.rawlog import SUFFIX


def open_record(url: SourceUrl) -> Source:
    """Return the inner source with recording switched on. The file is created at once, so a wrong name fails early.

    Raises:
        UsageError: The URL is invalid, or the inner source has no bytes to record.
        OutputError: The file cannot be created.
    """
    name, comma, inner = url.rest.partition(",")
    if not name or not comma:
        raise UsageError(f"{url.text!r} is incomplete", f"write record:FILE{SUFFIX},SOURCE")
    source = open_source(inner)
    if not isinstance(source, WireSource):
        raise UsageError(f"{inner!r} cannot be recorded", "record: takes live sources such as serial: and sim:")
    source.record(Path(name).expanduser())
    return source
