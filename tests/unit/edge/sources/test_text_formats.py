"""Text and JSON that devices and apps write: one example each."""

from __future__ import annotations

import datetime as dt
import json

import numpy as np
import pytest

from firmware_bridge.decoding.movesense_gsp import RAW_LSB_MV
from firmware_bridge.errors import InputError
from helpers.text_files import COUNTS, ECG_MV, FS_HZ, MV, SECONDS, T_S, UV, N, is_whole, play, stamp, table

EPOCH_S = 1_700_000_000


def packets(key: str = "ecg", *, drop: tuple[int, ...] = (), acc: bool = False) -> str:
    """Movesense packets of sixteen samples, one per line."""
    lines = []
    for i in range(N // 16):
        counts = [round(v / RAW_LSB_MV) for v in ECG_MV[16 * i : 16 * i + 16]]
        if acc:
            lines.append({"acc": {"Timestamp": 500 + 64 * i, "ArrayAcc": [{"x": 1.0, "y": 2.0, "z": 9.8}]}})
        if i not in drop:
            lines.append({key: {"Samples": counts, "Timestamp": 500 + 64 * i}})
    return "".join(json.dumps(line) + "\n" for line in lines)


def kardia(**leads: np.ndarray) -> dict:
    """A recording as the Kardia API gives it."""
    samples = {name: [round(2000 * float(v)) for v in values] for name, values in leads.items()}
    block = {"frequency": 300, "mainsFrequency": 50, "samples": samples, "amplitudeResolution": 500}
    enhanced = block | {"samples": {name: [0] * len(v) for name, v in samples.items()}}
    return {
        "id": "x", "heartRate": 89, "duration": 30000, "recordedAt": "2021-04-16T15:19:09+05:30",
        "data": {"enhanced": enhanced, "raw": block}, "qtMeasurement": {"rr": {"Value": 666.667}},
    }  # fmt: skip


def apple(rate: str = "512 hertz", cells: list[str] = UV, words: str = "Lead,Lead I\nUnit,µV") -> str:
    """An ECG of the Apple Watch, as its Health app exports it."""
    return (
        'Name,-\nDate of Birth,"1 Jan 1970"\nRecorded Date,2020-01-05 10:00:00 +0100\nClassification,Sinus Rhythm\n'
        f'Symptoms,\nSoftware Version,1.90\nDevice,"Watch6,2"\nSample Rate,{rate}\n\n\n{words}\n\n'
    ) + "".join(cell + "\n" for cell in cells)


def openbci(channels: dict[int, list[str]], rows: int = N) -> str:
    """A recording of the OpenBCI GUI 5 with a Ganglion."""
    head = "".join(f"EXG Channel {i}, " for i in range(4))
    text = (
        "%OpenBCI Raw EXG Data\n%Number of channels = 4\n%Sample Rate = 200 Hz\n"
        "%Board = OpenBCI_GUI$BoardGanglionNative\n"
        f"Sample Index, {head}Accel Channel 0, Other, Timestamp, Other, Timestamp (Formatted)\n"
    )
    for i in range(rows):
        exg = ", ".join(channels.get(c, ["0.0"] * rows)[i] for c in range(4))
        wall = stamp(i / 200).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]
        text += f"{2 * i % 200}.0, {exg}, 0.1, 0.0, {EPOCH_S + i / 200:.6f}, 0.0, {wall}\n"
    return text


def open_signals(sensors: list[str], values: list[list[str]], device: str = "bitalino_rev", **more: object) -> str:
    """A recording of OpenSignals with a BITalino."""
    labels = [f"A{i + 1}" for i in range(len(sensors))]
    about = {
        "98:D3:31:00:00:01": {
            "device": device, "sampling rate": 1000, "resolution": [4, 1, 1, 1, 1, *[10] * len(sensors)],
            "label": labels, "column": ["nSeq", "I1", "I2", "O1", "O2", *labels], "sensor": sensors, **more,
        }
    }  # fmt: skip
    rows = "".join(
        f"{i % 16}\t0\t0\t0\t0\t" + "\t".join(row) + "\t\n" for i, row in enumerate(zip(*values, strict=True))
    )
    return f"# OpenSignals Text File Format. Version 1\n# {json.dumps(about)}\n# EndOfHeader\n{rows}"


