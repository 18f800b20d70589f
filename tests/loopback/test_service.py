"""The systemd unit without systemd, as far as possible: its command line, its watchdog messages, its end."""

from __future__ import annotations

import asyncio
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge.cli.run import parser
from edge.engine import Engine
from edge.pipeline import Pipeline
from edge.process.systemd import Notifier
from edge.service.unit import render
from edge.session import load, session_info
from edge.sinks.memory import MemorySink
from edge.sources import open_source

ROOT = Path(__file__).resolve().parents[2]
PYTHON = Path("/opt/anyecg/bin/python")


def command() -> list[str]:
    """The command as systemd runs it, with systemd's escapes undone."""
    joined = render(PYTHON).replace("\\\n", " ")
    (line,) = re.findall(r"^ExecStart=(.*)$", joined, re.MULTILINE)
    return shlex.split(line.replace("%%", "%").replace("$$", "$").replace("%i", "bedroom"))


class Manager:
    """Receives notifications as systemd does."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "notify"
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(self.path))
        self.socket.settimeout(120.0)
        self.heard: list[str] = []

    def wait_for(self, text: str, count: int = 1) -> None:
        while self.heard.count(text) < count:
            self.heard.append(self.socket.recv(4096).decode())

    def drain(self) -> list[str]:
        self.socket.setblocking(False)
        try:
            while True:
                self.heard.append(self.socket.recv(4096).decode())
        except BlockingIOError:
            return self.heard


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    made = Manager(tmp_path)
    yield made
    made.socket.close()


def environment(manager: Manager, **more: str) -> dict[str, str]:
    return {**os.environ, "NOTIFY_SOCKET": str(manager.path), "WATCHDOG_USEC": "900000", **more}


def test_its_options_exist() -> None:
    shell, flag, line = command()
    assert (shell, flag) == ("/bin/sh", "-c")
    words = shlex.split(line)
    flags = {word for word in words if word.startswith("--")}
    assert {"--config", "--wait", "--session-dir"} <= flags <= set(parser()._option_string_actions)


def test_start_run_and_end(manager: Manager, tmp_path: Path) -> None:
    config = tmp_path / "anyecg.toml"
    config.write_text('source = "sim:?speed=4"\n')
    shell, flag, line = command()
    line = line.replace(f"{PYTHON} -P -m", f"{sys.executable} -m").replace("/etc/anyecg/bedroom.toml", str(config))
    state = tmp_path / "state"
    state.mkdir()
    process = subprocess.Popen(
        [shell, flag, line],
        env=environment(manager, STATE_DIRECTORY=str(state), INVOCATION_ID="0123abc"),
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        manager.wait_for("READY=1")
        manager.wait_for("WATCHDOG=1", 4)
        process.send_signal(signal.SIGTERM)
        _out, err = process.communicate(timeout=120)
    finally:
        process.kill()
    assert process.returncode == 143, err
    assert [said for said in manager.drain() if not said.startswith("STATUS=")][-1] == "STOPPING=1"
    assert any(said.startswith("STATUS=recording anyecg_patch: ") for said in manager.heard)
    (session,) = state.iterdir()
    assert re.fullmatch(r"\d{8}T\d{6}Z-0123abc", session.name)
    assert (session / "summary.json").exists()


def test_the_watchdog_accepts_a_missing_patch(manager: Manager, tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "edge.cli", "run", "--source", f"serial:{tmp_path}/tty", "--view", "none"],
        env=environment(manager, WATCHDOG_USEC="3000000"),
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        manager.wait_for("WATCHDOG=1", 4)
        assert manager.heard.count("READY=1") == 1
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=120)
    finally:
        process.kill()
    assert process.returncode == 143


def test_the_watchdog_detects_a_stuck_disk() -> None:
    """A sink that never returns: the watchdog messages stop, so that systemd restarts the service."""
    stuck, go_on = threading.Event(), threading.Event()

    class StuckSink(MemorySink):
        def estimate(self, e: object) -> None:
            stuck.set()
            go_on.wait(120.0)

    beats: list[float] = []
    loaded = load("demo", "litert-reference")
    source = open_source("sim:?speed=20")
    engine = Engine(loaded.bundle, loaded.model, session_info(source))

    async def scenario() -> tuple[int, int]:
        pipeline = Pipeline(
            source, engine, [StuckSink()], seconds=None, tier="micro", hop_s=1.0, alive=lambda: beats.append(0.0)
        )
        stop = asyncio.Event()
        run = asyncio.create_task(pipeline.run(stop))
        await asyncio.to_thread(stuck.wait, 120.0)
        before = len(beats)
        await asyncio.sleep(2.5)
        after = len(beats)
        stop.set()
        go_on.set()
        await asyncio.wait_for(run, 120.0)
        return before, after

    before, after = asyncio.run(scenario())
    assert before > 0
    assert after == before


def test_no_service_manager_listens() -> None:
    Notifier({}).alive()
    Notifier({}).stopping()
    gone = Notifier({"NOTIFY_SOCKET": "/nonexistent/notify", "WATCHDOG_USEC": "soon"})
    gone.alive()
    gone.stopping()


def test_an_abstract_socket_and_a_watchdog_of_another_process() -> None:
    name = f"anyecg-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(f"\0{name}")
        listener.settimeout(120.0)
        env = {"NOTIFY_SOCKET": f"@{name}", "WATCHDOG_USEC": "1000", "WATCHDOG_PID": "1"}
        notifier = Notifier(env)
        notifier.alive()
        time.sleep(0.01)
        notifier.alive()
        notifier.stopping()
        assert [listener.recv(100), listener.recv(100)] == [b"READY=1", b"STOPPING=1"]
