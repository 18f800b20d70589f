"""Sources of samples, named by a URL ``scheme:path?key=value&...``. Each scheme has one module, imported on use."""

from __future__ import annotations

import hashlib
import importlib
import math
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, cast, runtime_checkable
from urllib.parse import unquote

from edge.sources.decided import Decided
from firmware_bridge.errors import UsageError
from firmware_bridge.samples import LinkItem
from firmware_bridge.suggest import did_you_mean

if TYPE_CHECKING:
    from firmware_bridge.plugins import Plugin

__all__ = ["SCHEMES", "Source", "SourceInfo", "SourceUrl", "open_source", "plugin_source", "session_name"]

SCHEMES: dict[str, str] = {
    "serial": "edge.sources.serial:open_serial",
    "ble": "edge.sources.ble:open_ble",
    "tcp": "edge.sources.tcp:open_tcp",
    "sim": "edge.sources.sim:open_sim",
    "record": "edge.sources.record:open_record",
    "replay": "edge.sources.replay.source:open_replay",
}
"""Maps a scheme to ``module:function``; the function takes a `SourceUrl` and returns a `Source`."""

_PLUGIN = "edge.sources.plugin:open_plugin"
"""Opens a source of another package; takes the package, too."""

URL_MAX = 4096
"""Longest source URL, characters."""


@dataclass(frozen=True, slots=True)
class SourceInfo:
    """What is known about a source before its first sample.

    Attributes:
        url: The URL as the user wrote it.
        device: Name of the device or recording, for people and records.
        live: Whether bytes come from a device now; ``False`` for a recording or simulation, which can be repeated.
        host_clock: Whether ``arrival_ns`` is the monotonic clock of this host, so that latencies can be measured from
            it; ``False`` if it is the clock of a recording or derived from signal time.
        fs_hz: Nominal sampling rate, Hz; ``None`` if only the device knows it.
        session: Identifier that the source carries; ``None`` if it has none.
        arrival_timed: Whether ``arrival_ns`` is the real arrival time, now or at the time of recording, which separates
            silence on the link from a gap in the samples.
        start_unix_ns: Wall clock at the beginning of a recording, Unix ns; ``None`` if unknown.
        start_host_ns: The ``arrival_ns`` that corresponds to ``start_unix_ns``.
        leads: Names of the leads in the recording; empty if unknown.
        lead: Name of the lead that is read.
        notes: Warnings to show once.
        decided: What the reader of a recording decided, and why; ``None`` for a device or simulation.
        of_device: Whether a decoder of the kit reads what a device sent, now or when it was recorded.
        band_hz: Pass band of the device, Hz; ``None`` if it is unknown or the device itself reports it.
    """

    url: str
    device: str
    live: bool
    host_clock: bool
    fs_hz: float | None = None
    session: str | None = None
    arrival_timed: bool = False
    start_unix_ns: int | None = None
    start_host_ns: int = 0
    leads: tuple[str, ...] = ()
    lead: str | None = None
    notes: tuple[str, ...] = ()
    decided: Decided | None = None
    of_device: bool = False
    band_hz: tuple[float, float] | None = None


class Source(Protocol):
    """A stream of sample blocks and link events."""

    @property
    def info(self) -> SourceInfo:
        """The description of the source, available before the first sample."""
        ...

    def items(self) -> AsyncIterator[LinkItem]:
        """Yield all items in order; a finite source ends with an END event. Call it once.

        Raises:
            LinkError: The device cannot be opened, and waiting would not help or is disabled.
            InputError: A recording cannot be read.
            OutputError: A recording cannot be written (`record:`).
        """
        ...

    async def close(self) -> None:
        """Close the device and all files. It may be called twice."""
        ...


@runtime_checkable
class Watched(Protocol):
    """A source that knows whether it is stuck."""

    def stuck(self) -> bool:
        """Return whether the source still handles the item that it handled at the last call."""
        ...


@runtime_checkable
class Gathering(Protocol):
    """A source that can read its device less often than data arrive."""

    def gather(self, seconds: float) -> bool:
        """Read a stream at most once in that time, if the link can.

        Args:
            seconds: The time by which items may come later, s.

        Returns:
            Whether the link does it.
        """
        ...


