"""``--lsl``: two streams, read back by pylsl as LabRecorder reads them."""

from __future__ import annotations

import importlib.util
import math
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from edge.cli.main import main
from edge.grid.native import Native
from edge.sinks import NativeSink
from edge.sinks.lsl import SEEN_CHANNELS, LslSink
from edge.sinks.mqtt.names import node_id
from edge.sources import open_source
from helpers.fleet_hops import RHYTHM, WAVES, estimate
from helpers.small_session import demo_bundle


class Element:
    """An element of the description of a stream."""

    def __init__(self) -> None:
        self.children: list[tuple[str, Any]] = []

    def append_child(self, name: str) -> Element:
        child = Element()
        self.children.append((name, child))
        return child

    def append_child_value(self, name: str, value: str) -> Element:
        assert isinstance(value, str)
        self.children.append((name, value))
        return self


class FakeLsl:
    """The part of pylsl that the sink uses."""

    def __init__(self) -> None:
        self.outlets: dict[str, Any] = {}

    def local_clock(self) -> float:
        return time.monotonic() + 1000.0

    def StreamInfo(self, name: str, kind: str, channels: int, fs_hz: float, form: str, source: str) -> Any:
        desc = Element()
        return SimpleNamespace(name=name, kind=kind, channels=channels, fs_hz=fs_hz, source=source, desc=lambda: desc)

    def StreamOutlet(self, info: Any, chunk: int, buffered: int) -> Any:
        sent: list[tuple[Any, Any]] = []

        def push(values: Any, stamp: Any) -> None:
            sent.append((values, stamp))

        outlet = SimpleNamespace(info=info, sent=sent, push_chunk=push, push_sample=push)
        self.outlets[info.kind] = outlet
        return outlet


@pytest.fixture
def lsl() -> FakeLsl:
    return FakeLsl()


@pytest.fixture
def sink(lsl: FakeLsl) -> LslSink:
    info = replace(open_source("sim:").info, host_clock=True, url="ble:AA:BB:CC:DD:EE:FF")
    made = LslSink(lsl, "anyecg", info, demo_bundle().bundle)
    assert isinstance(made, NativeSink)
    made.open()
    return made


def test_samples_are_stamped_by_the_clock_and_gaps_are_kept(sink: LslSink, lsl: FakeLsl) -> None:
    begin_ns = time.monotonic_ns()
    ends_s = [0.4, 0.8, 1.2, 5.2]  # a gap before the last one
    for end_s in ends_s:
        # The clock of the device is 0.1 % slow.
        sink.native(Native(np.arange(100.0), 0.0, end_s, 250.0), "mV", begin_ns + round(end_s * 1.001e9))
    outlet = lsl.outlets["ECG"]
    stamps = np.concatenate([stamp for _values, stamp in outlet.sent])
    assert outlet.info.fs_hz == 250.0
    assert np.all(np.diff(stamps) > 0)
    assert stamps[:300] == pytest.approx(begin_ns * 1e-9 + 1000.0 + np.arange(300) * 0.004 * 1.001, abs=0.002)
    assert np.diff(stamps).max() == pytest.approx(3.604 + 0.004, abs=0.005)
    assert outlet.sent[0][0].dtype == np.float32
    assert outlet.sent[0][0].shape == (100, 1)


def test_estimates_end_with_intervals_and_the_share_of_fibrillation(sink: LslSink, lsl: FakeLsl) -> None:
    outlet, heads = lsl.outlets["Estimates"], len(demo_bundle().bundle.manifest.outputs)
    assert outlet.info.channels == 2 + heads + len(SEEN_CHANNELS)
    sink.estimate(replace(estimate(0), waves=replace(WAVES, pr_ms=None), rhythm=RHYTHM))
    sink.estimate(estimate(1))
    first, second = (values for values, _stamp in outlet.sent)
    assert first[0] == 61.5
    assert first[-5:] == pytest.approx([math.nan, 92.0, 400.0, 402.0, 0.25], nan_ok=True)
    assert second[-5:] == pytest.approx([math.nan] * 5, nan_ok=True)
    assert len(first) == len(second) == outlet.info.channels


