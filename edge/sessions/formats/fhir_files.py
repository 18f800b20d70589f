"""FHIR R4 transaction Bundles: estimates in files of a bounded number of entries, and the ECG in pieces."""

from __future__ import annotations

import json
import re
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from edge.records import Estimate, LabEstimate
from edge.sessions.ecg import Segment
from edge.sessions.folder import MAX_RUN_S, SessionFolder, unix_s
from edge.sessions.formats import fhir_resources as resources
from edge.sessions.formats.fhir_codes import URI_SYSTEM, Json, urn
from edge.sessions.formats.fhir_resources import Context
from firmware_bridge.errors import UsageError

EVERY_MIN = 5.0
"""Default of ``--every``, min: an estimate itself covers the last five minutes."""
MAX_ENTRIES = 500
"""Observations in a Bundle."""
MAX_SAMPLES = 100_000
"""Samples in an Observation. FHIR limits a string to 1 MiB, and a sample takes at most nine characters."""
MAX_ECG = 8
"""ECG Observations from which an estimate says that it derives."""
_SUBJECT = re.compile(r"(https?://[^\s/]+(?:/[^\s/]+)*/)?Patient/([A-Za-z0-9.-]{1,64})|urn:uuid:[0-9a-fA-F-]{36}")
_NAME = re.compile(r"[A-Za-z]+(?:[.-][A-Za-z]+)+")


def patient_reference(text: str) -> str:
    """Return a reference to a patient, such as ``Patient/123``.

    Raises:
        UsageError: The text is something else, or looks like a name.
    """
    found = _SUBJECT.fullmatch(text)
    if found is None:
        raise UsageError(
            "--subject is not a reference to a patient", "write Patient/ID, with the ID of the FHIR server"
        )
    if _NAME.fullmatch(found[2] or ""):
        raise UsageError(
            "--subject looks like the name of a person", "write the ID that the FHIR server gave to the patient"
        )
    return text


@dataclass(slots=True)
class _Span:
    """The hops of one interval of time."""

    run: str
    number: int
    part: int
    start_s: float
    last: Estimate
    newest: Estimate | None = None
    reasons: Counter[str] = field(default_factory=Counter)

    def add(self, e: Estimate) -> None:
        self.last = e
        if e.labs and e.abstained is None:
            self.newest = e
        self.reasons[e.abstained or "no outputs"] += 1


