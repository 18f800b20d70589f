"""The doctor on simulated machines: files in a folder, and commands with fixed answers."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
import tomllib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

import edge
from edge.cli import doctor as cli_doctor
from edge.doctor import bluetooth as doctor_bluetooth
from edge.doctor import host as doctor_host
from edge.doctor import serial_ports as doctor_serial
from edge.doctor import software as doctor_software
from edge.doctor.probe import COMMAND_S, Finding, Probe, Ran, State, run_command
from edge.doctor.run import CHECKS, Check, Report, examine

BOTH = {"ai-edge-litert": ["2.3.0", ""], "tflite-runtime": ["", ""]}
BLUEZ = {
    "bus": "",
    "running": True,
    "error": "",
    "version": "5.66",
    "adapters": {"hci0": {"powered": True, "central": True, "address": "B8:27:EB:00:00:01"}},
}
HEALTHY = {
    "-c pass": Ran(0),
    "numpy": Ran(0, "2.1.0\n"),
    "ai_edge_litert": Ran(0, json.dumps(BOTH) + "\n"),
    "import serial": Ran(0, "3.5\n"),
    "import bleak": Ran(0, "3.1.0\n"),
    "bundle verify": Ran(0, "demo: 24 files\nself-test on litert: ok\nsignal chain: 3 estimates: ok\n"),
    "bluez_state": Ran(0, json.dumps(BLUEZ) + "\n"),
    "bluetoothctl": Ran(0, "bluetoothctl: 5.66\n"),
}


class Machine:
    """A Raspberry Pi in a folder. ``commands`` maps part of a command line to its answer."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.commands = dict(HEALTHY)
        self.asked: list[str] = []
        self.options: dict = {"kernel_synced": lambda: True, "uid": 1000, "groups": frozenset({1000, 20})}
        self.put("etc/group", "dialout:x:20:pi\nbluetooth:x:111:\nvideo:x:44:pi")
        self.put("proc/device-tree/model", "Raspberry Pi 4 Model B Rev 1.5\0")
        self.put("proc/mounts", "/dev/mmcblk0p2 / ext4 rw,noatime 0 0")
        self.put("sys/devices/platform/soc/soc:firmware/get_throttled", "0")
        self.put("sys/class/thermal/thermal_zone0/temp", "51540")
        self.put("sys/class/thermal/cooling_device0/type", "fan")
        self.put("sys/class/bluetooth/hci0/address", "B8:27:EB:00:00:01")
        self.put("sys/class/rfkill/rfkill0/type", "bluetooth")
        self.put("sys/class/rfkill/rfkill0/soft", "0")
        self.put("sys/class/rfkill/rfkill0/hard", "0")
        self.put("sys/class/rfkill/rfkill0/name", "hci0")
        usb = root / "sys/devices/usb1/1-1"
        self.put("sys/devices/usb1/1-1/idVendor", "0403")
        self.put("sys/devices/usb1/1-1/idProduct", "6001")
        self.put("sys/devices/usb1/1-1/product", "FT232R USB UART")
        (usb / "1-1:1.0/ttyUSB0/tty/ttyUSB0").mkdir(parents=True)
        self.link("sys/class/tty/ttyUSB0", "../../devices/usb1/1-1/1-1:1.0/ttyUSB0/tty/ttyUSB0")
        (usb / "1-1:1.0/ttyUSB0/tty/ttyUSB0/device").symlink_to("../../../ttyUSB0")
        self.put("dev/ttyUSB0", "")
        self.link("dev/serial/by-id/usb-FTDI_A1-if00", "../../ttyUSB0")
        self.put("sys/bus/usb-serial/devices/ttyUSB0/latency_timer", "1")

    def put(self, path: str, text: str) -> None:
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)

    def link(self, path: str, target: str) -> None:
        (self.root / path).parent.mkdir(parents=True, exist_ok=True)
        (self.root / path).symlink_to(target)

    def remove(self, path: str) -> None:
        subprocess.run(["rm", "-r", str(self.root / path)], check=True)

    def run(self, words: Sequence[str], timeout_s: float) -> Ran:
        line = " ".join(words)
        self.asked.append(line)
        return next((ran for part, ran in self.commands.items() if part in line), Ran(None, absent=True))

    @property
    def probe(self) -> Probe:
        return Probe(
            self.root, self.run, **{"python": "python3", "folder": self.root, "pointer_bits": 64} | self.options
        )


