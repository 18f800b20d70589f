"""``anyecg service`` with a service manager that only notes what it is asked for."""

from __future__ import annotations

import os
import shutil
import stat
from dataclasses import dataclass
from pathlib import Path

import pytest

from edge.bundle.reader import demo_bundle_path
from edge.cli import service
from edge.cli.main import main
from edge.service import place
from edge.service import unit as template
from edge.service.place import Place
from edge.service.unit import render, sealed

SIM = "sim:?seed=3"
SYSTEMCTL = """#!/bin/sh
echo "$*" >> {log}
case "$*" in
  *"{broken}"*) echo "Job for it failed." >&2; exit 1;;
  show*) cat {shown} 2>/dev/null;;
esac
exit 0
"""


@dataclass
class System:
    """A system with a fake systemctl.

    Attributes:
        root: Root of its files.
        folder: Folder of the fake's files.
    """

    root: Path
    folder: Path

    def calls(self) -> list[str]:
        log = self.folder / "log"
        out = log.read_text().splitlines() if log.exists() else []
        log.unlink(missing_ok=True)
        return out

    def shows(self, **facts: str) -> None:
        (self.folder / "shown").write_text("".join(f"{key}={value}\n" for key, value in facts.items()))

    def breaks(self, word: str) -> None:
        text = SYSTEMCTL.format(log=self.folder / "log", shown=self.folder / "shown", broken=word)
        (self.folder / "systemctl").write_text(text)
        (self.folder / "systemctl").chmod(0o755)


