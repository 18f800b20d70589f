"""``edge.open``: the stream of a patch, a recording, a simulation or an array."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from edge.api.applied_files import AppliedFiles
from edge.api.array import ArraySource, as_lead, check_rate
from edge.api.bundle import Bundle, as_bundle
from edge.api.options import check_hop, check_seconds
from edge.api.stream import Stream
from edge.bundle import reader
from edge.model import BackendName
from edge.sources import Source, SourceUrl, open_source
from firmware_bridge.errors import UsageError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


def open(  # noqa: A001  # as wave.open, gzip.open: used as edge.open
    source: str | Path | ArrayLike,
    *,
    fs_hz: float | None = None,
    bundle: Bundle | reader.Bundle | str | Path = "demo",
    hop_s: float = 1.0,
    seconds: float | None = None,
    speed: float | Literal["max"] | None = None,
    backend: BackendName = "auto",
    device_profile: str | Path | None = None,
    reasons: bool = False,
    baseline: str | Path | None = None,
) -> Stream:
    """Open a source of ECG as a stream.

    ::

        edge.open("ble:polar_h10")  # a strap on Bluetooth
        edge.open("serial:/dev/ttyACM0")  # a patch on a cable
        edge.open("sim:?potassium=6.5&seed=1", speed="max")  # a simulated patient, as fast as possible
        edge.open(Path("night.edf"))  # a recording, as fast as possible
        edge.open(ecg_mv, fs_hz=250.0)  # a numpy array

    A recording or array is read here as far as its header; a device is opened when an iteration begins.

    Args:
        source: A source URL, as for ``anyecg run --source``; the path of a recording, which is read as fast as
            possible; or one lead in mV, shape ``(n,)``, where NaN marks missing samples.
        fs_hz: Sampling rate of an array, or of a recording that does not state its own, Hz.
        bundle: The bundle for estimates: ``demo``, a folder, a zip file, or a loaded bundle.
        hop_s: Seconds between estimates.
        seconds: Signal to process, s (on a live source also a limit of time); ``None`` for no limit.
        speed: Pace of a recording or simulation: a factor of real time, or ``"max"``.
        backend: The interpreter of the model.
        device_profile: File with the measured scale, polarity and rate of the board (``anyecg calibrate device``).
        reasons: Whether estimates say what they rest on, as with ``anyecg run --reasons``.
        baseline: Quiet hour of the wearer (``anyecg baseline``), against which estimates show changes, as with
            ``anyecg run --baseline``. ``info.notes`` says if it is of another device or lead.

    Raises:
        UsageError: The URL, an option, the device profile or the baseline is invalid.
        InputError: The recording or array cannot be read.
        BundleError: The bundle is damaged.
    """
    opener = _opener(source, fs_hz, speed)
    files = AppliedFiles(device_profile, baseline)
    stream = Stream(
        files.opener(opener),
        as_bundle(bundle),
        hop_s=check_hop(hop_s),
        seconds=check_seconds(seconds),
        backend=backend,
        reasons=reasons,
        session=files.session,
    )
    stream.info = files.noted(stream.info)
    return stream


def _opener(source: str | Path | ArrayLike, fs_hz: float | None, speed: float | str | None) -> Callable[[], Source]:
    if isinstance(source, Path) or (isinstance(source, str) and _is_path(source)):
        text = str(source)
        params = {"speed": "max" if speed is None else str(speed)}
        if fs_hz is not None:
            params["fs"] = repr(float(fs_hz))
        url = SourceUrl.of_file(text, **params)
        return lambda: open_source(url)
    if isinstance(source, str):
        text = source
        for key, value in (("speed", speed), ("fs", fs_hz)):
            if value is None:
                continue
            if key in SourceUrl.parse(source).params:
                raise UsageError(f"{key}= is set in the source URL and by an argument", "set it once")
            # In the text, because of record:FILE,URL.
            text += ("&" if "?" in text else "?") + f"{key}={value}"
        named = SourceUrl.parse(text)
        return lambda: open_source(named)
    if speed is not None:
        raise UsageError("an array has no speed", "leave out speed=")
    if fs_hz is None:
        raise UsageError("the sampling rate of the array is unknown", "give fs_hz=")
    samples = as_lead(source)
    rate_hz = check_rate(fs_hz)
    return lambda: ArraySource(samples, rate_hz)


def _is_path(text: str) -> bool:
    """Return whether a text names a file and not a source: it has no scheme, and there is such a file."""
    try:
        return ":" not in text and Path(text).expanduser().exists()
    except (OSError, ValueError):
        return False
