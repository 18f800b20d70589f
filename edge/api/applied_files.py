"""The files about the board and its wearer that a stream applies."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from edge.session import session_info

if TYPE_CHECKING:
    from edge.engine import SessionInfo
    from edge.records import Applied
    from edge.sources import Source, SourceInfo


class AppliedFiles:
    """Applies a device profile and a baseline to every iteration over a stream.

    Args:
        device_profile: File of the device profile; ``None`` for none.
        baseline: File of the wearer's baseline; ``None`` for none.

    Raises:
        UsageError: A file is not what it should be; it is read before a source is opened.
    """

    def __init__(self, device_profile: str | Path | None, baseline: str | Path | None) -> None:
        self._profile = None if device_profile is None else Path(device_profile)
        self._baseline = None if baseline is None else Path(baseline)
        self._applied: dict[str, Applied] = {}
        if self._profile is not None:
            from edge.device_profile import load_profile

            load_profile(self._profile)
        if self._baseline is not None:
            from edge.baseline.file import load_baseline

            load_baseline(self._baseline)

    def opener(self, plain: Callable[[], Source]) -> Callable[[], Source]:
        """Return a function that opens a source with the device profile."""
        path = self._profile
        if path is None:
            return plain
        from edge.device_profile import profiled

        return lambda: profiled(plain(), path, self._applied)

    def session(self, source: Source) -> SessionInfo:
        """Return what the estimates of one iteration carry."""
        applied = dict(self._applied)
        session = replace(session_info(source), applied=applied)
        if self._baseline is None:
            return session
        from edge.baseline.start import compared

        return replace(session, trend=compared(source.info, self._baseline, applied)[0])

    def noted(self, info: SourceInfo) -> SourceInfo:
        """Return what is known about a source, with the notes of the baseline."""
        if self._baseline is None:
            return info
        from edge.baseline.start import compared

        return replace(info, notes=(*info.notes, *compared(info, self._baseline, dict(self._applied))[1]))
