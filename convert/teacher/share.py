"""A teacher for those who label beside this process: its model lies on the shared folder, a job only says where.

A job names the file and its digest. Whoever gets the first such job loads the model and keeps it, so a hundred
megabytes are read once a worker and not sent with every shard.
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
    """Where a teacher lies.

    Attributes:
        path: Its model, as :func:`convert.teacher.open.write_kept` writes it.
        sha256: Of the model.
        rest: The other arguments of :class:`convert.teacher.open.LiteRtTeacher`.
    """

    path: Path
    sha256: str
    rest: tuple[Any, ...]


def share(teacher: Teacher, folder: Path) -> SharedTeacher | Teacher:
    """What a job carries of its teacher.

    Args:
        teacher: Any.
        folder: That all workers see under the same path.

    Returns:
        Where its model lies; or the teacher itself, where it has none.

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
"""The teacher of each thread: an interpreter serves one at a time."""


def teacher_of(given: SharedTeacher | Teacher) -> Teacher:
    """The teacher of a job; opened once a thread.

    Raises:
        InputError: Its model is not on this worker's shared folder.
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
    """The bytes, once a process."""
    model = read_kept(path)
    if model is None or hashlib.sha256(model).hexdigest() != sha256:
        raise InputError(
            f"a worker does not find the teacher at {path}", "all must see --workdir and --data under the same paths"
        )
    return model
