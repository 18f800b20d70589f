"""A virtual patch as a process behind a pseudo-terminal, and how to start and stop one.

The port is a symbolic link with a stable name. Unplugging closes the pseudo-terminal and removes the link; replugging
makes a new one and replaces the link atomically, as udev does for ``/dev/serial/by-id``. The process reads commands on
its standard input, one per line: a fault schedule (times from now) or ``quit``. At its end it prints its account as one
line of JSON. If its input is a pipe that closes, its parent is gone, and it ends too.
"""

from __future__ import annotations

import argparse
import json
import os
import select
import signal
import stat
import struct
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from firmware_bridge.child import module_environment
from firmware_bridge.cliargs import OneLineParser
from firmware_bridge.errors import AnyEcgError, LinkError, UsageError
from firmware_bridge.virtual.calibrator import KINDS, Board, Calibrator, CalibratorSignal
from firmware_bridge.virtual.ecg import (
    NORMAL_CA,
    NORMAL_K,
    PatientOptions,
    PatientSignal,
    RecordingSignal,
    Signal,
    load_recording,
)
from firmware_bridge.virtual.faults import FaultSchedule
from firmware_bridge.virtual.patch import PatchConfig, VirtualPatch

BACKLOG_MAX = 1 << 16
"""Bytes that wait for a host that does not read; what the host never reads is discarded on unplugging."""
STEP_S = 0.005
"""Time between two looks at the clock, in seconds."""
DRAIN_S = 0.5
"""Time that an unplug waits for the host to read what was sent, so that the account stays exact, in seconds."""
READY_S = 180.0
"""Time that a start may take, in seconds: an emulated Cortex-A53 needed 12 s on a busy computer and over 60 s on an
overloaded one. A patch that cannot start ends at once and is not waited for."""


class PtyPort:
    """A serial port made of a pseudo-terminal, under a stable name.

    Args:
        link: Name of the port, created as a symbolic link.
    """

    def __init__(self, link: Path) -> None:
        self._link = link
        self._master = self._slave = -1
        self._backlog = bytearray()

    def plug(self) -> None:
        """Make a new terminal and points the name at it.

        Raises:
            LinkError: The name exists and is not a symbolic link.
        """
        if self._link.exists() and not self._link.is_symlink():
            raise LinkError(f"{self._link} exists and is not a symbolic link", "choose another name for the port")
        import tty

        self._master, self._slave = os.openpty()
        # Held open, so that the terminal stays raw (and does not echo) while no host has it.
        tty.setraw(self._slave)
        os.set_blocking(self._master, False)
        temporary = self._link.with_name(f".{self._link.name}.{os.getpid()}")
        with suppress(FileNotFoundError):
            temporary.unlink()
        try:
            temporary.symlink_to(os.ttyname(self._slave))
            temporary.replace(self._link)
        except OSError as error:
            raise LinkError(f"cannot make the port {self._link}: {error.strerror}", "its folder must exist") from None

    def unplug(self) -> None:
        """Wait until the host has read what was sent, then remove the terminal."""
        if self._master < 0:
            return
        end = time.monotonic() + DRAIN_S
        while self._unread() and time.monotonic() < end:
            self.flush()
            time.sleep(STEP_S / 5)
        self._backlog.clear()
        with suppress(FileNotFoundError):
            self._link.unlink()
        os.close(self._slave)
        os.close(self._master)
        self._master = self._slave = -1

    def write(self, data: bytes) -> None:
        """Send as much as the host reads; the rest waits."""
        if self._master >= 0:
            self._backlog += data
            self.flush()

    def flush(self) -> None:
        """Send the bytes that wait."""
        while self._backlog and self._master >= 0:
            try:
                del self._backlog[: os.write(self._master, self._backlog)]
            except BlockingIOError:
                return

    @property
    def full(self) -> bool:
        """Return whether the host does not read and all buffers are full."""
        return len(self._backlog) >= BACKLOG_MAX

    def read(self, timeout_s: float) -> bytes:
        """Return the bytes from the host, after waiting for at most ``timeout_s``."""
        if self._master < 0:
            time.sleep(timeout_s)
            return b""
        ready, _, _ = select.select([self._master], [], [], timeout_s)
        if not ready:
            return b""
        with suppress(OSError):
            return os.read(self._master, 4096)
        return b""

    def _unread(self) -> int:
        import fcntl
        import termios

        waiting = struct.unpack("i", fcntl.ioctl(self._slave, termios.FIONREAD, b"\0" * 4))[0]
        return len(self._backlog) + int(waiting)


