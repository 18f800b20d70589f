"""From each device's bytes to a heart rate and estimates: simulated recordings through the whole chain."""

import json

import numpy as np
import pytest

from edge.cli.main import main
from firmware_bridge import devices
from firmware_bridge.items import RawChunk
from firmware_bridge.rawlog import RawLogHeader, RawLogWriter
from firmware_bridge.synth.ecgsyn import EcgParams, EcgSynth
from helpers.device_streams import MAKERS

SECONDS = 24
HR = 72.0


@pytest.mark.parametrize("name", MAKERS)
def test_bytes_become_a_heart_rate_and_estimates(name, tmp_path):
    fs_hz, counts_mv, make = MAKERS[name]
    signal_mv = EcgSynth(EcgParams(hr_bpm=HR), 1).generate(SECONDS * fs_hz, float(fs_hz))
    frames = make(np.rint(signal_mv * counts_mv).astype(np.int32))
    writer = RawLogWriter(tmp_path / "raw.aer", RawLogHeader(name, "test", "s", 1_700_000_000_000_000_000, 0))
    each = max(1, len(frames) // (SECONDS * 10))
    for at in range(0, len(frames), each):
        data = b"".join(frames[at : at + each])
        arrival_ns = round((at + each) / len(frames) * SECONDS * 1e9)
        for piece in frames[at : at + each] if devices.get(name).profile.ble and name != "healthypi5" else [data]:
            writer.item(RawChunk(arrival_ns, "data", piece))
    writer.close()
    arguments = ["run", "--source", f"replay:{tmp_path}/raw.aer", "--speed", "max", "--view", "none"]
    assert main([*arguments, "--out", str(tmp_path / "out.jsonl")]) == 0
    estimates = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    good = [e for e in estimates if e["abstained"] is None]
    assert len(good) >= 8
    assert good[-1]["labs"]
    assert good[-1]["lost_samples"] == 0
    assert good[-1]["heart_rate_bpm"] == pytest.approx(HR, abs=3)