POLAR_LOGGER = table(
    "Phone timestamp;sensor timestamp [ns];timestamp [ms];ecg [uV];marker",
    [stamp(i / 130).isoformat(timespec="milliseconds") for i in range(N)],
    [str(599616000000000000 + round(i * 1e9 / 130.2)) for i in range(N)],
    [f"{i * 1000 / 130.2:.6f}" for i in range(N)],
    UV,
    [""] * N,
    sep=";",
)
POLAR_SDK = [
    {"timeStamp": 599616000000000000 + round(i * 1e9 / 130.2), "voltage": round(1000 * v)} for i, v in enumerate(ECG_MV)
]
BRAINFLOW = "".join(
    "\t".join(f"{q:.6f}" for q in [i % 256, 1000 * v, 0, 0, 0, 0, 0, 0, 0, EPOCH_S + i / 250, 0]) + "\n"
    for i, v in enumerate(ECG_MV)
)
FHIR = {
    "resourceType": "Observation",
    "component": [
        {
            "valueSampledData": {
                "origin": {"value": -2048, "unit": "uV"}, "period": 4, "factor": 1.0, "dimensions": 1,
                "data": " ".join(str(round(1000 * v) + 2048) for v in ECG_MV),
            }
        }
    ],
}  # fmt: skip


