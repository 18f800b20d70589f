"""The process of a run with a page: Ctrl-C while viewers watch, its memory, and what it loads."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from helpers.free_ports import ports
from helpers.page_client import Viewer

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[4]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}
TOKEN = "correct-horse-battery"
ADDED_MIB = 5.0
"""Most memory that the page and one viewer may add."""


def viewer(port: int, *headers: str) -> Viewer:
    until_s = time.monotonic() + 30.0
    while True:
        try:
            return Viewer(port, *headers)
        except ConnectionRefusedError:
            assert time.monotonic() < until_s
            time.sleep(0.1)


def test_ctrl_c_ends_a_run_at_once_although_viewers_watch() -> None:
    (port,) = ports(1)
    command = [sys.executable, "-m", "edge.cli", "run", "--source", "sim:", "--view", "none"]
    process = subprocess.Popen(
        [*command, "--http", f"127.0.0.1:{port}"],
        cwd=ROOT,
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with viewer(port) as one, viewer(port) as _idle:
        one.event("state")
        process.send_signal(signal.SIGINT)
        _out, err = process.communicate(timeout=20.0)
        assert process.returncode == 130
        assert one.event("end") == {}
    assert err.count("\n") == 1  # the address, and no traceback


def test_the_token_is_in_no_output(tmp_path: Path) -> None:
    made = tmp_path / "session"
    words = ["run", "--source", "sim:?speed=max", "--seconds", "15", "--session-dir", str(made), "--http", "0.0.0.0:0"]
    done = subprocess.run(
        [sys.executable, "-m", "edge.cli", *words],
        cwd=ROOT,
        env={**ENVIRONMENT, "ANYECG_HTTP_TOKEN": TOKEN},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "the page is not encrypted" in done.stderr
    texts = [done.stdout, done.stderr, *(path.read_bytes().decode("latin-1") for path in made.iterdir())]
    assert not any(TOKEN in text for text in texts)


def test_the_page_and_a_viewer_add_little_memory() -> None:
    command = [sys.executable, "benchmarks/bench_page.py", "--seconds", "15", "--rounds", "1", "--json"]
    done = subprocess.run(command, cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    got = json.loads(done.stdout)
    assert got["viewer"]["bytes"] > 10_000
    assert got["viewer"]["mib"] < ADDED_MIB
    assert got["page"]["mib"] < ADDED_MIB


LOADED = """
import sys
from edge.cli.main import main
code = main(["run", "--source", "replay:{recording}?fs=250&speed=max", "--view", "none", "--http", "127.0.0.1:0"])
maps = open("/proc/self/maps").read()
heavy = ("ssl", "hmac", "http.server", "http.client", "socketserver", "edge.sessions", "paho", "scipy")
print(code, [m for m in heavy if m in sys.modules], [name for name in ("libcrypto", "libssl") if name in maps])
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc/self/maps of Linux")
def test_the_page_loads_neither_openssl_nor_the_server_of_the_library(tmp_path: Path) -> None:
    pytest.importorskip("ai_edge_litert")
    recording = tmp_path / "ecg.csv"
    recording.write_text("ecg_uv\n" + "".join(f"{(i % 200) * 5}\n" for i in range(20 * 250)))
    done = subprocess.run(
        [sys.executable, "-c", LOADED.format(recording=recording)],
        cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True,
    )  # fmt: skip
    assert done.stdout.splitlines()[-1] == "0 [] []", done.stderr
