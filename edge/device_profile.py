"""What a calibration found out about a device: counts to millivolts, polarity, offset, true rate, noise and band.

``anyecg calibrate device`` writes it as TOML, ``anyecg run --device-profile FILE`` puts it before the timeline, so that
a board whose scale nobody knows becomes one in millivolts. Every block is treated by itself: the cut does not matter.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import tomllib
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np

from edge.records import Applied
from edge.sources import Source, SourceInfo
from firmware_bridge.errors import InputError, UsageError
from firmware_bridge.samples import LinkEvent, LinkEventKind, LinkItem, SampleBlock, Unit

SCHEMA = "anyecg.device-profile/1"
MAX_BYTES = 1 << 16
INT32 = (-(1 << 31), (1 << 31) - 1)


@dataclass(frozen=True, slots=True)
class MeasuredProfile:
    """A device as a calibration found it. Scale first: without it the rest says little.

    Attributes:
        device: Kind of the device as its source calls it, or a recording's name.
        device_id: What it calls itself, where it does.
        unit: Of the samples that were measured, ``counts`` or ``mV``.
        lsb_mv: Millivolts at the electrodes for one such unit, positive.
        lsb_relative_uncertainty: Expanded (k = 2), relative to ``lsb_mv``; the calibrator's own is not in it.
        polarity: 1, or -1 where the device shows a positive voltage downwards.
        polarity_known: The calibration could tell; a sine cannot.
        offset: In units of the samples, with nothing at the electrodes.
        fs_nominal_hz: Rate that the device claims.
        fs_hz: Measured rate; ``None`` where it could not be measured.
        fs_from: What it was measured against: ``host clock``, ``device clock`` or ``sine``.
        noise_mv: RMS at the electrodes; ``None`` where it was not measured.
        low_cut_hz: Corner of a first-order high-pass that explains the droop of pulses; ``None`` where not measured.
        response: Frequency in Hz -> gain relative to 5 Hz.
        made: ISO 8601, UTC.
        how: One sentence.
        source: URL that was measured.
    """

    device: str
    device_id: str | None
    unit: Unit
    lsb_mv: float
    lsb_relative_uncertainty: float
    polarity: int
    polarity_known: bool
    offset: float
    fs_nominal_hz: float
    fs_hz: float | None
    fs_from: str | None
    noise_mv: float | None
    low_cut_hz: float | None
    response: Mapping[float, float]
    made: str
    how: str
    source: str

    def apply(self, block: SampleBlock) -> SampleBlock:
        """The block in the profile's scale, polarity and rate; its samples stay whole numbers where they were.

        Raises:
            InputError: The block's unit is not the one that was calibrated.
        """
        if block.unit != self.unit:
            raise InputError(
                f"the device profile is for samples in {self.unit}, {self.device} gives {block.unit} now",
                "calibrate again, or leave --device-profile out",
            )
        fs_hz = block.fs_hz
        if block.device_time_ns is None and self.fs_hz is not None and fs_hz == self.fs_nominal_hz:
            fs_hz = self.fs_hz
        if block.samples.dtype.kind == "f":
            samples = (block.samples.astype(np.float64) - self.offset).astype(np.float32)
        else:
            samples = np.clip(block.samples.astype(np.int64) - round(self.offset), *INT32).astype(np.int32)
        return dataclasses.replace(
            block, samples=samples, unit="counts", lsb_mv=self.polarity * self.lsb_mv, fs_hz=fs_hz
        )


class ProfiledSource:
    """A source whose blocks go through a profile.

    Args:
        source: The source.
        profile: The profile.

    Raises:
        UsageError: The profile is of another kind of device.
    """

    def __init__(self, source: Source, profile: MeasuredProfile) -> None:
        self._source, self._profile = source, profile
        self.info: SourceInfo = dataclasses.replace(
            source.info, notes=(*source.info.notes, *_notes(profile, source.info))
        )

    async def items(self) -> AsyncIterator[LinkItem]:
        """Everything in order, blocks in millivolts.

        Raises:
            AnyEcgError: As the source does; also a device whose name is not the profile's, and another unit.
        """
        async for item in self._source.items():
            if isinstance(item, SampleBlock):
                yield self._profile.apply(item)
                continue
            self._check(item)
            yield item

    async def close(self) -> None:
        """Frees the device."""
        await self._source.close()

    def _check(self, event: LinkEvent) -> None:
        found = event.data.get("device_id") if event.kind is LinkEventKind.HELLO else None
        expected = self._profile.device_id
        if found is not None and expected is not None and str(found) != expected:
            raise UsageError(
                f"the device profile belongs to {expected}, this device is {found}", "calibrate this one, too"
            )


def applied(profile: MeasuredProfile, path: Path) -> Applied:
    """What every estimate says of the profile behind it."""
    return Applied(
        path.name,
        hashlib.sha256(path.read_bytes()).hexdigest(),
        profile.made,
        f"{profile.lsb_mv:.6g} mV/{_one(profile.unit)}",
    )


def _one(unit: Unit) -> str:
    return "count" if unit == "counts" else unit


def _notes(profile: MeasuredProfile, info: SourceInfo) -> list[str]:
    from firmware_bridge import devices

    sure = f"± {100 * profile.lsb_relative_uncertainty:.2g} %"
    scale = f"{profile.lsb_mv:.6g} mV a {_one(profile.unit)} ({sure})"
    notes = [f"scale from the device profile of {profile.made}: {scale}"]
    if profile.device != info.device:
        kinds = devices.names()
        if profile.device in kinds and info.device in kinds:
            raise UsageError(
                f"the device profile is of a {profile.device}, the source is a {info.device}",
                "anyecg calibrate device makes one for it",
            )
        notes.append(f"the device profile was made with {profile.device!r}; that this is the same board is not known")
    if not profile.polarity_known:
        notes.append("the device profile was made with a sine: polarity is assumed, not measured")
    return notes


def to_toml(profile: MeasuredProfile) -> str:
    """The profile as TOML; ``from_toml`` gives it back."""
    lines = [f'schema = "{SCHEMA}"']
    for field in dataclasses.fields(profile):
        value = getattr(profile, field.name)
        if field.name == "response" or value is None:
            continue
        # A JSON string, number or boolean is one of TOML as well.
        lines.append(f"{field.name} = {json.dumps(value)}")
    for hz, ratio in sorted(profile.response.items()):
        lines += ["", "[[response]]", f"hz = {hz!r}", f"ratio = {ratio!r}"]
    return "\n".join(lines) + "\n"


def load_profile(path: Path) -> MeasuredProfile:
    """Reads a profile.

    Raises:
        UsageError: It cannot be read or is no profile; the message names the key.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise UsageError(f"{path} is too large for a device profile")
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"cannot read the device profile {path}: {error.strerror or error}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"the device profile {path} is not valid TOML: {error}") from None
    except RecursionError:
        raise UsageError(f"the device profile {path} is nested too deeply") from None
    if raw.get("schema") != SCHEMA:
        raise UsageError(f"{path} is no device profile", f'its schema must be "{SCHEMA}"')
    return _profile(_Table(path, raw))


