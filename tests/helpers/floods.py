"""Floods: peers on a TCP port or a pseudo-terminal that send endlessly, as fast as the reader takes it."""

from __future__ import annotations

import os
import random
import select
import socket
import threading
import time
import tty
from collections.abc import Callable, Iterator
from pathlib import Path
from types import MappingProxyType

import numpy as np

from firmware_bridge.wire.messages import (
    Ack,
    AckCode,
    Data,
    Header,
    Hello,
    HelloTag,
    MessageType,
    Status,
    encode,
)

BLOB = 1 << 16
"""Bytes sent at once, about."""


def hello(boot: int = 1, **changes: int) -> bytes:
    """Return the description of a patch of 250 Hz with a tick of a millisecond."""
    texts = MappingProxyType({HelloTag(1): "flood"})
    return encode(Hello(boot, 1000, 250, nv_num=1000, texts=texts, **changes), Header())


def data(index: int, boot: int = 1, tick: int | None = None) -> bytes:
    """Return 25 samples."""
    at = index % (1 << 32)
    ticks = (4 * index if tick is None else tick) % (1 << 32)
    wave = np.round(300 * np.sin(np.arange(index, index + 25) / 9)).astype(np.int32)
    return encode(Data(at, boot & 0xFF, wave), Header(seq=index // 25 & 0xFFFF, tick=ticks))


def _status(k: int) -> bytes:
    return encode(Status(None, 3700, 0, 0), Header(seq=k & 0xFFFF))


def _refusal(k: int) -> bytes:
    return encode(Ack(int(MessageType.RESEND), int(AckCode.BUSY), 0, k), Header(seq=k & 0xFFFF))


def _many(make: Callable[[int], bytes]) -> Iterator[bytes]:
    k = 0
    while True:
        parts, size = [], 0
        while size < BLOB:
            parts.append(make(k))
            size += len(parts[-1])
            k += 1
        yield b"".join(parts)


def _jumping(k: int) -> bytes:
    return data(k * 25 + (k // 10) * (2**31 - 5000), tick=k * 100)


def _same(piece: bytes) -> Callable[[], Iterator[bytes]]:
    blob = piece * (BLOB // len(piece))
    return lambda: iter(lambda: blob, b"")


def _random() -> Iterator[bytes]:
    rng = random.Random(1)
    while True:
        yield rng.randbytes(BLOB)


FLOODS: dict[str, Callable[[], Iterator[bytes]]] = {
    "status frames": lambda: _many(lambda k: hello() if k % 2000 == 0 else _status(k)),
    "status frames among samples": lambda: _many(
        lambda k: hello() if k % 2000 == 0 else data(25 * (k // 4)) if k % 4 == 0 else _status(k)
    ),
    "samples": lambda: _many(lambda k: hello() if k % 2000 == 0 else data(25 * k - 25)),
    "random bytes": _random,
    "tiny frames": _same(b"\x01\x00"),
    "broken frames": _same(b"\x05abcd\x00"),
    "zeros": _same(b"\x00"),
    "no end of a frame": _same(b"A"),
    "restarts": lambda: _many(lambda k: hello(boot=k) + data(0, boot=k)),
    "descriptions": lambda: _many(lambda k: hello(boot=k)),
    "refusals": lambda: _many(lambda k: hello() if k % 2000 == 0 else _refusal(k)),
    "jumps": lambda: _many(lambda k: hello() if k % 2000 == 0 else _jumping(k)),
    "heads of other frames": _same(b"\xa0"),
}
"""Name -> function that returns endless pieces of bytes."""


class FloodOnNet:
    """A TCP port whose peers get a flood and whose own bytes are never read."""

    def __init__(self, flood: str) -> None:
        self._flood = flood
        self._server = socket.create_server(("127.0.0.1", 0))
        self.where = f"127.0.0.1:{self._server.getsockname()[1]}"
        self.sent = 0
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        self._server.close()

    def _serve(self) -> None:
        while True:
            try:
                peer, _address = self._server.accept()
            except OSError:
                return
            with peer:
                try:
                    for piece in FLOODS[self._flood]():
                        peer.sendall(piece)
                        self.sent += len(piece)
                except OSError:
                    continue


class FloodOnPty:
    """A pseudo-terminal that delivers a flood, and whose own bytes are never read."""

    def __init__(self, flood: str) -> None:
        self._flood = flood
        self._master, self._slave = os.openpty()
        tty.setraw(self._slave)
        os.set_blocking(self._master, False)
        self.where = os.ttyname(self._slave)
        self._over = threading.Event()
        self.sent = 0
        self._thread = threading.Thread(target=self._write, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._over.set()
        self._thread.join()
        os.close(self._master)
        os.close(self._slave)

    def _write(self) -> None:
        for piece in FLOODS[self._flood]():
            left = piece
            while left and not self._over.is_set():
                _r, ready, _x = select.select([], [self._master], [], 0.05)
                if ready:
                    try:
                        n = os.write(self._master, left)
                    except BlockingIOError:
                        time.sleep(0.001)
                        continue
                    self.sent += n
                    left = left[n:]
            if self._over.is_set():
                return


def write_recording(path: Path, flood: str, size: int, device: str = "anyecg_patch") -> None:
    """Record the beginning of a flood: ``size`` bytes within a second."""
    from firmware_bridge.items import RawChunk
    from firmware_bridge.rawlog import RawLogHeader, RawLogWriter

    writer = RawLogWriter(path, RawLogHeader(device, "tcp:x:1", "s", 1_700_000_000_000_000_000, 0))
    at = 0
    for piece in FLOODS[flood]():
        writer.item(RawChunk(at * 10**9 // size, "data", piece))
        at += len(piece)
        if at >= size:
            break
    writer.close()
