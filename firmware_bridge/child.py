"""The environment of child processes: what they need, and no secret."""

from __future__ import annotations

import os
import re
from pathlib import Path

_SECRET = re.compile(
    r"PASSW|PASSPHRASE|SECRET|CREDENTIAL|(^|_)TOKENS?(_|$)|(API|ACCESS|PRIVATE)_?KEY|_KEY$", re.IGNORECASE
)
"""Names such as ``ANYECG_MQTT_PASSWORD``, systemd's ``CREDENTIALS_DIRECTORY`` and ``AWS_SECRET_ACCESS_KEY``."""


def child_environment(**more: str) -> dict[str, str]:
    """Return the environment of this process without variables that, by their names, hold secrets.

    Args:
        more: Variables to add.
    """
    return {name: value for name, value in os.environ.items() if not _SECRET.search(name)} | more


def module_environment() -> dict[str, str]:
    """Return the environment for this interpreter to run a module of the kit, also from a checkout."""
    root = str(Path(__file__).resolve().parents[1])
    paths = [path for path in (root, os.environ.get("PYTHONPATH", "")) if path]
    return child_environment(PYTHONPATH=os.pathsep.join(paths))
