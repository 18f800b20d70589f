"""A source of another package: checked, and with its errors in one line that names the package."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import cast

from edge.sources import Source, SourceInfo, SourceUrl
from firmware_bridge.plugins import Plugin
from firmware_bridge.samples import LinkItem


def open_plugin(url: SourceUrl, plugin: Plugin) -> Source:
    """Open a source of another package.

    Raises:
        PluginError: The package is broken, or what it returns is not a source.
        AnyEcgError: The source refuses the URL.
    """
    opener = plugin.load()
    if not callable(opener):
        raise plugin.error(f"is {type(opener).__name__!r}, not a function that takes a SourceUrl")
    with plugin.guard("cannot be opened"):
        source = opener(url)
        info = getattr(source, "info", None)
    if not isinstance(info, SourceInfo) or not callable(getattr(source, "items", None)):
        raise plugin.error("returns no edge.sources.Source")
    # A source of bytes stays as it is, so that record: can record it.
    from edge.sources.wire import WireSource

    return source if isinstance(source, WireSource) else PluginSource(cast("Source", source), plugin)


class PluginSource:
    """A source of another package.

    Args:
        source: The source.
        plugin: Where it comes from.
    """

    def __init__(self, source: Source, plugin: Plugin) -> None:
        self._source, self._plugin = source, plugin

    @property
    def info(self) -> SourceInfo:
        """The description of the source."""
        return self._source.info

    async def items(self) -> AsyncIterator[LinkItem]:
        """Yield all items.

        Raises:
            PluginError: The source raised an error that is not of the kit's tree.
        """
        with self._plugin.guard():
            async for item in self._source.items():
                yield item

    async def close(self) -> None:
        """Close the source."""
        with self._plugin.guard():
            await self._source.close()
