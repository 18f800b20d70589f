"""``--lsl``: the ECG and the estimates as two streams of the Lab Streaming Layer (LabRecorder and others)."""

from __future__ import annotations

import math
import os
import sys
import time
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edge.sinks import BaseSink
from edge.sinks.mqtt.names import node_id
from edge.waves.record import WaveRecord, interval_values
from firmware_bridge.errors import MissingExtraError, UsageError
from firmware_bridge.text import printable, shortened

if TYPE_CHECKING:
    from edge.bundle.reader import Bundle
    from edge.grid.native import Native
    from edge.records import Estimate, RunSummary
    from edge.sources import SourceInfo
    from firmware_bridge.samples import Unit

MAX_NAME = 64
BUFFER_S = 60
"""Signal that a slow receiver may lag behind, s."""
BUFFER_HUNDREDS = 1
"""The same for the estimates, hundreds of samples."""
UNITS = {"mV": "millivolts", "counts": "counts"}
OWN_CHANNELS = (("heart_rate", "/min"), ("signal_quality", "1"))
"""Channels of the estimates before those of the outputs, with their units (UCUM)."""
SEEN_CHANNELS = (("pr", "ms"), ("qrs", "ms"), ("qt", "ms"), ("qtc_fridericia", "ms"), ("af_share", "1"))
"""Channels of what the ECG itself shows, after those of the outputs, so that these keep their places."""
CONFIG_FILES = ("lsl_api.cfg", "~/lsl_api/lsl_api.cfg", "/etc/lsl_api/lsl_api.cfg")
_QUIET = "[log]\nlevel = -2\n"
"""Warnings and errors only: liblsl otherwise says where it was built."""


class LslSink(BaseSink):
    """Offers two streams. liblsl sends them from threads of its own, so a slow receiver delays nothing.

    Args:
        library: The module ``pylsl``.
        name: Beginning of the names of the streams.
        source: Description of the source.
        bundle: The bundle that makes the estimates.
    """

    def __init__(self, library: Any, name: str, source: SourceInfo, bundle: Bundle) -> None:
        self._lsl, self._name, self._source, self._bundle = library, name, source, bundle
        self._keys = [output.key for output in bundle.manifest.outputs]
        self._id = node_id("", source.url)
        self._ecg: Any = None
        self._estimates: Any = None
        self._kind: tuple[Unit, float] | None = None
        self._offset_s: float | None = None
        self._end: tuple[float, float] | None = None
        """Signal time and LSL time just after the newest sample, s."""

    def open(self) -> None:
        """Offer the stream of the estimates; that of the ECG follows with its first sample, which says the rate."""
        info = self._info("estimates", "Estimates", len(OWN_CHANNELS) + len(self._keys) + len(SEEN_CHANNELS), 0.0)
        outputs = [(output.key, output.unit, output) for output in self._bundle.manifest.outputs]
        own, seen = ([(label, unit, None) for label, unit in some] for some in (OWN_CHANNELS, SEEN_CHANNELS))
        channels = info.desc().append_child("channels")
        for label, unit, output in [*own, *outputs, *seen]:
            channel = _channel(channels, label, unit, "Estimate" if output else "Measurement")
            if output is not None:
                channel.append_child_value("loinc_of_laboratory_test", output.loinc or "")
                channel.append_child_value("evidence", output.evidence.tier)
                channel.append_child_value("kind", output.kind)
        self._about(info)
        self._estimates = self._lsl.StreamOutlet(info, 0, BUFFER_HUNDREDS)

    def native(self, samples: Native, unit: Unit, end_host_ns: int) -> None:
        """Send samples with their time stamps."""
        n = len(samples.samples)
        if not n:
            return
        if self._kind != (unit, samples.fs_hz):
            self._kind = (unit, samples.fs_hz)
            self._ecg = self._ecg_outlet(unit, samples.fs_hz)
        end_s = end_host_ns * 1e-9 + self._clock_offset_s(end_host_ns)
        stamps = self._stamps(n, samples, end_s)
        self._ecg.push_chunk(samples.samples.astype(np.float32).reshape(n, 1), stamps.tolist())
        self._end = samples.end_s, end_s

    def estimate(self, e: Estimate) -> None:
        """Send the values of an estimate; NaN where there is none."""
        values = {lab.key: lab.value for lab in e.labs}
        row = [e.heart_rate_bpm, e.quality.score, *(values.get(key) for key in self._keys), *_seen(e)]
        at_s = self._lsl.local_clock() if self._end is None else self._end[1] + e.window.end_s - self._end[0]
        self._estimates.push_sample([math.nan if value is None else float(value) for value in row], at_s)

    def close(self, summary: RunSummary | None) -> None:  # noqa: ARG002  # the interface of a sink
        """Withdraw both streams."""
        self._ecg = self._estimates = None

    def _clock_offset_s(self, end_host_ns: int) -> float:
        """Return what turns the host's monotonic time into LSL's, s."""
        if self._offset_s is None:
            # LSL's clock is the monotonic one on Linux, and another one elsewhere. The host time of a recording is not
            # that of this run: its first samples are now.
            host_s = time.monotonic() if self._source.host_clock else end_host_ns * 1e-9
            self._offset_s = self._lsl.local_clock() - host_s
        return self._offset_s

    def _stamps(self, n: int, part: Native, end_s: float) -> NDArray[np.float64]:
        """Return the time of each sample: evenly from the end of the samples before, if there is no gap."""
        step_s = 1.0 / part.fs_hz
        start_s = end_s - n * step_s
        if self._end is not None and abs(part.end_s - n * step_s - self._end[0]) < step_s:
            step_s = max((end_s - self._end[1]) / n, 0.5 * step_s)
            start_s = end_s - n * step_s
        return np.asarray(start_s + step_s * np.arange(n))

    def _ecg_outlet(self, unit: Unit, fs_hz: float) -> Any:
        info = self._info("ECG", "ECG", 1, fs_hz)
        _channel(info.desc().append_child("channels"), "ECG", UNITS[unit], "ECG")
        self._about(info)
        return self._lsl.StreamOutlet(info, 0, BUFFER_S)

    def _info(self, what: str, kind: str, channels: int, fs_hz: float) -> Any:
        return self._lsl.StreamInfo(
            f"{self._name} {what}", kind, channels, fs_hz, "float32", f"anyecg-{self._id}-{kind}"
        )

    def _about(self, info: Any) -> None:
        manifest = self._bundle.manifest
        acquisition = info.desc().append_child("acquisition")
        for key, value in (
            ("manufacturer", "anyecg-edge"),
            ("model", printable(self._source.device)),
            ("bundle", f"{manifest.name} {manifest.version}"),
            ("bundle_sha256", self._bundle.sha256),
            ("notice", manifest.notice),
        ):
            acquisition.append_child_value(key, value)


