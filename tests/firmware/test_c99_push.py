"""anyecg_push() gives the outputs of the window form, for every rate and hop, across gaps, and in time."""

from __future__ import annotations

import numpy as np
import pytest

from helpers.c99_students import counts, student, write_sources
from helpers.firmware_build import HERE, STRICT_C, compiled, run, tool
from helpers.micro_machines import MACHINES, push_emulated

GAP = -32_768
LONGEST = {"Cortex-M0": 170_000, "Cortex-M3": 85_000, "Cortex-M4, DSP": 50_000}


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


@pytest.mark.slow
@pytest.mark.parametrize("machine", [m for m in MACHINES if m.name in LONGEST], ids=lambda m: m.name)
def test_no_call_is_long_on_a_microcontroller(tmp_path, program, machine):
    """At 64 MHz and 250 Hz there are 256,000 cycles for a sample."""
    if machine.missing() is not None:
        pytest.skip(f"{machine.missing()} is not installed (.ci/install-slow installs it)")
    samples = counts(17.0, 250, 16)
    done = push_emulated(machine, program.parent, samples, 12, tmp_path)
    assert pushed(program, samples, 250, 16, 125).stdout == f"{len(done.outputs)} windows\n"
    assert done.longest <= LONGEST[machine.name]
    assert done.ram <= 12_288


def test_values_that_the_front_end_does_not_take_are_refused(program):
    for arguments in ((360, 16, 125), (250, 17, 125), (250, 7, 125), (250, 16, 31), (250, 16, 8001)):
        assert pushed(program, np.zeros(1), *arguments).returncode == 2
