"""The systemd unit without systemd, as far as possible: its command line, its watchdog messages, its end."""

from __future__ import annotations

import asyncio
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge.cli.config import parse_with_config
from edge.cli.run import parser
from edge.engine import Engine
from edge.pipeline import Pipeline
from edge.process.systemd import Notifier
from edge.session import load, session_info
from edge.sinks.memory import MemorySink
from edge.sources import SourceUrl, open_source

ROOT = Path(__file__).resolve().parents[2]
UNIT = ROOT / "packaging" / "anyecg.service"
CONFIG = ROOT / "packaging" / "anyecg.toml"


def unit() -> dict[str, list[str]]:
    """Keys of the unit, each with all its values."""
    found: dict[str, list[str]] = {}
    for line in UNIT.read_text().replace("\\\n", " ").splitlines():
        if line and line[0] not in "#[":
            key, _equals, value = line.partition("=")
            found.setdefault(key, []).append(value.strip())
    return found


def command() -> list[str]:
    """The command as systemd runs it, with systemd's escapes undone."""
    return shlex.split(unit()["ExecStart"][0].replace("%%", "%").replace("$$", "$"))


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


def test_it_restarts_after_any_failure_and_limits_its_access() -> None:
    keys = unit()
    assert keys["Restart"] == ["always"]
    assert keys["StartLimitIntervalSec"] == ["0"]
    assert keys["Type"] == ["notify"]
    assert int(keys["WatchdogSec"][0]) >= 15
    assert keys["SuccessExitStatus"] == ["143"]
    for key in ("DynamicUser", "NoNewPrivileges", "PrivateTmp", "ProtectHome", "ProtectKernelModules"):
        assert keys[key] == ["yes"]
    assert keys["ProtectSystem"] == ["strict"]
    assert keys["CapabilityBoundingSet"] == [""]
    assert set(keys["SupplementaryGroups"][0].split()) == {"dialout", "bluetooth"}
    documented = set(re.findall(r"^\| (\d+) \|", (ROOT / "docs/exit-codes.md").read_text(), re.MULTILINE))
    assert set(keys["RestartPreventExitStatus"][0].split()) <= documented
    # A device that cannot be opened or a recording that cannot be written may be temporary.
    assert not {"5", "7", "70", "1"} & set(keys["RestartPreventExitStatus"][0].split())


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd-analyze here (Debian: systemd)")
def test_systemd_understands_it() -> None:
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(UNIT)], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert "anyecg.service" not in done.stderr


def test_its_options_exist_and_its_configuration_is_one(tmp_path: Path) -> None:
    shell, flag, line = command()
    assert (shell, flag) == ("/bin/sh", "-c")
    words = shlex.split(line)
    flags = {word for word in words if word.startswith("--")}
    assert flags <= set(parser()._option_string_actions)
    args = parse_with_config(parser(), ["--config", str(CONFIG)])
    assert SourceUrl.parse(args.source[0]).scheme == "serial"


def test_start_run_and_end(manager: Manager, tmp_path: Path) -> None:
    config = tmp_path / "anyecg.toml"
    config.write_text('source = "sim:?speed=4"\n')
    shell, flag, line = command()
    line = line.replace("/opt/anyecg/bin/anyecg", f"{sys.executable} -m edge.cli").replace(
        "/etc/anyecg.toml", str(config)
    )
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
    assert manager.drain()[-1] == "STOPPING=1"
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
