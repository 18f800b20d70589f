"""``--fs``, ``--lsb-mv`` and ``--lead`` of the commands that read a folder of recordings."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from calibration.cli import probability, validate
from calibration.validate.labelled import open_labelled
from convert.cli import distil, prepare, train_demo
from convert.cli.recording_options import recording_options
from convert.datasets.described import RecordingOptions
from convert.datasets.pairs import find_recordings
from convert.datasets.windows import collect_windows
from convert.labels.labs import RawLab
from convert.prepare.recordings import RecordsSource
from convert.prepare.sources import Batch
from convert.simulate.write import CohortPlan, write_cohort
from edge.cli.main import main
from firmware_bridge.errors import InputError, UsageError
from firmware_bridge.items import RawChunk
from firmware_bridge.rawlog import RawLogHeader, RawLogWriter
from firmware_bridge.samples import LinkEvent, LinkEventKind
from firmware_bridge.wire.messages import Data, Header, Hello, encode
from helpers.ecg_shapes import ecg

COMMANDS = [
    ["convert", "foundation", "t.pth", "--data", "d", "--out", "o"],
    ["convert", "parity", "demo"],
    ["convert", "micro", "t.pth", "--data", "d", "--out", "o"],
    ["train-demo", "--out", "o"],
    ["prepare", "--records", "d", "--labs", "l.csv", "--out", "o"],
    ["validate", "demo", "--data", "d", "--out", "o"],
    ["calibrate", "probability", "demo", "--data", "d", "--out", "o"],
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "records"
    root.mkdir()
    for name, heart in (("a", 0.8), ("b", 0.7)):
        x = ecg([heart] * 26, fs=250)[0]
        (root / f"{name}.csv").write_text("".join(f"{v:.5f}\n" for v in x))
    return root


@pytest.mark.parametrize("command", COMMANDS, ids=lambda c: " ".join(c[:2]))
@pytest.mark.parametrize(
    ("option", "message"),
    [
        (["--fs", "2"], "'2' is not a sampling rate from 60 to 4000 Hz"),
        (["--fs", "nan"], "'nan' is not a sampling rate"),
        (["--lsb-mv", "0"], "'0' is not a scale from 1e-09 to 1000 mV"),
        (["--lead", " "], "is not the name of a lead"),
    ],
)
def test_every_command_takes_the_options_and_checks_them(
    command: list[str], option: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        code = main([*command, *option])
    except SystemExit as error:
        code = error.code
    assert code == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    "parsed",
    [
        distil.build_parser().parse_args(["t", "--data", "d", "--out", "o", "--fs", "250", "--lead", "II"]),
        train_demo.build_parser().parse_args(["--out", "o", "--fs", "250", "--lead", " II "]),
        prepare._parser().parse_args(["--fs", "250", "--lead", "II"]),
        validate.build_parser().parse_args(["demo", "--data", "d", "--out", "o", "--fs", "250", "--lead", "II"]),
        probability.parser().parse_args(["demo", "--data", "d", "--fs", "250", "--lead", "II"]),
    ],
)
def test_the_options_are_read_alike(parsed: object) -> None:
    assert recording_options(parsed) == RecordingOptions(fs_hz=250, lead="II")


def labs(folder: Path, patient: str = "p") -> Path:
    path = folder.parent / "labs.csv"
    path.write_text(f"record,patient,name,value,unit\na,{patient},Potassium,4,mmol/L\nb,q,Potassium,4,mmol/L\n")
    return path


def test_prepare_reads_recordings_with_a_stated_rate(folder: Path) -> None:
    plain = RecordsSource(folder, labs(folder))
    with pytest.raises(InputError, match=r"set fs_hz in recordings\.toml beside it, or give --fs HZ"):
        list(plain.opener(0, 10.0))
    source = RecordsSource(folder, labs(folder), RecordingOptions(fs_hz=250))
    (batch,) = source.opener(0, 10.0)
    assert isinstance(batch, Batch)
    assert batch.read(0).shape == (5000,)
    assert source.listing != plain.listing
    assert isinstance(next(source.rows()), RawLab)


def test_prepare_refuses_two_patients_of_a_recording(folder: Path) -> None:
    (folder / "recordings.toml").write_text('["a.csv"]\npatient = "7"\n')
    with pytest.raises(InputError, match=r"the patient of a is 'p', but recordings\.toml says '7'"):
        RecordsSource(folder, labs(folder))
    assert [p.patient for p in RecordsSource(folder, labs(folder, "7")).patients()]


def test_prepare_refuses_the_options_for_mcmed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["prepare", "--mcmed", "d", "--out", "o", "--fs", "250"]) == 2
    assert "--fs, --lsb-mv and --lead are for --records only" in capsys.readouterr().err


def test_patients_of_a_table_serve_for_validation(folder: Path) -> None:
    (folder / "labels.csv").write_text("record,potassium_low\na,0\nb,1\n")
    with pytest.raises(InputError, match=r"patient in recordings\.toml"):
        open_labelled(folder, "all")
    (folder / "recordings.toml").write_text('["[ab].csv"]\npatient = "7"\n')
    data = open_labelled(folder, "all", options=RecordingOptions(fs_hz=250))
    assert [r.patient for r in data.recordings] == ["7", "7"]
    assert data.sha256 != open_labelled(folder, "all").sha256
    (folder / "labels.csv").write_text("record,patient,potassium_low\na,7,0\nb,8,1\n")
    with pytest.raises(InputError, match=r"says patient '8' of 'b', but recordings\.toml '7'"):
        open_labelled(folder, "all")


def test_a_folder_of_mcmed_needs_no_option(tmp_path: Path) -> None:
    write_cohort(CohortPlan(patients=2, seed=1, seconds=20.0), tmp_path / "cohort")
    assert find_recordings(tmp_path / "cohort", RecordingOptions(fs_hz=500, lead="ii"))
    for options, message in (
        (RecordingOptions(lead="I"), "leave --lead out"),
        (RecordingOptions(lsb_mv=1), "leave --lsb-mv out"),
        (RecordingOptions(fs_hz=300), "states 500 Hz, but --fs says 300"),
    ):
        with pytest.raises(UsageError, match=message):
            find_recordings(tmp_path / "cohort", options)


def test_a_raw_recording_states_its_rate(tmp_path: Path) -> None:
    writer = RawLogWriter(tmp_path / "r.aer", RawLogHeader("anyecg_patch", "serial:/dev/x", "s1", 1, 0))
    counts = np.round(ecg([0.8] * 26, fs=250)[0] * 1000).astype(np.int32)
    stream = encode(Hello(1, 32768, 250, nv_num=5000, sample_bits=16))
    for i in range(len(counts) // 50):
        stream += encode(Data(50 * i, 1, counts[50 * i : 50 * i + 50]), Header(seq=i + 1, tick=i * 6554))
    writer.item(LinkEvent(LinkEventKind.CONNECTED, 1_000, "open"))
    for n, at in enumerate(range(0, len(stream), 130)):
        writer.item(RawChunk(2_000 + n * 200_000_000, "data", stream[at : at + 130]))
    writer.close()
    assert collect_windows(tmp_path, 4, options=RecordingOptions(fs_hz=250)).windows
    with pytest.raises(UsageError, match=r"r\.aer states 250 Hz, but --fs says 300"):
        collect_windows(tmp_path, 4, options=RecordingOptions(fs_hz=300))
