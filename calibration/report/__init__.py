"""Parts of reports that validation and evaluation share: HTML, text and plots."""

from __future__ import annotations

from typing import TYPE_CHECKING

from firmware_bridge.lazy import lazy_face

if TYPE_CHECKING:
    from calibration.report.files import write_report
    from calibration.report.page_html import html_page

__all__ = ["html_page", "write_report"]

if not TYPE_CHECKING:
    __getattr__, __dir__ = lazy_face(
        __name__,
        {
            "html_page": "page_html",
            "write_report": "files",
        },
    )
