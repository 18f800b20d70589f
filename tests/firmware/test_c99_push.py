"""anyecg_push() gives the outputs of the window form, for every rate and hop, across gaps, and in time."""

from __future__ import annotations

import numpy as np
import pytest

from firmware_bridge.synth.ecgsyn import EcgParams, EcgSynth
from helpers.c99_students import student, write_sources
from helpers.firmware_build import HERE, STRICT_C, compiled, run, tool

GAP = -32_768


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    folder = write_sources(student("demo"), tmp_path_factory.mktemp("push"))
    compiled(
        [
            *(tool("gcc"), "-std=c99", "-O2", *STRICT_C, f"-I{folder}", *folder.glob("anyecg_*.c")),
            *(HERE / "c99" / "pusher.c", "-o", folder / "pusher"),
        ]
    )
    return folder / "pusher"


def counts(seconds: float, rate: int, bits: int) -> np.ndarray:
    t = np.arange(round(seconds * rate)) / rate
    mv = np.asarray(EcgSynth(EcgParams(), 4).generate(len(t), float(rate))) + 0.3 * np.sin(2 * np.pi * 0.2 * t)
    return np.rint(mv * 2 ** (bits - 3)).astype("<i2")


def pushed(program, samples: np.ndarray, *arguments: int):
    return run([program, *arguments], input=samples.astype("<i2").tobytes().decode("latin-1"), encoding="latin-1")


@pytest.mark.parametrize(
    ("rate", "bits", "hop", "windows"), [(250, 16, 125, 8), (500, 12, 125, 8), (250, 12, 33, 33), (250, 16, 1000, 1)]
)
def test_outputs_equal_the_window_form(program, rate, bits, hop, windows):
    done = pushed(program, counts(21.0, rate, bits), rate, bits, hop)
    assert (done.returncode, done.stdout) == (0, f"{windows} windows\n"), done.stdout + done.stderr


def test_a_gap_begins_a_new_segment_and_loses_no_window(program):
    samples = counts(40.0, 250, 16)
    begun = 13 * 250  # a window of the first segment has just begun
    for at in (begun - 3, begun, begun + 1, begun + 7, begun + 20):
        done = pushed(program, np.concatenate((samples[:at], [GAP], samples[at:])), 250, 16, 500)
        assert (done.returncode, done.stdout.split()[1:]) == (0, ["windows"]), done.stdout
        assert int(done.stdout.split()[0]) >= 4


def test_values_that_the_front_end_does_not_take_are_refused(program):
    for arguments in ((360, 16, 125), (250, 17, 125), (250, 7, 125), (250, 16, 31), (250, 16, 8001)):
        assert pushed(program, np.zeros(1), *arguments).returncode == 2
