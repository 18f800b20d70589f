"""A run says on standard error what it waits for, in every view, and to systemd as well."""

from __future__ import annotations

import os
import pty
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from edge.cli.run import source_url
from firmware_bridge.virtual.process import PtyPort

SLOW = pytest.mark.slow
ROOT = Path(__file__).resolve().parents[2]


def running(
    *words: str, out: int = subprocess.DEVNULL, err: int = subprocess.PIPE, **env: str
) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "edge.cli", "run", *words],
        cwd=ROOT,
        env={**os.environ, "TERM": "xterm", **env},
        stdout=out,
        stderr=err,
        text=True,
    )


def ended(process: subprocess.Popen[str]) -> str:
    process.send_signal(signal.SIGTERM)
    try:
        _out, err = process.communicate(timeout=120)
    finally:
        process.kill()
    assert process.returncode == 143
    return err or ""


@pytest.mark.parametrize("view", ["plain", pytest.param("none", marks=SLOW), pytest.param("live", marks=SLOW)])
def test_standard_error_names_what_is_waited_for_and_why(tmp_path: Path, view: str) -> None:
    port = PtyPort(tmp_path / "tty")
    process = running("--source", f"serial:{tmp_path}/tty", "--view", view)
    assert process.stderr is not None
    lines = iter(process.stderr.readline, "")
    assert next(lines).startswith(f"waiting for {tmp_path}/tty: no such device (")
    port.plug()
    assert next(lines) == f"connected: {tmp_path}/tty is open\n"
    port.unplug()
    assert next(lines).startswith(f"connection lost: {tmp_path}/tty is gone: ")
    assert next(lines).startswith(f"waiting for {tmp_path}/tty: no such device (")
    port.plug()
    assert next(lines).startswith("connected again after ")
    ended(process)
    port.unplug()


def test_plain_lines_do_not_repeat_what_standard_error_says(tmp_path: Path) -> None:
    port = PtyPort(tmp_path / "tty")
    port.plug()
    with (tmp_path / "out").open("w+") as out:
        process = running("--source", f"serial:{tmp_path}/tty", "--view", "plain", out=out.fileno())
        assert process.stderr is not None
        assert process.stderr.readline() == f"connected: {tmp_path}/tty is open\n"
        ended(process)
        port.unplug()
        out.seek(0)
        assert "link " not in out.read().partition("signal  ")[0]


def on_terminal(words: list[str], until: Callable[[str], bool]) -> str:
    """Run with both outputs on a terminal; return what it got until the condition held."""
    master, slave = pty.openpty()
    process = running(*words, out=slave, err=slave, PYTHONIOENCODING="utf-8")
    os.close(slave)
    limit = threading.Timer(120.0, process.kill)
    limit.start()
    got = b""
    try:
        while not until(got.decode("utf-8", "replace")):
            got += os.read(master, 4096)
        process.send_signal(signal.SIGTERM)
        while True:
            try:
                piece = os.read(master, 4096)
            except OSError:
                break
            if not piece:
                break
        process.wait(120)
    finally:
        limit.cancel()
        process.kill()
        os.close(master)
    return got.decode("utf-8", "replace")


def test_the_live_view_shows_it_and_no_line_damages_the_screen(tmp_path: Path) -> None:
    words = ["--source", f"serial:{tmp_path}/tty", "--view", "live"]
    got = on_terminal(words, lambda text: "no such device" in text)
    assert "\x1b[?1049h" in got
    assert f"waiting for {tmp_path}/tty: " not in got
    assert "\n" not in got.partition("\x1b[?1049h")[2]


def test_systemd_is_told_the_same(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(120.0)
        process = running(
            "--source", f"serial:{tmp_path}/tty", "--view", "none", NOTIFY_SOCKET=str(tmp_path / "notify")
        )
        heard: list[str] = []
        while not any(text.startswith(f"STATUS=waiting for {tmp_path}/tty: no such device (") for text in heard):
            heard.append(manager.recv(4096).decode())
        assert heard.count("READY=1") == 1
        ended(process)


@pytest.mark.parametrize(
    ("url", "record", "wanted"),
    [
        ("serial:/dev/ttyACM0", None, "serial:/dev/ttyACM0?wait=always"),
        ("ble:polar_h10?name=Polar H10", None, "ble:polar_h10?name=Polar H10&wait=always"),
        ("tcp:h:1?wait=0", None, "tcp:h:1?wait=0"),
        ("sim:?hr=70", None, "sim:?hr=70"),
        ("record:a.aer,serial:/dev/ttyACM0", None, "record:a.aer,serial:/dev/ttyACM0?wait=always"),
        ("serial:/dev/ttyACM0", "b", "record:b.aer,serial:/dev/ttyACM0?wait=always"),
    ],
)
def test_what_the_option_wait_adds(url: str, record: str | None, wanted: str) -> None:
    assert source_url(url, None, record, wait=True).text == wanted


def test_a_service_waits_for_what_is_no_port(tmp_path: Path) -> None:
    """Without the option the first refusal ends a run: waiting alone does not help."""
    (tmp_path / "file").write_text("")
    words = ("--source", f"serial:{tmp_path}/file", "--view", "none")
    refused = running(*words)
    _out, err = refused.communicate(timeout=120)
    assert refused.returncode == 5
    assert "is not a serial port" in err
    process = running(*words, "--wait")
    assert process.stderr is not None
    assert process.stderr.readline().startswith(f"waiting for {tmp_path}/file: it is not a serial port (")
    ended(process)
