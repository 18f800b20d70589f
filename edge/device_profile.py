"""The result of a device calibration: counts to millivolts, polarity, offset, true rate, noise and band.

``anyecg calibrate device`` writes it as TOML, and ``anyecg run --device-profile FILE`` applies it before the timeline,
so that a board of unknown scale delivers millivolts. Blocks are converted one by one; their borders have no effect.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np

from edge.records import Applied
from edge.sources import Source, SourceInfo, Watched
from firmware_bridge.errors import InputError, UsageError
from firmware_bridge.reading import is_number, parse_toml, read_limited
from firmware_bridge.samples import LinkEvent, LinkEventKind, LinkItem, SampleBlock, Unit

SCHEMA = "anyecg.device-profile/1"
MAX_BYTES = 1 << 16
INT32 = (-(1 << 31), (1 << 31) - 1)


@dataclass(frozen=True, slots=True)
class MeasuredProfile:
    """The measured properties of one particular device.

    Attributes:
        device: Kind of the device in the source URL, or the name of a recording.
        device_id: Identifier that the device reports; ``None`` if it reports none.
        unit: Unit of the measured samples, ``counts`` or ``mV``.
        lsb_mv: Millivolts at the electrodes per unit, positive.
        lsb_relative_uncertainty: Expanded uncertainty (k = 2) relative to ``lsb_mv``, without that of the calibrator.
        polarity: 1, or -1 if the device inverts the signal.
        polarity_known: Whether the calibration measured the polarity; a sine cannot.
        offset: Reading without an input voltage, in units of the samples.
        fs_nominal_hz: Sampling rate that the device claims, Hz.
        fs_hz: Measured sampling rate, Hz; ``None`` if it could not be measured.
        fs_from: Reference of the measurement: ``host clock``, ``device clock`` or ``sine``.
        noise_mv: RMS noise at the electrodes, mV; ``None`` if not measured.
        low_cut_hz: Corner of a first-order high-pass that explains the droop of pulses, Hz; ``None`` if not measured.
        response: Maps a frequency, Hz, to the gain relative to 5 Hz.
        made: Time of the calibration, ISO 8601 UTC.
        how: Description of the measurement, one sentence.
        source: URL of the measured source.
        converter_low: Lowest value that the converter can give, in units of the samples; ``None`` if unknown.
        converter_high: Highest value that it can give.
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
    converter_low: float | None = None
    converter_high: float | None = None

    def apply(self, block: SampleBlock) -> SampleBlock:
        """Return the block with the scale, polarity and rate of the profile; integer samples stay integers.

        Raises:
            InputError: The unit of the block differs from the calibrated one.
        """
        if block.unit != self.unit:
            raise InputError(
                f"the device profile is for samples in {self.unit}, but {self.device} gives {block.unit}",
                "calibrate again, or omit the device profile",
            )
        fs_hz = block.fs_hz
        if block.device_time_ns is None and self.fs_hz is not None and fs_hz == self.fs_nominal_hz:
            fs_hz = self.fs_hz
        if block.samples.dtype.kind == "f":
            samples = (block.samples.astype(np.float64) - self.offset).astype(np.float32)
        else:
            samples = np.clip(block.samples.astype(np.int64) - round(self.offset), *INT32).astype(np.int32)
        return dataclasses.replace(
            block,
            samples=samples,
            unit="counts",
            lsb_mv=self.polarity * self.lsb_mv,
            fs_hz=fs_hz,
            limits=self._limits(block),
        )

    def _limits(self, block: SampleBlock) -> tuple[float, float] | None:
        """Return the limits of the converter for samples without the offset."""
        if self.converter_low is not None and self.converter_high is not None:
            limits = self.converter_low, self.converter_high
        elif block.limits is not None:
            limits = block.limits
        else:
            return None
        return limits[0] - self.offset, limits[1] - self.offset


class ProfiledSource:
    """A source that applies a profile to its blocks.

    Args:
        source: The source to wrap.
        profile: The profile to apply.

    Raises:
        UsageError: The profile belongs to another kind of device.
    """

    def __init__(self, source: Source, profile: MeasuredProfile) -> None:
        self._source, self._profile = source, profile
        self.info: SourceInfo = dataclasses.replace(
            source.info, notes=(*source.info.notes, *_notes(profile, source.info))
        )

    async def items(self) -> AsyncIterator[LinkItem]:
        """Yield all items in order, with blocks in millivolts.

        Raises:
            AnyEcgError: The source failed, or the device or its unit does not match the profile.
        """
        async for item in self._source.items():
            if isinstance(item, SampleBlock):
                yield self._profile.apply(item)
                continue
            self._check(item)
            yield item

    async def close(self) -> None:
        """Close the source."""
        await self._source.close()

    def stuck(self) -> bool:
        """Return whether the source still handles the item that it handled at the last call."""
        return isinstance(self._source, Watched) and self._source.stuck()

    def _check(self, event: LinkEvent) -> None:
        found = event.data.get("device_id") if event.kind is LinkEventKind.HELLO else None
        expected = self._profile.device_id
        if found is not None and expected is not None and str(found) != expected:
            raise UsageError(
                f"the device profile belongs to {expected}, but this device is {found}", "calibrate this device"
            )


