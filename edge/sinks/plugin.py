"""``--sink NAME:REST``: a sink of another package, with its errors in one line that names the package."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from edge.sinks import Sink
from firmware_bridge import plugins
from firmware_bridge.errors import AnyEcgError, OutputError, UsageError
from firmware_bridge.plugins import Plugin

if TYPE_CHECKING:
    from edge.records import Estimate, RunSummary
    from firmware_bridge.samples import LinkEvent

METHODS = ("open", "estimate", "event", "signal", "beat", "close")


def open_sink(url: str) -> Sink:
    """Return the sink that ``NAME:REST`` names; it is opened by the run.

    Raises:
        UsageError: No installed package offers such a sink.
        PluginError: The package is broken, or what it returns is not a sink.
        AnyEcgError: The sink refuses the text.
    """
    name, _colon, rest = url.partition(":")
    plugin = plugins.find(plugins.SINKS, name)
    if plugin is None:
        known = ", ".join(sorted({one.name for one in plugins.found(plugins.SINKS)}))
        fix = f"installed: {known}" if known else "install a package that offers it; see docs/plugins.md"
        raise UsageError(f"no installed package offers the sink {name!r}", fix)
    factory = plugin.load()
    if not callable(factory):
        raise plugin.error(f"is {type(factory).__name__!r}, not a function that takes a text")
    with plugin.guard("cannot be opened"):
        sink = factory(rest)
    missing = [method for method in METHODS if not callable(getattr(sink, method, None))]
    if missing:
        raise plugin.error(f"returns no edge.sinks.Sink: it has no method {missing[0]!r}")
    return PluginSink(sink, plugin)


class PluginSink:
    """A sink of another package. An error in it ends the run like that of any other sink.

    Args:
        sink: The sink.
        plugin: Where it comes from.
    """

    def __init__(self, sink: Sink, plugin: Plugin) -> None:
        self._sink, self._plugin = sink, plugin

    def open(self) -> None:
        """Open the sink."""
        with self._guard():
            self._sink.open()

    def estimate(self, e: Estimate) -> None:
        """Give the estimate to the sink."""
        with self._guard():
            self._sink.estimate(e)

    def event(self, ev: LinkEvent) -> None:
        """Give the event to the sink."""
        with self._guard():
            self._sink.event(ev)

    def signal(self, samples: NDArray[np.float64], fs_hz: float, start_s: float) -> None:
        """Give filtered signal to the sink."""
        with self._guard():
            self._sink.signal(samples, fs_hz, start_s)

    def beat(self, t_s: float) -> None:
        """Give the beat to the sink."""
        with self._guard():
            self._sink.beat(t_s)

    def close(self, summary: RunSummary | None) -> None:
        """Close the sink."""
        with self._guard():
            self._sink.close(summary)

    @contextmanager
    def _guard(self) -> Iterator[None]:
        try:
            yield
        except AnyEcgError:
            raise
        except Exception as error:
            what = f"the {self._plugin.text} failed: {type(error).__name__}: {error}"
            raise OutputError(what, f"update or uninstall {self._plugin.package}, or leave out --sink") from error