@pytest.fixture
def pi(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def only(findings: list[Finding], check: str) -> Finding:
    (found,) = [finding for finding in findings if finding.check == check]
    return found


def test_a_healthy_pi(pi: Machine) -> None:
    report = examine(pi.probe, ["ble", "serial"])
    states = {f"{area}: {finding.check}": str(finding.state) for area, finding in report.findings}
    assert set(states.values()) == {"ok"}, cli_doctor.text(report)
    assert list(states) == [
        "software: 64-bit",
        "software: numpy",
        "software: interpreter",
        "software: pyserial",
        "software: bleak",
        "software: demo bundle",
        "computer: clock",
        "computer: power",
        "computer: temperature",
        "computer: free disk",
        "bluetooth: adapter",
        "bluetooth: rfkill",
        "bluetooth: D-Bus",
        "bluetooth: BlueZ",
        "bluetooth: hci0 state",
        "bluetooth: group",
        "serial: ttyUSB0",
        "serial: ModemManager",
    ]
    assert not [finding.fix for _area, finding in report.findings if finding.fix]
    assert report.ok
    assert cli_doctor.text(report).endswith("\n\nno problems\n")


def test_a_machine_with_nothing_at_all(tmp_path: Path) -> None:
    """Without /sys, /proc, commands and D-Bus, every line is in the report and nothing hangs or fails."""
    empty = Probe(tmp_path, lambda *_: Ran(None, absent=True), folder=tmp_path, kernel_synced=lambda: False)
    report = examine(empty)
    assert {area for area, _ in report.findings} == {"software", "computer", "bluetooth", "serial"}
    by_check = {finding.check: finding for _area, finding in report.findings}
    assert by_check["serial port"].state is by_check["adapter"].state is State.SKIPPED
    assert by_check["power"].state is by_check["temperature"].state is State.SKIPPED
    assert by_check["Python"].state is State.WRONG
    assert by_check["interpreter"].state is by_check["numpy"].state is State.WARNING
    assert not report.ok
    for finding in by_check.values():
        assert finding.state not in {State.WRONG, State.WARNING} or finding.fix


def test_a_missing_part_that_is_needed_is_wrong(pi: Machine) -> None:
    pi.remove("sys/class/bluetooth")
    pi.remove("sys/class/tty")
    pi.commands["bluez_state"] = Ran(0, json.dumps(BLUEZ | {"adapters": {}}))
    assert examine(pi.probe).ok
    assert not examine(pi.probe, ["ble"]).ok
    assert not examine(pi.probe, ["serial"]).ok


@pytest.mark.parametrize(
    ("answer", "state", "words", "fix"),
    [
        (Ran(1, err="ImportError: libopenblas.so.0: cannot open shared"), "wrong", "libopenblas", "libopenblas0"),
        (Ran(1, err="ModuleNotFoundError: No module named 'numpy'"), "wrong", "No module", "pip install"),
        (Ran(-4), "wrong", "does not have", "pip install"),
        (Ran(-99), "wrong", "signal 99", "pip install"),
        (Ran(None, err="no answer within 45 s"), "wrong", "no answer", "pip install"),
        (Ran(0, "1.23.5\n"), "wrong", "1.23.5 is older than 1.24", "pip install"),
        (Ran(0, "1.24.2\n"), "ok", "1.24.2", ""),
    ],
)
def test_numpy(pi: Machine, answer: Ran, state: str, words: str, fix: str) -> None:
    pi.commands["numpy"] = answer
    (finding,) = doctor_software.numpy(pi.probe)
    assert finding.state == state
    assert words in finding.detail
    assert fix in finding.fix


@pytest.mark.parametrize(
    ("litert", "runtime", "bits", "state", "words", "fix"),
    [
        (["2.3.0", ""], ["", ""], 64, "ok", "ai-edge-litert 2.3.0", ""),
        (["", ""], ["2.14.0", ""], 64, "warning", "tflite-runtime 2.14.0", "pip install ai-edge-litert"),
        (["", ""], ["2.14.0", ""], 32, "warning", "tflite-runtime 2.14.0", "64-bit Raspberry Pi OS"),
        (["", ""], ["", ""], 64, "wrong", "neither", "pip install ai-edge-litert"),
        (["", ""], ["", ""], 32, "wrong", "neither", "pip install tflite-runtime"),
        (["", ""], ["", "ImportError: numpy.core.multiarray failed to import"], 64, "wrong", "multiarray", "'numpy<2'"),
        (["", "OSError: /lib/libc.so.6: version `GLIBC_2.34' not found"], ["", ""], 64, "wrong", "GLIBC", "Debian 12"),
    ],
)
def test_interpreters(
    pi: Machine,
    monkeypatch: pytest.MonkeyPatch,
    litert: list,
    runtime: list,
    bits: int,
    state: str,
    words: str,
    fix: str,
) -> None:
    pi.options["pointer_bits"] = bits
    monkeypatch.setattr(doctor_software, "sys", SimpleNamespace(version_info=(3, 11)))
    found = {"ai-edge-litert": litert, "tflite-runtime": runtime}
    pi.commands["ai_edge_litert"] = Ran(0, json.dumps(found))
    (finding,) = doctor_software.interpreter(pi.probe)
    assert (finding.state, bool(finding.fix)) == (state, bool(fix))
    assert words in finding.detail
    assert fix in finding.fix


def test_a_32_bit_python_without_tflite_runtime(pi: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    pi.options["pointer_bits"] = 32
    monkeypatch.setattr(doctor_software, "sys", SimpleNamespace(version_info=(3, 13)))
    pi.commands["ai_edge_litert"] = Ran(0, json.dumps({"ai-edge-litert": ["", ""], "tflite-runtime": ["", ""]}))
    (finding,) = doctor_software.interpreter(pi.probe)
    assert finding.fix == "install the 64-bit Raspberry Pi OS: tflite-runtime does not exist for this Python"


@pytest.mark.parametrize("answer", ["", "[]", "{", '{"a": 1}', '{"a": []}', "null", "3"])
def test_an_interpreter_check_with_an_invalid_answer(pi: Machine, answer: str) -> None:
    pi.commands["ai_edge_litert"] = Ran(0, answer)
    (finding,) = doctor_software.interpreter(pi.probe)
    assert finding.state is State.WRONG


def test_32_bit_userland(pi: Machine) -> None:
    pi.options["pointer_bits"] = 32
    (finding,) = doctor_software.userland(pi.probe)
    assert finding.state is State.WARNING
    assert finding.fix == "install the 64-bit Raspberry Pi OS"


def test_the_smallest_numpy_is_that_of_the_package() -> None:
    project = tomllib.loads((Path(edge.__file__).parents[1] / "pyproject.toml").read_text())["project"]
    assert f"numpy>={doctor_software.MIN_NUMPY}" in project["dependencies"]


def test_numpy_of_a_32_bit_system_comes_from_debian(pi: Machine) -> None:
    pi.options["pointer_bits"] = 32
    pi.commands["numpy"] = Ran(1, err="ModuleNotFoundError: No module named 'numpy'")
    (finding,) = doctor_software.numpy(pi.probe)
    assert finding.fix == "sudo apt-get install python3-numpy"


def test_no_interpreter_for_a_newer_python_on_a_32_bit_system(pi: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    pi.options["pointer_bits"] = 32
    pi.commands["ai_edge_litert"] = Ran(0, json.dumps({"ai-edge-litert": ["", ""], "tflite-runtime": ["", ""]}))
    monkeypatch.setattr("edge.doctor.software.sys.version_info", (3, 11, 2))
    (finding,) = doctor_software.interpreter(pi.probe)
    assert "pip install tflite-runtime" in finding.fix
    monkeypatch.setattr("edge.doctor.software.sys.version_info", (3, 13, 5))
    (finding,) = doctor_software.interpreter(pi.probe)
    assert "64-bit Raspberry Pi OS" in finding.fix
    assert "pip install" not in finding.fix


@pytest.mark.parametrize("content", [b"", b"no program\n", None])
def test_a_python_that_cannot_be_started_says_nothing_about_numpy(
    pi: Machine, tmp_path: Path, content: bytes | None
) -> None:
    """Not there, or not a program (one of another processor, say): the system's word, not a broken numpy."""
    python = tmp_path / "python-of-another-processor"
    if content is not None:
        python.write_bytes(content)
        python.chmod(0o755)
    probe = replace(pi.probe, python=str(python), runner=run_command)
    report = examine(probe, checks=CHECKS[:5])
    states = {finding.check: (str(finding.state), finding.detail) for _area, finding in report.findings}
    assert states["Python"][0] == "wrong"
    assert str(python) in states["Python"][1]
    assert not report.ok
    for check in ("numpy", "interpreter", "pyserial", "bleak", "demo bundle"):
        assert states[check] == ("warning", "not checked: Python cannot start the child process that checks it")


def test_libraries_and_the_bundle(pi: Machine) -> None:
    pi.commands["import bleak"] = Ran(1, err="Traceback\nModuleNotFoundError: No module named 'bleak'\n")
    pi.commands["bundle verify"] = Ran(
        4, err="anyecg: model.tflite was altered: its SHA-256 differs from the manifest\n"
    )
    bleak = only(doctor_software.libraries(pi.probe), "bleak")
    assert bleak.state is State.WRONG
    assert bleak.fix.endswith("-m pip install bleak")
    (bundle,) = doctor_software.bundle(pi.probe)
    assert bundle.detail == "fails its self-test: model.tflite was altered: its SHA-256 differs from the manifest"
    assert bundle.state is State.WRONG


def test_clocks(pi: Machine) -> None:
    def clock() -> Finding:
        (finding,) = doctor_host.clock(pi.probe)
        return finding

    assert clock().detail == "synchronised (kernel)"
    pi.options["kernel_synced"] = lambda: False
    assert (clock().state, "set-ntp" in clock().fix) == (State.WARNING, True)
    pi.commands["chronyc"] = Ran(0, "Reference ID : 00000000 ()\nLeap status     : Not synchronised\n")
    assert (clock().state, "makestep" in clock().fix) == (State.WARNING, True)
    pi.commands["chronyc"] = Ran(0, "Leap status     : Normal\n")
    assert clock().detail == "synchronised (chrony)"
    pi.commands["timedatectl"] = Ran(0, "yes\n")
    assert clock().detail == "synchronised (timedatectl)"
    pi.put("run/systemd/timesync/synchronized", "")
    assert clock().detail == "synchronised (systemd-timesyncd)"


def test_a_clock_that_was_never_set(pi: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge.doctor.host.time.gmtime", lambda: time.struct_time((1970, 1, 1, 0, 0, 0, 3, 1, 0)))
    (finding,) = doctor_host.clock(pi.probe)
    assert finding.detail == "it shows 1970: the clock was never set"


@pytest.mark.parametrize(
    ("text", "state", "words"),
    [
        ("0", "ok", "no throttling"),
        ("50000", "warning", "since the last boot: the supply voltage is too low, it is throttled"),
        ("50005", "wrong", "now: the supply voltage is too low, it is throttled"),
        ("8", "warning", "temperature limit"),
        ("0xe0008", "warning", "now: it is at its temperature limit"),
        ("rubbish", "warning", "'rubbish'"),
    ],
)
def test_power_of_a_pi(pi: Machine, text: str, state: str, words: str) -> None:
    path = "sys/devices/platform/soc/soc:firmware/get_throttled"
    pi.put(path, text)
    (finding,) = doctor_host.power(pi.probe)
    assert finding.state == state
    assert words in finding.detail
    pi.remove(path)
    pi.commands["vcgencmd"] = Ran(0, f"throttled={text}\n")
    (again,) = doctor_host.power(pi.probe)
    assert again == finding


def test_power_that_cannot_be_read(pi: Machine) -> None:
    pi.remove("sys/devices/platform")
    (finding,) = doctor_host.power(pi.probe)
    assert "raspi-utils" in finding.fix
    pi.commands["vcgencmd"] = Ran(255, err="VCHI initialization failed\n")
    (finding,) = doctor_host.power(pi.probe)
    assert "usermod -aG video" in finding.fix
    pi.put("proc/device-tree/model", "Something else")
    (finding,) = doctor_host.power(pi.probe)
    assert finding.state is State.SKIPPED


@pytest.mark.parametrize(
    ("text", "state"), [("-5000", "ok"), ("79999", "ok"), ("80000", "warning"), ("91000", "wrong")]
)
def test_temperature(pi: Machine, text: str, state: str) -> None:
    pi.put("sys/class/thermal/thermal_zone1/temp", text)
    pi.put("sys/class/thermal/thermal_zone2/temp", "broken")
    pi.put("sys/class/thermal/thermal_zone0/temp", "-9000")
    (finding,) = doctor_host.temperature(pi.probe)
    assert finding.state == state
    assert finding.detail == f"{int(text) / 1000:.0f} °C"


def test_disk(pi: Machine) -> None:
    for free, state in ((5e9, "ok"), (5e8, "warning"), (5e7, "wrong")):
        pi.options["free_bytes"] = lambda _path, free=free: int(free)
        finding = only(doctor_host.disk(pi.probe), "free disk")
        assert finding.state == state
        assert finding.detail.endswith("with 108 outputs and raw frames")
    pi.put("proc/mounts", "/dev/mmcblk0p2 / ext4 ro,noatime 0 0")
    assert "remount,rw" in only(doctor_host.disk(pi.probe), "file system").fix
    pi.put("proc/mounts", "overlay / overlay ro,lowerdir=x 0 0\n/dev/sda1 /boot vfat ro 0 0")
    assert [finding.check for finding in doctor_host.disk(pi.probe)] == ["free disk"]


def bluez(pi: Machine, **changes: object) -> list[Finding]:
    pi.commands["bluez_state"] = Ran(0, json.dumps(BLUEZ | changes))
    return doctor_bluetooth.check(pi.probe)


def test_rfkill(pi: Machine) -> None:
    pi.put("sys/class/rfkill/rfkill0/soft", "1")
    finding = only(bluez(pi), "rfkill")
    assert (finding.state, finding.fix) == (State.WRONG, "sudo rfkill unblock bluetooth")
    pi.put("sys/class/rfkill/rfkill0/hard", "1")
    assert "hardware" in only(bluez(pi), "rfkill").detail
    pi.put("sys/class/rfkill/rfkill0/type", "wlan")
    assert only(bluez(pi), "rfkill").state is State.OK


def test_dbus_and_bluez(pi: Machine) -> None:
    bus = only(bluez(pi, bus="[Errno 2] No such file or directory"), "D-Bus")
    assert (bus.state, "apt-get install dbus" in bus.fix) == (State.WRONG, True)
    assert "dbus-fast" in only(bluez(pi, bus="dbus-fast is not installed"), "D-Bus").fix
    pi.put(".dockerenv", "")
    assert "-v /run/dbus" in only(bluez(pi, bus="[Errno 2] No such file or directory"), "D-Bus").fix
    assert only(bluez(pi, running=False, adapters={}), "BlueZ").fix == "sudo systemctl enable --now bluetooth"
    denied = only(bluez(pi, error="org.freedesktop.DBus.Error.AccessDenied: no", adapters={}), "BlueZ")
    assert "usermod -aG bluetooth" in denied.fix
    assert "restart bluetooth" in only(bluez(pi, error="TimeoutError", adapters={}), "BlueZ").fix
    del pi.commands["bluetoothctl"]
    assert "apt-get install bluez" in only(bluez(pi, running=False), "BlueZ").fix


def test_bluez_versions(pi: Machine) -> None:
    assert only(bluez(pi), "BlueZ").detail == "5.66 runs"
    assert only(bluez(pi, version="5.50"), "BlueZ").state is State.WARNING
    assert only(bluez(pi, version=""), "BlueZ").detail == "5.66 runs"
    pi.commands["bluetoothctl"] = Ran(None, err="no answer within 5 s")
    assert only(bluez(pi, version=""), "BlueZ").detail == "runs; its version is unknown"


def test_adapters(pi: Machine) -> None:
    off = {"hci0": {"powered": False, "central": True, "address": "X"}}
    assert "power on" in only(bluez(pi, adapters=off), "hci0 state").fix
    classic = {"hci0": {"powered": True, "central": False, "address": "X"}}
    assert "Low Energy" in only(bluez(pi, adapters=classic), "hci0 state").detail
    assert "does not see hci0" in only(bluez(pi, adapters={}), "adapter state").detail
    pi.remove("sys/class/bluetooth")
    pi.remove("sys/class/rfkill")
    assert only(bluez(pi), "hci0 state").state is State.OK
    assert only(bluez(pi, adapters={}), "adapter").state is State.SKIPPED


@pytest.mark.parametrize("answer", ["", "null", "{}", '{"bus": 1, "adapters": 3}', "[1]", '{"adapters": {"a": 1}}'])
def test_an_invalid_answer_of_bluez(pi: Machine, answer: str) -> None:
    pi.commands["bluez_state"] = Ran(1, answer, err="Killed")
    finding = only(doctor_bluetooth.check(pi.probe), "D-Bus")
    assert (finding.state, finding.detail) == (State.WARNING, "could not be queried: Killed")


def test_groups(pi: Machine) -> None:
    assert "but BlueZ answers" in only(bluez(pi), "group").detail
    pi.options["groups"] = frozenset({111})
    assert only(bluez(pi), "group").detail == "member of bluetooth"
    pi.options["uid"] = 0
    assert only(bluez(pi), "group").detail == "root"


def test_serial_permission(pi: Machine) -> None:
    pi.options["accessible"] = lambda _path: False
    pi.options["env"] = {"USER": "pi"}
    pi.options["groups"] = frozenset({1000})
    finding = only(doctor_serial.check(pi.probe), "ttyUSB0")
    assert finding.state is State.WRONG
    assert finding.fix.startswith("log out and in again")
    pi.options["env"] = {"USER": "sam"}
    assert only(doctor_serial.check(pi.probe), "ttyUSB0").fix.startswith("sudo usermod -aG dialout sam")
    pi.options["groups"] = frozenset({20})
    assert only(doctor_serial.check(pi.probe), "ttyUSB0").fix == "sudo chmod 660 /dev/ttyUSB0"


def test_a_serial_port_in_use_slow_and_probed_by_modem_manager(pi: Machine) -> None:
    pi.put("proc/77/cmdline", "/usr/bin/minicom\0-D\0/dev/ttyUSB0\0")
    pi.link("proc/77/fd/5", str((pi.root / "dev/ttyUSB0").resolve()))
    pi.put("proc/78/comm", "ModemManager\n")
    pi.put("sys/bus/usb-serial/devices/ttyUSB0/latency_timer", "16")
    findings = doctor_serial.check(pi.probe)
    held = only(findings, "ttyUSB0")
    assert held.state is State.WARNING
    assert "in use by minicom -D /dev/ttyUSB0 (pid 77)" in held.detail
    assert only(findings, "ttyUSB0 latency").fix.startswith("echo 1 | sudo tee /sys/bus/usb-serial")
    assert "disable --now ModemManager" in only(findings, "ModemManager").fix


def test_a_console_on_the_uart(pi: Machine) -> None:
    pi.remove("sys/class/tty/ttyUSB0")
    (pi.root / "sys/devices/platform/uart/tty/ttyAMA0").mkdir(parents=True)
    pi.link("sys/class/tty/ttyAMA0", "../../devices/platform/uart/tty/ttyAMA0")
    pi.link("dev/serial0", "ttyAMA0")
    pi.put("dev/ttyAMA0", "")
    assert [f.check for f in doctor_serial.check(pi.probe)] == ["ttyAMA0"]
    pi.put("proc/cmdline", "console=serial0,115200 console=tty1 root=PARTUUID=1 rootwait")
    assert "raspi-config" in only(doctor_serial.check(pi.probe), "console").fix
    pi.put("proc/cmdline", "console=ttyAMA0,115200")
    assert only(doctor_serial.check(pi.probe), "console").state is State.WARNING


def test_a_check_that_hangs_or_fails_hides_no_other(pi: Machine) -> None:
    def breaks(_probe: Probe) -> list[Finding]:
        raise RuntimeError("two\nlines")

    go_on, ended = threading.Event(), threading.Event()

    def hangs(_probe: Probe) -> list[Finding]:
        go_on.wait()
        ended.set()
        return []

    checks = [Check("a", "breaks", breaks), Check("b", "hangs", hangs), *CHECKS]
    report = examine(pi.probe, checks=checks, limit_s=4.0)
    assert not ended.is_set()
    go_on.set()
    (_, broken), (_, hung), *rest = report.findings
    assert broken.detail == "the check failed: RuntimeError: two lines"
    assert hung.detail == "no answer within 4 s"
    assert len(rest) == 18
    assert report.ok


def test_commands_end_in_time_and_never_raise() -> None:
    # Waiting for it would exceed the time limit of the test.
    hung = run_command([sys.executable, "-c", "import time; time.sleep(3600)"], 0.5)
    assert (hung.code, hung.last_line) == (None, "no answer within 0.5 s")
    assert run_command(["no-such-command-here"], COMMAND_S).absent
    assert run_command(["/"], COMMAND_S).code is None
    assert run_command([sys.executable, "-c", "import sys; sys.stdout.buffer.write(b'\\xff')"], 30.0).code == 0


def test_text_and_json(pi: Machine) -> None:
    pi.put("sys/class/rfkill/rfkill0/soft", "1")
    pi.options["kernel_synced"] = lambda: False
    report = examine(pi.probe)
    text = cli_doctor.text(report)
    assert text.endswith("\n1 problem, 1 warning\n")
    assert "fix: sudo rfkill unblock bluetooth" in text
    assert all(line == line.rstrip() for line in text.splitlines())
    data = json.loads(json.dumps(report.as_dict()))
    assert (data["schema"], data["ok"]) == ("anyecg.doctor/1", False)
    assert {tuple(row) for row in data["findings"]} == {("area", "check", "state", "detail", "fix")}
    assert cli_doctor.text(Report(())) == "\nno problems\n"


def test_the_command_on_this_machine(capsys: pytest.CaptureFixture[str]) -> None:
    code = cli_doctor.main(["--json"])
    data = json.loads(capsys.readouterr().out)
    wrong = [row for row in data["findings"] if row["state"] == "wrong"]
    assert code == (1 if wrong else 0)
    by_check = {row["check"]: row for row in data["findings"]}
    # This machine may lack other things, but the tests run on it.
    for check in ("64-bit", "numpy", "interpreter", "pyserial", "bleak", "demo bundle"):
        assert by_check[check]["state"] == "ok", by_check[check]


def test_a_broken_numpy_is_one_line_and_no_traceback(tmp_path: Path) -> None:
    (tmp_path / "numpy").mkdir()
    (tmp_path / "numpy/__init__.py").write_text(
        "raise ImportError('libopenblas.so.0: cannot open shared object file')\n"
    )
    root = Path(__file__).resolve().parents[4]
    done = subprocess.run(
        [sys.executable, "-m", "edge.cli", "doctor"],
        env={"PYTHONPATH": f"{tmp_path}:{root}", "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 1, done.stderr
    assert "fix: sudo apt-get install libopenblas0-pthread" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr
