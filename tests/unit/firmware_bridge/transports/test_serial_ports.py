"""Serial ports of simulated machines, as files in a folder, and the processes that use a port on this machine."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from pathlib import Path

import pytest

from firmware_bridge.transports import serial_open
from firmware_bridge.transports.serial_open import hints, release
from firmware_bridge.transports.serial_ports import Holder, holders, lasting_name, latency_timer, list_ports


def put(path: Path, text: str = "") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def link(path: Path, target: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(target)


@pytest.fixture
def pi(tmp_path: Path) -> Path:
    """A Raspberry Pi with an FTDI cable, a CDC-ACM board and its own UART enabled."""
    usb = tmp_path / "sys/devices/usb1/1-1"
    for folder, vid, pid, maker, product in (
        ("1-1.1", "0403", "6001", "FTDI", "FT232R USB UART"),
        ("1-1.2", "239a", "8029", "", "Feather nRF52840"),
    ):
        put(usb / folder / "idVendor", vid + "\n")
        put(usb / folder / "idProduct", pid + "\n")
        put(usb / folder / "product", product + "\n")
        if maker:
            put(usb / folder / "manufacturer", maker + "\n")
    (usb / "1-1.1/1-1.1:1.0/ttyUSB0/tty/ttyUSB0").mkdir(parents=True)
    (usb / "1-1.2/1-1.2:1.0/tty/ttyACM0").mkdir(parents=True)
    link(tmp_path / "sys/class/tty/ttyUSB0", "../../devices/usb1/1-1/1-1.1/1-1.1:1.0/ttyUSB0/tty/ttyUSB0")
    link(usb / "1-1.1/1-1.1:1.0/ttyUSB0/tty/ttyUSB0/device", "../../../ttyUSB0")
    link(tmp_path / "sys/class/tty/ttyACM0", "../../devices/usb1/1-1/1-1.2/1-1.2:1.0/tty/ttyACM0")
    link(usb / "1-1.2/1-1.2:1.0/tty/ttyACM0/device", "../../../1-1.2:1.0")
    for name in ("ttyAMA0", "ttyS0", "tty1"):
        (tmp_path / f"sys/devices/platform/{name}").mkdir(parents=True)
        link(tmp_path / f"sys/class/tty/{name}", f"../../devices/platform/{name}")
    for name in ("ttyUSB0", "ttyACM0", "ttyAMA0"):
        put(tmp_path / "dev" / name)
    link(tmp_path / "dev/serial0", "ttyAMA0")
    link(tmp_path / "dev/serial/by-id/usb-FTDI_FT232R_A1-if00-port0", "../../ttyUSB0")
    put(tmp_path / "sys/bus/usb-serial/devices/ttyUSB0/latency_timer", "16\n")
    return tmp_path


def test_ports_of_a_pi(pi: Path) -> None:
    acm, ama, usb = list_ports(pi)
    assert (acm.name, acm.usb, acm.description) == ("/dev/ttyACM0", (0x239A, 0x8029), "Feather nRF52840")
    assert (ama.device, ama.name, ama.usb) == ("/dev/ttyAMA0", "/dev/serial0", None)
    assert usb.name == "/dev/serial/by-id/usb-FTDI_FT232R_A1-if00-port0"
    assert (usb.usb, usb.description) == ((0x0403, 0x6001), "FTDI FT232R USB UART")


def test_a_machine_without_anything(tmp_path: Path) -> None:
    assert list_ports(tmp_path) == []
    assert lasting_name("/dev/ttyUSB0", tmp_path) is None
    assert latency_timer("/dev/ttyUSB0", tmp_path) is None
    assert holders("/dev/ttyUSB0", tmp_path) == ()


def test_broken_files_are_not_ports(pi: Path) -> None:
    (pi / "sys/devices/usb1/1-1/1-1.1/idVendor").write_bytes(b"\xffzz")
    (pi / "sys/bus/usb-serial/devices/ttyUSB0/latency_timer").write_text("soon")
    assert [port.usb for port in list_ports(pi) if port.device == "/dev/ttyUSB0"] == [None]
    assert latency_timer("/dev/ttyUSB0", pi) is None


def test_hints_give_the_permanent_name_and_the_timer(pi: Path) -> None:
    by_id = "/dev/serial/by-id/usb-FTDI_FT232R_A1-if00-port0"
    first, second = hints("/dev/ttyUSB0", pi)
    assert first.endswith(f"its permanent name is {by_id}")
    assert "16 ms: echo 1 | sudo tee /sys/bus/usb-serial/devices/ttyUSB0/latency_timer" in second
    assert len(hints(by_id, pi)) == 1
    (pi / "sys/bus/usb-serial/devices/ttyUSB0/latency_timer").write_text("1\n")
    assert hints(by_id, pi) == []
    assert hints("/dev/ttyACM0", pi) == []


def test_processes_with_the_port_open_or_locked_are_named(tmp_path: Path) -> None:
    port = tmp_path / "port"
    port.write_text("")
    code = (
        "import fcntl, sys; f = open(sys.argv[1])\n"
        "for line in sys.stdin:\n"
        "    fcntl.flock(f, fcntl.LOCK_EX) if line == 'lock\\n' else None\n"
        "    print('done', flush=True)\n"
    )

    def child() -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", code, str(port)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        tell(process, "open")
        return process

    def tell(process: subprocess.Popen[str], what: str) -> None:
        process.stdin.write(what + "\n")
        process.stdin.flush()
        assert process.stdout.readline() == "done\n"

    one, two = child(), child()
    try:
        with port.open() as own:
            assert {holder.pid for holder in holders(str(port))} == {one.pid, two.pid}
            tell(two, "lock")
            (holder,) = holders(str(port))
            assert holder.pid == two.pid
            assert holder.command.startswith("python")
            assert len(holder.command) <= 60
            with pytest.raises(BlockingIOError):
                fcntl.flock(own, fcntl.LOCK_EX | fcntl.LOCK_NB)
    finally:
        for process in (one, two):
            process.communicate()
    assert holders(str(port)) == ()


def test_holders_of_another_machine(tmp_path: Path) -> None:
    port = tmp_path / "dev/ttyUSB0"
    put(port)
    # Above Linux's largest: in a container the tests themselves may run as process 41, which is left out.
    manager, odd, shell = 5_000_040, 5_000_041, 5_000_042
    for pid, command in ((manager, "ModemManager\0--debug\0"), (odd, ""), (shell, "sh\0")):
        put(tmp_path / f"proc/{pid}/cmdline", command)
        link(tmp_path / f"proc/{pid}/fd/7", str(port.resolve()) if pid != shell else "socket:[5]")
    put(tmp_path / f"proc/{odd}/comm", "odd\x1b[31m\n")
    found = holders("/dev/ttyUSB0", tmp_path)
    assert [str(holder) for holder in found] == [f"ModemManager --debug (pid {manager})", f"odd?[31m (pid {odd})"]
    assert "\x1b" not in "".join(str(holder) for holder in found)
    assert release(found) == "sudo systemctl disable --now ModemManager"
    status = port.stat()
    where = f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}:{status.st_ino}"
    put(tmp_path / "proc/locks", f"1: FLOCK ADVISORY WRITE -1 {where} 0 EOF\n2: POSIX x\n3: -> FLOCK A W 9 {where} 0\n")
    (outside,) = holders("/dev/ttyUSB0", tmp_path)
    assert str(outside) == "a process that is not visible from here"
    assert release((outside,)) == "end the program that uses it"
    assert release((Holder(3, "cat"), Holder(4, "cat"))) == "end it: kill 3 4"


def test_errors_of_opening_are_explained() -> None:
    class TermiosError(Exception):
        pass

    def error_with(context: Exception | None, *args: object) -> Exception:
        error = OSError(*args)
        error.__context__ = context
        return error

    for error, words, passes in (
        (error_with(None, 2, "x"), "no such device", True),
        (error_with(None, 19, "x"), "no such device", True),
        (error_with(TermiosError(5, "Input/output error"), "Could not configure port"), "no such device", True),
        (error_with(TermiosError(25, "not a typewriter"), "Could not configure port"), "is not a serial port", False),
        (error_with(None, 13, "x"), "no permission", False),
        (error_with(None, 16, "x"), "in use by another program", False),
        (error_with(None, 71, "x"), "cannot be opened: Protocol error", True),
        (ValueError("baud"), "is not a serial port", False),
    ):
        explained = serial_open._explained("/dev/ttyNONE", error)
        assert words in explained.what
        assert explained.passes is passes
        assert explained.fix
