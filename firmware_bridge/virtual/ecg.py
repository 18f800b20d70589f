"""The signal that a virtual patch measures: a simulated patient or a recording, in millivolts."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from firmware_bridge.errors import InputError, UsageError
from firmware_bridge.reading import open_regular, read_limited
from firmware_bridge.synth.ecgsyn import EcgParams, EcgSynth
from firmware_bridge.synth.noise import NoiseParams, NoiseSource

RECORDING_MAX_BYTES = 1 << 28
"""Largest signal file, bytes: a day at 250 Hz as text, with room to spare."""
NORMAL_K, NORMAL_CA = 4.2, 2.35
"""Default potassium and calcium of a patient, mmol/L."""


class Signal(Protocol):
    """A signal that a patch can measure."""

    def generate(self, n: int, fs_hz: float) -> NDArray[np.float64]:
        """Return the next samples, shape ``(n,)`` in millivolts; fewer once a recording has ended."""
        ...


@dataclass(frozen=True, slots=True)
class PatientOptions:
    """A simulated patient, described by a few numbers.

    Attributes:
        hr_bpm: Mean heart rate, beats per minute.
        potassium: Potassium, mmol/L.
        calcium: Total calcium, mmol/L.
        noise: Factor of the usual noise of an ambulatory recording; 0 for none.
        changes: Fields of `EcgParams` to set directly; they override everything else.
    """

    hr_bpm: float = 70.0
    potassium: float = NORMAL_K
    calcium: float = NORMAL_CA
    noise: float = 1.0
    changes: tuple[tuple[str, float], ...] = ()

    def params(self) -> EcgParams:
        """Return the shape of the ECG. The effect sizes are those of the cohort simulator; most are arbitrary there.

        Raises:
            UsageError: A value is outside what can be simulated, or a name is unknown.
        """
        if not 1.5 <= self.potassium <= 9.0:
            raise UsageError(f"potassium={self.potassium:g} is outside 1.5 to 9 mmol/L")
        if not 1.0 <= self.calcium <= 4.5:
            raise UsageError(f"calcium={self.calcium:g} is outside 1 to 4.5 mmol/L")
        base = EcgParams(hr_bpm=self.hr_bpm)
        high, low = max(self.potassium - 4.6, 0.0), max(3.8 - self.potassium, 0.0)
        qtc_ms = base.qtc_ms - 2.8 * (self.potassium - 4.1) + 8.0 * low - 11.5 * (self.calcium - 2.32)
        qtc_ms += 140.0 * max(2.145 - self.calcium, 0.0) - 95.0 * max(self.calcium - 2.545, 0.0)
        shape = dataclasses.replace(
            base,
            t_mv=min(base.t_mv * math.exp(0.30 * high - 0.35 * low), 1.8),
            t_ms=max(base.t_ms * math.exp(-0.17 * high), 70.0),
            pr_ms=min(base.pr_ms + 14.0 * high + 8.0 * low, 330.0),
            p_mv=base.p_mv * math.exp(-0.35 * max(self.potassium - 5.5, 0.0)),
            qrs_ms=base.qrs_ms * math.exp(0.12 * max(self.potassium - 6.0, 0.0) + 0.04 * low),
            u_mv=base.u_mv + 0.02 * low,
            qtc_ms=min(max(qtc_ms, 300.0), 640.0),
        )
        known = {f.name for f in dataclasses.fields(EcgParams)}
        for name, value in self.changes:
            if name not in known:
                raise UsageError(
                    f"unknown parameter {name!r} of the simulated ECG", f"known: {', '.join(sorted(known))}"
                )
            if name == "af":
                shape = dataclasses.replace(shape, af=bool(value))
            else:
                shape = dataclasses.replace(shape, **{name: value})  # type: ignore[arg-type]  # all others are floats
        return shape


class PatientSignal:
    """A simulated patient with the noise of a chest lead.

    Args:
        options: The patient.
        seed: Seed of all randomness.
    """

    def __init__(self, options: PatientOptions, seed: int) -> None:
        self._ecg = EcgSynth(options.params(), seed)
        factor = options.noise
        usual = NoiseParams()
        scaled = {name: getattr(usual, name) * factor for name in ("wander_mv", "mains_mv", "muscle_mv", "white_mv")}
        self._noise = NoiseSource(dataclasses.replace(usual, **scaled), seed) if factor > 0 else None

    def generate(self, n: int, fs_hz: float) -> NDArray[np.float64]:
        """Return the next samples, shape ``(n,)``, millivolts."""
        ecg_mv = self._ecg.generate(n, fs_hz)
        return ecg_mv if self._noise is None else self._noise.apply(ecg_mv, fs_hz)


class RecordingSignal:
    """A recording in memory.

    Args:
        mv: Samples, shape ``(n,)``, millivolts.
        loop: Whether to start again at the end.
    """

    def __init__(self, mv: NDArray[np.float64], *, loop: bool = False) -> None:
        self._mv = np.ascontiguousarray(mv, dtype=np.float64)
        self._loop = loop
        self._at = 0

    def generate(self, n: int, fs_hz: float) -> NDArray[np.float64]:  # noqa: ARG002 - a recording has its own rate
        """Return the next samples, shape ``(n,)`` or shorter at the end, millivolts."""
        if self._loop and len(self._mv):
            take = (self._at + np.arange(n)) % len(self._mv)
            self._at += n
            return self._mv[take]
        out = self._mv[self._at : self._at + n]
        self._at += len(out)
        return out


def load_recording(path: Path, column: int = 0) -> NDArray[np.float64]:
    """Load a recording in millivolts: ``.npy``, or text with commas, semicolons or blanks and an optional header line.

    Raises:
        InputError: The file cannot be read, or holds anything but finite numbers.
    """
    try:
        if path.stat().st_size > RECORDING_MAX_BYTES:
            raise InputError(f"{path} is too large to hold in memory", f"the limit is {RECORDING_MAX_BYTES >> 20} MiB")
        if path.suffix == ".npy":
            with open_regular(path) as file:
                values: NDArray[np.float64] = np.load(file, allow_pickle=False)
        else:
            text = read_limited(path, RECORDING_MAX_BYTES).decode("utf-8", "replace")
            lines = text.replace(",", " ").replace(";", " ").splitlines()
            rows = [line.split() for line in lines if line.strip() and line.lstrip()[0] != "#"]
            head = 0 if not rows or _is_number(rows[0][min(column, len(rows[0]) - 1)]) else 1
            values = np.array([float(row[column]) for row in rows[head:]])
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}") from error
    except (ValueError, IndexError, EOFError, MemoryError) as error:
        raise InputError(f"{path} has no column {column} of numbers: {error}") from error
    if values.ndim == 2:
        values = values[:, min(column, values.shape[1] - 1)]
    if values.ndim != 1 or not values.size or values.dtype.kind not in "fiu" or not np.isfinite(values).all():
        raise InputError(f"{path} has no rows of finite numbers")
    return np.asarray(values, np.float64)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
