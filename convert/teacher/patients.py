"""Whose recordings a bundle was made of, as short hashes, so that nobody is fitted and judged on by mistake.

``validation/patients.json`` of a bundle holds them by part: ``train``, ``validation``, ``calibration``, ``test``, and
of its teacher ``teacher_train`` and ``teacher_val``, as far as they are known. A hash is of the patient where the data
set has patients (MC-MED's MRN, a simulated patient's seed and number), else of the recording's name and size. It hides
nothing from whoever can guess a number: it is a check, not a protection.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from convert.bundle.writer import to_json
from convert.datasets.mcmed import McMedDataset
from convert.datasets.pairs import Recording
from convert.simulate.recordings import SimulatedItems
from convert.simulate.write import mrn_of
from edge.bundle.reader import read_extra
from firmware_bridge.errors import BundleError

SCHEMA = "anyecg.patients/1"
FILE = "validation/patients.json"
HASH_BYTES = 6
"""A chance agreement among ten thousand patients and ten thousand others: one in three million."""
MAX_BYTES = 16 << 20

_PRIME, _FACTOR = 999_983, 6007
"""Of :func:`convert.simulate.write.mrn_of`, whose inverse finds the patient's number again."""


def hashes(recordings: Iterable[Recording]) -> frozenset[bytes]:
    """The hashes of whose recordings these are."""
    return frozenset(hash_of_each(recordings))


def hash_of_each(recordings: Iterable[Recording]) -> list[bytes]:
    """The hash of whose each recording is, in their order."""
    return [hash_of(token) for token in tokens(recordings)]


def tokens(recordings: Iterable[Recording]) -> list[str]:
    """What is hashed of whose each recording is, in their order."""
    seeds: dict[str, int | None] = {}
    return [_token(r, seeds) for r in recordings]


def names_training(parts: Iterable[str]) -> bool:
    """Whether a list with these parts says who trained: the bundle's model, or the teacher that it is a form of."""
    return not {"train", "teacher_train"}.isdisjoint(parts)


def patients_file(parts: Mapping[str, frozenset[bytes]]) -> bytes:
    """``validation/patients.json``."""
    packed = {name: base64.b64encode(b"".join(sorted(found))).decode() for name, found in parts.items()}
    return to_json({"schema": SCHEMA, "hash_bytes": HASH_BYTES, "parts": packed})


def read_patients(bundle: Path) -> dict[str, frozenset[bytes]] | None:
    """The patients that a bundle names, by part; ``None`` where it names none.

    Args:
        bundle: A folder, or the same folder zipped.

    Raises:
        BundleError: The file is there and cannot be read.
    """
    if bundle.is_file():
        data = read_extra(bundle, FILE, MAX_BYTES)
        return None if data is None else _parts(data, f"{bundle}: {FILE}")
    path = bundle / FILE
    return read_patients_file(path) if path.is_file() else None


def read_patients_file(path: Path) -> dict[str, frozenset[bytes]]:
    """The patients that a file in the form of :func:`patients_file` names, by part.

    Raises:
        BundleError: It cannot be read.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise BundleError(f"{path} is larger than {MAX_BYTES >> 20} MB")
        data = path.read_bytes()
    except OSError as error:
        raise BundleError(f"{path} cannot be read: {error}", "copy or make the bundle again") from None
    return _parts(data, str(path))


def _parts(data: bytes, where: str) -> dict[str, frozenset[bytes]]:
    try:
        raw: Any = json.loads(data)
        if raw["schema"] != SCHEMA or raw["hash_bytes"] != HASH_BYTES:
            raise BundleError(f"{where} is of another version", "update anyecg-edge or make the bundle again")
        return {str(name): _unpacked(text) for name, text in raw["parts"].items()}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise BundleError(f"{where} cannot be read: {error}", "copy or make the bundle again") from None


def _unpacked(text: str) -> frozenset[bytes]:
    data = base64.b64decode(text, validate=True)
    return frozenset(data[i : i + HASH_BYTES] for i in range(0, len(data), HASH_BYTES))


def hash_of(token: str) -> bytes:
    """The hash of a token."""
    return hashlib.sha256(f"{SCHEMA}\n{token}".encode()).digest()[:HASH_BYTES]


def _token(recording: Recording, seeds: dict[str, int | None]) -> str:
    items = recording.items
    if recording.identity:
        return recording.identity
    if isinstance(items, SimulatedItems):
        return f"simulated {items.kind} {items.seed} {items.index}"
    if recording.visit is None:
        return token_of_recording(recording.name, recording.size)
    if recording.place not in seeds:
        seeds[recording.place] = McMedDataset(recording.place).seed
    return token_of_mrn(recording.patient, seeds[recording.place])


def token_of_mrn(mrn: str, seed: int | None) -> str:
    """What is hashed of somebody in the layout of MC-MED.

    Args:
        mrn: As ``visits.csv`` has it.
        seed: Of a simulated cohort; ``None`` for real data.
    """
    if seed is None:
        return f"mcmed {mrn}"
    index = (int(mrn) - mrn_of(0)) * pow(_FACTOR, -1, _PRIME) % _PRIME
    return f"simulated patient {seed} {index}"


def token_of_recording(name: str, size: int) -> str:
    """What is hashed where a data set has no patients that others would know: one recording.

    Args:
        name: Path in its folder, without the suffix.
        size: Bytes of its files.
    """
    return f"recording {name} {size}"
