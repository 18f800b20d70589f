"""The interface between readers of recordings and the replay source, and the choice of a lead."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from edge.sources.decided import Decided
from edge.sources.replay.labels import NAME_MAX, clean_name, has_ecg_word, listed, words_of
from firmware_bridge.errors import InputError
from firmware_bridge.reading import open_regular
from firmware_bridge.samples import MAX_FS_HZ, MIN_FS_HZ, Unit
from firmware_bridge.text import printable, shortened

MIN_LSB_MV = 1e-9
MAX_LSB_MV = 1e3
"""Limits of a scale, mV per count, in a file or stated by the user."""

CHUNK_SAMPLES = 65_536
"""Most samples that a reader holds at a time; bounds the memory for a recording of any length."""

MAX_NOTE_CHARS = 2000
"""Longest note, characters."""

READER_FAULTS: tuple[type[Exception], ...] = (
    ValueError, TypeError, LookupError, ArithmeticError, AttributeError, AssertionError, RuntimeError, EOFError,
    OSError, MemoryError,
)  # fmt: skip
"""Exceptions that third-party readers raise on a broken file; each becomes an InputError."""


Fact = Literal["rate", "scale", "lead"]


class UnstatedError(InputError):
    """A recording does not state a fact, or not one that can be used. ``fix`` is for a replay URL.

    Args:
        what: One line: what happened, to what.
        fix: One line: what to do about it in a URL.
        fact: The fact that the user can state instead.
    """

    def __init__(self, what: str, fix: str, fact: Fact) -> None:
        super().__init__(what, fix)
        self.fact: Fact = fact

    def __reduce__(self) -> tuple[type[UnstatedError], tuple[str, str, Fact]]:
        """Pickle the error with its fact."""
        return type(self), (self.what, self.fix, self.fact)


@dataclass(frozen=True, slots=True, eq=False)
class Chunk:
    """Consecutive samples from a reader.

    Attributes:
        values: Shape ``(n,)``, ``int32`` counts (offset removed) or ``float32``.
        missing: Shape ``(n,)``, true where the recording holds no sample; ``None`` if none is missing.
        time_ns: Shape ``(n,)``, ``int64``, clock of the recording, ns; ``None`` if it has none.
        lost: Number of samples missing before the first one here.
        restarted: Whether the clock of the recording went back just before the first sample here.
        note: What the reader found here, one line for the user; it becomes an INFO event. Empty for nothing.
        found: Facts that this finding adds to ``decided`` in ``session.json``, such as ``skipped_rows``.
    """

    values: NDArray[np.int32] | NDArray[np.float32]
    missing: NDArray[np.bool_] | None = None
    time_ns: NDArray[np.int64] | None = None
    lost: int = 0
    restarted: bool = False
    note: str = ""
    found: Mapping[str, object] | None = None


@dataclass(frozen=True, slots=True)
class Signal:
    """The chosen signal of a recording.

    Attributes:
        lead: Name of the signal.
        leads: Names of all signals in the recording.
        fs_hz: Sampling rate, Hz, nominal or measured from the time column.
        unit: Unit of the samples, ``"mV"`` or ``"counts"``.
        lsb_mv: Millivolts per count; ``None`` if unknown.
        notes: Warnings for the user, such as a file shorter than its header says.
        start_unix_ns: Wall clock of the first sample, Unix ns, read as UTC; ``None`` if unknown.
        decided: What the reader decided and why: the line at the start of a run, and ``decided`` in ``session.json``.
            What the reader learns only later goes into `Chunk.note` and `Chunk.found`.
    """

    lead: str
    leads: tuple[str, ...]
    fs_hz: float
    unit: Unit
    lsb_mv: float | None
    notes: tuple[str, ...] = ()
    start_unix_ns: int | None = None
    decided: Decided | None = None

    def __post_init__(self) -> None:
        # Names come from the file and go to terminals, pages and records.
        object.__setattr__(self, "lead", clean_name(self.lead))
        object.__setattr__(self, "leads", tuple(map(clean_name, self.leads)))
        object.__setattr__(self, "notes", tuple(shortened(printable(note), MAX_NOTE_CHARS) for note in self.notes))


class Reader(Protocol):
    """An open recording with one chosen signal."""

    signal: Signal

    def chunks(self) -> Iterator[Chunk]:
        """Yield the samples from the beginning, in chunks of bounded size.

        Raises:
            InputError: The recording turns out to be broken.
        """


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """Properties of a recording that the user gives because the file does not contain them.

    Attributes:
        lead: Name of the signal to read.
        column: Name or number (from 1) of the signal or column.
        fs_hz: Sampling rate, Hz.
        lsb_mv: Millivolts per count.
        unit: Unit of the samples: ``"mV"``, ``"uV"`` or ``"counts"``.
    """

    lead: str | None = None
    column: str | None = None
    fs_hz: float | None = None
    lsb_mv: float | None = None
    unit: str | None = None


_PREFERRED = ("ii", "mlii", "i", "mli")
"""Leads in order of preference: II, the lead of MC-MED, then I, the lead of ECGFounder's one-lead model."""

