"""Runs commands as on another system: without the modules and functions that it lacks. A simulation on Linux.

python other_system.py win32|darwin SESSION FOLDER
"""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import os
import pkgutil
import signal
import socket
import sys

MODULES = {"win32": ("fcntl", "termios", "tty", "pty", "resource", "pwd", "grp", "syslog", "curses"), "darwin": ()}
OS_NAMES = {
    "win32": (
        "O_CLOEXEC", "O_NOFOLLOW", "O_NONBLOCK", "O_DIRECTORY", "getuid", "geteuid", "getgid", "fork", "openpty",
        "pread", "ttyname", "tcgetpgrp", "getpgrp", "killpg", "setsid", "uname", "statvfs", "sched_getaffinity",
        "posix_fallocate", "fdatasync", "mkfifo", "sysconf", "fchmod", "fchown", "chown", "nice",
    ),
    "darwin": ("sched_getaffinity", "posix_fallocate", "fdatasync"),
}  # fmt: skip
SIGNALS = {
    "win32": ("SIGHUP", "SIGALRM", "SIGUSR1", "SIGUSR2", "SIGKILL", "SIGQUIT", "SIGPIPE", "SIGCONT"),
    "darwin": (),
}
SOCKETS = {"win32": ("AF_UNIX", "SOCK_CLOEXEC"), "darwin": ("SOCK_CLOEXEC",)}


def become(system: str) -> None:
    """Change the system. What is not the kit's is loaded before, because it was built for this one."""
    import_all()
    for name in [name for name in sys.modules if name.split(".")[0] in {"edge", "firmware_bridge"}]:
        del sys.modules[name]
    sys.platform = system
    for name in MODULES[system]:
        sys.modules[name] = None  # type: ignore[assignment]  # so an import of it fails
    for module, names in ((os, OS_NAMES), (signal, SIGNALS), (socket, SOCKETS)):
        for name in names[system]:
            if hasattr(module, name):
                delattr(module, name)


def import_all() -> int:
    names = [
        found.name
        for package in ("edge", "firmware_bridge")
        for found in pkgutil.walk_packages(importlib.import_module(package).__path__, f"{package}.")
        if not found.name.endswith("__main__")
    ]
    for name in names:
        importlib.import_module(name)
    return len(names)


def call(*command: str) -> dict[str, object]:
    from edge.cli.main import main

    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main(command)
    return {"code": code, "out": out.getvalue()[-3000:], "err": err.getvalue()[-1000:]}


if __name__ == "__main__":
    system, session, folder = sys.argv[1:]
    become(system)
    found: dict[str, object] = {"imported": import_all()}
    for name, command in {
        "version": ["version"],
        "devices": ["devices"],
        "bundle": ["bundle", "show", "demo"],
        "sessions": ["sessions", session],
        "estimates": ["estimates", session],
        "report": ["report", session, "--out", f"{folder}/page.html"],
        "csv": ["export", session, "--to", "csv", "--out", f"{folder}/csv"],
        "fhir": ["export", session, "--to", "fhir", "--out", f"{folder}/fhir"],
        "firmware": ["firmware", f"{folder}/firmware"],
        "run": ["run", "--source", "sim:?seed=1&speed=max", "--seconds", "15", "--view", "none"],
        "scan": ["scan", "--seconds", "1"],
        "service": ["service", "status"],
        "demo": ["demo", "--help"] if system == "win32" else ["version"],
    }.items():
        found[name] = call(*command)
    sys.__stdout__.write(json.dumps(found) + "\n")  # type: ignore[union-attr]  # a test has an output
