"""Options of a service, written to a file and checked."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge.cli.service import check_options
from firmware_bridge.errors import UsageError


def check(folder: Path, lines: str, said: str | None) -> None:
    """Check that options are accepted, or refused with ``said``."""
    options = folder / "bedroom.toml"
    options.write_text(f'source = "sim:"\n{lines}')
    if said is None:
        check_options(options)
        return
    with pytest.raises(UsageError, match=said):
        check_options(options)
