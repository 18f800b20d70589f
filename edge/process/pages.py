"""Release of the memory pages of program files that only the start needed.

Loading a library reads its symbol tables and runs its start-up code once, and the kernel may map more than requested
(up to 6 MiB more in this process, on Linux 6.18 right after an installation). These pages stay in the file cache; pages
that the program uses again are mapped again from there, without reading the disk.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Iterator
from pathlib import Path

MADV_DONTNEED = 4
"""Value of the flag on Linux, ``asm-generic/mman-common.h``."""

_SMAPS = Path("/proc/self/smaps")


def release_start_pages() -> int:
    """Unmap clean, read-only pages of libraries and of Python; the kernel maps them again on use.

    Do nothing on systems without ``/proc/self/smaps``.

    Returns:
        The number of released bytes.
    """
    if sys.platform != "linux":
        return 0
    try:
        # A copy: the list of mappings must not change while it is read.
        found = list(_clean_program_mappings(_SMAPS.read_text(encoding="utf-8", errors="replace")))
        madvise = ctypes.CDLL(None).madvise
    except (OSError, AttributeError):
        return 0
    madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    return sum(rss for start, end, rss in found if madvise(start, end - start, MADV_DONTNEED) == 0)


def _clean_program_mappings(smaps: str) -> Iterator[tuple[int, int, int]]:
    """Yield start, end and resident bytes of every mapping with only unchanged bytes of a program file.

    A mapping with anonymous pages is skipped: the linker changed those pages and made them read-only, so their content
    would be lost.
    """
    executable = os.path.realpath(sys.executable)
    start = end = rss = 0
    ours = False
    for line in smaps.splitlines():
        fields = line.split(maxsplit=5)
        if len(fields) >= 5 and "-" in fields[0] and not fields[0].endswith(":"):
            path = fields[5] if len(fields) > 5 else ""
            library = ".so" in path.rpartition("/")[2]
            ours = fields[1] in {"r--p", "r-xp"} and (path == executable or library)
            start, end = (int(x, 16) for x in fields[0].split("-"))
        elif ours and fields[0] == "Rss:":
            rss = int(fields[1]) * 1024
        elif ours and fields[0] == "Anonymous:" and fields[1] == "0" and rss:
            yield start, end, rss
