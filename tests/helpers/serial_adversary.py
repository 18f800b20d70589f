"""A virtual patch on a pseudo-terminal, disconnected at random, as fast as the host can follow. No real time."""

from __future__ import annotations

import os
import random
import threading
import time
from pathlib import Path

from firmware_bridge.virtual.patch import VirtualPatch
from firmware_bridge.virtual.process import PtyPort

STEP_S = 0.0005
"""Time between two reads of the host's bytes, in seconds."""
SLOWLY_S = 0.02
"""Duration of a slot of the last samples, in seconds."""
PATIENCE_S = 120.0
"""Time that a host may take to connect before the test fails, in seconds."""
UNREAD_MAX = 16_000
"""Bytes on the line that the host has not read, at most; a real patch is slower than any host."""


class Adversary(threading.Thread):
    """Connects and disconnects the patch ``times`` times, then lets it stream to the end.

    Args:
        patch: The patch; only this thread uses it.
        link: Name of the port.
        times: Number of disconnections.
        seed: Seed of all randomness.
        long_every: One connection of this many is long enough for whole windows.
    """

    def __init__(self, patch: VirtualPatch, link: Path, times: int, seed: int, long_every: int = 20) -> None:
        super().__init__(name="adversary", daemon=True)
        self.patch = patch
        self.fault: BaseException | None = None
        self.finish = threading.Event()
        """Set by the host when it has everything."""
        self.last = False
        """Set for the last connection, which is not interrupted."""
        self.slowly = threading.Event()
        """Whether the host receives all of a slot, and what it requests again, before the next begins."""
        self.cut_in_frames = 0
        self._port = PtyPort(link)
        self._rng = random.Random(seed)
        self.times, self._long_every = times, long_every
        self._time_s = 0.0

    def run(self) -> None:
        try:
            for number in range(self.times):
                self._connection(long=number % self._long_every == 0)
            self._last_connection()
        except BaseException as error:  # passed to the test
            self.fault = error
        finally:
            self._port.unplug()

    def _connection(self, *, long: bool) -> None:
        rng = self._rng
        samples = rng.randrange(3400, 4200) if long else round(rng.expovariate(1 / 60))
        end = self.patch.truth.delivered_samples + samples
        self._plug()
        held = b""
        since = time.monotonic()
        while self.patch.truth.delivered_samples < end or not held:
            self._send(held)
            self._obey()
            held = self._advance()
            assert time.monotonic() - since < PATIENCE_S, "the host does not ask for samples"
        # The last bytes are sent split anywhere, all or none included; half of the time the host has read them.
        cut = rng.randrange(len(held) + 1)
        self.cut_in_frames += 0 < cut < len(held)
        self._port.write(held[:cut])
        if rng.random() < 0.5:
            self._port.unplug()
        else:
            self._tear()
        self.patch.link_lost()
        if rng.random() < 0.5:
            # Sampling continues while nothing listens.
            self._time_s += rng.random() * 3.0
            self.patch.advance(self._time_s)

    def _last_connection(self) -> None:
        self._plug()
        self.last = True
        since = time.monotonic()
        while not self.finish.is_set():
            self._obey()
            self._send(self._advance())
            time.sleep(SLOWLY_S if self.slowly.is_set() else 0)
            assert time.monotonic() - since < PATIENCE_S, "the host does not take the rest"

    def _plug(self) -> None:
        """Wait until the host has opened the port and requested something."""
        self._port.plug()
        if self._rng.random() < 0.2:
            self._port.write(self._rng.randbytes(self._rng.randrange(1, 40)) + b"boot\r\n\x00")
        heard, since = self.patch.truth.host_bytes, time.monotonic()
        while self.patch.truth.host_bytes == heard and not self.finish.is_set():
            self._obey()
            time.sleep(STEP_S)
            assert time.monotonic() - since < PATIENCE_S, "the host does not connect"

    def _obey(self) -> None:
        data = self._port.read(0.0)
        if data:
            self.patch.receive(data)

    def _advance(self) -> bytes:
        """Let one slot pass."""
        self._time_s += self.patch.slot_s
        out = b"".join(e.data for e in self.patch.advance(self._time_s + 1e-9))
        # Requests to resend must arrive while the samples are still kept.
        if not out or self.patch.config.ring_s:
            time.sleep(STEP_S)
        return out

    def _send(self, data: bytes) -> None:
        self._port.write(data)
        since = time.monotonic()
        while self._port._unread() > UNREAD_MAX:
            self._port.flush()
            time.sleep(STEP_S)
            assert time.monotonic() - since < PATIENCE_S, "the host does not read"

    def _tear(self) -> None:
        """Unplug the cable: bytes on their way are lost, and the port's name disappears."""
        port = self._port
        port._backlog.clear()
        port._link.unlink()
        os.close(port._slave)
        os.close(port._master)
        port._master = port._slave = -1
