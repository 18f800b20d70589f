"""The patients of a bundle as short hashes, so that no patient is used both to fit and to judge by mistake.

``validation/patients.json`` of a bundle lists them by part: ``train``, ``validation``, ``calibration``, ``test``, and
for its teacher ``teacher_train`` and ``teacher_val``, if they are known. A hash identifies a patient where the data set
has patients (MRN of MC-MED, seed and number of a simulated patient), else the content of a recording, wherever its
folder is. Lists of older versions have its name and size instead, and are still understood: a patient is looked up
under all of its identifiers, and written under the first. The hashes are a check, not a protection: anyone who guesses
an identifier can confirm it.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from convert.bundle.writer import to_json
from convert.datasets.pairs import FileItems, Recording
from convert.datasets.visit_data import VisitData, open_visits
from convert.simulate.recordings import SimulatedItems
from convert.teacher.content import content_of
from edge.bundle.reader import read_extra
from firmware_bridge.errors import BundleError
from firmware_bridge.reading import read_limited

SCHEMA = "anyecg.patients/1"
FILE = "validation/patients.json"
HASH_BYTES = 6
"""Length of a hash: between two sets of ten thousand patients, a collision has a chance of one in three million."""
MAX_BYTES = 16 << 20

Identifiers = tuple[str, ...]
"""Identifiers of a patient: the one to write, then those of lists by older versions."""
Aliases = Mapping[bytes, frozenset[bytes]]
"""Patients as the hash to write, and all their hashes."""


def hashes(recordings: Iterable[Recording]) -> frozenset[bytes]:
    """Return the hashes of the patients of recordings."""
    return frozenset(aliases(recordings))


def aliases(recordings: Iterable[Recording]) -> Aliases:
    """Return the patients of recordings with all hashes under which a list may have them."""
    return aliases_of(tokens(recordings))


def aliases_of(identifiers: Iterable[Identifiers]) -> Aliases:
    """Return patients with these identifiers; see :func:`aliases`."""
    found: dict[bytes, frozenset[bytes]] = {}
    for each in identifiers:
        every = [hash_of(token) for token in each]
        found[every[0]] = found.get(every[0], frozenset()).union(every)
    return found


def listed(patients: Aliases, theirs: frozenset[bytes]) -> frozenset[bytes]:
    """Return the hashes of those patients that a list has under any of their hashes."""
    return frozenset(one for one, every in patients.items() if not every.isdisjoint(theirs))


def tokens(recordings: Iterable[Recording]) -> list[Identifiers]:
    """Return the identifiers of each recording's patient that are hashed, in the order of the recordings."""
    opened: dict[str, VisitData] = {}
    return [_tokens(r, opened) for r in recordings]


def names_training(parts: Iterable[str]) -> bool:
    """Whether a list with these parts names the training patients of the bundle's model or of its teacher."""
    return not {"train", "teacher_train"}.isdisjoint(parts)


def patients_file(parts: Mapping[str, frozenset[bytes]]) -> bytes:
    """Return the content of ``validation/patients.json``."""
    packed = {name: base64.b64encode(b"".join(sorted(found))).decode() for name, found in parts.items()}
    return to_json({"schema": SCHEMA, "hash_bytes": HASH_BYTES, "parts": packed})


def read_patients(bundle: Path) -> dict[str, frozenset[bytes]] | None:
    """Read the patient hashes of a bundle by part; ``None`` if the bundle has no list.

    Args:
        bundle: A folder, or the same folder zipped.

    Raises:
        BundleError: The list exists but cannot be read.
    """
    if bundle.is_file():
        data = read_extra(bundle, FILE, MAX_BYTES)
        return None if data is None else _parts(data, f"{bundle}: {FILE}")
    path = bundle / FILE
    return read_patients_file(path) if path.is_file() else None


def read_patients_file(path: Path) -> dict[str, frozenset[bytes]]:
    """Read the patient hashes of a file that :func:`patients_file` made, by part.

    Raises:
        BundleError: The file cannot be read.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise BundleError(f"{path} is larger than {MAX_BYTES >> 20} MiB", "copy or make the bundle again")
        data = read_limited(path, MAX_BYTES)
    except OSError as error:
        raise BundleError(f"{path} cannot be read: {error}", "copy or make the bundle again") from None
    return _parts(data, str(path))


def _parts(data: bytes, where: str) -> dict[str, frozenset[bytes]]:
    try:
        raw: Any = json.loads(data)
        if raw["schema"] != SCHEMA or raw["hash_bytes"] != HASH_BYTES:
            raise BundleError(f"{where} has another version", "update anyecg-edge or make the bundle again")
        return {str(name): _unpacked(text) for name, text in raw["parts"].items()}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise BundleError(f"{where} cannot be read: {error}", "copy or make the bundle again") from None


def _unpacked(text: str) -> frozenset[bytes]:
    data = base64.b64decode(text, validate=True)
    return frozenset(data[i : i + HASH_BYTES] for i in range(0, len(data), HASH_BYTES))


def hash_of(token: str) -> bytes:
    """Return the hash of an identifier, ``HASH_BYTES`` bytes."""
    return hashlib.sha256(f"{SCHEMA}\n{token}".encode()).digest()[:HASH_BYTES]


def _tokens(recording: Recording, opened: dict[str, VisitData]) -> Identifiers:
    items = recording.items
    if recording.identity:
        return recording.identity
    if isinstance(items, SimulatedItems):
        return (f"simulated {items.kind} {items.seed} {items.index}",)
    if recording.visit is None:
        content = content_of(items.path) if isinstance(items, FileItems) else None
        return tokens_of_recording(recording.name, recording.size, content)
    if recording.place not in opened:
        opened[recording.place] = open_visits(Path(recording.place))
    return (opened[recording.place].token(recording.patient),)


def tokens_of_recording(name: str, size: int, content: str | None) -> Identifiers:
    """Return the identifiers that are hashed for a recording whose data set has no unique patient identifiers.

    Args:
        name: Path of the recording in its folder, without the suffix.
        size: Size of its files, bytes.
        content: Its digest, see :func:`convert.teacher.content.content_of`; ``None`` where it is not known.
    """
    older = f"recording {name} {size}"
    return (older,) if content is None else (f"content {content}", older)