def serve(patch: VirtualPatch, link: Path, speed: float, seconds: float) -> None:
    """Run a patch behind a port until its signal, the time or the standard input ends.

    Args:
        patch: The patch.
        link: Name of the port.
        speed: Factor of real time.
        seconds: Duration of the signal, seconds; infinite for no limit.
    """
    port = PtyPort(link)
    port.plug()
    sys.stdout.write(f"ready {link}\n")
    sys.stdout.flush()
    start, plugged, commands = time.monotonic(), True, _Commands(patch)
    try:
        while not patch.finished and patch.time_s < seconds and commands.take():
            now_s = (time.monotonic() - start) * speed
            # While the host does not read, the patch waits too: a frame cut in two could not be accounted for.
            for emission in patch.advance(now_s) if not port.full else ():
                if emission.up is None:
                    port.write(emission.data)
                elif emission.up:
                    port.plug()
                    plugged = True
                else:
                    port.unplug()
                    plugged = False
            port.flush()
            data = port.read(STEP_S)
            if data and plugged:
                patch.receive(data)
    finally:
        port.unplug()
        with suppress(OSError):
            sys.stdout.write(json.dumps(patch.account()) + "\n")
            sys.stdout.flush()


class _Commands:
    """Commands on the standard input, one per line."""

    def __init__(self, patch: VirtualPatch) -> None:
        self._patch = patch
        self._held = bytearray()
        # A shell gives background jobs /dev/null, whose end means nothing.
        self._open = sys.stdin is not None
        self._ends = self._open and stat.S_ISFIFO(os.fstat(sys.stdin.fileno()).st_mode)

    def take(self) -> bool:
        """Execute the waiting commands; return ``False`` when it is time to end."""
        if not (self._open and select.select([sys.stdin], [], [], 0)[0]):
            return True
        data = os.read(sys.stdin.fileno(), 4096)
        self._open = bool(data)
        self._held += data
        while b"\n" in self._held:
            line, _newline, rest = bytes(self._held).partition(b"\n")
            self._held[:] = rest
            text = line.decode("utf-8", "replace").strip()
            if text == "quit":
                return False
            try:
                self._patch.inject(text)
            except AnyEcgError as error:
                sys.stderr.write(f"{error}\n")
        return self._open or not self._ends


class VirtualProcess:
    """A virtual patch in a separate process.

    Args:
        link: Name of the port to create.
        arguments: Command-line arguments of ``python -m firmware_bridge.virtual``, without ``--link``.

    Raises:
        LinkError: The process did not start; the message has its reason.
    """

    def __init__(self, link: Path, *arguments: str) -> None:
        self.link = link
        command = [sys.executable, "-m", "firmware_bridge.virtual", "--link", str(link), *arguments]
        self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and our own module
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=module_environment(),
            # Ctrl-C is meant for the program that reads; this one ends when its input closes.
            start_new_session=True,
        )
        self._account: dict[str, int] | None = None
        assert self._process.stdout is not None
        ready, _, _ = select.select([self._process.stdout], [], [], READY_S)
        if not (ready and self._process.stdout.readline().startswith("ready")):
            self._process.kill()
            _out, err = self._process.communicate()
            last = err.strip().splitlines()[-1:] or ["no answer"]
            raise LinkError(f"the virtual patch did not start: {last[0]}")

    def command(self, text: str) -> None:
        """Send faults with times counted from now, such as ``unplug@0:5``."""
        assert self._process.stdin is not None
        self._process.stdin.write(text + "\n")
        self._process.stdin.flush()

    def wait(self, timeout_s: float = 60.0) -> dict[str, int]:
        """Wait until the patch ends; return its account."""
        return self._end("", timeout_s)

    def stop(self, timeout_s: float = 10.0) -> dict[str, int]:
        """End the patch; return its account (`virtual.GroundTruth`). May be called twice."""
        return self._end("quit\n", timeout_s)

    def _end(self, last: str, timeout_s: float) -> dict[str, int]:
        if self._account is not None:
            return self._account
        try:
            if last:
                out, _err = self._process.communicate(last, timeout_s)
            else:
                self._process.wait(timeout_s)
                out, _err = self._process.communicate()
        except subprocess.TimeoutExpired:
            self._process.kill()
            out, _err = self._process.communicate()
        lines = out.strip().splitlines()
        self._account = dict(json.loads(lines[-1])) if lines and lines[-1].startswith("{") else {}
        return self._account

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.stop()


