"""Builds the C side with sanitizers, once per session, and communicates with it line by line."""

from __future__ import annotations

import subprocess
import tempfile
from functools import cache
from pathlib import Path

import numpy as np

from firmware_bridge.wire.framing import FrameDecoder, FrameError
from helpers.firmware_build import HERE, STRICT_C, compiled, tool

ROOT = HERE.parents[1]
C_SIDE = ROOT / "firmware_bridge" / "c"
SOURCES = sorted((C_SIDE / "src").glob("*.c"))
SANITIZE = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-fno-omit-frame-pointer", "-g")


@cache
def harness() -> Path:
    """Build the harness for this session; skip the test if there is no compiler."""
    folder = Path(tempfile.mkdtemp(prefix="anyecg-c-"))
    program = folder / "harness"
    include = f"-I{C_SIDE / 'src'}"
    compiled(
        [tool("gcc"), "-std=c99", "-O1", *SANITIZE, *STRICT_C, include, *SOURCES, HERE / "c_harness.c", "-o", program]
    )
    return program


class CSide:
    """The C side in a separate process. A sanitizer's error ends it and fails the test."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [harness()], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def ask(self, line: str) -> str:
        """Send one command and return its answer."""
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            raise AssertionError(self._process.stderr.read())
        return answer.rstrip("\n")

    def close(self) -> None:
        """End the process; a leak is an error too."""
        _out, err = self._process.communicate(timeout=120)
        assert (self._process.returncode, err) == (0, "")

    def encode(self, body: bytes) -> bytes:
        return bytes.fromhex(self.ask(f"e {body.hex()}"))

    def feed(self, data: bytes) -> list[str]:
        return self.ask(f"f {data.hex()}").split()

    def read(self, body: bytes) -> str:
        return self.ask(f"d {body.hex()}")

    def push(self, samples: np.ndarray) -> list[int]:
        out: list[int] = []
        for at in range(0, len(samples), 5000):
            out += map(int, self.ask("p " + " ".join(map(str, samples[at : at + 5000].tolist()))).split())
        return out

    def window(self) -> np.ndarray:
        return np.frombuffer(bytes.fromhex(self.ask("q")), np.int8)


class PythonSide:
    """The Python decoder with the same interface."""

    def __init__(self) -> None:
        self.decoder = FrameDecoder()

    def feed(self, data: bytes) -> list[str]:
        return [self._word(item) for item in self.decoder.feed(data)]

    @staticmethod
    def _word(item: bytes | FrameError) -> str:
        if isinstance(item, FrameError):
            return f"{item.fault}:{item.size}:{int(item.synced)}"
        return f"body:{item.hex()}"
