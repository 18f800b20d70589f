"""The number of files that this process may have open."""

from __future__ import annotations

from contextlib import suppress


def allow_files(count: int) -> None:
    """Raise the soft limit of open files to ``count`` more than usual, as far as the system allows."""
    import resource  # not on Windows, where this module is imported all the same

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return
    wanted = 1024 + count
    if hard != resource.RLIM_INFINITY:
        wanted = min(wanted, hard)
    if wanted > soft:
        with suppress(ValueError, OSError):  # a service may be forbidden to change its limits
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
