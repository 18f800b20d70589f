"""The example patch with the model inside: its estimates against the host's own for the same simulated patients."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from convert.cli.micro_package import main as package_main
from convert.simulate.patient import simulate_patient
from firmware_bridge.errors import UsageError
from firmware_bridge.virtual import c_patch
from helpers.c_example import EXAMPLE
from helpers.c_side import C_SIDE, SOURCES
from helpers.firmware_build import compiled, run, tool

ROOT = Path(__file__).resolve().parents[2]
SEED = 16
FLAGS = {
    24: {"free_t4_high", "hemoglobin_low", "magnesium_high", "potassium_high"},
    57: set(),
    2: {"calcium_low", "glucose_low", "magnesium_low", "potassium_high", "potassium_low"},
}
"""Flags that the host raises on these patients at the end of the minute. No probability comes nearer to its threshold
than 0.02 in that minute: patch and host average other windows, so one of them alone might flag a nearer one."""
SPEED = 8
FLASH_MAX, RAM_MAX = 61_440, 50_176
"""Limits for the whole image with a ring of one minute (36,000 bytes of RAM): of 128 and 64 KB."""


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    folder = tmp_path_factory.mktemp("package")
    assert package_main(["demo", "--out", str(folder)]) == 0
    return folder


def kit(folder: Path, patch: Process | Emulated, *more: str) -> tuple[list[dict], str]:
    """Run ``anyecg run`` on a patch that starts when it listens; return its estimates and what it said."""
    command = [sys.executable, "-m", "edge.cli", "run", "--source", f"serial:{patch.port}", "--view", "none"]
    said = folder / "said.txt"
    with said.open("w") as errors:
        host = subprocess.Popen(
            [*command, "--out", "out.jsonl", *more], cwd=folder, env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.DEVNULL, stderr=errors,
        )  # fmt: skip
    try:
        until(lambda: listens(host.pid, patch.port) or "waiting for" in said.read_text())
        patch.start()
        assert host.wait(300.0) == 0, said.read_text()
    finally:
        host.kill()
        host.wait()
    return [json.loads(line) for line in (folder / "out.jsonl").read_text().splitlines()], said.read_text()


def listens(pid: int, port: Path) -> bool:
    """Return whether a process has opened a port."""
    with suppress(OSError):
        return str(port) in {str(fd.readlink()) for fd in Path(f"/proc/{pid}/fd").iterdir()}
    return False


def until(done: Callable[[], bool], seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < end
        time.sleep(0.02)


def raised(line: dict) -> set[str]:
    return {lab["key"] for lab in line["labs"] if lab["flag"]}


def counts_of(index: int) -> np.ndarray:
    return np.rint(np.asarray(simulate_patient(SEED, index, 60.0, fs_hz=250.0).ecg_mv) * 1000.0).astype(np.int16)


def check_agreement(lines: list[dict], said: str, index: int) -> None:
    """The patch and the host agree in every compared estimate, and in the flags at the end."""
    account = re.search(
        r"(\d+) estimates of the patch compared with the host's own: (\d+) disagreed, (\d+) flags differed", said
    )
    assert account is not None, said
    assert int(account[1]) >= 3
    assert (account[2], account[3]) == ("0", "0"), said
    last = next(line for line in reversed(lines) if line["abstained"] is None)
    assert last["estimated_by"] == "host"
    assert FLAGS[index] <= raised(last)
    assert FLAGS[index] or not raised(last)


class Process:
    """``anyecg virtual-patch --c`` with a model, on a recording."""

    def __init__(self, folder: Path, index: int, package: Path) -> None:
        tool("gcc")
        np.save(folder / "wave.npy", counts_of(index) / 1000.0)
        self.port = folder / "tty"
        command = [sys.executable, "-m", "firmware_bridge.virtual", "--c", "--link", self.port, "--model", package]
        command += ["--recording", folder / "wave.npy", "--loop", "--speed", str(SPEED), "--seconds", "300"]
        self._command = list(map(str, command))
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        env = {**os.environ, "PYTHONPATH": str(ROOT)}
        self._process = subprocess.Popen(
            self._command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=env
        )
        assert self._process.stdout.readline().startswith("ready")

    def __enter__(self):
        return self

    def __exit__(self, *_error):
        if self._process is not None:
            self._process.terminate()
            self._process.communicate(timeout=120)


def test_the_process_estimates_as_the_host_does(tmp_path, package):
    with Process(tmp_path, 24, package) as patch:
        lines, said = kit(tmp_path, patch, "--seconds", "58", "--trust-patch")
    check_agreement(lines, said, 24)


def test_a_host_that_does_not_trust_it_is_alone(tmp_path, package):
    with Process(tmp_path, 24, package) as patch:
        lines, said = kit(tmp_path, patch, "--seconds", "20")
    assert "of the patch" not in said
    assert all("estimated_by" not in line for line in lines)
    assert lines[-1]["labs"][0]["value"] is not None


def test_a_folder_without_a_model_is_refused(tmp_path):
    with pytest.raises(UsageError, match="holds no model in plain C"):
        c_patch.build(tmp_path, tmp_path)


def test_both_libraries_link_as_arduino_and_platformio_do(tmp_path, package):
    """Both have the front end; the linker takes from an archive only what is missing."""
    assert "dot_a_linkage=true" in (package / "library.properties").read_text().splitlines()
    flags = ["-std=c99", "-DANYECG_WITH_MODEL=1", f"-I{C_SIDE / 'src'}", f"-I{EXAMPLE}", f"-I{package}"]
    members, objects = [], []
    names = ("main", "patch_estimate", "patch_model", "hal_host")
    for source in (*package.glob("anyecg_*.c"), *SOURCES, *(EXAMPLE / f"{name}.c" for name in names)):
        target = tmp_path / f"{source.stem}.o"
        (members if source.parent == package else objects).append(target)
        compiled([tool("gcc"), *flags, "-c", source, "-o", target])
    compiled([tool("ar"), "rcs", tmp_path / "libAnyECGModel.a", *members])
    compiled([tool("gcc"), *objects, tmp_path / "libAnyECGModel.a", "-o", tmp_path / "patch"])


def make(folder: Path, *arguments: object) -> list[int]:
    """Build the image as docs/firmware.md says; return flash, initialised and other RAM."""
    tool("arm-none-eabi-gcc")
    command = [tool("make"), "-s", "--no-print-directory", "-C", C_SIDE, f"O={folder}", *arguments, "cortex-m4"]
    done = run(command)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    sys.stdout.write(done.stdout)
    return [int(n) for n in done.stdout.splitlines()[-1].split()[:3]]


class Emulated:
    """The image on the emulated Cortex-M4 behind a pseudo-terminal, with a patient in place of the converter."""

    def __init__(self, folder: Path, index: int, package: Path, *extra: str) -> None:
        samples = ", ".join(map(str, counts_of(index).tolist()))
        header = folder / "samples.h"
        header.write_text(f"static const int16_t hal_samples[] = {{{samples}}};\n")
        flags = " ".join((f'-DHAL_SAMPLES=\\"{header}\\"', f"-DHAL_SPEED={SPEED}u", *extra))
        make(folder, f"MODEL={package}", f"EXTRA={flags}")
        board = [tool("qemu-system-arm"), "-M", "mps2-an386", "-display", "none", "-monitor", "stdio", "-S"]
        self._process = subprocess.Popen(
            [*map(str, board), "-serial", "pty", "-kernel", str(folder / "patch.elf")],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        lines = iter(self._process.stdout.readline, "")
        self.port = Path(next(found[1] for line in lines if (found := re.search(r"(/dev/\S+)", line))))

    def start(self) -> None:
        """Start the processor, which stands until then."""
        self._process.stdin.write("cont\n")
        self._process.stdin.flush()

    def __enter__(self):
        return self

    def __exit__(self, *_error):
        self._process.kill()
        self._process.communicate()


@pytest.mark.slow
def test_the_image_fits(tmp_path, package):
    text, data, bss = make(tmp_path, f"MODEL={package}")
    assert text + data <= FLASH_MAX
    assert data + bss <= RAM_MAX


@pytest.mark.slow
@pytest.mark.parametrize("index", list(FLAGS))
def test_the_emulated_patch_raises_the_flags_of_the_host(tmp_path, package, index):
    with Emulated(tmp_path, index, package) as patch:
        lines, said = kit(tmp_path, patch, "--seconds", "58", "--trust-patch")
    check_agreement(lines, said, index)


@pytest.mark.slow
def test_a_patch_without_samples_is_shown_alone(tmp_path, package):
    """Its estimates are all that arrives, so --seconds never ends the run."""
    with Emulated(tmp_path, 24, package, "-DSEND_SAMPLES=0") as patch:
        patch.start()
        command = [sys.executable, "-m", "edge.cli", "run", "--source", f"serial:{patch.port}", "--view", "none"]
        host = subprocess.Popen(
            [*command, "--out", "out.jsonl", "--trust-patch"],
            cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)}, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        out, end = tmp_path / "out.jsonl", time.monotonic() + 60.0
        while time.monotonic() < end and (not out.exists() or len(out.read_text().splitlines()) < 4):
            time.sleep(0.2)
        host.terminate()
        _out, said = host.communicate(timeout=60)
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    assert len(lines) >= 4, said
    assert {line["estimated_by"] for line in lines} == {"patch"}
    assert "no estimate of the patch was compared" in said
