"""The one place where the sinks of each patch of a station are made."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from edge.sinks import Sink
from edge.sinks.answer import AnswerSink
from edge.sinks.found import FoundSink
from edge.sinks.link import LinkSink
from edge.sinks.live.frame import clean
from edge.sinks.plain import EVERY_S, PlainSink
from edge.store.storage import Storage

if TYPE_CHECKING:
    from edge.bundle.reader import Bundle
    from edge.engine import SessionInfo
    from edge.http.server import PageServer
    from edge.sinks.live.table import TableSink
    from edge.sinks.mqtt.sink import MqttLink, MqttSink
    from edge.sources import Source
    from edge.station.options import PatchOptions
    from edge.station.shared import SharedSink
    from edge.station.status import StationStatus
    from edge.store.keep import Keep, Keeper
    from firmware_bridge.rawlog import RawLogWriter

LINES_A_S = 1.0
"""Most plain lines a second while nothing changes, of all patches together."""


@dataclass(slots=True, eq=False)
class PatchSinks:
    """Makes the sinks of each patch; what all patches share is made before.

    Attributes:
        bundle: The bundle that makes the estimates.
        hop_s: Seconds between estimates.
        patches: Number of patches.
        folders: Session folder of each patch by name; empty for none.
        keep: How much of the session folders stays; ``None`` without them.
        keeper: What removes their oldest files.
        out: The sink for ``--out``; ``None`` for none.
        mqtt: The connection for ``--mqtt``; ``None`` for none.
        lsl: First word of the names of LSL streams; ``None`` for no streams.
        page: The page for ``--http``; ``None`` for none.
        plugins: Function that makes the sinks of other packages for the patch of a name.
        table: The live view; ``None`` for none.
        lines: Stream for plain lines; ``None`` for none.
        errors: Stream for what happens on the links; ``None`` for none.
        status: The state of all patches for the service manager.
        answers: The last results of each patch by name.
        disks: The account of the files of each patch by name.
        held: Lines that are written when the live view is gone.
    """

    bundle: Bundle
    hop_s: float
    patches: int
    status: StationStatus
    folders: Mapping[str, Path] = field(default_factory=dict)
    keep: Keep | None = None
    keeper: Keeper | None = None
    out: SharedSink | None = None
    mqtt: MqttLink | None = None
    lsl: str | None = None
    page: PageServer | None = None
    plugins: Callable[[str], Sequence[Sink]] = lambda _name: ()
    table: TableSink | None = None
    lines: TextIO | None = None
    errors: TextIO | None = None
    answers: dict[str, AnswerSink] = field(default_factory=dict)
    disks: dict[str, Storage] = field(default_factory=dict)
    held: list[str] = field(default_factory=list)
    _at_broker: dict[str, MqttSink] = field(default_factory=dict)

    def disk(self, name: str) -> Storage:
        """Return the account of the files of a patch; it lasts over its restarts."""
        return self.disks.setdefault(name, Storage(lambda line: self.say(name, line)))

    def say(self, name: str, line: str) -> None:
        """Write a line about a patch on standard error; lines between the frames of the live view would damage it."""
        text = f"{clean(name)}: {clean(line)}\n"
        if self.table is not None and sys.stderr.isatty():
            self.held.append(text)
            return
        with suppress(OSError, ValueError):
            sys.stderr.write(text)
            sys.stderr.flush()

    def ended(self, name: str, line: str) -> None:
        """Say that a patch has ended, and show it."""
        if self.table is not None:
            self.table.ended(name, line)
        self.say(name, line)

    def of(
        self, patch: PatchOptions, source: Source, session: SessionInfo, recorder: RawLogWriter | None
    ) -> list[Sink]:
        """Return the sinks of a patch that starts.

        Args:
            patch: The patch.
            source: Its source.
            session: What its estimates carry.
            recorder: Its raw recording in its session folder; ``None`` for none.

        Raises:
            AnyEcgError: A sink cannot be made.
        """
        name = patch.name
        sinks: list[Sink] = [self.status.patch(name, source.info.device)]
        if name in self.folders:
            sinks.append(self._session_sink(patch, source, session, recorder))
        if self.out is not None:
            sinks.append(self.out.patch())
        sinks += self.plugins(name)
        if self.mqtt is not None:
            sinks.append(self._mqtt_sink(patch, source, self.mqtt))
        if self.lsl is not None:
            from edge.sinks.lsl import open_lsl

            sinks.append(open_lsl(f"{self.lsl} {name}", source.info, self.bundle))
        if self.page is not None:
            sinks.append(self.page.patch(name, source.info, self.bundle, self.hop_s))
        if self.table is not None:
            sinks.append(self.table.patch(name))
        if self.lines is not None:
            every_s = max(EVERY_S, self.patches / LINES_A_S)
            sinks.append(PlainSink(self.lines, every_s, link=not source.info.live, notice=False, name=name))
        if self.errors is not None and source.info.live:
            sinks.append(LinkSink(self.errors, name=name))
        return [*sinks, FoundSink(sys.stderr, name), self.answers.setdefault(name, AnswerSink())]

    def _session_sink(
        self, patch: PatchOptions, source: Source, session: SessionInfo, recorder: RawLogWriter | None
    ) -> Sink:
        from edge.sinks.session import SessionSink, next_raw_path

        folder, disk = self.folders[patch.name], self.disk(patch.name)
        if recorder is not None:
            recorder.watch(disk)
            if self.keep is not None and self.keep.part_bytes is not None:
                recorder.split(self.keep.part_bytes, lambda: next_raw_path(folder), disk.part_ended)
        return SessionSink(
            folder, source.info, self.bundle, session.session,
            keep=self.keep, storage=disk, keeper=self.keeper, patch=self._topic_name(patch, source),
        )  # fmt: skip

    def _topic_name(self, patch: PatchOptions, source: Source) -> str | None:
        """Return the name of a patch in topics; ``None`` without a broker."""
        if self.mqtt is None:
            return None
        from edge.sinks.mqtt.names import node_id

        return node_id(patch.name if patch.named else "", source.info.url)

    def _mqtt_sink(self, patch: PatchOptions, source: Source, link: MqttLink) -> Sink:
        """Return the sink of a patch; one that starts again keeps what waits and is counted."""
        from edge.sinks.mqtt.sink import MqttSink

        if patch.name not in self._at_broker:
            name = patch.name if patch.named else ""
            self._at_broker[patch.name] = MqttSink(link, name, source.info, self.bundle, self.hop_s)
        return self._at_broker[patch.name]
