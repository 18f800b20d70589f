"""What other packages offer, as the help of ``anyecg run`` and ``anyecg devices`` show it."""

from __future__ import annotations

from argparse import ArgumentParser

from firmware_bridge import plugins
from firmware_bridge.plugins import KINDS, Plugin

USE = {plugins.DEVICES: "device={}", plugins.SOURCES: "--source {}:...", plugins.SINKS: "--sink {}:..."}
"""How a name is used, by group."""


def offered() -> list[Plugin]:
    """Return everything that other packages offer, broken or not."""
    return [one for group in KINDS for one in plugins.found(group)]


def with_plugins(parser: ArgumentParser) -> None:
    """Let a parser list the sources and sinks of other packages at the end of its help."""
    lines = [
        f"{KINDS[one.group]} {USE[one.group].format(one.name)} ({one.package} {one.version})"
        for one in offered()
        if one.group != plugins.DEVICES
    ]
    if lines:
        parser.epilog = f"From other packages: {'; '.join(lines)}. {parser.epilog or ''}"
