"""The virtual patch: its fault schedules, its signals, its answers."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from firmware_bridge.errors import InputError, LinkError, UsageError
from firmware_bridge.virtual.ecg import PatientOptions, PatientSignal, RecordingSignal, load_recording
from firmware_bridge.virtual.faults import FaultSchedule, Span
from firmware_bridge.virtual.patch import PatchConfig, VirtualPatch
from firmware_bridge.virtual.process import VirtualProcess
from firmware_bridge.wire.framing import FrameDecoder
from firmware_bridge.wire.messages import (
    Ack,
    AckCode,
    Data,
    Hello,
    HelloRequest,
    Resend,
    Start,
    Status,
    Stop,
    decode,
    encode,
)

ROOT = Path(__file__).resolve().parents[4]


def make(faults="", **config):
    return VirtualPatch(RecordingSignal(np.zeros(10), loop=True), PatchConfig(**config), FaultSchedule.parse(faults))


def said(emissions):
    bodies = FrameDecoder().feed(b"".join(e.data for e in emissions))
    return [decode(body)[1] for body in bodies if isinstance(body, bytes)]


def test_schedule_language():
    schedule = FaultSchedule.parse(" drop=0.01; unplug@30:5 ;restart@90;stall@1:2/10;drift=-60 ")
    assert schedule.rates == {"drop": 0.01, "drift": -60.0}
    assert schedule.spans[:2] == (Span("unplug", 30, 5), Span("restart", 90, 0.5))
    assert [schedule.active("stall", t) for t in (0.9, 1.0, 2.9, 3.0, 11.5, 13.5)] == [
        False,
        True,
        True,
        False,
        True,
        False,
    ]
    assert not schedule.active("unplug", 200)
    assert FaultSchedule.parse("leadoff@1:2", now_s=10).active("leadoff", 11.5)
    assert FaultSchedule.parse("").rate("drop") == 0


@pytest.mark.parametrize(
    "text",
    [
        "toast=1", "drop", "drop=x", "drop=2", "drop=nan", "unplug@3", "unplug@x:3", "unplug@3:0", "unplug@-3:1",
        "toast@1:2", "stall@1:5/3", "restart@1e999", ";".join(["drop=0"] * 201),
    ],
)  # fmt: skip
def test_wrong_schedules(text):
    with pytest.raises(UsageError):
        FaultSchedule.parse(text)


def test_before_start_it_sends_only_hello():
    patch = make()
    messages = said(patch.advance(5.0))
    assert {type(m) for m in messages} == {Hello}
    assert 4 <= len(messages) <= 6
    patch.receive(encode(Start()))
    messages = said(patch.advance(6.0))
    assert messages[0] == Ack(0x82, AckCode.OK)
    assert {type(m) for m in messages} == {Ack, Data, Status, Hello}
    first = next(m for m in messages if isinstance(m, Data))
    assert first.index == 0
    patch.receive(encode(Stop()))
    assert {type(m) for m in said(patch.advance(20.0))} == {Ack, Hello}


def test_unknown_and_invalid_commands():
    patch = make()
    patch.receive(
        encode(Resend(1, 2)) + encode(Start(9)) + encode(HelloRequest()) + b"\x05zzz\x00" + encode(Status(1, 1, 1, 1))
    )
    messages = said(patch.advance(0.01))
    assert messages[:2] == [Ack(0x84, AckCode.UNSUPPORTED), Ack(0x82, AckCode.BAD_VERSION)]
    assert isinstance(messages[2], Hello)
    assert patch.account()["host_errors"] == 2


def test_sampling_continues_without_a_link():
    patch = make()
    patch.receive(encode(Start()))
    patch.advance(1.0)
    patch.link_lost()
    patch.advance(11.0)
    patch.receive(encode(Start()))
    data = [m for m in said(patch.advance(12.0)) if isinstance(m, Data)]
    assert data[0].index == pytest.approx(11 * 250, abs=50)


def test_counts_follow_the_scale():
    for bits, nv, want in ((16, 1000, 1500), (24, 100, 15_000), (16, 0, 1500)):
        patch = VirtualPatch(RecordingSignal(np.full(25, 1.5)), PatchConfig(sample_bits=bits, nv_num=nv))
        patch.receive(encode(Start()))
        (data,) = [m for m in said(patch.advance(1.0)) if isinstance(m, Data)]
        assert data.samples.tolist() == [want] * 25
        assert patch.finished


def test_it_clips_instead_of_wrapping():
    patch = VirtualPatch(RecordingSignal(np.array([100.0, -100.0])), PatchConfig())
    patch.receive(encode(Start()))
    (data,) = [m for m in said(patch.advance(1.0)) if isinstance(m, Data)]
    assert data.samples.tolist() == [32_767, -32_767]


def test_the_same_seed_gives_the_same_bytes_however_time_passes():
    def run(steps):
        patch = VirtualPatch(
            PatientSignal(PatientOptions(), 4), faults=FaultSchedule.parse("drop=.1;corrupt=.1;restart@8"), seed=4
        )
        patch.receive(encode(Start()))
        return b"".join(e.data for t in steps for e in patch.advance(t))

    assert run([20.0]) == run(np.arange(0, 20.01, 0.03))
    assert run([20.0])


def test_recordings(tmp_path):
    csv = tmp_path / "a.csv"
    csv.write_text("time,mv\n0,0.5\n1,-0.25\n")
    assert load_recording(csv, 1).tolist() == [0.5, -0.25]
    np.save(tmp_path / "a.npy", np.array([[1, 2], [3, 4]]))
    assert load_recording(tmp_path / "a.npy", 1).tolist() == [2.0, 4.0]
    for name, content in {"b.csv": "x\n", "c.csv": "", "d.csv": "1\nnan\n", "e.csv": "1,2\n3\n"}.items():
        (tmp_path / name).write_text(content)
        with pytest.raises(InputError):
            load_recording(tmp_path / name, 1 if name == "e.csv" else 0)
    (tmp_path / "f.npy").write_bytes(b"\x93NUMPY junk")
    np.save(tmp_path / "g.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    for name in ("f.npy", "g.npy", "none.csv"):
        with pytest.raises(InputError):
            load_recording(tmp_path / name)


def test_potassium_follows_the_cohort_simulator():
    couplings = pytest.importorskip("convert.simulate.couplings")
    from firmware_bridge.synth.ecgsyn import EcgParams

    for potassium in (2.5, 3.5, 4.2, 5.0, 6.0, 7.5):
        for calcium in (1.8, 2.35, 2.9):
            got = PatientOptions(potassium=potassium, calcium=calcium).params()
            want = couplings.couple(EcgParams(), {"potassium": potassium, "calcium": calcium * 4.008})
            for name in ("t_mv", "t_ms", "pr_ms", "p_mv", "qrs_ms", "qtc_ms", "u_mv"):
                assert getattr(got, name) == pytest.approx(getattr(want, name), rel=1e-6, abs=1e-6), (name, potassium)


def test_patient_options_are_checked():
    assert PatientOptions(changes=(("t_mv", 0.7), ("af", 1))).params().t_mv == 0.7
    for wrong in (
        PatientOptions(potassium=99),
        PatientOptions(calcium=0),
        PatientOptions(hr_bpm=5),
        PatientOptions(changes=(("toast", 1.0),)),
    ):
        with pytest.raises(UsageError):
            wrong.params()


def test_the_command_reports_errors_in_one_line(tmp_path):
    run = subprocess.run(
        [sys.executable, "-m", "firmware_bridge.virtual", "--link", str(tmp_path / "t"), "--faults", "toast=1"],
        check=False, capture_output=True, text=True, cwd=ROOT, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert run.returncode == 2
    assert len(run.stderr.splitlines()) == 1
    with pytest.raises(LinkError, match="toast"):
        VirtualProcess(tmp_path / "t", "--faults", "toast=1")


def test_it_ends_when_its_parents_pipe_closes(tmp_path):
    run = subprocess.run(
        [sys.executable, "-m", "firmware_bridge.virtual", "--link", str(tmp_path / "t")],
        check=False, capture_output=True, text=True, cwd=ROOT, input="", timeout=120,
    )  # fmt: skip
    assert run.returncode == 0
    assert json.loads(run.stdout.splitlines()[-1])["samples_made"] == 0
    assert not (tmp_path / "t").is_symlink()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_in_the_background_it_runs_until_a_signal(tmp_path, number, code):
    child = subprocess.Popen(
        [sys.executable, "-m", "firmware_bridge.virtual", "--link", str(tmp_path / "t")],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT,
    )  # fmt: skip
    assert child.stdout.readline().startswith("ready")
    time.sleep(0.1)
    assert child.poll() is None
    child.send_signal(number)
    out, err = child.communicate(timeout=120)
    assert (child.returncode, err) == (code, "")
    assert "samples_made" in json.loads(out.splitlines()[-1])


def test_it_refuses_a_name_that_exists(tmp_path):
    (tmp_path / "t").write_text("mine")
    with pytest.raises(LinkError, match="not a symbolic link"):
        VirtualProcess(tmp_path / "t")
    assert (tmp_path / "t").read_text() == "mine"


@pytest.mark.parametrize("arguments", ["--fs nan", "--frame-s inf", "--speed 0", "--nv -1", "--set t_mv", "--hr x"])
def test_wrong_numbers_give_one_line_and_no_traceback(tmp_path, arguments):
    with pytest.raises(LinkError) as caught:
        VirtualProcess(tmp_path / "t", *arguments.split())
    assert "Traceback" not in str(caught.value)
    assert "Error" not in str(caught.value)
