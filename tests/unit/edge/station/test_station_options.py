"""The patches that a user names: names are made, and what cannot work is refused before anything starts."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge.station.options import from_sources, from_tables, named_source
from firmware_bridge.errors import UsageError


def names(*sources: str) -> list[str]:
    return [patch.name for patch in from_sources(sources)]


@pytest.mark.parametrize(
    ("text", "split"),
    [
        ("bedroom=ble:polar_h10", ("bedroom", "ble:polar_h10")),
        ("serial:/dev/ttyACM0?device=max30003", ("", "serial:/dev/ttyACM0?device=max30003")),
        ("sim:?hr=70", ("", "sim:?hr=70")),
        ("a-b_1=tcp:10.0.0.1:7", ("a-b_1", "tcp:10.0.0.1:7")),
    ],
)
def test_a_name_stands_before_the_url(text: str, split: tuple[str, str]) -> None:
    assert named_source(text) == split


def test_names_are_those_of_ports_and_devices_and_never_of_files_or_addresses() -> None:
    assert names("serial:/dev/ttyACM0", "serial:/dev/ttyUSB1", "ble:polar_h10/A0:9E:1A:00:00:01") == [
        "ttyACM0", "ttyUSB1", "polar_h10",
    ]  # fmt: skip
    assert names("ble:polar_h10/A0:9E:1A:00:00:01", "ble:polar_h10/A0:9E:1A:00:00:02") == ["polar_h10-1", "polar_h10-2"]
    assert names("tcp:10.0.0.1:7", "tcp:10.0.0.2:7?device=heartypatch") == ["patch", "heartypatch"]
    assert names("replay:/home/anna/anna.csv", "sim:") == ["recording", "sim"]
    assert names("serial:/dev/serial/by-id/usb-ACME_1234-if00", "sim:") == ["patch", "sim"]
    assert names("record:x.aer,sim:?seed=3", "sim:?seed=4") == ["sim-1", "sim-2"]


def test_a_made_name_avoids_a_chosen_one() -> None:
    assert names("sim=sim:?seed=1", "sim:?seed=2", "SIM-1=sim:?seed=3") == ["sim", "sim-2", "SIM-1"]


@pytest.mark.parametrize(
    ("sources", "what"),
    [
        (["a=sim:?seed=1", "a=sim:?seed=2"], "two patches have the name a "),
        (["a-b=sim:?seed=1", "A_b=sim:?seed=2"], "two patches have the name a-b and A_b"),
        (["serial:/dev/ttyACM0", "b=serial:/dev/ttyACM0?baud=9600"], "ttyACM0 and b have the same source"),
        (["a=ble:polar_h10/A0:9E:1A:00:00:01", "b=ble:polar_h10/a0-9e-1a-00-00-01"], "a and b have the same source"),
        (["a=tcp:pi.lan:7", "b=tcp:PI.lan:7?device=heartypatch"], "a and b have the same source"),
        (["a=sim:?seed=1&hr=60", "b=sim:?hr=60&speed=2&seed=1"], "a and b have the same source"),
        (["a=ble:polar_h10", "b=ble:polar_h10/A0:9E:1A:00:00:01"], "of a names any such device, also that of b"),
        (["x" * 33 + "=sim:", "sim:?seed=2"], "is not a name for a patch"),
        (["sim:", "blé:x"], "is not a source URL"),
        ([f"sim:?seed={i}" for i in range(201)], "201 patches are too many"),
    ],
)
def test_what_cannot_work_is_refused_in_one_line(sources: list[str], what: str) -> None:
    with pytest.raises(UsageError) as refused:
        from_sources(sources)
    assert what in f"{refused.value} "
    assert refused.value.fix
    assert "\n" not in str(refused.value)


def test_two_names_of_one_port_are_one_source(tmp_path: Path) -> None:
    port, link = tmp_path / "ttyACM0", tmp_path / "by-id"
    port.touch()
    link.symlink_to(port)
    with pytest.raises(UsageError, match="have the same source"):
        from_sources([f"serial:{port}", f"serial:{link}"])


def test_a_table_has_the_options_of_one_patch() -> None:
    first, second = from_tables(
        [
            {"name": "bed", "source": "sim:?seed=1", "device-profile": "a.toml", "session_dir": "x"},
            {"source": "sim:?seed=2"},
        ],
        Path("ward.toml"),
    )
    assert (first.name, first.named, first.device_profile, first.session_dir) == ("bed", True, "a.toml", "x")
    assert (second.name, second.named, second.person) == ("sim", False, None)


@pytest.mark.parametrize(
    ("tables", "what"),
    [
        ([{"name": "a"}], "ward.toml: [[patch]] number 1 has no source"),
        ([{"source": "sim:"}, {"source": "sim:?seed=2", "nmae": "b"}], "number 2: unknown key 'nmae'"),
        ([{"source": "sim:", "hop": 5.0}], "other options stand above the tables"),
        ([{"source": "sim:", "name": 3}], "'name' must be a text"),
        ([{"source": ""}], "'source' must be a text"),
        (
            [{"source": "sim:", "session-dir": "x"}, {"source": "sim:?seed=2", "session-dir": "./x"}],
            "have the same session folder",
        ),
    ],
)
def test_a_wrong_table_is_refused(tables: list[dict[str, object]], what: str) -> None:
    with pytest.raises(UsageError) as refused:
        from_tables(tables, Path("ward.toml"))
    assert what in str(refused.value)
