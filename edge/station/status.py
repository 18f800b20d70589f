"""How the patches of a station are, in one line for ``systemctl status``."""

from __future__ import annotations

from threading import Lock
from typing import TYPE_CHECKING

from edge.sinks import BaseSink
from edge.sinks.link import LinkStory
from edge.sinks.live.frame import clean
from edge.sinks.live.state import REASON_TEXT
from firmware_bridge.samples import LinkEventKind

if TYPE_CHECKING:
    from edge.records import Estimate
    from edge.sinks import Sink
    from firmware_bridge.samples import LinkEvent

MAX_SHOWN = 4
"""Most patches that the line describes one by one."""


class StationStatus:
    """Collects what each patch does. Any thread may call it."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._recording: dict[str, bool] = {}
        self._remarks: dict[str, str] = {}

    def patch(self, name: str, device: str) -> Sink:
        """Return a sink that follows one patch."""
        return _PatchStatus(self, name, device)

    def set(self, name: str, remark: str, *, recording: bool) -> None:
        """Set what a patch does.

        Args:
            name: Name of the patch.
            remark: What is worth saying about it; empty for nothing.
            recording: Whether its data arrive.
        """
        with self._lock:
            self._recording[name], self._remarks[name] = recording, clean(remark)

    def line(self) -> str:
        """Return the state of all patches in one line; those that do not record come first."""
        with self._lock:
            count, total = sum(self._recording.values()), len(self._recording)
            said = [(self._recording[name], name, remark) for name, remark in self._remarks.items() if remark]
        said.sort(key=lambda one: one[0])
        parts = [f"recording {count} of {total} patches"]
        parts += [f"{name}: {remark}" for _recording, name, remark in said[:MAX_SHOWN]]
        if len(said) > MAX_SHOWN:
            parts.append(f"and {len(said) - MAX_SHOWN} more")
        return "; ".join(parts)


class _PatchStatus(BaseSink):
    def __init__(self, status: StationStatus, name: str, device: str) -> None:
        self._status, self._name, self._device = status, name, device
        self._story = LinkStory()
        self._lost = False
        self._shown: object = None

    def open(self) -> None:
        self._set(f"waiting for {self._device}", recording=False)

    def estimate(self, e: Estimate) -> None:
        if e.abstained is None:
            self._lost = False
        if self._lost or e.abstained == self._shown:
            return
        remark = "" if e.abstained is None or e.abstained == "warming_up" else REASON_TEXT[e.abstained]
        self._set(remark, recording=True)
        self._shown = e.abstained

    def event(self, ev: LinkEvent) -> None:
        line = self._story.sentence(ev)
        if line is None:
            return
        self._lost = ev.kind is not LinkEventKind.CONNECTED
        self._set(line if self._lost else "", recording=not self._lost)

    def _set(self, remark: str, *, recording: bool) -> None:
        self._shown = None
        self._status.set(self._name, remark, recording=recording)
