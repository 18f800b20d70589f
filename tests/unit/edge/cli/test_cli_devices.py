"""``anyecg devices``, the page of devices, and the example in the page about new devices."""

import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest

from edge.cli.devices import SCALES, markdown, urls
from edge.cli.main import main
from edge.sources import SCHEMES, open_source
from edge.sources.wire import WireSource
from firmware_bridge import devices
from firmware_bridge.devices import Write
from firmware_bridge.samples import LinkEvent, LinkEventKind

ROOT = Path(__file__).resolve().parents[4]
PROFILES = [devices.get(name).profile for name in devices.names()]
URL_KEYS = {"device", "baud", "wait", "stall", "name", "adapter", "pair", "speed", "seconds"}
"""Query keys of transports and replays; no option of a device may have one of these names."""


@pytest.mark.parametrize("profile", PROFILES, ids=lambda p: p.name)
def test_profiles_are_complete(profile):
    assert profile.name in devices.names()
    assert set(profile.transports) <= set(SCHEMES)
    assert profile.scale in SCALES
    assert profile.clock
    assert profile.loss_detection
    assert not URL_KEYS & set(profile.options)
    assert all(key == key.lower() for key in profile.options)
    assert ("ble" in profile.transports) == (profile.ble is not None)
    assert ("serial" in profile.transports) <= (profile.baud is not None)
    assert (profile.scale == "unknown") == ("lsb_mv" in profile.options)
    if profile.scale == "unknown":
        assert any("calibrated" in note or "calibrate" in note for note in profile.notes)
    assert all(len(note) < 220 and not note.endswith(".") for note in profile.notes)


def test_the_table_has_every_device(capsys):
    assert main(["devices"]) == 0
    out = capsys.readouterr().out
    assert [line.split()[0] for line in out.splitlines()[1:] if line and not line.startswith("clock")] == list(
        devices.names()
    )


@pytest.mark.parametrize("name", devices.names())
def test_details_are_complete(name, capsys):
    assert main(["devices", name.upper().replace("_", "-")]) == 0
    out = capsys.readouterr().out
    flat = " ".join(out.split())
    profile = devices.get(name).profile
    expected = [profile.title, profile.clock, profile.loss_detection, *profile.notes, *urls(profile)]
    expected += [f"{key}: {text}" for key, text in profile.options.items()]
    for text in expected:
        assert " ".join(text.split()) in flat
    assert max(map(len, out.splitlines())) <= 100


def test_json(capsys):
    assert main(["devices", "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert data["schema"] == "anyecg.devices/1"
    assert [d["name"] for d in data["devices"]] == list(devices.names())
    assert main(["devices", "polar-h10", "--json"]) == 0
    (polar,) = json.loads(capsys.readouterr().out)["devices"]
    assert polar["band_hz"] == [0.7, 40.0]
    assert polar["ble"]["notify"]["data"].startswith("fb005c82")


def test_an_unknown_device_ends_in_one_line(capsys):
    assert main(["devices", "theranos"]) == 2
    assert "known devices: ad8232_text" in capsys.readouterr().err


def test_the_page_matches_the_command():
    text = (ROOT / "docs" / "devices.md").read_text(encoding="utf-8")
    assert markdown(PROFILES) in text, "docs/devices.md: replace its tables by those of 'anyecg devices --markdown'"


@pytest.mark.parametrize(
    "url",
    [
        "serial:/dev/ttyUSB0?device=openbci_cyton&channel=2&gain=12",
        "serial:/dev/ttyUSB0?device=ad8232-text&baud=115200&rate=250&column=2&time=1",
        "serial:/dev/rfcomm0?device=bitalino&channels=126&channel=2&wait=0",
        "tcp:192.168.4.1:4567?device=heartypatch&rate=256",
        "ble:openbci_ganglion?channel=3",
    ],
)
def test_options_reach_the_decoder(url):
    assert isinstance(open_source(url), WireSource)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("serial:/dev/ttyUSB0?device=openbci_cyton&chanel=2", ["'chanel'", "channel", "gain", "baud"]),
        ("serial:/dev/ttyUSB0?device=openbci_cyton&gain=5", ["gain", "1, 2, 4, 6, 8, 12, 24"]),
        ("serial:/dev/ttyUSB0?device=healthypi5&rate=250", ["'rate'", "lsb_mv"]),
        ("serial:/dev/ttyUSB0?device=polar_h10", ["no serial port", "ble"]),
    ],
)
def test_wrong_options_end_in_one_line_that_lists_the_right_ones(url, words, capsys):
    assert main(["run", "--source", url, "--view", "none"]) == 2
    err = capsys.readouterr().err
    assert all(word in err for word in words), err
    assert err.count("\n") == 1


def example() -> str:
    (block,) = re.findall(
        r"^```python\n(.*?)^```", (ROOT / "docs" / "new-device.md").read_text(), re.MULTILINE | re.DOTALL
    )
    return block


@pytest.fixture
def tiny(tmp_path, monkeypatch):
    """Install the example of the page as a device module."""
    (tmp_path / "tiny_patch.py").write_text(example(), encoding="utf-8")
    monkeypatch.setattr(devices, "__path__", [*devices.__path__, str(tmp_path)])
    yield devices.get("tiny-patch")
    sys.modules.pop("firmware_bridge.devices.tiny_patch", None)


def frame(number, value):
    low, high = value & 0xFF, value >> 8 & 0xFF
    return bytes((0xA5, number % 256, low, high, number % 256 ^ low ^ high))


def test_the_example_of_the_page_is_a_device(tiny):
    assert "tiny_patch" in devices.names()
    assert tiny.profile.name == "tiny_patch"
    decoder = tiny.decoder(lsb_mv="0.0015")
    decoder.link(LinkEvent(LinkEventKind.CONNECTED, 0))
    assert decoder.writes() == [Write(b"g")]
    stream = b"hello\r\n" + b"".join(frame(k, k - 500) for k in range(600) if k not in {100, 101, 102})
    stream = stream[:1000] + b"\xa5\xff noise" + stream[1000:]
    rng = np.random.default_rng(0)
    got, lost = [], 0
    while stream:
        step = int(rng.integers(1, 40))
        for item in decoder.feed(stream[:step], 0):
            if not isinstance(item, LinkEvent):
                got += item.samples.tolist()
                lost += item.lost
                assert item.lsb_mv == 0.0015
        stream = stream[step:]
    assert len(got) + lost == 600
    assert lost in {3, 4}
    assert got[-100:] == list(range(100))


def test_the_example_is_typed_and_clean(tmp_path):
    import subprocess

    (tmp_path / "tiny_patch.py").write_text(example(), encoding="utf-8")
    compile(example(), "tiny_patch.py", "exec")
    done = subprocess.run([sys.executable, "-m", "ruff", "--version"], capture_output=True)
    if done.returncode:
        pytest.skip("ruff is not installed")
    config = ["--config", str(ROOT / "pyproject.toml"), "--ignore", "INP001", "--ignore", "ARG001"]
    done = subprocess.run(
        [sys.executable, "-m", "ruff", "check", *config, str(tmp_path)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout
