"""The report as files: one HTML page that needs nothing beside it, and its JSON twin."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from calibration.report.page_html import html_page
from convert.bundle.writer import to_json
from firmware_bridge.errors import OutputError


def write_report(report: Mapping[str, Any], out: Path) -> list[Path]:
    """Writes ``validation.html`` and ``validation.json``.

    Raises:
        OutputError: They cannot be written.
    """
    return write_files(report_files(report), out)


def write_files(files: Mapping[str, bytes], out: Path) -> list[Path]:
    """Writes files into a folder, each whole or not at all.

    Raises:
        OutputError: They cannot be written.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        for name, data in files.items():
            partial = out / f".{name}.part"
            try:
                partial.write_bytes(data)
                partial.replace(out / name)
            finally:
                partial.unlink(missing_ok=True)
    except OSError as error:
        raise OutputError(f"cannot write to {out}: {error.strerror or error}", "name another --out") from error
    return [out / name for name in files]


def report_files(report: Mapping[str, Any]) -> dict[str, bytes]:
    """The report by file name."""
    return {"validation.html": html_page(report).encode(), "validation.json": to_json(report)}