class FhirFiles:
    """Writes a session as FHIR.

    Args:
        folder: Folder for the Bundles.
        session: The session.
        subject: Reference to the patient; empty for none.
        every_min: Length of the intervals of which the newest estimate is written, min; 0 writes every hop.
    """

    def __init__(self, folder: Path, session: SessionFolder, subject: str = "", every_min: float = EVERY_MIN) -> None:
        versions = session.about.get("versions")
        software = versions.get("anyecg-edge") if isinstance(versions, dict) else None
        patch = urn("patch", session.device, session.about.get("device_url"))
        self._context = Context(subject, str(software or "unknown"), session.device, patch)
        self._folder, self._session, self._every_s = folder, session, every_min * 60.0
        self._started = dict(zip(session.names, session.started, strict=True))
        self._pieces: list[tuple[int, float, float, str]] = []

    def ecg(self, segment: Segment, run_start_unix_s: float) -> Iterator[tuple[str, Segment]]:
        """Write a segment of ECG; yield each file and the piece of the segment in it.

        Args:
            segment: The segment.
            run_start_unix_s: Unix time at signal time 0 of its run, s.

        Raises:
            OSError: A file cannot be written.
        """
        run = self._session.names[segment.run - 1]
        for piece in pieces(segment):
            name = urn("ecg", run, self._started[run], f"{piece.start_s:.6f}", len(piece.samples))
            self._pieces.append((segment.run, piece.start_s, piece.end_s, name))
            made = resources.ecg_observation(self._context, piece, run_start_unix_s + piece.start_s, name)
            file = f"ecg-{len(self._pieces):04d}.json"
            self._write(file, [made], {self._context.patch_urn: resources.patch_device(self._context)})
            yield file, piece

    def estimates(self) -> tuple[int, int]:
        """Write the estimates, the heart rate and the abstentions, after the ECG.

        Returns:
            Number of files and of Observations.

        Raises:
            OSError: A file cannot be written.
        """
        self._pieces.sort()
        heads = next((e.labs for e in self._session.estimates() if e.labs), ())
        entries: list[Json] = []
        devices: dict[str, Json] = {}
        files = total = 0

        def flush() -> None:
            nonlocal entries, devices, files, total
            if entries:
                files, total = files + 1, total + len(entries)
                self._write(f"estimates-{files:04d}.json", entries, devices)
                entries, devices = [], {}

        for span in self._spans():
            made = list(self._observations(span, heads))
            if len(entries) + len(made) > MAX_ENTRIES:
                flush()
            entries += made
            for e in (span.last, span.newest or span.last):
                name = resources.software_urn(self._context, e)
                devices[name] = resources.software_device(self._context, e)
        flush()
        return files, total

    def _spans(self) -> Iterator[_Span]:
        numbers = {run: number for number, run in enumerate(self._session.names, 1)}
        span: _Span | None = None
        last_s = 0.0
        for e in self._session.estimates():
            if not 0.0 <= e.window.end_s < MAX_RUN_S or not unix_s(e.time):
                continue  # damaged
            if span is None or e.session != span.last.session:
                last_s = 0.0
            part = int(e.window.end_s // self._every_s) if self._every_s else -1
            if span is None or e.session != span.last.session or part != span.part or part < 0:
                if span is not None:
                    yield span
                run = f"{e.session} {self._started.get(e.session, '')}"
                span = _Span(run, numbers.get(e.session, 0), part, last_s, e)
            span.add(e)
            last_s = e.window.end_s
        if span is not None:
            yield span

    def _observations(self, span: _Span, heads: tuple[LabEstimate, ...]) -> Iterator[Json]:
        context, e = self._context, span.newest or span.last
        ecg = self._ecg_of(span.number, e.window.start_s, e.window.end_s)
        if span.newest is not None:
            for lab in e.labs:
                yield resources.lab_observation(context, e, lab, span.run, ecg)
        else:
            span_s = min(span.start_s, e.window.end_s), e.window.end_s
            for head in heads or (None,):
                yield resources.abstention_observation(context, e, head, span.run, span_s, span.reasons)
        if e.heart_rate_bpm is not None and 0.0 < e.heart_rate_bpm < 1000.0:
            yield resources.heart_rate_observation(context, e, e.heart_rate_bpm, span.run, ecg)
        yield from resources.interval_observations(context, e, span.run, ecg)

    def _ecg_of(self, run: int, start_s: float, end_s: float) -> list[str]:
        # The pieces of a run do not overlap, so their ends are sorted, too.
        first = bisect_right(self._pieces, (run, start_s), key=lambda piece: (piece[0], piece[2]))
        return [name for number, a, _, name in self._pieces[first : first + MAX_ECG] if number == run and a < end_s]

    def _write(self, file: str, observations: list[Json], devices: dict[str, Json]) -> None:
        entries = [_entry(made) for made in [*devices.values(), *observations]]
        bundle = {"resourceType": "Bundle", "type": "transaction", "entry": entries}
        text = json.dumps(bundle, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        (self._folder / file).write_text(text + "\n", encoding="utf-8")


def pieces(segment: Segment) -> Iterator[Segment]:
    """Cut a segment into pieces of at most ``MAX_SAMPLES`` samples."""
    for at in range(0, len(segment.samples), MAX_SAMPLES):
        stop = min(at + MAX_SAMPLES, len(segment.samples))
        start_s, end_s = (float(segment.times_s(n, n + 1)[0]) for n in (at, stop))
        inside = (segment.ends > at) & (segment.ends < stop)
        yield replace(
            segment,
            start_s=start_s,
            end_s=end_s,
            samples=segment.samples[at:stop],
            ends=np.append(segment.ends[inside] - at, stop - at).astype(np.intp),
            ends_s=np.append(segment.ends_s[inside], end_s),
        )


def _entry(resource: Json) -> Json:
    identifiers = resource["identifier"]
    assert isinstance(identifiers, list)
    name, kind = identifiers[0]["value"], resource["resourceType"]
    # The server ignores an entry that it already has, so posting a Bundle twice adds nothing.
    request = {"method": "POST", "url": kind, "ifNoneExist": f"identifier={URI_SYSTEM}|{name}"}
    return {"fullUrl": name, "resource": resource, "request": request}