@pytest.fixture
def system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> System:
    made = System(tmp_path / "system", tmp_path / "bin")
    made.root.mkdir()
    made.folder.mkdir()
    made.breaks("nothing")
    (made.root / "etc").mkdir()
    (made.root / "etc/group").write_text("root:x:0:\ndialout:x:20:\nbluetooth:x:112:\n")
    monkeypatch.setenv("PATH", f"{made.folder}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(place, "RUNNING", tmp_path)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(template, "_TEMPORARY", ("/nowhere",))  # the tests may run from there
    monkeypatch.setattr(service, "Place", lambda root=made.root, live=True: Place(root, live))
    return made


def install(name: str = "bedroom", *more: str, source: str | None = SIM) -> int:
    return main(["service", "install", name, *(() if source is None else ("--source", source)), *more])


def refused(capsys: pytest.CaptureFixture[str], code: int, expected: int) -> str:
    err = capsys.readouterr().err
    assert code == expected, err
    (line,) = err.splitlines()
    return line


def test_it_writes_enables_and_starts_and_then_changes_nothing(
    system: System, capsys: pytest.CaptureFixture[str]
) -> None:
    assert install() == 0
    unit, options = Place(system.root).unit, Place(system.root).options("bedroom")
    assert unit.read_text() == render()
    assert 'source = "sim:?seed=3"' in options.read_text()
    assert stat.S_IMODE(options.stat().st_mode) == stat.S_IMODE(unit.stat().st_mode) == 0o644
    assert system.calls() == ["daemon-reload", "enable anyecg@bedroom.service", "restart anyecg@bedroom.service"]
    assert "recordings  " in capsys.readouterr().out
    for more in (SIM, None):
        assert install(source=more) == 0
        assert system.calls() == ["enable anyecg@bedroom.service", "start anyecg@bedroom.service"]
        assert "nothing has changed" in capsys.readouterr().out
    assert install("kitchen", "--no-start") == 0
    assert system.calls() == ["enable anyecg@kitchen.service"]
    assert Place(system.root).names() == ["bedroom", "kitchen"]


def test_a_new_version_replaces_its_own_unit_and_names_the_others(
    system: System, capsys: pytest.CaptureFixture[str]
) -> None:
    install("bedroom")
    install("kitchen")
    (system.root / "etc/group").write_text("root:x:0:\ndialout:x:20:\n")
    capsys.readouterr()
    system.calls()
    assert install("kitchen") == 0
    assert "SupplementaryGroups=dialout\n" in Place(system.root).unit.read_text()
    assert system.calls()[0] == "daemon-reload"
    assert "sudo systemctl restart anyecg@bedroom.service" in capsys.readouterr().out


def test_what_was_changed_by_hand_is_replaced_only_by_force(system: System, capsys: pytest.CaptureFixture[str]) -> None:
    install()
    unit, options = Place(system.root).unit, Place(system.root).options("bedroom")
    unit.write_text(unit.read_text().replace("RestartSec=5", "RestartSec=50"))
    capsys.readouterr()
    line = refused(capsys, install(), 2)
    assert "was changed by hand" in line
    assert "systemctl edit" in line
    assert "RestartSec=50" in unit.read_text()
    assert install("bedroom", "--force") == 0
    assert sealed(unit.read_text())
    options.write_text('source = "sim:?seed=4"\n')
    capsys.readouterr()
    assert "has other options" in refused(capsys, install(), 2)
    assert install(source=None) == 0
    assert options.read_text() == 'source = "sim:?seed=4"\n'
    assert install("bedroom", "--force") == 0
    assert "seed=3" in options.read_text()


def test_the_options_are_checked_before_anything_is_written(
    system: System, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "person.toml").write_text("nonsense = 1\n")
    (tmp_path / "person.toml").chmod(0o644)
    (tmp_path / "empty").mkdir(mode=0o755)
    monkeypatch.setattr(service, "HIDDEN", ("/nowhere",))
    for text, message in (
        ("", "names no source"),
        ('source = "carrier-pigeon:1"', "known schemes"),
        ('source = "serial:/dev/ttyACM0?device=nothing"', "nothing"),
        ('source = "ble:polar_h10/12:34"', "is not a Bluetooth address"),
        (f'source = "{SIM}"\nhopp = 1', "unknown option 'hopp'"),
        (f'source = "{SIM}"\nhop = 0.01', "outside"),
        (f'source = "{SIM}"\nout = "/tmp/x"', "has its own folder for results"),
        (f'source = "{SIM}"\nrecord = "/tmp/x"', 'record = ""'),
        (f'source = "record:/tmp/x,{SIM}"', 'record = ""'),
        ('source = "replay:x.csv"', "not a recording"),
        (f'source = "{SIM}"\nbundle = "mine"', "needs an absolute path"),
        (f'source = "{SIM}"\nbundle = "{tmp_path}"', "may not read"),
        (f'source = "{SIM}"\nbundle = "{tmp_path}/absent"', "No such file"),
        (f'source = "{SIM}"\nbundle = "{tmp_path}/empty"', "manifest"),
        (f'source = "{SIM}"\nperson = "{tmp_path}/person.toml"', "holds no person's results"),
        ("source = ", "TOML"),
    ):
        config = tmp_path / "options.toml"
        config.write_text(text)
        code = install("bedroom", "--config", str(config), source=None)
        line = capsys.readouterr().err
        assert code in {2, 3, 4}, (text, line)
        assert message in line, text
        assert line.count("\n") == 1
    assert system.calls() == []
    assert not (system.root / "etc/systemd").exists()
    assert not (system.root / "etc/anyecg").exists()


def test_an_installation_that_the_service_cannot_see_is_refused_before_anything_is_written(
    system: System, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(template, "_TEMPORARY", (str(tmp_path),))
    monkeypatch.setattr(template, "__file__", str(tmp_path / "source/edge/service/unit.py"))
    assert "which no service can see" in refused(capsys, install(), 2)
    assert system.calls() == []
    assert not (system.root / "etc/systemd").exists()
    assert not (system.root / "etc/anyecg").exists()


def test_files_that_the_service_cannot_see_are_named(
    system: System, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle, config = tmp_path / "bundle", tmp_path / "options.toml"
    shutil.copytree(demo_bundle_path(), bundle)
    config.write_text(f'source = "{SIM}"\nbundle = "{bundle}"\n')
    monkeypatch.setattr(service, "HIDDEN", (str(tmp_path),))
    line = refused(capsys, install("bedroom", "--config", str(config), source=None), 2)
    assert f"the service cannot see {bundle}" in line
    monkeypatch.setattr(service, "HIDDEN", ("/nowhere",))
    bundle.chmod(0o750)
    line = refused(capsys, install("bedroom", "--config", str(config), source=None), 2)
    assert f"sudo chmod -R o+rX {bundle}" in line
    bundle.chmod(0o755)
    assert install("bedroom", "--config", str(config), source=None) == 0
    assert Place(system.root).options("bedroom").read_text() == config.read_text()


def test_it_refuses_in_one_line_where_it_cannot_work(
    system: System, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "needs a name" in refused(capsys, main(["service", "install"]), 2)
    for name in ("../etc", "a b", "-x" * 20, "Ä"):
        assert "is not a name" in refused(capsys, main(["service", "remove", "--", name]), 2)
    assert "add --source URL" in refused(capsys, install(source=None), 2)
    assert "exclude each other" in refused(capsys, install("bedroom", "--config", "x"), 2)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    line = refused(capsys, install(), 7)
    assert "only root" in line
    assert "sudo " in line
    assert f"service install bedroom --source '{SIM}'" in line
    assert "only root" in refused(capsys, main(["service", "remove", "bedroom"]), 7)
    monkeypatch.setattr(place, "RUNNING", Path("/nowhere"))
    for words in (["install", "bedroom", "--source", SIM], ["status"], ["remove", "bedroom"]):
        assert "systemd does not run this system" in refused(capsys, main(["service", *words]), 1)
    assert not (system.root / "etc/systemd").exists()


def test_a_unit_of_an_earlier_version_is_in_the_way(system: System, capsys: pytest.CaptureFixture[str]) -> None:
    old = Place(system.root).old_unit
    old.parent.mkdir(parents=True)
    old.write_text("[Service]\n")
    line = refused(capsys, install(), 2)
    assert "sudo systemctl disable --now anyecg; sudo rm " in line
    assert not Place(system.root).unit.exists()


@pytest.mark.parametrize("word", ["daemon-reload", "enable", "restart"])
def test_a_service_manager_that_fails_is_quoted(system: System, capsys: pytest.CaptureFixture[str], word: str) -> None:
    system.breaks(word)
    line = refused(capsys, install(), 1)
    assert f"systemctl {word}" in line
    assert "Job for it failed." in line
    if word != "daemon-reload":
        assert "journalctl -n 20 -u anyecg@bedroom.service" in line


def test_printing_and_another_root_need_neither_root_nor_systemd(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(place, "RUNNING", Path("/nowhere"))
    assert install("bedroom", "--print", "--root", str(tmp_path)) == 0
    out = capsys.readouterr().out
    assert "[Service]" in out
    assert 'source = "sim:?seed=3"' in out
    assert list(tmp_path.iterdir()) == []
    for _ in range(2):
        assert install("bedroom", "--root", str(tmp_path)) == 0
    there = Place(tmp_path, live=False)
    assert os.readlink(there.wanted("bedroom")) == "/etc/systemd/system/anyecg@.service"
    there.recordings("bedroom").mkdir(parents=True)
    capsys.readouterr()
    assert main(["service", "remove", "bedroom", "--root", str(tmp_path)]) == 0
    assert str(there.recordings("bedroom")) in capsys.readouterr().out
    assert there.recordings("bedroom").is_dir()
    assert not there.wanted("bedroom").is_symlink()
    assert not there.unit.exists()
    assert there.names() == []
    assert "there is no service" in refused(capsys, main(["service", "remove", "bedroom", "--root", str(tmp_path)]), 2)


def test_removing_keeps_recordings_options_and_what_was_changed_by_hand(
    system: System, capsys: pytest.CaptureFixture[str]
) -> None:
    install("bedroom")
    install("kitchen")
    there = Place(system.root)
    system.calls()
    assert main(["service", "remove", "kitchen"]) == 0
    assert system.calls() == ["disable --now anyecg@kitchen.service", "daemon-reload"]
    assert there.unit.exists(), "the other instance needs it"
    assert there.options("kitchen").with_name("kitchen.toml.removed").exists()
    there.unit.write_text("[Service]\n")
    capsys.readouterr()
    assert main(["service", "remove", "bedroom"]) == 0
    assert "was changed by hand and stays" in capsys.readouterr().out
    assert there.unit.exists()


@pytest.mark.parametrize(
    ("facts", "words", "code"),
    [
        (
            {
                "ActiveState": "active",
                "NRestarts": "2",
                "StatusText": "recording polar_h10: 72 bpm, 3,412 estimates",
                "ActiveEnterTimestamp": "Sun 2026-11-29 09:00:07 UTC",
            },
            """bedroom: running since Sun 2026-11-29 09:00:07 UTC, restarted 2 times
  recording polar_h10: 72 bpm, 3,412 estimates
""",
            0,
        ),
        (
            {"ActiveState": "activating", "SubState": "auto-restart", "Result": "exit-code", "ExecMainStatus": "7"},
            "ended (exit code 7: results cannot be written); systemd starts it again",
            1,
        ),
        ({"ActiveState": "activating", "SubState": "start"}, "bedroom: starting\n", 1),
        (
            {"ActiveState": "failed", "Result": "exit-code", "ExecMainStatus": "4", "UnitFileState": "enabled"},
            "stopped by an error (exit code 4: the bundle cannot be used) and not started again\n",
            1,
        ),
        ({"ActiveState": "failed", "Result": "watchdog", "UnitFileState": "enabled"}, "it hung", 1),
        ({"ActiveState": "failed", "Result": "oom-kill"}, "used too much memory", 1),
        ({"ActiveState": "failed", "Result": "signal", "ExecMainStatus": "9"}, "(signal, code 9)", 1),
        ({"ActiveState": "inactive", "UnitFileState": "disabled"}, "stopped; it does not start at boot\n", 1),
        ({"LoadState": "not-found", "ActiveState": "inactive"}, "not installed", 1),
        ({}, "stopped", 1),
    ],
)
def test_the_state_in_plain_words(
    system: System, capsys: pytest.CaptureFixture[str], facts: dict[str, str], words: str, code: int
) -> None:
    install()
    system.shows(**facts)
    capsys.readouterr()
    assert main(["service", "status"]) == code
    assert words in capsys.readouterr().out
    assert main(["service", "status", "bedroom"]) == code


def test_the_state_without_a_service(system: System, capsys: pytest.CaptureFixture[str]) -> None:
    assert "no service is installed" in refused(capsys, main(["service", "status"]), 2)
    system.breaks("show")
    assert "systemctl show" in refused(capsys, main(["service", "status", "bedroom"]), 1)


WARD = 'bundle = "demo"\nhop = 5.0\nkeep = "2GB"\nrecord = ""\n'


@pytest.mark.parametrize(
    ("tables", "what"),
    [
        ('[[patch]]\nname = "bed"\nsource = "sim:"\n[[patch]]\nsource = "serial:/dev/ttyACM0"\n', None),
        ('[[patch]]\nname = "a"\nsource = "sim:"\n[[patch]]\nname = "a"\nsource = "sim:?seed=2"\n', "have the name a"),
        ('[[patch]]\nsource = "replay:/x.csv"\n', "a service reads a patch, not a recording"),
        ('[[patch]]\nsource = "sim:"\nsession-dir = "x"\n', "its own folder for results (remove session-dir of sim)"),
        ('[[patch]]\nsource = "sim:"\nperson = "p.toml"\n', "'person' needs an absolute path"),
    ],
)
def test_a_station_is_checked_as_anyecg_run_does(system: System, tmp_path: Path, capsys, tables, what) -> None:
    config = tmp_path / "ward.toml"
    config.write_text(WARD + tables)
    code = install("ward", "--config", str(config), "--no-start", source=None)
    if what is None:
        assert code == 0
        assert Place(system.root).options("ward").read_text() == WARD + tables
        assert system.calls()[-1] == "enable anyecg@ward.service"
    else:
        assert what in refused(capsys, code, 2)
