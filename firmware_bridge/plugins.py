"""Devices, sources and sinks of other packages, found by their entry points.

A package offers them in its ``pyproject.toml``, in one of the groups below; see ``docs/plugins.md``. Nothing is
searched until a name is asked for that the kit does not have itself, so a run without plugins pays nothing. A name of
the kit is never replaced, and a name that two packages offer is refused. A plugin is code of a package that the user
installed: it runs with all rights of the user, like any other package.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from firmware_bridge.errors import AnyEcgError, PluginError

DEVICES = "anyecg.devices"
"""Group of devices: name -> a ``firmware_bridge.devices.Device`` whose profile has that name."""
SOURCES = "anyecg.sources"
"""Group of sources: URL scheme -> a function that takes an ``edge.sources.SourceUrl`` and returns a ``Source``."""
SINKS = "anyecg.sinks"
"""Group of sinks: name -> a function that takes the text after ``NAME:`` in ``--sink`` and returns a ``Sink``."""

KINDS = {DEVICES: "device", SOURCES: "source", SINKS: "sink"}

NAME = re.compile(r"[a-z][a-z0-9_+.-]{1,63}", re.ASCII)
"""A name; not one letter, which would be the drive of a path on Windows."""


@dataclass(frozen=True, slots=True)
class Plugin:
    """A name that an installed package offers.

    Attributes:
        group: `DEVICES`, `SOURCES` or `SINKS`.
        name: The name, in lower case; of a device with underscores.
        package: Name of the package.
        version: Version of the package.
        target: ``module:object``.
    """

    group: str
    name: str
    package: str
    version: str
    target: str

    @property
    def text(self) -> str:
        """Kind, name and package, for messages."""
        return f"{KINDS[self.group]} {self.name!r} of the package {self.package} {self.version}"

    def load(self) -> object:
        """Import the object.

        Raises:
            PluginError: It cannot be imported.
        """
        from importlib.metadata import EntryPoint

        with self.guard("cannot be loaded"):
            found: object = EntryPoint(self.name, self.target, self.group).load()
        return found

    @contextmanager
    def guard(self, what: str = "failed") -> Iterator[None]:
        """Turn any error of the plugin, except those of the kit's tree, into one that names its package.

        Raises:
            PluginError: The plugin raised.
        """
        try:
            yield
        except AnyEcgError:
            raise
        except (Exception, SystemExit) as error:
            raise self.error(f"{what}: {type(error).__name__}: {error}") from error

    def error(self, what: str) -> PluginError:
        """Return the error for a fault of this plugin."""
        return PluginError(f"the {self.text} {what}", self.package)


def found(group: str) -> list[Plugin]:
    """Return everything that installed packages offer in a group, by name and package."""
    from importlib.metadata import entry_points

    out = set()
    for entry in entry_points(group=group):
        package = entry.dist.name if entry.dist is not None else entry.module.partition(".")[0]
        version = entry.dist.version if entry.dist is not None else "?"
        out.add(Plugin(group, _normal(group, entry.name), package, version, entry.value))
    return sorted(out, key=lambda one: (one.name, one.package))


def find(group: str, name: str) -> Plugin | None:
    """Return the plugin of that name; ``None`` if no package offers it.

    Raises:
        PluginError: Several packages offer it.
    """
    wanted = _normal(group, name)
    if not NAME.fullmatch(wanted):
        return None
    offered = [one for one in found(group) if one.name == wanted]
    if len(offered) > 1:
        others = " and ".join(one.package for one in offered)
        raise PluginError(f"the packages {others} all offer the {KINDS[group]} {wanted!r}", others)
    return offered[0] if offered else None


def refused(group: str, own: Collection[str]) -> dict[str, PluginError]:
    """Return the names of a group that cannot be used, each with the reason.

    Args:
        group: The group.
        own: Names that the kit has itself.
    """
    out: dict[str, PluginError] = {}
    for one in found(group):
        if one.name in own:
            out[one.name] = one.error(f"is ignored: the kit has a {KINDS[group]} of that name itself")
        elif not NAME.fullmatch(one.name):
            out[one.name] = one.error("is ignored: its name must be lower-case letters, digits and _+.-")
        try:
            find(group, one.name)
        except PluginError as error:
            out.setdefault(one.name, error)
    return out


def _normal(group: str, name: str) -> str:
    lower = name.strip().lower()
    return lower.replace("-", "_") if group == DEVICES else lower
