"""Resident memory of this program without the emulator's own: a count of its pages, by the kernel of the host.

User-mode QEMU keeps the program's memory and its own (translated code, tables, heap, itself) in one process. It answers
``/proc/self/maps`` with the program's mappings alone, and passes ``/proc/self/pagemap`` on to the kernel, which says
which pages are in memory. Both together give what the program would take on a real processor. On a machine that is not
emulated the same count is the VmRSS of ``/proc/self/status``, which a test checks.
"""

from __future__ import annotations

import os
from array import array

PAGE = os.sysconf("SC_PAGE_SIZE")
IN_MEMORY = 1 << 63
"""Bit of a pagemap entry: the page is in memory (Linux, Documentation/admin-guide/mm/pagemap.rst)."""
PIECE = 4096
"""Entries read at a time: this count should not move what it counts."""


def resident_kib(base: int = 0) -> int:
    """Counts the pages in memory.

    Args:
        base: What lies between an address of the program and that of the host, in bytes. 0 for 64-bit programs.
    """
    with open("/proc/self/maps", encoding="ascii", errors="replace") as file:
        spans = [line.split(" ", 1)[0].split("-") for line in file if "[vsyscall]" not in line]
    pages = 0
    file_number = os.open("/proc/self/pagemap", os.O_RDONLY)
    try:
        for first, last in spans:
            pages += _resident(file_number, (int(first, 16) + base) // PAGE, (int(last, 16) + base) // PAGE)
    finally:
        os.close(file_number)
    return pages * PAGE // 1024


def _resident(file_number: int, first: int, last: int) -> int:
    found = 0
    while first < last:
        data = os.pread(file_number, 8 * min(PIECE, last - first), 8 * first)
        if not data:
            break
        found += sum(entry >= IN_MEMORY for entry in array("Q", data))
        first += len(data) // 8
    return found