@pytest.mark.parametrize(
    ("text", "query", "fs_hz", "lead", "rate_from", "format_"),
    [
        (packets(), "", 250, "ecg", "clock Timestamp", "Movesense JSON"),
        (packets(acc=True), "", 250, "ecg", "clock Timestamp", "Movesense JSON"),
        (json.dumps({"data": [json.loads(s) for s in packets().splitlines()]}, indent=1), "", 250, "ecg",
         "clock Timestamp", "Movesense JSON"),
        (apple(), "", 512, "Lead I", "header", "Apple Watch CSV"),
        (apple("512,000 Hertz", [f'"{v}"'.replace(".", ",") for v in UV], "Ableitung,Ableitung I\nEinheit,µV"), "", 512,
         "Ableitung I", "header", "Apple Watch CSV"),
        (json.dumps(kardia(leadI=ECG_MV)), "", 300, "leadI", "header", "Kardia JSON"),
        (json.dumps(kardia(leadI=0 * ECG_MV, leadII=ECG_MV)), "", 300, "leadII", "header", "Kardia JSON"),
        ("# AliveCor ECG\n# sample_rate_hz=300\n# units=mV\n" + table("lead_I", MV), "", 300, "lead_I", "header",
         "text"),
        ("Recorded,2020-01-05 10:00:00\nSampling rate,300 Hz\nUnit,mV\n\n" + table("Lead I", MV), "", 300, "Lead I",
         "header", "text"),
        (openbci({0: UV}), "", 200, "EXG Channel 0", "clock Timestamp", "OpenBCI"),
        (POLAR_LOGGER, "", 130.2, "ecg [uV]", "clock sensor timestamp [ns]", "text"),
        (json.dumps(POLAR_SDK), "", 130.2, "voltage", "clock timeStamp", "Polar JSON"),
        (json.dumps({"samples": POLAR_SDK}), "", 130.2, "voltage", "clock timeStamp", "Polar JSON"),
        ("".join(json.dumps({"dataType": "ECG", "phoneTimestamp": i, "data": POLAR_SDK[i : i + 40]}) + "\n"
                 for i in range(0, N, 40)), "", 130.2, "voltage", "clock timeStamp", "Polar JSON"),
        (BRAINFLOW, "unit=uV", 250, "ecg", "clock column 10", "text"),
        (table("timestamp_ms,ecg,resp", [str(i // 8 * 64) for i in range(N)], MV, COUNTS), "unit=mV", 125, "ecg",
         "clock timestamp_ms", "text"),
        (json.dumps(FHIR), "", 250, "ecg_mv", "header", "JSON"),
        (json.dumps({"fs": 250, "unit": "mV", "ecg": ECG_MV.tolist()}), "", 250, "ecg", "header", "JSON"),
        (json.dumps({"meta": {"sampling_rate": "250 Hz", "unit": "mV"}, "I": ECG_MV.tolist()}), "", 250, "I", "header",
         "JSON"),
        (json.dumps({"time": T_S.tolist(), "ecg_uv": (1000 * ECG_MV).tolist(), "hr": [70] * N}), "", 250, "ecg_uv",
         "clock time", "JSON"),
        (json.dumps([{"time": f"{stamp(i / 250).isoformat()}Z", "ecg_mv": v} for i, v in enumerate(ECG_MV.tolist())]),
         "", 250, "ecg_mv", "clock time", "JSON"),
        (json.dumps([[t, v] for t, v in zip(T_S.tolist(), ECG_MV.tolist(), strict=True)]), "unit=mV", 250, "ecg",
         "clock column 1", "JSON"),
        (json.dumps(ECG_MV.tolist()), "unit=mV&fs=250", 250, "samples", "fs=", "JSON"),
        ("".join(json.dumps({"timestamp_ms": 4 * i, "ecg_mv": v}) + "\n" for i, v in enumerate(MV)), "", 250, "ecg_mv",
         "clock timestamp_ms", "JSON Lines"),
    ],
)  # fmt: skip
def test_one_file_each(tmp_path, text, query, fs_hz, lead, rate_from, format_):
    played = play(tmp_path, text, query)
    assert is_whole(played, fs_hz=fs_hz)
    decided = played.decided
    assert (decided["lead"], decided["rate_from"], decided["format"]) == (lead, rate_from, format_)
    assert decided["scale"] == "mV"


def test_opensignals_scales_the_ecg_sensor(tmp_path):
    played = play(tmp_path, open_signals(["EMG", "ECGBIT"], [["5"] * N, COUNTS]))
    assert played.blocks[0].fs_hz == 1000
    expected = (np.array([int(c) for c in COUNTS]) / 1024 - 0.5) * 3300 / 1100
    assert np.allclose(played.samples, expected, atol=1e-6)
    assert (played.info.lead, played.decided["lead_from"]) == ("A2", "stated by OpenSignals")
    assert "begins again after 16" in played.decided["clock"]


def test_opensignals_without_a_scale_gives_counts(tmp_path):
    assert play(tmp_path, open_signals(["ECG"], [COUNTS], device="unknown")).blocks[0].unit == "counts"
    converted = play(tmp_path, open_signals(["ECG"], [MV], convertedValues=1))
    assert np.allclose(converted.samples, ECG_MV)


def test_opensignals_with_several_raw_sensors_asks(tmp_path):
    with pytest.raises(InputError, match=r"6 \(A1\), 7 \(A2\) .*column=6"):
        play(tmp_path, open_signals(["RAW", "RAW"], [COUNTS, MV]))
    assert play(tmp_path, open_signals(["RAW", "RAW"], [COUNTS, MV]), "column=7&unit=mV").info.lead == "A2"
    assert play(tmp_path, open_signals(["RAW"], [COUNTS])).info.lead == "A1"


def test_openbci_asks_between_channels_and_knows_microvolts(tmp_path):
    text = openbci({0: UV, 1: MV})
    with pytest.raises(InputError, match=r"2 \(EXG Channel 0\), 3 \(EXG Channel 1\)"):
        play(tmp_path, text)
    assert is_whole(play(tmp_path, text, "column=2"), fs_hz=200)
    assert is_whole(play(tmp_path, text, "lead=EXG Channel 0"), fs_hz=200)


def test_openbci_before_version_5_has_no_names(tmp_path):
    text = "%OpenBCI Raw EEG Data\n%Number of channels = 2\n%Sample Rate = 250.0 Hz\n%First Column = SampleIndex\n"
    rows = [
        f"{i % 256}, {v}, -187500.02, 0.000, {stamp(i / 250).strftime('%H:%M:%S.%f')[:-3]}\n" for i, v in enumerate(UV)
    ]
    played = play(tmp_path, text + "".join(rows))
    assert is_whole(played)
    assert played.info.lead == "EXG Channel 0"


def test_a_clock_that_does_not_advance_leaves_the_stated_rate(tmp_path):
    text = "%OpenBCI Raw EXG Data\n%Number of channels = 1\n%Sample Rate = 250 Hz\n"
    played = play(
        tmp_path,
        text + table("Sample Index, EXG Channel 0, Timestamp", [str(i % 256) for i in range(N)], UV, ["1.7E9"] * N),
    )
    assert is_whole(played)
    assert played.decided["rate_from"] == "header"


def test_lost_packets_are_lost_samples(tmp_path):
    played = play(tmp_path, packets(drop=(5, 6, 11)))
    assert played.lost == 48
    assert len(played.samples) == N - 48


@pytest.mark.parametrize(
    ("line", "fs_hz"),
    [
        ("# Sampling Rate: 500", 500),
        ("# Sampling Rate (Hz): 500", 500),
        ("%Sample Rate = 500.0 Hz", 500),
        ("fs=500", 500),
        ("Sampling Frequency [Hz],500", 500),
        ("# sampling_rate_hz: 500", 500),
        ("# Fs: 1 kHz", 1000),
        ("# Sample Rate: 1,000 Hz", 1000),
        ("Abtastrate;500 Hz", 500),
        ("# recorded at 500 Hz", 500),
        ("# 500 samples per second", 500),
        ("# sampling interval: 2 ms", 500),
        ("# ECG sampling rate: 500 Hz\n# ACC sampling rate: 52 Hz\n# notch filter: 50 Hz", 500),
        ("# Filter: 0.05-150 Hz, sampling rate 500 Hz", 500),
    ],
)
def test_stated_rates(tmp_path, line, fs_hz):
    played = play(tmp_path, f"{line}\n" + table("ecg_mv", MV))
    assert is_whole(played, fs_hz=fs_hz)
    assert played.decided["rate_from"] == "header"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("# Notch filter: 50 Hz", "does not contain its sampling rate"),
        ("# heart rate: 72", "does not contain its sampling rate"),
        ("# sampling rate: 250 Hz\n# sampling rate: 500 Hz", "several sampling rates: 250, 500 Hz"),
        ("# sampling rate: 3 Hz", "does not contain its sampling rate"),
    ],
)
def test_no_rate_is_made_up(tmp_path, line, message):
    with pytest.raises(InputError, match=message) as caught:
        play(tmp_path, f"{line}\n" + table("ecg_mv", MV))
    assert "fs=" in str(caught.value)


def test_a_clock_counts_more_than_the_header_and_a_contradiction_is_noted(tmp_path):
    played = play(tmp_path, "# Sampling Rate: 500 Hz\n" + table("time_s,ecg_mv", SECONDS, MV))
    assert is_whole(played)
    assert "states 500 Hz, but its clock time_s gives 250 Hz" in " ".join(played.info.notes)
    near = play(tmp_path, "# Sampling Rate: 249 Hz\n" + table("time_s,ecg_mv", SECONDS, MV))
    assert near.blocks[0].fs_hz == pytest.approx(FS_HZ)
    assert near.info.notes == ()


def test_the_header_gives_the_wall_clock(tmp_path):
    start = dt.datetime(2020, 1, 5, 9, tzinfo=dt.UTC)
    assert play(tmp_path, apple()).info.start_unix_ns == start.timestamp() * 1e9
    assert play(tmp_path, json.dumps(kardia(leadI=ECG_MV))).info.start_unix_ns == 1_618_566_549_000_000_000


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (json.dumps({"fs": 250, "ecg": ECG_MV.tolist()})[:-30], "not valid JSON"),
        ("[" * 100_000, "not valid JSON"),
        ('{"a":' * 5000 + "1" + "}" * 5000, "not valid JSON|no array"),
        ('{"a": "b"}', "no array of samples"),
        ('{"fs": 250, "ch1": [1, 2, 5], "ch2": [7, 1, 5]}', "columns that could be"),
        ('{"ecg": [1, 2, 3]}', "sampling rate"),
        ("[]", "holds no"),
    ],
)
def test_json_that_is_refused(tmp_path, text, message):
    with pytest.raises(InputError, match=message) as caught:
        play(tmp_path, text, name="ecg.json")
    assert "\n" not in str(caught.value)


def test_json_is_bounded(tmp_path, monkeypatch):
    monkeypatch.setattr("edge.sources.replay.text.json_table.MAX_DOCUMENT_CHARS", 1000)
    with pytest.raises(InputError, match="JSON document of over"):
        play(tmp_path, json.dumps({"fs": 250, "ecg": ECG_MV.tolist()}))
    assert is_whole(play(tmp_path, packets()))  # lines stream


def test_values_in_json_that_are_no_numbers_are_lost(tmp_path):
    played = play(tmp_path, '{"fs": 250, "unit": "mV", "ecg": [1, NaN, 2, null, "x", 3, true, %s, 4]}' % ("9" * 5000))
    assert played.samples.tolist() == [1, 2, 3, 4]
    assert played.lost == 5
    assert played.decided["skipped_rows"] == 2