_ECG_NAME = re.compile(
    r"(ml)?(i|ii|iii)|(av|mav)[rlf]|m?v[1-9]?|v[xyz]|mcl?[1-6]?|c[cm][1-6]|d[1-3]|(ecg|ekg)?([0-9]{0,2})"
    r"|(ecg|ekg)?(signal|value|voltage|raw|lead)?"
)
_PREFIX = re.compile(r"^(?:ecg|ekg)(?=[a-z0-9])")
_NOISE = re.compile(r"[\s_\-.#()\[\]'\"]+")


def plain_name(name: str) -> str:
    """Return a lead's name in lower case without blanks, punctuation, the word lead, or a unit."""
    s = re.sub(r"[_\s(\[]+(mv|uv|µv|μv)[)\]]?$", "", name.strip()[:NAME_MAX].lower())
    s = _NOISE.sub("", s).removesuffix("lead")
    s = s.replace("lead", "")
    return _PREFIX.sub("", s) if len(s) > len("ecg") and _PREFIX.sub("", s) in _LIMB_NAMES else s


_LIMB_NAMES = frozenset({"i", "ii", "iii", "avr", "avl", "avf", "v", *(f"v{n}" for n in range(1, 10))})


def _limb(name: str) -> str:
    """Return the limb lead of which a lead is the modified form, as Holter recorders and stress tests place it."""
    s = plain_name(name)
    return s.removeprefix("ml") if s.removeprefix("ml") in _LIMB_NAMES else s


def looks_like_ecg(name: str) -> bool:
    """Return whether a signal's name looks like the name of an ECG lead."""
    s = plain_name(name)
    return bool(s) and not s.isdigit() and _ECG_NAME.fullmatch(s) is not None


_GENERIC = frozenset({"signal", "value", "voltage", "raw"})
"""Names that any signal may have."""


def is_lead_name(name: str) -> bool:
    """Return whether a name is the name of an ECG lead, or contains the word ECG or EKG."""
    return has_ecg_word(name) or (looks_like_ecg(name) and plain_name(name) not in _GENERIC)


