"""Notifications for systemd (sd_notify(3)): ready, alive, status, stopping. Without systemd they do nothing."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping
from contextlib import suppress

from firmware_bridge.text import printable

STATUS_CHARS = 300
"""Longest status, characters."""
BEATS_PER_TIMEOUT = 3
"""Notifications per watchdog interval of systemd; sd_watchdog_enabled(3) requires at least two."""


class Notifier:
    """Notifies the service manager that started this process, if there is one.

    Args:
        env: Environment with ``NOTIFY_SOCKET`` and ``WATCHDOG_USEC``; by default that of this process.
    """

    def __init__(self, env: Mapping[str, str] | None = None) -> None:
        env = os.environ if env is None else env
        address = env.get("NOTIFY_SOCKET", "")
        # "@" stands for the zero byte of an abstract socket's name.
        self._address = "\0" + address[1:] if address.startswith("@") else address
        ours = env.get("WATCHDOG_PID", "") in {"", str(os.getpid())}
        usec = env.get("WATCHDOG_USEC", "")
        self._every_s = int(usec) / 1e6 / BEATS_PER_TIMEOUT if ours and usec.isdecimal() else float("inf")
        self._ready = False
        self._last_s = time.monotonic()

    def alive(self) -> None:
        """Report that the service is alive; the first call means ready.

        Call it often, from a loop that a stuck stage would stop.
        """
        if not self._address:
            return
        now_s = time.monotonic()
        if not self._ready:
            self._ready = True
            self._send("READY=1")
        elif now_s - self._last_s < self._every_s:
            return
        self._last_s = now_s
        if self._every_s < float("inf"):
            self._send("WATCHDOG=1")

    @property
    def listening(self) -> bool:
        """Whether a service manager takes notifications."""
        return bool(self._address)

    def status(self, text: str) -> None:
        """Report what the service does, for ``systemctl status``; any thread may call it."""
        # A line end would begin another assignment, such as MAINPID=.
        self._send("STATUS=" + printable(text)[:STATUS_CHARS])

    def stopping(self) -> None:
        """Report that the service is stopping."""
        self._send("STOPPING=1")

    def _send(self, text: str) -> None:
        if not self._address:
            return
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.setblocking(False)
            sock.sendto(text.encode("utf-8", "replace"), self._address)