def check_lsl(name: str) -> str:
    """Return the name of the streams, and check what can be checked before the run.

    Raises:
        UsageError: The name is not usable.
        MissingExtraError: The library is not installed.
    """
    if name != printable(name) or not name.strip() or len(name) > MAX_NAME:
        raise UsageError(f"--lsl {shortened(printable(name), 40)!r} is not a name", f"1 to {MAX_NAME} characters")
    if find_spec("pylsl") is None:
        raise MissingExtraError("--lsl", "lsl")
    return name.strip()


def open_lsl(name: str, source: SourceInfo, bundle: Bundle) -> LslSink:
    """Return the sink for ``--lsl``. Nothing is offered yet.

    Raises:
        UsageError: The name is not usable, or pylsl does not find liblsl.
        MissingExtraError: The library is not installed.
    """
    name = check_lsl(name)
    try:
        import pylsl
    except RuntimeError:  # its wheels for ARM come without liblsl
        raise UsageError("pylsl does not find liblsl", "install liblsl; see docs/running.md") from None
    if "LSLAPICFG" not in os.environ and not any(Path(file).expanduser().exists() for file in CONFIG_FILES):
        with suppress(NotImplementedError):  # liblsl before 1.17.7
            pylsl.set_config_content(_QUIET)
    sys.stderr.write("note: --lsl offers the ECG and the estimates to every computer of the network, unencrypted\n")
    return LslSink(pylsl, name, source, bundle)


def _seen(e: Estimate) -> list[float | None]:
    """Return the values of `SEEN_CHANNELS`."""
    intervals = interval_values(WaveRecord() if e.waves is None else e.waves)
    return [*(ms for _name, ms in intervals), None if e.rhythm is None else e.rhythm.minutes.af_share]


def _channel(channels: Any, label: str, unit: str, kind: str) -> Any:
    channel = channels.append_child("channel")
    for key, value in (("label", printable(label)), ("unit", unit), ("type", kind)):
        channel.append_child_value(key, value)
    return channel