def test_a_patch_cannot_be_found_from_its_identifier(sink: LslSink, lsl: FakeLsl) -> None:
    sink.native(Native(np.zeros(3), 0.0, 0.012, 250.0), "counts", time.monotonic_ns())
    # Addresses are few enough to try them all, so the hash needs the key of this computer.
    patch = node_id("", "ble:AA:BB:CC:DD:EE:FF")
    names = {outlet.info.source for outlet in lsl.outlets.values()}
    assert names == {f"anyecg-{patch}-ECG", f"anyecg-{patch}-Estimates"}
    ((_channels, channels), *_rest) = lsl.outlets["ECG"].info.desc().children
    ((_channel, channel),) = channels.children
    assert dict(channel.children) == {"label": "ECG", "unit": "counts", "type": "ECG"}


def test_without_the_library_one_line_names_the_extra(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("edge.sinks.lsl.find_spec", lambda name: None)
    code = main(["run", "--source", "sim:", "--lsl", "--view", "none", "--seconds", "1"])
    assert (code, "anyecg-edge[lsl]" in capsys.readouterr().err) == (6, True)
    assert main(["run", "--source", "sim:", "--lsl", "a\tb", "--view", "none", "--seconds", "1"]) == 2


@pytest.mark.slow
def test_pylsl_reads_both_streams_back(tmp_path: Path) -> None:
    if importlib.util.find_spec("pylsl") is None:
        pytest.skip("pylsl is not installed (extra lsl)")
    try:
        import pylsl
    except RuntimeError as error:
        pytest.skip(f"liblsl is not installed: {error}")
    (tmp_path / "lsl.cfg").write_text("[multicast]\nResolveScope = machine\n[log]\nlevel = -2\n")
    env = {**os.environ, "LSLAPICFG": str(tmp_path / "lsl.cfg")}
    name = f"anyecg-test-{os.getpid()}"
    command = ["run", "--source", "sim:?potassium=6.5&seed=1", "--view", "none", "--lsl", name]
    run = subprocess.Popen([sys.executable, "-m", "edge.cli", *command], env=env, stdout=subprocess.DEVNULL)
    try:
        inlets = {}
        for what in ("ECG", "estimates"):
            found = pylsl.resolve_byprop("name", f"{name} {what}", timeout=30.0)
            assert len(found) == 1
            inlets[what] = pylsl.StreamInlet(found[0])
            inlets[what].open_stream(timeout=10.0)
        ecg, estimates = inlets["ECG"].info(), inlets["estimates"].info()
        assert (ecg.type(), ecg.nominal_srate(), ecg.channel_count()) == ("ECG", 250.0, 1)
        assert (ecg.get_channel_labels(), ecg.get_channel_units()) == (["ECG"], ["millivolts"])
        heads = [output.key for output in demo_bundle().bundle.manifest.outputs]
        assert estimates.nominal_srate() == pylsl.IRREGULAR_RATE
        assert estimates.get_channel_labels() == [
            "heart_rate",
            "signal_quality",
            *heads,
            *(label for label, _unit in SEEN_CHANNELS),
        ]
        units = estimates.get_channel_units()
        assert units is not None
        assert units[:3] == ["/min", "1", "1"]
        assert ecg.desc().child("acquisition").child_value("manufacturer") == "anyecg-edge"
        values, stamps, rows = [], [], []
        until_s = time.monotonic() + 60.0
        while time.monotonic() < until_s and not (rows and math.isfinite(rows[-1][0][2])):
            chunk, times = inlets["ECG"].pull_chunk(timeout=0.5)
            values += np.ravel(chunk).tolist()
            stamps += list(times)
            while (row := inlets["estimates"].pull_sample(timeout=0.0))[0] is not None:
                rows.append(row)
    finally:
        run.send_signal(signal.SIGINT)
        run.wait(30)
    assert run.returncode == 130
    assert len(values) > 2000
    assert 0.5 < np.ptp(values) < 5.0  # millivolts
    assert np.diff(stamps) == pytest.approx(0.004, abs=0.002)
    # Both streams and this process have one clock.
    assert 0.0 < pylsl.local_clock() - stamps[-1] < 40.0
    row, at_s = rows[-1]
    assert 40.0 < row[0] < 120.0
    assert all(math.isfinite(value) for value in row)
    assert abs(at_s - stamps[-1]) < 5.0
    assert math.isnan(rows[0][0][2])  # warming up
