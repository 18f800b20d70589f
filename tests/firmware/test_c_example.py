"""The example patch in C behind a pseudo-terminal: a virtual patch that runs the firmware's own code."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from convert.cli.micro_package import main as package_main
from edge.sources import open_source
from firmware_bridge.errors import LinkError, UsageError
from firmware_bridge.samples import LinkEvent, LinkEventKind, SampleBlock
from firmware_bridge.virtual import c_patch
from helpers.c_example import EXAMPLE, listen, model_flags, with_model
from helpers.c_side import C_SIDE, SOURCES
from helpers.firmware_build import MOCK, STRICT_C, STRICT_CXX, compiled, run, tool

ROOT = Path(__file__).resolve().parents[2]


class CVirtual:
    """``anyecg virtual-patch --c`` as a process."""

    def __init__(self, link: Path, *arguments: str) -> None:
        tool("gcc")
        command = [sys.executable, "-m", "firmware_bridge.virtual", "--c", "--link", str(link), *arguments]
        env = {**os.environ, "PYTHONPATH": str(ROOT)}
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=env, cwd=link.parent)
        assert self._process.stdout.readline() == f"ready {link}\n"

    def __enter__(self):
        return self

    def __exit__(self, *_error):
        self._process.terminate()
        self._process.communicate(timeout=120)


def test_a_disconnection_loses_nothing(tmp_path):
    """Every sample of a run with two lost links, compared with the signal that the patch measured."""
    wave = np.round(np.random.default_rng(4).normal(0, 0.5, 4000), 3)
    np.save(tmp_path / "wave.npy", wave)
    with CVirtual(
        tmp_path / "tty", "--recording", str(tmp_path / "wave.npy"), "--loop", "--speed", "6", "--seconds", "300",
        "--faults", "unplug@6:3;unplug@14:1",
    ):  # fmt: skip
        source = open_source(f"serial:{tmp_path}/tty")
        items = asyncio.run(listen(source, 25.0))
    blocks = [item for item in items if isinstance(item, SampleBlock)]
    kinds = [item.kind for item in items if isinstance(item, LinkEvent)]
    assert kinds.count(LinkEventKind.DISCONNECTED) == 2
    assert LinkEventKind.RESTARTED not in kinds
    (hello, *_more) = [i for i in items if isinstance(i, LinkEvent) and i.kind is LinkEventKind.HELLO]
    assert hello.data["ring_s"] == 60.0
    assert hello.data["kind"] == "AnyECG example patch"
    assert sum(block.lost for block in blocks) == 0
    assert sum(len(block) for block in blocks if block.resent) >= 3 * 250
    counts = np.concatenate([block.samples for block in blocks])
    want = np.rint(wave * 1000).astype(int)
    starts = [k for k in range(len(want)) if np.array_equal(np.take(want, range(k, k + 25), mode="wrap"), counts[:25])]
    assert len(starts) == 1
    assert np.array_equal(counts, np.take(want, range(starts[0], starts[0] + len(counts)), mode="wrap"))
    steps = np.diff([block.device_time_ns for block in blocks])
    assert np.allclose(steps, 1e8, atol=35_000)


def kit(folder: Path, source: str, out: str, *more: str) -> list[dict]:
    """Run ``anyecg run``; return its estimates without the fields that depend on this machine."""
    command = [sys.executable, "-m", "edge.cli", "run", "--source", source, "--view", "none", "--out", out, *more]
    done = run(command, cwd=folder, env={**os.environ, "PYTHONPATH": str(ROOT)})
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in (folder / out).read_text().splitlines()]
    for line in lines:
        del line["latency_ms"], line["clock_synced"], line["time"]
    return lines


def test_the_whole_kit_runs_on_it_and_a_replay_gives_the_same(tmp_path):
    with CVirtual(tmp_path / "tty", "--speed", "8", "--seconds", "300", "--faults", "unplug@4:2"):
        lines = kit(tmp_path, f"serial:{tmp_path}/tty", "out.jsonl", "--seconds", "16", "--record", "run.aer")
    again = kit(tmp_path, "replay:run.aer", "again.jsonl", "--speed", "max")
    assert again[: len(lines)] == lines  # the recording may continue a little past the run's last second
    assert lines[-1]["lost_samples"] == 0
    reasons = [line["abstained"] and line["abstained"]["reason"] for line in lines]
    assert set(reasons) == {None, "warming_up"}
    assert reasons[-1] is None


@pytest.mark.parametrize(
    "arguments", ["--faults drop=0.1", "--faults restart@3", "--speed 0", "--seconds -1", "--bits 24", "--set x"]
)
def test_unsupported_arguments_give_one_line(tmp_path, arguments):
    done = run(
        [sys.executable, "-m", "firmware_bridge.virtual.c_patch", "--link", tmp_path / "t", *arguments.split()],
        cwd=ROOT,
    )
    assert done.returncode == 2, done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_without_a_compiler_the_message_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(LinkError, match="apt-get install gcc"):
        c_patch.build(tmp_path)
    monkeypatch.setenv("CC", str(tmp_path / "none"))
    with pytest.raises(LinkError, match="cannot be run"):
        c_patch.build(tmp_path)


def test_a_compiler_error_is_quoted(tmp_path, monkeypatch):
    fake = tmp_path / "cc"
    fake.write_text("#!/bin/sh\necho 'bad day' >&2\nexit 1\n")
    fake.chmod(0o755)
    monkeypatch.setenv("CC", str(fake))
    with pytest.raises(LinkError, match="cannot compile the patch: bad day"):
        c_patch.build(tmp_path)


def test_option_c_takes_only_known_options():
    with pytest.raises(UsageError):
        c_patch.run(["--link", "/nonexistent/t", "--faults", "late=0.1"])


@pytest.mark.parametrize("runtime", ["tflm", "c99"])
def test_the_example_compiles_without_a_warning(tmp_path, runtime):
    """With the model linked: through a stand-in for TFLite Micro's headers, and in plain C."""
    package = tmp_path / "micro"
    assert package_main(["demo", "--runtime", runtime, "--out", str(package)]) == 0
    include = [f"-I{C_SIDE / 'src'}", f"-I{EXAMPLE}", f"-I{package}", f"-isystem{MOCK}"]
    objects = []
    for source in (*SOURCES, *with_model(package, runtime), EXAMPLE / "hal_host.c"):
        objects.append(tmp_path / f"{source.stem}.o")
        flags = ["-std=c99", "-O1", *STRICT_C, *include, *model_flags(runtime)]
        compiled([tool("gcc"), *flags, "-c", source, "-o", objects[-1]])
    program = tmp_path / "patch"
    flags = ["-std=c++17", "-fno-exceptions", "-fno-rtti", *STRICT_CXX, *include]
    invoke = [EXAMPLE / "anyecg_model_invoke.cc"] if runtime == "tflm" else []
    compiled([tool("g++"), *flags, *invoke, *objects, "-o", program])
    counts = np.round(np.sin(np.arange(5000) / 40.0) * 900).astype(np.int32)
    (tmp_path / "samples").write_bytes(counts.tobytes())
    done = subprocess.run(
        [program], input=b"", capture_output=True, timeout=120, env={"ANYECG_SAMPLES": str(tmp_path / "samples")}
    )
    assert done.returncode == 0  # its host disconnects at once
    assert done.stdout.startswith(b"\x00") or done.stdout == b""


def test_a_host_without_samples_gives_a_message(tmp_path):
    program = c_patch.build(tmp_path) if tool("gcc") else None
    for env, words in (({}, "names no file"), ({"ANYECG_SAMPLES": "/dev/null"}, "holds no samples")):
        done = run([program], env=env)
        assert done.returncode == 1
        assert words in done.stderr
