"""What a device must be able to do besides estimates, on emulated ARM: memory, self-test, doctor, every decoder."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from jobs import done, here
from machines import AARCH64_311, AARCH64_313, ARMHF_311, GUEST, MACHINES

from edge.bench import run as bench
from edge.process import budget
from helpers.devices_frames import CASES

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

MEMORY_S = 120
COUNT_MIB = 1.0
"""How far the count of pages and the kernel's VmRSS may be apart where nothing is emulated."""
FLOOR_MIB = 40.0
"""Python, numpy and LiteRT alone take more: a count below it has looked in the wrong place."""
LIBM = 1e-12
"""Relative difference that another C library's exp and log may make."""


def memory(jobs, machine):
    """Measures memory on a machine, ``None`` for this one."""
    signal = jobs.folder / "ecg.npy"
    if not signal.exists():
        np.save(signal, bench.ecg_minute())
    return jobs.python(machine, str(GUEST / "memory_run.py"), str(signal), str(MEMORY_S))


def verify(jobs, machine):
    return jobs.python(machine, "-m", "edge.cli", "bundle", "verify", "demo")


def doctor(jobs, machine):
    return jobs.python(machine, str(GUEST / "doctor_run.py"))


def stages(jobs, machine):
    """Runs what the chain does not reach, on a machine, ``None`` for this one."""
    if not (jobs.folder / "clock.csv").exists():
        write_inputs(jobs.folder)
    return jobs.python(machine, str(GUEST / "stages.py"), str(jobs.folder))


def write_inputs(folder):
    """A session of every device, with a lost frame; and a text with a clock in nanoseconds, with a hole."""
    rng = np.random.default_rng(1)
    pieces = {}
    for name, case in CASES.items():
        frames = [piece.hex() for piece, _samples in case.frames(rng, 60)]
        pieces[name] = {"options": case.options, "channel": case.channel, "pieces": frames[:40] + frames[41:]}
    (folder / "pieces.json").write_text(json.dumps(pieces))
    start_ns, step_ns = 1_780_000_000_000_000_000, 4_000_000
    rows = [f"{start_ns + k * step_ns},{math.sin(k / 9.0):.6f}" for k in range(2000) if not 700 <= k < 800]
    (folder / "clock.csv").write_text("time_ns,ecg_mv\n" + "\n".join(rows) + "\n")


STARTS = {
    "test_memory_of_the_micro_tier": memory,
    "test_verify": verify,
    "test_doctor": doctor,
    "test_every_decoder_and_what_a_run_does_not_reach": stages,
}
"""What each test needs, so that all of it is started before the first result is waited for."""


def test_the_count_of_pages_is_the_kernel_s(jobs):
    """Where nothing is emulated the count that leaves the emulator out must be what the kernel says."""
    found = json.loads(done(memory(jobs, None)).stdout)
    assert found["end"] == pytest.approx(found["process"], abs=COUNT_MIB)


@pytest.mark.parametrize("machine", [AARCH64_311, AARCH64_313], ids=lambda machine: machine.name)
def test_memory_of_the_micro_tier(jobs, machine):
    """The budget of the design, with both radios' libraries loaded; the emulator's own memory is left out."""
    found = json.loads(done(memory(jobs, here(machine))).stdout)
    print(f"{machine.name}: {found['peak']:.1f} MiB; with the emulator {found['process']:.1f}")
    assert FLOOR_MIB < found["peak"] <= budget.MICRO_RSS_MIB
    assert found["process"] > found["peak"] + 20.0, "the emulator's own memory is not told apart"


@pytest.mark.parametrize("machine", MACHINES, ids=lambda machine: machine.name)
def test_verify(jobs, machine):
    out = done(verify(jobs, here(machine))).stdout
    print(machine.name, out)
    assert ("self-test on tflite-runtime" in out) == (machine is ARMHF_311)
    assert "signal chain: 3 estimates" in out


@pytest.mark.parametrize("machine", MACHINES, ids=lambda machine: machine.name)
def test_doctor(jobs, machine):
    """Says what is true of the emulated machine's software."""
    report = json.loads(done(doctor(jobs, here(machine))).stdout)
    found = {one["check"]: one for one in report["findings"]}
    assert "Python" not in found, "it can start child processes"
    states = {check: one["state"] for check, one in found.items() if check not in {"64-bit", "interpreter"}}
    assert set(states.values()) == {"ok"}, found
    assert "signal chain" in found["demo bundle"]["detail"]
    if machine is ARMHF_311:
        assert found["numpy"]["detail"].startswith("1.24")
        assert (found["64-bit"]["state"], found["interpreter"]["state"]) == ("warning", "warning")
        assert found["interpreter"]["detail"].startswith("tflite-runtime 2.14.0: works")
    else:
        assert (found["64-bit"]["state"], found["interpreter"]["state"]) == ("ok", "ok")


def test_a_back_end_that_is_not_made_for_32_bit(jobs):
    result = jobs.python(here(ARMHF_311), "-m", "edge.cli", "bundle", "verify", "demo", "--backend", "litert").result()
    assert result.returncode == 2
    said = "there is no LiteRT interpreter for 32-bit Python"
    assert result.stderr == f"anyecg: {said} ('anyecg run' and 'anyecg bundle' take --backend tflite-runtime)\n"


@pytest.mark.parametrize("machine", MACHINES, ids=lambda machine: machine.name)
def test_every_decoder_and_what_a_run_does_not_reach(jobs, machine):
    theirs = json.loads(done(stages(jobs, here(machine))).stdout)
    ours = json.loads(done(stages(jobs, None)).stdout)
    assert theirs["index bits"] == (32 if machine is ARMHF_311 else 64)
    assert theirs["decoders"] == ours["decoders"]
    assert theirs["text with a clock"] == ours["text with a clock"]
    assert theirs["wave"] == ours["wave"]
    for (key, value, interval, flag), (same, other, ends, flagged) in zip(theirs["sums"], ours["sums"], strict=True):
        assert (key, flag) == (same, flagged)
        assert [value, *interval] == pytest.approx([other, *ends], rel=LIBM)
