"""The validation report as files: one self-contained HTML page and the same report as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from calibration.report.page_html import html_page
from convert.bundle.writer import to_json
from edge.process.files import write_files


def write_report(report: Mapping[str, Any], out: Path) -> list[Path]:
    """Write ``validation.html`` and ``validation.json``.

    Raises:
        OutputError: The files cannot be written.
    """
    return write_files(out, report_files(report), advice="choose another --out")


def report_files(report: Mapping[str, Any]) -> dict[str, bytes]:
    """Return the files of the report by name."""
    return {"validation.html": html_page(report).encode(), "validation.json": to_json(report)}