@dataclass(frozen=True, slots=True)
class SourceUrl:
    """A parsed source URL.

    Attributes:
        text: The URL as the user wrote it.
        scheme: The scheme in lower case.
        rest: Everything after ``scheme:``.
        path: ``rest`` up to the first ``?``; taken literally (a file name may hold a percent sign).
        params: The query, percent-decoded; a key without ``=`` has the value ``"1"``.
    """

    text: str
    scheme: str
    rest: str
    path: str
    params: dict[str, str] = field(default_factory=dict)

    @classmethod
    def parse(cls, text: str) -> SourceUrl:
        """Parse a URL.

        Raises:
            UsageError: The scheme is missing or unknown, a key occurs twice, or the URL is too long.
            PluginError: Several packages offer the scheme.
        """
        scheme, colon, rest = text.partition(":")
        scheme = scheme.strip().lower()
        if len(text) > URL_MAX:
            raise UsageError(f"the source URL is longer than {URL_MAX} characters", "shorten it")
        if not colon or (scheme not in SCHEMES and plugin_source(scheme) is None):
            raise UsageError(f"{text!r} is not a source URL", _probably(text))
        path, _mark, query = rest.partition("?")
        params: dict[str, str] = {}
        for part in filter(None, query.split("&")):
            key, equals, value = part.partition("=")
            key = unquote(key).strip().lower()
            if key in params:
                raise UsageError(f"{text!r} has the key {key!r} twice", "keep one")
            params[key] = unquote(value) if equals else "1"
        return cls(text, scheme, rest, path, params)

    @classmethod
    def of_file(cls, path: str, **params: str) -> SourceUrl:
        """Return the replay of a recording whose name may have any characters.

        Args:
            path: The recording.
            params: Keys of the URL, such as ``speed``.
        """
        return cls(f"replay:{path}", "replay", path, path, params)

    def only(self, *allowed: str) -> None:
        """Refuse keys that the source does not know.

        Raises:
            UsageError: The URL has an unknown key; the message lists the known ones.
        """
        for key in self.params:
            if key not in allowed:
                raise UsageError(
                    f"{self.scheme}: does not know {key!r}",
                    f"{did_you_mean(key, allowed)}known keys: {', '.join(sorted(allowed)) or 'none'}",
                )

    def number(self, key: str, default: float, low: float = -math.inf, high: float = math.inf) -> float:
        """Return a finite number from the query.

        Raises:
            UsageError: The value is not a number, or outside ``low`` to ``high``.
        """
        text = self.params.get(key)
        if text is None:
            return default
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            raise UsageError(f"{key}={text!r} in {self.text!r} is not a number")
        if not low <= value <= high:
            raise UsageError(f"{key}={text} in {self.text!r} is outside {low:g} to {high:g}")
        return value

    def integer(self, key: str, default: int, low: int, high: int) -> int:
        """Return a whole number from the query.

        Raises:
            UsageError: The value is not a whole number, or outside ``low`` to ``high``.
        """
        value = self.number(key, default, low, high)
        if value != int(value):
            raise UsageError(f"{key}={self.params[key]} in {self.text!r} is not a whole number")
        return int(value)

    def speed(self, default: float) -> float:
        """Return the ``speed`` key: a factor of real time, or infinity for ``max``, without any waiting.

        Raises:
            UsageError: The value is neither.
        """
        if self.params.get("speed", "").lower() == "max":
            return math.inf
        return self.number("speed", default, 0.01, 10_000.0)

    def flag(self, key: str, *, default: bool) -> bool:
        """Return a switch from the query: ``1``, ``yes``, ``true``, ``on`` or their opposites.

        Raises:
            UsageError: The value is neither.
        """
        text = self.params.get(key)
        if text is None:
            return default
        if text.lower() in {"1", "yes", "true", "on"}:
            return True
        if text.lower() in {"0", "no", "false", "off"}:
            return False
        raise UsageError(f"{key}={text!r} in {self.text!r} is neither 1 nor 0")


def _probably(text: str) -> str:
    from edge.sources.suggest import source_for

    schemes = _schemes()
    found = source_for(text, schemes)
    known = f"known schemes: {', '.join(schemes)}"
    return f"did you mean '{found}'?; {known}" if found else f"{known}; 'anyecg scan' lists the patches that it finds"


def session_name(info: SourceInfo) -> str:
    """Return the name of a session: random for a device, always the same for a recording or simulation.

    The speed of a replay does not change the name, because the estimates do not depend on it either.
    """
    if info.session:
        return info.session
    if info.live:
        return os.urandom(6).hex()
    path, _mark, query = info.url.partition("?")
    kept = sorted(part for part in query.split("&") if part and not part.lower().startswith("speed="))
    return hashlib.sha256("&".join([path, *kept]).encode("utf-8", "replace")).hexdigest()[:12]


def open_source(url: str | SourceUrl) -> Source:
    """Return the source that a URL names. A file may be opened here; a device is opened with the first item.

    Raises:
        UsageError: The URL is invalid.
        InputError: A recording cannot be opened.
        MissingExtraError: The scheme needs a library that is not installed.
        PluginError: Another package offers the scheme and is broken.
    """
    parsed = SourceUrl.parse(url) if isinstance(url, str) else url
    plugin = None if parsed.scheme in SCHEMES else plugin_source(parsed.scheme)
    module, _colon, function = (SCHEMES[parsed.scheme] if plugin is None else _PLUGIN).partition(":")
    opener = getattr(importlib.import_module(module), function)
    return cast("Source", opener(parsed) if plugin is None else opener(parsed, plugin))


def plugin_source(scheme: str) -> Plugin | None:
    """Return the source of another package with that scheme; ``None`` if there is none.

    Raises:
        PluginError: Several packages offer it.
    """
    # Imported here, because a run with a source of the kit must not pay for it.
    from firmware_bridge import plugins

    return plugins.find(plugins.SOURCES, scheme)


def _schemes() -> list[str]:
    from firmware_bridge import plugins

    return sorted({*SCHEMES, *(one.name for one in plugins.found(plugins.SOURCES))})
