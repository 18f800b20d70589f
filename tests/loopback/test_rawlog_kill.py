"""A recording survives kill -9: everything written before is read back, byte for byte."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from firmware_bridge.rawlog import RawLogReader

ROOT = Path(__file__).resolve().parents[2]
CHILD = """
import sys
from pathlib import Path
from firmware_bridge.rawlog import RawLogHeader, RawLogWriter
from firmware_bridge.items import (RawChunk)
writer = RawLogWriter(Path(sys.argv[1]), RawLogHeader("d", "u", "s", 0, 0))
for number in range(10**9):
    writer.item(RawChunk(number, "data", number.to_bytes(4, "little") * 20))
    sys.stdout.write(f"{number}\\n")
    sys.stdout.flush()
"""


def test_kill_9_loses_nothing_that_was_acknowledged(tmp_path):
    path = tmp_path / "a.aer"
    child = subprocess.Popen([sys.executable, "-c", CHILD, str(path)], stdout=subprocess.PIPE, text=True, cwd=ROOT)
    first = child.stdout.readline()
    time.sleep(0.2)
    os.kill(child.pid, signal.SIGKILL)
    out, _ = child.communicate()
    lines = first + out
    acknowledged = int(lines[: lines.rindex("\n")].splitlines()[-1])
    items = list(RawLogReader(path).items())
    assert acknowledged >= 0
    assert len(items) >= acknowledged + 1
    assert [item.arrival_ns for item in items] == list(range(len(items)))
    assert items[-1].data == (len(items) - 1).to_bytes(4, "little") * 20
