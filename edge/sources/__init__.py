"""Where samples come from: ``scheme:path?key=value&...``, one module a scheme, loaded only when it is asked for."""

from __future__ import annotations

import hashlib
import importlib
import math
import os
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Protocol, cast
from urllib.parse import unquote

from firmware_bridge.errors import UsageError
from firmware_bridge.samples import LinkItem

__all__ = ["SCHEMES", "Source", "SourceInfo", "SourceUrl", "open_source", "session_name"]

SCHEMES: dict[str, str] = {
    "serial": "edge.sources.serial:open_serial",
    "ble": "edge.sources.ble:open_ble",
    "tcp": "edge.sources.tcp:open_tcp",
    "sim": "edge.sources.sim:open_sim",
    "record": "edge.sources.record:open_record",
    "replay": "edge.sources.replay.source:open_replay",
}
"""Scheme -> ``module:function``; the function takes a `SourceUrl` and gives a `Source`."""

URL_MAX = 4096
"""Characters; a longer one is a mistake."""


@dataclass(frozen=True, slots=True)
class SourceInfo:
    """What is known of a source before its first sample.

    Attributes:
        url: As the user wrote it.
        device: Name of the device or recording, for people and records.
        live: Bytes come from a device now. ``False``: a recording or simulation, which ends or could be had again.
        host_clock: ``arrival_ns`` is this host's monotonic clock now, so that latencies can be taken from it.
            ``False`` where it is the clock of a recording or derived from signal time.
        fs_hz: Nominal rate; ``None`` where the device has to tell.
        session: Identifier that the source carries; ``None`` where it has none.
        arrival_timed: ``arrival_ns`` tells when bytes really came, now or when they were recorded, so that silence on
            the link can be told from a gap in the samples.
        start_unix_ns: Wall clock at the beginning of a recording; ``None`` where unknown.
        start_host_ns: ``arrival_ns`` that ``start_unix_ns`` belongs to.
        leads: Names of the leads it holds; empty where unknown.
        lead: The one that is read.
        notes: Caveats to be shown once.
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


class Source(Protocol):
    """A stream of sample blocks and link events."""

    @property
    def info(self) -> SourceInfo:
        """What is known before the first sample."""
        ...

    def items(self) -> AsyncIterator[LinkItem]:
        """Everything in order; a finite source ends with an END event. Called once.

        Raises:
            LinkError: The device cannot be opened, and waiting would not help or was not wanted.
            InputError: A recording cannot be read.
            OutputError: A recording cannot be written (`record:`).
        """
        ...

    async def close(self) -> None:
        """Frees the device and closes files. May be called twice."""
        ...


@dataclass(frozen=True, slots=True)
class SourceUrl:
    """A parsed source URL.

    Attributes:
        text: As the user wrote it.
        scheme: Lower case.
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
        """Parses a URL.

        Raises:
            UsageError: No scheme, an unknown one, a key twice, or too long.
        """
        scheme, colon, rest = text.partition(":")
        scheme = scheme.strip().lower()
        if len(text) > URL_MAX:
            raise UsageError(f"the source URL is longer than {URL_MAX} characters")
        if not colon or scheme not in SCHEMES:
            hint = f"for a recording write replay:{text}" if not colon or "/" in scheme else f"not {scheme!r}"
            raise UsageError(f"{text!r} is no source URL", f"known schemes: {', '.join(sorted(SCHEMES))}; {hint}")
        path, _mark, query = rest.partition("?")
        params: dict[str, str] = {}
        for part in filter(None, query.split("&")):
            key, equals, value = part.partition("=")
            key = unquote(key).strip().lower()
            if key in params:
                raise UsageError(f"{key!r} stands twice in {text!r}")
            params[key] = unquote(value) if equals else "1"
        return cls(text, scheme, rest, path, params)

    def only(self, *allowed: str) -> None:
        """Refuses keys that the source does not know.

        Raises:
            UsageError: There is one; the message lists those there are.
        """
        for key in self.params:
            if key not in allowed:
                raise UsageError(
                    f"{self.scheme}: does not know {key!r}", f"known keys: {', '.join(sorted(allowed)) or 'none'}"
                )

    def number(self, key: str, default: float, low: float = -math.inf, high: float = math.inf) -> float:
        """A finite number from the query.

        Raises:
            UsageError: It is none, or outside ``low`` to ``high``.
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
        """A whole number from the query.

        Raises:
            UsageError: It is none, or outside ``low`` to ``high``.
        """
        value = self.number(key, default, low, high)
        if value != int(value):
            raise UsageError(f"{key}={self.params[key]} in {self.text!r} is not a whole number")
        return int(value)

    def speed(self, default: float) -> float:
        """The ``speed`` key: a factor of real time, or ``max`` (infinity) for no waiting at all.

        Raises:
            UsageError: It is neither.
        """
        if self.params.get("speed", "").lower() == "max":
            return math.inf
        return self.number("speed", default, 0.01, 10_000.0)

    def flag(self, key: str, *, default: bool) -> bool:
        """A switch: ``1``, ``yes``, ``true``, ``on`` or their opposites.

        Raises:
            UsageError: It is neither.
        """
        text = self.params.get(key)
        if text is None:
            return default
        if text.lower() in {"1", "yes", "true", "on"}:
            return True
        if text.lower() in {"0", "no", "false", "off"}:
            return False
        raise UsageError(f"{key}={text!r} in {self.text!r} is neither 1 nor 0")


def session_name(info: SourceInfo) -> str:
    """The name of a session from this source: random for a device; always the same for a recording or simulation.

    The speed of a replay has no part in it: estimates do not depend on it, and so neither does what they are called.
    """
    if info.session:
        return info.session
    if info.live:
        return os.urandom(6).hex()
    path, _mark, query = info.url.partition("?")
    kept = sorted(part for part in query.split("&") if part and not part.lower().startswith("speed="))
    return hashlib.sha256("&".join([path, *kept]).encode("utf-8", "replace")).hexdigest()[:12]


def open_source(url: str | SourceUrl) -> Source:
    """The source that a URL names. Devices and files are opened when its items are first asked for, or here.

    Raises:
        UsageError: The URL is wrong.
        InputError: A recording cannot be opened.
        MissingExtraError: The scheme needs a library that is not installed.
    """
    parsed = SourceUrl.parse(url) if isinstance(url, str) else url
    module, _colon, function = SCHEMES[parsed.scheme].partition(":")
    opener = cast("Callable[[SourceUrl], Source]", getattr(importlib.import_module(module), function))
    return opener(parsed)
