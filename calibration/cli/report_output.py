"""What commands that judge a model write at their end."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from edge.cli.parser import write_json


def write_report_text(
    report: Mapping[str, Any], text: Callable[[Any], str], files: Sequence[Path], *, as_json: bool
) -> None:
    """Write a report as text with its files, or as the JSON that one of the files holds."""
    if as_json:
        write_json(report)
    else:
        sys.stdout.write(text(report) + "".join(f"{path}\n" for path in files))
