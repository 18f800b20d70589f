"""Real recordings without labels, on which the student of the demonstration imitates its teacher.

Every lead of every recording is used as it was recorded, and in further forms (:mod:`convert.simulate.real_forms`).
They have no laboratory value and are for training only, as the simulated ECGs of varied shape.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

from convert.datasets.described import RecordingOptions, open_recording
from convert.datasets.pairs import BLOCK_S, FileItems, Recording, find_recordings
from convert.demo.records import ImitatedEntry, RecordingEntry
from convert.simulate.real_forms import FORMS_VERSION, FormItems
from convert.teacher.content import files_of
from convert.teacher.patients import tokens
from edge.process.files import sha256_of
from edge.sources.replay.base import is_lead_name, plain_name
from firmware_bridge.errors import InputError, UsageError

ALL_LEADS = "all"

COPIES = 15
MAX_COPIES = 100
"""Default and largest number of forms of each lead. With fifteen, the leads of LUDB give a third of the windows."""

MAX_RECORDINGS = 5000
"""Largest number of recordings; the report of the bundle lists all of them."""

_HEX = 8
"""Hexadecimal digits of a hash that make a seed."""


@dataclass(frozen=True, slots=True)
class Imitation:
    """Choice of the recordings.

    Attributes:
        folders: Folders of recordings that the readers know.
        leads: Names of the leads, separated by commas, or ``all``.
        copies: Number of forms of each lead beside the recorded one, 0 to 100.
        source: Source and licence of the recordings, for the model card.
    """

    folders: tuple[Path, ...] = ()
    leads: str = ALL_LEADS
    copies: int = COPIES
    source: str = ""

    def __post_init__(self) -> None:
        if not 0 <= self.copies <= MAX_COPIES:
            raise UsageError(f"--imitate-copies is {self.copies}", f"give 0 to {MAX_COPIES}")
        if not self.every_lead and not self.names:
            raise UsageError("--imitate-leads names no lead", f"give {ALL_LEADS}, or names such as I,II,V1")

    @property
    def every_lead(self) -> bool:
        """Whether every lead is used."""
        return self.leads.strip().lower() == ALL_LEADS

    @property
    def names(self) -> frozenset[str]:
        """Names of the leads without case and punctuation."""
        return frozenset(filter(None, map(plain_name, self.leads.split(","))))


@dataclass(frozen=True, slots=True)
class Imitated:
    """Recordings that the student imitates.

    Attributes:
        recordings: One recording for each lead and form, for training only.
        entry: What the report says about them; ``None`` without any.
        skipped: Name and reason of each recording that cannot be used.
    """

    recordings: Sequence[Recording] = ()
    entry: ImitatedEntry | None = None
    skipped: Sequence[tuple[str, str]] = ()


def find_imitated(chosen: Imitation, seed: int, seconds: float) -> Imitated:
    """Find the leads of all recordings of the folders, and hash their files.

    Args:
        chosen: Choice of the recordings.
        seed: Seed of the forms.
        seconds: Length of a form, s.

    Raises:
        InputError: A folder cannot be read, or no recording in it can be used.
        UsageError: A folder is in the layout of a database of visits, two recordings are the same, or there are too
            many.
    """
    if not chosen.folders:
        return Imitated()
    found: list[Recording] = []
    listed: dict[str, RecordingEntry] = {}
    skipped: list[tuple[str, str]] = []
    for folder in chosen.folders:
        recordings = _recordings(folder)
        before, first = len(listed), len(skipped)
        for recording in recordings:
            try:
                files, leads = leads_of(recording, chosen)
            except InputError as error:
                skipped.append((recording.name, str(error).replace(f"{recording.place}/", "")))
                continue
            content = " ".join(files.values())
            if content in listed:
                raise UsageError(f"{recording.name} and {listed[content]['name']} are the same recording", "give one")
            listed[content] = {"name": recording.name, "files": dict(files)}
            for lead in leads:
                others = tuple(other for other in leads if other is not lead)
                found += _forms(recording, lead, others, f"{content} {seed} {seconds:g}", chosen.copies, seconds)
        if len(listed) == before:
            name, why = skipped[first]
            raise InputError(f"no usable recording in {folder}; {name}: {why}", "check what --imitate names")
    if len(listed) > MAX_RECORDINGS:
        raise UsageError(f"--imitate names {len(listed)} recordings", f"give {MAX_RECORDINGS} at most")
    entry: ImitatedEntry = {
        "source": chosen.source,
        "sha256": hashlib.sha256("\n".join(sorted(listed)).encode()).hexdigest(),
        "leads": len(found) // (1 + chosen.copies),
        "copies": chosen.copies,
        "recordings": list(listed.values()),
    }
    return Imitated(found, entry, skipped)


def _recordings(folder: Path) -> list[Recording]:
    """Return the recordings of a folder, each named after it, with the identity that it has in other commands."""
    if not folder.is_dir():
        raise InputError(f"no data folder at {folder}", "give a folder of recordings")
    # The options of the command about recordings are about those of --compare.
    found = find_recordings(folder, RecordingOptions(prefix=None))
    if not all(isinstance(r.items, FileItems) for r in found):
        raise UsageError(
            f"--imitate {folder}: a database of visits",
            "give a folder of recordings; 'anyecg convert micro --data' takes it",
        )
    name = folder.resolve().name
    return [
        replace(r, name=f"{name}/{r.name}", patient=f"imitated/{name}/{r.patient}", identity=token)
        for r, token in zip(found, tokens(found), strict=True)
    ]


def leads_of(recording: Recording, chosen: Imitation) -> tuple[Mapping[str, str], list[FileItems]]:
    """Return the SHA-256 of a recording's files by name, and its chosen leads that look like an ECG.

    Args:
        recording: A recording with :class:`convert.datasets.pairs.FileItems`.
        chosen: Choice of the leads.

    Raises:
        InputError: A file cannot be read, or the recording has none of the leads.
    """
    items = cast("FileItems", recording.items)
    info = open_recording(items.path, items.stated, BLOCK_S).info
    files = {path.name: sha256_of(path) for path in files_of(items.path)}
    entry = items.stated.entry
    if entry.lead is not None or entry.channel is not None:
        return files, [items]
    names = [n for n in dict.fromkeys(info.leads) if is_lead_name(n)] or [info.lead or ""]
    wanted = [n for n in names if chosen.every_lead or plain_name(n) in chosen.names]
    if not wanted:
        raise InputError(f"{items.path} has none of the leads {chosen.leads}", f"it has: {', '.join(names)}")
    # The only signal of a file without names has a made-up one, which cannot be chosen.
    if len(info.leads) < 2:
        return files, [items]
    return files, [replace(items, stated=replace(items.stated, entry=replace(entry, lead=n))) for n in wanted]


def _forms(
    recording: Recording, lead: FileItems, others: tuple[FileItems, ...], content: str, copies: int, seconds: float
) -> list[Recording]:
    """Return a lead as it was recorded and in its forms, whose random choices follow from ``content``."""
    found: list[Recording] = []
    name = f"{recording.name} {lead.stated.entry.lead or ''}".rstrip()
    for copy in range(1 + copies):
        digest = hashlib.sha256(f"{content} {lead.stated.key} {copy} {FORMS_VERSION}".encode())
        mark = int(digest.hexdigest()[:_HEX], 16)
        items = lead if copy == 0 else FormItems(lead, (mark,), seconds, others)
        shown = name if copy == 0 else f"{name}, form {copy}"
        found.append(replace(recording, name=shown, size=mark, items=items, training_only=True))
    return found