def signal_of(options: argparse.Namespace) -> tuple[Signal, float]:
    """Return the signal that the options of ``add_patient`` describe, and its sampling rate in Hz.

    Raises:
        AnyEcgError: The signal cannot be created.
        ValueError: A number is malformed or impossible.
    """
    if getattr(options, "signal", "ecg") != "ecg":
        return _calibrator(options), options.fs
    if options.recording is None:
        changes = []
        for text in options.set:
            name, _equals, value = text.partition("=")
            changes.append((name, float(value)))
        patient = PatientOptions(options.hr, options.potassium, options.calcium, options.noise, tuple(changes))
        return PatientSignal(patient, options.seed), options.fs
    return RecordingSignal(load_recording(options.recording, options.column), loop=options.loop), options.fs


def _calibrator(options: argparse.Namespace) -> Signal:
    board = Board(
        options.board_gain, options.board_offset_mv, options.board_highpass_hz, options.board_lowpass_hz,
        options.board_noise_mv, FaultSchedule.parse(options.faults).rate("rate"),
    )  # fmt: skip
    return CalibratorSignal(Calibrator(options.signal, options.amplitude_mv, options.hz), board, options.seed)


def add_calibrator(parser: argparse.ArgumentParser) -> None:
    """Add the options of a bench test: the signal applied instead of a heart, and the board's effect on it."""
    parser.add_argument("--signal", choices=("ecg", *KINDS), default="ecg", help="test signal instead of a heart")
    parser.add_argument("--amplitude-mv", type=float, default=1.0, help="calibrator: highest minus lowest value, mV")
    parser.add_argument("--hz", type=float, default=10.0, help="calibrator: frequency of the sine, Hz")
    parser.add_argument("--board-gain", type=float, default=1.0, help="calibrator: board gain; negative if swapped")
    parser.add_argument("--board-offset-mv", type=float, default=0.0)
    parser.add_argument("--board-highpass-hz", type=float, default=0.0)
    parser.add_argument("--board-lowpass-hz", type=float, default=0.0)
    parser.add_argument("--board-noise-mv", type=float, default=0.0)


def add_patient(parser: argparse.ArgumentParser) -> None:
    """Add the options for the signal and the port's name."""
    parser.add_argument("--link", type=Path, required=True, help="name of the port to create")
    parser.add_argument("--recording", type=Path, help="CSV or .npy file in millivolts, at the patch's rate")
    parser.add_argument("--column", type=int, default=0)
    parser.add_argument("--loop", action="store_true", help="repeat the recording when it ends")
    parser.add_argument("--hr", type=float, default=70.0)
    parser.add_argument("--potassium", type=float, default=NORMAL_K, help="mmol/L")
    parser.add_argument("--calcium", type=float, default=NORMAL_CA, help="mmol/L")
    parser.add_argument("--noise", type=float, default=1.0, help="factor of the usual noise; 0 for none")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="ECG parameter")
    parser.add_argument("--seed", type=int, default=1)


def _parser() -> argparse.ArgumentParser:
    parser = OneLineParser("anyecg virtual-patch", __doc__.partition("\n")[0])
    add_patient(parser)
    add_calibrator(parser)
    parser.add_argument("--c", action="store_true", help="run the example patch in C, see docs/firmware.md")
    parser.add_argument("--fs", type=float, default=250.0, help="sampling rate, Hz")
    parser.add_argument("--bits", type=int, choices=(16, 24), default=16)
    parser.add_argument("--nv", type=int, default=1000, help="nanovolts per count; 0 hides the scale")
    parser.add_argument("--frame-s", type=float, default=0.1, help="duration of a frame, s")
    parser.add_argument("--ring-s", type=float, default=0.0, help="seconds of samples it keeps to resend on request")
    parser.add_argument(
        "--faults",
        default="",
        help="fault schedule, such as 'unplug@30:5;restart@90'; with --ring-s 60 also 'drop=0.01'",
    )
    parser.add_argument("--speed", type=float, default=1.0, help="factor of real time")
    parser.add_argument("--seconds", type=float, default=float("inf"))
    return parser


def run(arguments: list[str] | None = None) -> int:
    """Run the virtual patch.

    Raises:
        AnyEcgError: Any failure, in one line.
    """
    options = _parser().parse_args(arguments)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda caught, _frame: sys.exit(128 + caught))
    if not 0.01 <= options.speed <= 1e5:
        raise UsageError(f"--speed {options.speed:g} is outside 0.01 to 100000")
    faults = FaultSchedule.parse(options.faults)
    try:
        source, fs_hz = signal_of(options)
        config = PatchConfig(fs_hz, options.frame_s, options.bits, options.nv, ring_s=options.ring_s)
    except ValueError as error:
        raise UsageError(f"the virtual patch cannot be created: {error}") from None
    serve(VirtualPatch(source, config, faults, options.seed), options.link, options.speed, options.seconds)
    return 0
