"""Derive a device profile from a captured calibration signal."""

from __future__ import annotations

import dataclasses
import time
from dataclasses import dataclass
from typing import Literal, get_args

from calibration.device.capture import Capture
from calibration.device.pulse import fit_pulses
from calibration.device.sine import fit_response, fit_sine, noise_floor
from edge.device_profile import MeasuredProfile
from edge.records import utc_text
from firmware_bridge.errors import InputError, UsageError

Signal = Literal["pulse", "sine", "sweep", "shorted"]
SIGNALS: tuple[Signal, ...] = get_args(Signal)

OTHER_DEVICE = "measure every signal with the same board, or start a new profile without --add-to"
SCALE_FIRST = "measure a pulse or a sine first, then extend its profile with --add-to"


@dataclass(frozen=True, slots=True)
class Applied:
    """Signal that was applied to the electrodes.

    Attributes:
        signal: Kind of signal.
        amplitude_mv: Peak-to-peak amplitude, mV.
        hz: Frequency of a sine, Hz; ``None`` for other signals.
    """

    signal: Signal = "pulse"
    amplitude_mv: float = 1.0
    hz: float | None = None


def measure(
    captured: Capture, applied: Applied, before: MeasuredProfile | None = None, name: str | None = None
) -> MeasuredProfile:
    """Measure a device.

    Args:
        captured: Samples of the device.
        applied: Signal on its electrodes.
        before: Profile to extend; ``None`` for a new one.
        name: Name of the device; ``None`` for the name that its source gives.

    Raises:
        UsageError: The sine has no frequency or is too fast for the sampling rate, or the profile belongs to another
            device.
        InputError: The signal is not found or is clipped, or it needs a scale that is not known.
    """
    base = _base(captured, before, name)
    match applied.signal:
        case "pulse":
            return _by_pulse(captured, applied, base)
        case "sine":
            return _by_sine(captured, applied, base)
        case "sweep":
            response = fit_response(captured.segments, captured.fs_nominal_hz)
            return _with_scale(dataclasses.replace(base, response=response), captured, before, "response to a sweep")
        case "shorted":
            rms, swing = noise_floor(captured.segments, captured.fs_nominal_hz)
            scaled = _with_scale(base, captured, before, "noise")
            how = f"noise with shorted inputs: {1e3 * swing * scaled.lsb_mv:.4g} uV peak to peak in 10 s"
            return dataclasses.replace(scaled, noise_mv=rms * scaled.lsb_mv, how=f"{scaled.how}; {how}")


def _base(captured: Capture, before: MeasuredProfile | None, name: str | None) -> MeasuredProfile:
    device = name or captured.info.device
    if before is not None:
        other_device = captured.device_id is not None and before.device_id not in {None, captured.device_id}
        if other_device or before.unit != captured.unit:
            found = captured.device_id if other_device else f"a source in {captured.unit}"
            raise UsageError(
                f"the profile belongs to {before.device_id or before.device}, but the source is {found}", OTHER_DEVICE
            )
        return dataclasses.replace(before, made=utc_text(time.time_ns()))
    return MeasuredProfile(
        device=device,
        device_id=captured.device_id,
        unit=captured.unit,
        lsb_mv=1.0,
        lsb_relative_uncertainty=0.0,
        polarity=1,
        polarity_known=False,
        offset=0.0,
        fs_nominal_hz=captured.fs_nominal_hz,
        fs_hz=captured.fs_hz,
        fs_from=captured.fs_from,
        noise_mv=None,
        low_cut_hz=None,
        response={},
        made=utc_text(time.time_ns()),
        how="",
        source=captured.info.url,
    )


def _with_scale(
    profile: MeasuredProfile, captured: Capture, before: MeasuredProfile | None, what: str
) -> MeasuredProfile:
    """Give a measurement without scale the scale of the earlier profile, or else the one that the device claims."""
    if before is not None:
        return dataclasses.replace(profile, how=f"{profile.how}; {what}" if what != "noise" else profile.how)
    claimed = 1.0 if captured.unit == "mV" else captured.lsb_mv
    if claimed is None:
        raise InputError(f"the scale of {captured.info.device} is not known, so its {what} has no unit", SCALE_FIRST)
    return dataclasses.replace(profile, lsb_mv=claimed, how=f"scale as claimed by the device; {what}")


def _by_pulse(captured: Capture, applied: Applied, base: MeasuredProfile) -> MeasuredProfile:
    fit = fit_pulses(captured.segments, captured.fs_nominal_hz)
    lsb_mv = applied.amplitude_mv / fit.height
    return dataclasses.replace(
        base,
        lsb_mv=lsb_mv,
        lsb_relative_uncertainty=fit.relative_uncertainty,
        polarity=fit.polarity,
        polarity_known=fit.polarity_known,
        offset=fit.offset,
        noise_mv=fit.noise * lsb_mv,
        low_cut_hz=fit.low_cut_hz,
        how=f"{fit.pulses} pulses of {applied.amplitude_mv:g} mV in {captured.seconds:.0f} s",
    )


def _by_sine(captured: Capture, applied: Applied, base: MeasuredProfile) -> MeasuredProfile:
    if applied.hz is None:
        raise UsageError("the frequency of the sine is not given", "add --hz with all digits that the generator shows")
    fit = fit_sine(captured.segments, captured.fs_nominal_hz, applied.hz)
    lsb_mv = applied.amplitude_mv / fit.peak_to_peak
    out = dataclasses.replace(
        base,
        lsb_mv=lsb_mv,
        lsb_relative_uncertainty=fit.relative_uncertainty,
        offset=fit.offset,
        noise_mv=fit.noise * lsb_mv,
        how=f"sine of {applied.amplitude_mv:g} mV peak to peak at {applied.hz:g} Hz, {fit.seconds:.0f} s",
    )
    if captured.fs_from != "device clock":
        # The frequency of a generator is known to a few ppm, the rate from arrival times in 30 s to hundreds of ppm.
        out = dataclasses.replace(out, fs_hz=applied.hz / fit.cycles_per_sample, fs_from="sine")
    return out
