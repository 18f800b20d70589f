"""A real broker, Debian's mosquitto, with a certificate authority of its own, and a client that watches it."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from helpers.free_ports import ports

USER, PASSWORD = "patch", "s3cret-of-the-broker"


def program(name: str) -> str:
    """Return the path of a program; skip the test if it is absent. Debian keeps servers out of users' PATH."""
    found = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if found is None:
        pytest.skip(f"{name} is not installed (Debian: mosquitto, openssl)")
    return found


def certificates(folder: Path) -> None:
    """Write ``ca.pem``, ``other-ca.pem``, and ``server.pem`` with ``server.key`` for localhost."""
    tool = program("openssl")

    def openssl(*arguments: str) -> None:
        subprocess.run([tool, *arguments], cwd=folder, check=True, capture_output=True)

    for name in ("ca", "other-ca"):
        openssl(
            "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
            "-keyout", f"{name}.key", "-out", f"{name}.pem", "-subj", f"/CN={name} of a test",
            "-addext", "keyUsage=critical,keyCertSign",
        )  # fmt: skip
    openssl(
        "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", "server.key",
        "-out", "server.csr", "-subj", "/CN=localhost",
    )  # fmt: skip
    (folder / "names").write_text("subjectAltName=DNS:localhost\n")
    openssl(
        "x509", "-req", "-in", "server.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2",
        "-extfile", "names", "-out", "server.pem",
    )  # fmt: skip


class Mosquitto:
    """A broker that can be stopped and started again, and keeps what it knows meanwhile.

    Args:
        folder: Its files.
        tls: Whether to have an encrypted listener for `USER` with `PASSWORD` (``tls_port``).
        settings: More lines of its configuration.
        log: Kind of events that it logs.
    """

    def __init__(self, folder: Path, *, tls: bool = False, settings: Sequence[str] = (), log: str = "all") -> None:
        self._program = program("mosquitto")
        self.folder = folder
        self.port, self.tls_port = ports(2)
        lines = [
            "per_listener_settings true", *settings, "persistence true", f"persistence_location {folder}/",
            f"log_dest file {folder}/log", f"log_type {log}", "connection_messages true",
            f"listener {self.port} 127.0.0.1", "allow_anonymous true",
        ]  # fmt: skip
        if os.geteuid() == 0:
            lines.insert(0, "user root")
        if tls:
            certificates(folder)
            subprocess.run(
                [program("mosquitto_passwd"), "-b", "-c", folder / "users", USER, PASSWORD],
                check=True, capture_output=True,
            )  # fmt: skip
            lines += [
                f"listener {self.tls_port} 127.0.0.1", f"cafile {folder}/ca.pem", f"certfile {folder}/server.pem",
                f"keyfile {folder}/server.key", f"password_file {folder}/users", "allow_anonymous false",
            ]  # fmt: skip
        (folder / "conf").write_text("\n".join(lines) + "\n")
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it listens."""
        self._process = subprocess.Popen([self._program, "-c", self.folder / "conf"], stderr=subprocess.DEVNULL)
        end = time.monotonic() + 20.0
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1.0).close()
            except OSError:
                assert time.monotonic() < end, "mosquitto does not listen"
                assert self._process.poll() is None, "mosquitto has ended"
                time.sleep(0.05)
            else:
                return

    def stop(self) -> None:
        """Stop it; it writes down what it knows."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(20.0)
            self._process = None

    @property
    def log(self) -> str:
        """What it has logged so far."""
        path = self.folder / "log"
        return path.read_text() if path.exists() else ""


@contextmanager
def running(folder: Path, *, tls: bool = False, settings: Sequence[str] = (), log: str = "all") -> Iterator[Mosquitto]:
    """Run a broker."""
    broker = Mosquitto(folder, tls=tls, settings=settings, log=log)
    broker.start()
    try:
        yield broker
    finally:
        broker.stop()


class Watcher:
    """A client whose session the broker keeps, so that it misses nothing while either is away.

    Attributes:
        messages: Topic, text, whether it was retained, and the expiry that is left, s.
    """

    def __init__(self, port: int, name: str = "watcher") -> None:
        import paho.mqtt.client as paho
        from paho.mqtt.packettypes import PacketTypes
        from paho.mqtt.properties import Properties

        self.messages: list[tuple[str, str, bool, int | None]] = []
        self.subscribed = False
        kept = Properties(PacketTypes.CONNECT)
        kept.SessionExpiryInterval = 3600
        self._client = paho.Client(paho.CallbackAPIVersion.VERSION2, client_id=name, protocol=paho.MQTTv5)
        self._client.reconnect_delay_set(1, 1)
        self._client.on_connect = lambda client, *_: client.subscribe("#", qos=1)
        self._client.on_subscribe = lambda *_: setattr(self, "subscribed", True)
        self._client.on_message = self._take
        self._client.connect("127.0.0.1", port, clean_start=False, properties=kept)
        self._client.loop_start()
        until(lambda: self.subscribed)

    def _take(self, _client: Any, _data: Any, message: Any) -> None:
        expiry = getattr(message.properties, "MessageExpiryInterval", None)
        self.messages.append((message.topic, message.payload.decode(), bool(message.retain), expiry))

    def texts(self, end: str) -> list[str]:
        """Return the texts of the topics that end with ``end``."""
        return [text for topic, text, _retained, _expiry in list(self.messages) if topic.endswith(end)]

    def topics(self) -> set[str]:
        """Return the topics of all messages."""
        return {topic for topic, *_more in list(self.messages)}

    def json(self, end: str) -> list[Any]:
        """Return the same as objects."""
        return [json.loads(text) for text in self.texts(end)]

    def close(self) -> None:
        """Go away."""
        self._client.disconnect()
        self._client.loop_stop()


def until(what: Callable[[], object], seconds: float = 60.0) -> None:
    """Wait until something is so."""
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.05)
