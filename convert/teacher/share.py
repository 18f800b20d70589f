"""Sharing a teacher with other processes and machines: the model is in a shared folder, and a job carries its path.

A worker loads the model with its first job and keeps it, so that a hundred megabytes are read once for each worker and
not sent with every shard.
"""

from __future__ import annotations

import hashlib
import threading
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from convert.teacher.open import LiteRtTeacher, Teacher, read_kept, write_kept
from firmware_bridge.errors import InputError


@dataclass(frozen=True, slots=True)
class SharedTeacher:
    """Location of a teacher in a shared folder.

    Attributes:
        path: File of the model, as :func:`convert.teacher.open.write_kept` writes it.
        sha256: SHA-256 of the model, hexadecimal.
        rest: The other arguments of :class:`convert.teacher.open.LiteRtTeacher`.
    """

    path: Path
    sha256: str
    rest: tuple[Any, ...]


def share(teacher: Teacher, folder: Path) -> SharedTeacher | Teacher:
    """Write the model of a teacher into a shared folder for the jobs of other workers.

    Args:
        teacher: The teacher.
        folder: Folder that all workers see under the same path.

    Returns:
        The location of the model, or the teacher itself if it is not a :class:`LiteRtTeacher`.

    Raises:
        OutputError: The model cannot be written.
    """
    if not isinstance(teacher, LiteRtTeacher):
        return teacher
    model, *rest = teacher.given
    path = folder.absolute() / f"teacher-{teacher.identity[:16]}.tflite"
    if read_kept(path) != model:
        write_kept(path, model)
    return SharedTeacher(path, hashlib.sha256(model).hexdigest(), tuple(rest))


_opened = threading.local()
"""The open teacher of each thread; an interpreter is not thread-safe."""


def teacher_of(given: SharedTeacher | Teacher) -> Teacher:
    """Return the teacher of a job; each thread opens it once.

    Raises:
        InputError: The worker does not find the model in the shared folder.
    """
    if not isinstance(given, SharedTeacher):
        return given
    key = given.path, given.sha256
    if getattr(_opened, "key", None) != key:
        _opened.teacher = LiteRtTeacher(_model(*key), *given.rest)
        _opened.key = key
    teacher: Teacher = _opened.teacher
    return teacher


@lru_cache(maxsize=1)
def _model(path: Path, sha256: str) -> bytes:
    """Return the bytes of the model; each process reads them once."""
    model = read_kept(path)
    if model is None or hashlib.sha256(model).hexdigest() != sha256:
        raise InputError(
            f"a worker does not find the teacher at {path}",
            "all workers need the work folder and the data under the same paths",
        )
    return model