def choose_lead(names: Sequence[str], options: ReadOptions, millivolts: Sequence[bool], where: str) -> int:
    """Return the index of the signal to replay.

    A given name is searched as written, then without regard to case and punctuation, then with its modified form, such
    as MLII for II; ``column`` may also be a number.
    Without either: lead II, MLII or I, else the first with an ECG lead's name or the word ECG or EKG, a voltage and
    lead II before others, else the first in millivolts, else the first.

    Args:
        names: Names of the recording's signals.
        options: The options; only ``lead`` and ``column`` matter here.
        millivolts: Whether each signal is a voltage.
        where: Name of the recording, for the message.

    Raises:
        InputError: The signal does not exist; the message lists those that do.
    """
    wanted = options.lead if options.lead is not None else options.column
    if wanted is not None:
        for match in (str.strip, str.casefold, plain_name, _limb):
            sought = match(wanted)
            found = next((i for i, name in enumerate(names) if match(name) == sought), None)
            if found is not None:
                return found
        if options.lead is None and wanted.strip().isdigit() and 1 <= int(wanted) <= len(names):
            return int(wanted) - 1
        raise UnstatedError(f"no lead {wanted!r} in {where}", f"it has: {listed(names)}", "lead")
    plain = [plain_name(name) for name in names]
    for lead in _PREFERRED:
        if lead in plain:
            return plain.index(lead)
    ecg = [i for i, name in enumerate(names) if is_lead_name(name)]
    if ecg:
        return min(ecg, key=lambda i: (not millivolts[i], "ii" not in words_of(names[i]), i))
    for test in ([looks_like_ecg(name) for name in names], list(millivolts)):
        if any(test):
            return test.index(True)
    return 0


def check_rate(fs_hz: float, where: str) -> float:
    """Return ``fs_hz`` if it can be the sampling rate of an ECG.

    Raises:
        InputError: The rate is not finite or out of range.
    """
    if not MIN_FS_HZ <= fs_hz <= MAX_FS_HZ:
        raise UnstatedError(
            f"{where} has a sampling rate of {fs_hz:g} Hz",
            f"it must be {MIN_FS_HZ:g} to {MAX_FS_HZ:g} Hz; set the true rate with fs=",
            "rate",
        )
    return fs_hz


MAX_OFFSET = 1 << 30
"""Largest count that may mean 0 mV; with a larger one, counts would not fit 32 bits."""


def first_line(error: BaseException) -> str:
    """Return the error of a library about a broken file, short and on one line."""
    text = str(error).strip() or type(error).__name__
    return text.splitlines()[0][:120]


def unix_ns(start: datetime | None) -> int | None:
    """Return a recording's date as Unix ns, read as UTC; ``None`` if absent or invented to hide the true date."""
    if start is None or not _FIRST_YEAR <= start.year < _LAST_YEAR:
        return None
    return round(start.replace(tzinfo=UTC).timestamp() * 1000) * 1_000_000


_FIRST_YEAR, _LAST_YEAR = 1970, 2100


def check_file(path: Path) -> int:
    """Return the size of a recording in bytes.

    Raises:
        InputError: The file does not exist, is not a file, is not readable or is empty.
    """
    try:
        if path.is_dir():
            raise InputError(f"{path} is a folder", _records_in(path) or "name a recording in it")
        if path.exists() and not path.is_file():
            raise InputError(f"{path} is not a file", "name a recording")
        with open_regular(path):
            size = path.stat().st_size
    except FileNotFoundError:
        raise InputError(f"no such recording: {path}", "check the path") from None
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}", "check its permissions") from None
    except ValueError as error:
        raise InputError(f"not a file name: {path!s:.80} ({error})", "write replay:PATH") from None
    if size == 0:
        raise InputError(f"{path} is empty", "use another copy")
    return size


def _records_in(folder: Path) -> str:
    names = sorted(p.name for p in folder.iterdir() if p.suffix in {".hea", ".csv", ".edf", ".aer"})
    return f"name a recording in it: {', '.join(names[:6])}" if names else ""


_VOLTAGE = re.compile(r"(n|nano|u|mcr?|micro|[^\x00-\x7f]{1,3}|m|milli|)[ -]?(?:v|volts?)")
_PER_VOLT_MV = {"n": 1e-6, "nano": 1e-6, "m": 1.0, "milli": 1.0, "": 1e3}


def voltage_scale_mv(unit: str) -> float | None:
    """Return the millivolts per ``unit``; ``None`` if it is not a voltage.

    The micro sign is the only prefix of a volt that is not ASCII, so that it is known even in a wrong encoding.
    """
    found = _VOLTAGE.fullmatch(unit.strip().strip("\x00[]()").lower()[:NAME_MAX])
    return None if found is None else _PER_VOLT_MV.get(found[1], 1e-3)