class _Table:
    """Typed access to parsed TOML with file and key in every complaint."""

    def __init__(self, path: Path, raw: Mapping[str, object]) -> None:
        self._path, self._raw = path, raw

    def fail(self, key: str, expected: str) -> UsageError:
        shown = repr(self._raw.get(key))
        return UsageError(f"{self._path}: '{key}' must be {expected}, not {shown[:60]}")

    def text(self, key: str) -> str:
        value = self._raw.get(key)
        if not isinstance(value, str) or len(value) > 4096:
            raise self.fail(key, "a text")
        return value

    def text_or_none(self, key: str) -> str | None:
        return None if key not in self._raw else self.text(key)

    def number(self, key: str, low: float, high: float) -> float:
        value = self._raw.get(key)
        if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
            raise self.fail(key, f"a number from {low:g} to {high:g}")
        return float(value)

    def number_or_none(self, key: str, low: float, high: float) -> float | None:
        return None if key not in self._raw else self.number(key, low, high)

    def one_of(self, key: str, *choices: object) -> object:
        if self._raw.get(key) not in choices or isinstance(self._raw.get(key), bool) != isinstance(choices[0], bool):
            raise self.fail(key, " or ".join(map(repr, choices)))
        return self._raw[key]

    def points(self, key: str) -> dict[float, float]:
        rows = self._raw.get(key, [])
        if not isinstance(rows, list) or len(rows) > 64 or not all(isinstance(row, Mapping) for row in rows):
            raise self.fail(key, "at most 64 tables")
        tables = [_Table(self._path, cast("Mapping[str, object]", row)) for row in rows]
        return {t.number("hz", 1e-3, 1e4): t.number("ratio", 0.0, 1e3) for t in tables}


def _profile(t: _Table) -> MeasuredProfile:
    lsb_mv = t.number("lsb_mv", 1e-9, 1e3)
    if not math.isfinite(lsb_mv):
        raise t.fail("lsb_mv", "finite")
    return MeasuredProfile(
        device=t.text("device"),
        device_id=t.text_or_none("device_id"),
        unit=cast("Unit", t.one_of("unit", "counts", "mV")),
        lsb_mv=lsb_mv,
        lsb_relative_uncertainty=t.number("lsb_relative_uncertainty", 0.0, 1.0),
        polarity=cast("int", t.one_of("polarity", 1, -1)),
        polarity_known=cast("bool", t.one_of("polarity_known", True, False)),
        offset=t.number("offset", *INT32),
        fs_nominal_hz=t.number("fs_nominal_hz", 1.0, 1e5),
        fs_hz=t.number_or_none("fs_hz", 1.0, 1e5),
        fs_from=t.text_or_none("fs_from"),
        noise_mv=t.number_or_none("noise_mv", 0.0, 1e3),
        low_cut_hz=t.number_or_none("low_cut_hz", 0.0, 1e3),
        response=t.points("response"),
        made=t.text("made"),
        how=t.text("how"),
        source=t.text("source"),
    )
