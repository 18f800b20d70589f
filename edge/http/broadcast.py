"""The updates of all viewers: made once, sent to all viewers; one that falls behind gets the whole state again."""

from __future__ import annotations

from collections.abc import Sequence

from edge.api.version import __version__
from edge.http import view
from edge.http.connection import Connection
from edge.http.patch import PatchSink
from edge.http.response import event

STATE_EVERY_S = 0.5
"""Shortest time between two states of a patch, s."""
HOST_EVERY_S = 5.0
"""Time between two reports of the memory, s. They also find out which viewers have gone."""


class Broadcast:
    """Makes and sends updates. All calls come from the thread of the server.

    Attributes:
        dropped: Updates that slow viewers did not get.
    """

    def __init__(self) -> None:
        self.dropped = 0
        self._shown: list[int] = []
        self._links: dict[int, str] = {}
        self._state_s = self._host_s = 0.0

    def send(self, patches: Sequence[PatchSink], viewers: Sequence[Connection], now_s: float) -> None:
        """Send the newest to all viewers.

        Args:
            patches: The patches.
            viewers: The viewers.
            now_s: Monotonic time, s.
        """
        if [patch.number for patch in patches] != self._shown:
            self._shown = [patch.number for patch in patches]
            for viewer in viewers:
                viewer.behind = True
        update = self._update(patches, len(viewers), now_s)
        whole = b""
        for viewer in viewers:
            if viewer.behind:
                if viewer.waiting:
                    self.dropped += bool(update)
                    continue
                whole = whole or self._whole(patches, len(viewers))
                viewer.behind = False
                viewer.push(whole)
            elif update and not viewer.push(update):
                self.dropped += 1

    def farewell(self) -> bytes:
        """Return the last event: the program ends."""
        return event("end", "{}")

    def _update(self, patches: Sequence[PatchSink], viewers: int, now_s: float) -> bytes:
        signals, states = [], []
        with_state = now_s >= self._state_s
        for patch in patches:
            with patch.lock:
                pieces, beats_s = patch.take()
                if pieces or beats_s:
                    signals.append(view.signal(patch, pieces, beats_s))
                if with_state and self._state_changed(patch):
                    states.append(view.state(patch))
        out = b""
        if signals:
            out += event("signal", view.text(signals))
        if states:
            self._state_s = now_s + STATE_EVERY_S
            out += event("state", view.text(states))
        if now_s >= self._host_s:
            self._host_s = now_s + HOST_EVERY_S
            out += event("host", view.text(view.host(viewers)))
        return out

    def _state_changed(self, patch: PatchSink) -> bool:
        link = patch.state.link_now()[0]
        changed = patch.changed or self._links.get(patch.number) != link
        self._links[patch.number] = link
        patch.changed = False
        return changed

    def _whole(self, patches: Sequence[PatchSink], viewers: int) -> bytes:
        entries, signals = [], []
        for patch in patches:
            with patch.lock:
                entries.append(view.about(patch) | {"state": view.state(patch)})
                signals.append(view.signal(patch, list(patch.recent), list(patch.state.beats_s)))
        page = {"version": __version__, "host": view.host(viewers), "patches": entries}
        return event("page", view.text(page)) + event("signal", view.text(signals))
