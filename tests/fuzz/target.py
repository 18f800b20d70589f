"""What a fuzz target is, and the promises that hold for every one."""

from __future__ import annotations

import atexit
import functools
import os
import resource
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from firmware_bridge.errors import AnyEcgError

LIMIT_S = 4.0
"""Longest processor time for one input of at most `MAX_BYTES`, s, on a busy machine and with instrumented code."""
GROWTH_MIB = 64
"""Most memory beyond all inputs before it that one input may need, MiB."""
MAX_BYTES = 16_384
"""Longest input that the fuzzer makes, bytes; what takes quadratic time shows at this length."""
LARGEST_CLOCK_NS = 1 << 74
"""Largest device time that a block may carry, ns: that of a clock of 64 bits, which was set hundreds of times."""
MAX_MESSAGE = 3000
"""Longest line that a user gets, characters."""


@dataclass(frozen=True)
class Target:
    """One reader of foreign bytes.

    Attributes:
        name: Name for the command line, and of the folder of its findings.
        seeds: Returns valid inputs, which the fuzzer changes.
        check: Reads an input and checks what comes out. It may raise `AnyEcgError`; anything else is a finding.
        words: Pieces that the format knows and chance does not find.
        is_json: Whether inputs are JSON, which is also changed value by value.
        tag_bytes: Number of bytes before the JSON, which select a reader.
    """

    name: str
    seeds: Callable[[], list[bytes]]
    check: Callable[[bytes], object]
    words: tuple[bytes, ...] = ()
    is_json: bool = False
    tag_bytes: int = 0

    def __call__(self, data: bytes) -> bool:
        """Check one input.

        Returns:
            Whether it was read; ``False`` if it was refused in one clean line.

        Raises:
            AssertionError: A promise is broken: time, memory, or what the check of the target says.
        """
        before_s, before_kib = time.process_time(), peak_kib()
        try:
            self.check(data)
            read = True
        except AnyEcgError as error:
            check_texts([str(error)])
            read = False
        used_s, grown_mib = time.process_time() - before_s, (peak_kib() - before_kib) // 1024
        assert used_s < LIMIT_S, f"{len(data)} bytes took {used_s:.1f} s"
        assert grown_mib < GROWTH_MIB, f"{len(data)} bytes took {grown_mib} MiB"
        return read


def peak_kib() -> int:
    """Return the most memory that this process has had, KiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def check_texts(texts: Iterable[str]) -> None:
    """Check that texts can be shown on any terminal, and that nobody has to scroll."""
    for text in texts:
        assert text.isprintable(), repr(text)
        assert len(text) < MAX_MESSAGE, f"{len(text)} characters: {text[:200]}"
        text.encode()


@functools.cache
def scratch() -> Path:
    """Return an empty folder of this process, in memory where there is such a place."""
    memory = Path("/dev/shm")
    folder = tempfile.mkdtemp(prefix="anyecg-fuzz-", dir=memory if os.access(memory, os.W_OK) else None)
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder)
