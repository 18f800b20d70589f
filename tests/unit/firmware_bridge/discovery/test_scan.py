"""Scan results: sorted, printable, each with its URL; without Bluetooth the serial ports are still listed."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from pathlib import Path

import pytest

from edge.cli import scan as cli_scan
from edge.cli.main import main
from edge.sources import SourceUrl
from firmware_bridge import devices
from firmware_bridge.discovery import run as module
from firmware_bridge.discovery.run import Sighting, printable, scan
from firmware_bridge.errors import LinkError, MissingExtraError

FTDI = (0x0403, 0x6001)


@dataclass(frozen=True)
class Seen:
    address: str
    name: str
    rssi: int | None
    device: str | None
    url: str | None


NEAR = Seen("A0:9E:1A:00:00:01", "Polar H10 0001", -48, "polar_h10", "ble:polar_h10/A0:9E:1A:00:00:01")
FAR = Seen("A0:9E:1A:00:00:02", "Polar H10 0002", -91, "polar_h10", "ble:polar_h10/A0:9E:1A:00:00:02")
QUIET = Seen("A0:9E:1A:00:00:03", "", None, "polar_h10", "ble:polar_h10/A0:9E:1A:00:00:03")
TV = Seen("11:22:33:44:55:66", "\x1b[2JTV\n" + "x" * 300, -60, None, None)


@pytest.fixture
def cable(tmp_path: Path) -> Path:
    usb = tmp_path / "sys/devices/usb1/1-1"
    (usb / "1-1:1.0/ttyUSB0/tty/ttyUSB0").mkdir(parents=True)
    for name, text in (("idVendor", "0403"), ("idProduct", "6001"), ("product", "FT232R\x1b[31m USB UART")):
        (usb / name).write_text(text)
    (tmp_path / "sys/class/tty").mkdir(parents=True)
    (tmp_path / "sys/class/tty/ttyUSB0").symlink_to("../../devices/usb1/1-1/1-1:1.0/ttyUSB0/tty/ttyUSB0")
    (usb / "1-1:1.0/ttyUSB0/tty/ttyUSB0/device").symlink_to("../../../ttyUSB0")
    (tmp_path / "dev/serial/by-id").mkdir(parents=True)
    (tmp_path / "dev/ttyUSB0").write_text("")
    (tmp_path / "dev/serial/by-id/usb-FTDI_A1-if00").symlink_to("../../ttyUSB0")
    return tmp_path


def hears(*seen: Seen):
    async def ble(seconds: float, adapter: str | None) -> list[Seen]:
        assert (seconds, adapter) == (3.0, "hci1")
        return list(seen)

    return ble


def fails(error: Exception):
    async def ble(_seconds: float, _adapter: str | None) -> list[Seen]:
        raise error

    return ble


def test_bluetooth_by_strength_then_cables(cable: Path) -> None:
    result = scan(3.0, "hci1", ble=hears(FAR, TV, QUIET, NEAR), root=cable)
    assert [s.rssi_dbm for s in result.sightings] == [-48, -60, -91, None, None]
    assert [s.transport for s in result.sightings] == ["ble"] * 4 + ["serial"]
    assert result.ble_problem == ""
    port = result.sightings[-1]
    assert (port.name, port.usb) == ("FT232R?[31m USB UART", "0403:6001")
    assert port.url.startswith("serial:/dev/serial/by-id/usb-FTDI_A1-if00")
    assert [s.name for s in result.usable[:3]] == ["Polar H10 0001", "Polar H10 0002", "A0:9E:1A:00:00:03"]


def test_every_url_is_one_that_run_takes(cable: Path) -> None:
    result = scan(3.0, "hci1", ble=hears(NEAR, FAR), root=cable)
    for sighting in result.usable:
        if sighting.transport == "serial":
            url = SourceUrl.parse(sighting.url)
            assert url.path == "/dev/serial/by-id/usb-FTDI_A1-if00"
            assert devices.get(url.params.get("device", "anyecg_patch"))


def test_a_port_lists_the_kinds_with_its_usb_ids(cable: Path) -> None:
    expected = tuple(name for name in devices.names() if FTDI in devices.get(name).profile.usb)
    (port,) = scan(3.0, "hci1", ble=hears(), root=cable).sightings
    assert port.kinds == expected
    (cable / "sys/devices/usb1/1-1/idVendor").write_text("ffff")
    (port,) = scan(3.0, "hci1", ble=hears(), root=cable).sightings
    assert (port.kinds, port.url) == ((), "serial:/dev/serial/by-id/usb-FTDI_A1-if00")


@pytest.mark.parametrize(
    ("ids", "kind", "sure"), [("4440:0001", "healthypi5", True), ("0403:6015", "openbci_cyton", False)]
)
def test_a_known_device_and_a_common_chip(cable: Path, ids: str, kind: str, sure: bool) -> None:
    for name, text in zip(("idVendor", "idProduct"), ids.split(":"), strict=True):
        (cable / "sys/devices/usb1/1-1" / name).write_text(text)
    (port,) = scan(3.0, "hci1", ble=hears(), root=cable).sightings
    assert port.kinds == (kind,)
    assert port.url == f"serial:/dev/serial/by-id/usb-FTDI_A1-if00?device={kind}"
    assert ("it may be another device" in port.note) is not sure


def test_a_port_in_use_names_the_program(cable: Path) -> None:
    (cable / "proc/77/fd").mkdir(parents=True)
    (cable / "proc/77/cmdline").write_text("/usr/bin/minicom\0")
    (cable / "proc/77/fd/5").symlink_to((cable / "dev/ttyUSB0").resolve())
    result = scan(3.0, "hci1", ble=hears(), root=cable)
    assert result.sightings[0].note == "in use by minicom (pid 77)"
    assert "\n  in use by minicom (pid 77)\n" in cli_scan.text(result)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (LinkError("this computer has no Bluetooth adapter", "plug one in"), "no Bluetooth adapter (plug one in)"),
        (MissingExtraError("Bluetooth", "ble"), "Bluetooth needs the 'ble' extra"),
        (TimeoutError(), "did not answer"),
        (PermissionError(13, "Permission denied"), "Permission denied"),
    ],
)
def test_without_bluetooth_the_ports_and_the_reason_are_shown(cable: Path, error: Exception, words: str) -> None:
    result = scan(3.0, "hci1", ble=fails(error), root=cable)
    assert len(result.usable) == 1
    lines = cli_scan.text(result).splitlines()
    assert lines[-1].startswith("Bluetooth was not scanned: ")
    assert words in lines[-1]
    assert sum("Bluetooth was not scanned" in line for line in lines) == 1


def test_an_adapter_that_never_answers(cable: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LATE_S", -2.9)

    async def hangs(_seconds: float, _adapter: str | None) -> list[Seen]:
        await asyncio.sleep(3600)
        return []

    result = scan(3.0, "hci1", ble=hangs, root=cable)
    assert "did not answer" in result.ble_problem
    assert len(result.usable) == 1


def test_the_table(cable: Path) -> None:
    result = scan(3.0, "hci1", ble=hears(NEAR, TV, QUIET), root=cable)
    lines = cli_scan.text(result).splitlines()
    assert lines[0].split() == ["device", "name", "signal", "source", "URL"]
    assert lines[1].split() == ["polar_h10", "Polar", "H10", "0001", "-48", "dBm", NEAR.url]
    assert lines[2].split() == ["polar_h10", QUIET.address, "?", QUIET.url]
    assert "cable" in lines[3]
    assert "1 Bluetooth device of an unknown kind (--all shows them)" in lines
    everything = cli_scan.text(result, everything=True)
    assert "?[2JTV" in everything
    assert "\x1b" not in everything
    assert max(map(len, everything.splitlines())) < 200


def test_json(cable: Path) -> None:
    data = json.loads(json.dumps(cli_scan.as_dict(scan(3.0, "hci1", ble=hears(NEAR, TV), root=cable))))
    assert (data["schema"], data["ble_problem"]) == ("anyecg.scan/1", None)
    assert [row["url"] is None for row in data["found"]] == [False, True, False]
    assert {tuple(row) for row in data["found"]} == {("transport", "kinds", "name", "rssi_dbm", "url", "usb", "note")}


def test_the_command(cable: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(cli_scan, "scan", lambda seconds, adapter: scan(3.0, "hci1", ble=hears(NEAR), root=cable))
    assert main(["scan"]) == 0
    assert NEAR.url in capsys.readouterr().out
    monkeypatch.setattr(cli_scan, "scan", lambda seconds, adapter: scan(3.0, "hci1", ble=hears(TV), root=cable / "no"))
    assert main(["scan"]) == 5
    out, err = capsys.readouterr()
    assert "1 Bluetooth device of an unknown kind" in out
    assert err.startswith("anyecg: no patch was found (wear a Polar strap with wet electrodes")
    assert err.count("\n") == 1
    assert main(["scan", "--json"]) == 5
    assert len(json.loads(capsys.readouterr().out)["found"]) == 1


@pytest.mark.parametrize(
    "args", [["--seconds", "0"], ["--seconds", "nan"], ["--seconds", "1e9"], ["--adapter", "hci0; rm"], ["x"]]
)
def test_wrong_arguments(args: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["scan", *args]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_names_from_the_air_are_printable() -> None:
    assert printable(" H10\x00\x07\u202e ") == "H10???"
    assert len(printable("x" * 1000)) == 64
    assert Sighting("ble", (), "", None, None).url is None