def applied(profile: MeasuredProfile, path: Path) -> Applied:
    """Return the record of the profile for the estimates."""
    return Applied(
        path.name,
        hashlib.sha256(read_limited(path, MAX_BYTES)).hexdigest(),
        profile.made,
        f"{profile.lsb_mv:.6g} mV/{_one(profile.unit)}",
    )


def profiled(source: Source, path: Path, out: dict[str, Applied]) -> Source:
    """Apply a device profile to a source, for the command and for programs.

    Args:
        source: The source.
        path: File of the profile.
        out: The files that are applied, by kind; the profile is added.

    Raises:
        UsageError: The file is not a device profile, or it belongs to another device.
    """
    profile = load_profile(path)
    out["device_profile"] = applied(profile, path)
    return ProfiledSource(source, profile)


def _one(unit: Unit) -> str:
    return "count" if unit == "counts" else unit


def _notes(profile: MeasuredProfile, info: SourceInfo) -> list[str]:
    from firmware_bridge import devices

    sure = f"± {100 * profile.lsb_relative_uncertainty:.2g} %"
    scale = f"{profile.lsb_mv:.6g} mV per {_one(profile.unit)} ({sure})"
    notes = [f"scale from the device profile of {profile.made}: {scale}"]
    if profile.device != info.device:
        kinds = devices.names()
        if profile.device in kinds and info.device in kinds:
            raise UsageError(
                f"the device profile belongs to a {profile.device}, but the source is a {info.device}",
                "make a profile for it with anyecg calibrate device",
            )
        notes.append(f"the device profile was made with {profile.device!r}; check that this is the same board")
    if not profile.polarity_known:
        notes.append("the device profile was made with a sine: polarity is assumed, not measured")
    return notes


def to_toml(profile: MeasuredProfile) -> str:
    """Return the profile as TOML; :func:`load_profile` reads it."""
    lines = [f'schema = "{SCHEMA}"']
    for field in dataclasses.fields(profile):
        value = getattr(profile, field.name)
        if field.name == "response" or value is None:
            continue
        # A JSON string, number or boolean is also valid TOML.
        lines.append(f"{field.name} = {json.dumps(value)}")
    for hz, ratio in sorted(profile.response.items()):
        lines += ["", "[[response]]", f"hz = {hz!r}", f"ratio = {ratio!r}"]
    return "\n".join(lines) + "\n"


def load_profile(path: Path) -> MeasuredProfile:
    """Read a profile.

    Raises:
        UsageError: The file cannot be read or is not a profile; the message names the key.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise UsageError(
                f"{path} is too large for a device profile", "name a file that anyecg calibrate device wrote"
            )
        raw = parse_toml(read_limited(path, MAX_BYTES))
    except OSError as error:
        raise UsageError(
            f"cannot read the device profile {path}: {error.strerror or error}", "check the path and its permissions"
        ) from None
    except ValueError as error:
        raise UsageError(
            f"the device profile {path} is not valid TOML: {error}", "calibrate the device again"
        ) from None
    if raw.get("schema") != SCHEMA:
        raise UsageError(f"{path} is not a device profile", f'its schema must be "{SCHEMA}"')
    return _profile(_Table(path, raw))


class _Table:
    """Typed access to parsed TOML; every error names file and key."""

    def __init__(self, path: Path, raw: Mapping[str, object]) -> None:
        self._path, self._raw = path, raw

    def fail(self, key: str, expected: str) -> UsageError:
        found = repr(self._raw.get(key))
        return UsageError(f"{self._path}: '{key}' must be {expected}, not {found[:60]}", "calibrate the device again")

    def text(self, key: str) -> str:
        value = self._raw.get(key)
        if not isinstance(value, str) or len(value) > 4096:
            raise self.fail(key, "a string")
        return value

    def text_or_none(self, key: str) -> str | None:
        return None if key not in self._raw else self.text(key)

    def number(self, key: str, low: float, high: float) -> float:
        value = self._raw.get(key)
        if not is_number(value, low, high):
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
        converter_low=t.number_or_none("converter_low", *INT32),
        converter_high=t.number_or_none("converter_high", *INT32),
    )
