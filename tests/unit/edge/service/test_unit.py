"""The unit: what it promises, how much it may do as systemd itself judges it, and who changed it last."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from edge.service import unit
from edge.service.unit import GROUPS, need_visible, render, seal, sealed
from firmware_bridge.errors import UsageError

ROOT = Path(__file__).resolve().parents[4]
OPT = Path("/opt/anyecg/bin/python")
HOME = Path("/home/pi/.venv/bin/python")
EXPOSURE_MAX = 2.0
"""Highest exposure that ``systemd-analyze security`` may find, of 10."""

needs_analyze = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="no systemd-analyze here (Debian: systemd)"
)


def keys(text: str) -> dict[str, list[str]]:
    """Keys of a unit, each with all its values."""
    found: dict[str, list[str]] = {}
    for line in text.replace("\\\n", " ").splitlines():
        if line and line[0] not in "#[":
            key, _equals, value = line.partition("=")
            found.setdefault(key, []).append(value.strip())
    return found


def test_it_restarts_after_any_end_and_limits_its_access() -> None:
    found = keys(render(OPT))
    assert found["Restart"] == ["always"]
    assert found["StartLimitIntervalSec"] == ["0"]
    assert found["Type"] == ["notify"]
    assert int(found["WatchdogSec"][0]) >= 15
    assert found["SuccessExitStatus"] == ["143"]
    assert found["OOMPolicy"] == ["continue"]
    for key in ("DynamicUser", "NoNewPrivileges", "PrivateTmp", "ProtectHome", "ProtectKernelModules"):
        assert found[key] == ["yes"]
    assert found["ProtectSystem"] == ["strict"]
    assert found["CapabilityBoundingSet"] == [""]
    assert set(found["SupplementaryGroups"][0].split()) == set(GROUPS) == {"dialout", "bluetooth"}
    assert (found["StateDirectory"], found["StateDirectoryMode"]) == (["anyecg/%i"], ["0700"])
    assert found["CacheDirectory"] == ["anyecg"]
    documented = set(re.findall(r"^\| (\d+) \|", (ROOT / "docs/exit-codes.md").read_text(), re.MULTILINE))
    assert set(found["RestartPreventExitStatus"][0].split()) <= documented
    # A device that cannot be opened or a recording that cannot be written may be temporary.
    assert not {"5", "7", "70", "1"} & set(found["RestartPreventExitStatus"][0].split())


def test_a_refused_call_is_an_error_and_does_not_end_the_run() -> None:
    """The kernel is asked whether the clock is synchronised; killing for a call would restart the service endlessly."""
    found = keys(render(OPT))
    assert found["SystemCallErrorNumber"] == ["EPERM"]
    assert found["SystemCallFilter"][-1].split() == ["adjtimex", "clock_adjtime", "clock_adjtime64"]
    assert "ProtectClock" not in found


def test_all_instances_share_what_they_must_and_nothing_else() -> None:
    found = keys(render(OPT))
    assert found["User"] == ["anyecg"], "one user, so that the lock on the Bluetooth adapter works between them"
    assert found["RuntimeDirectory"] == ["anyecg"]
    assert found["RuntimeDirectoryPreserve"] == ["yes"], "the end of one instance must not take the others' folder"
    assert "%i" in found["StateDirectory"][0]
    assert "/etc/anyecg/%i.toml" in found["ExecStart"][0]


@needs_analyze
@pytest.mark.parametrize("python", [OPT, HOME], ids=["opt", "home"])
def test_systemd_understands_it_and_finds_it_little_exposed(python: Path, tmp_path: Path) -> None:
    path = tmp_path / "anyecg@.service"
    path.write_text(render(python))
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(path)], capture_output=True, text=True, timeout=120
    )
    # The only complaint is that nothing is installed there.
    complaints = [line for line in done.stderr.splitlines() if "anyecg" in line and "is not executable" not in line]
    assert complaints == []
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", str(path)], capture_output=True, text=True, timeout=120
    )
    found = re.search(r"Overall exposure level for .*: ([\d.]+)", done.stdout)
    assert found is not None, done.stdout + done.stderr
    assert float(found[1]) <= EXPOSURE_MAX


def test_an_installation_in_a_home_stays_visible() -> None:
    found = keys(render(HOME))
    assert found["ProtectHome"] == ["tmpfs"]
    assert found["BindReadOnlyPaths"] == ["/home/pi/.venv"]
    assert "/home/pi/.venv/bin/python -P -m edge.cli run" in found["ExecStart"][0]
    assert "BindReadOnlyPaths" not in keys(render(OPT))


def test_the_sources_of_an_editable_installation_stay_visible(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unit, "_HOMES", (str(tmp_path),))
    monkeypatch.setattr(sys, "executable", str(tmp_path / "venv/bin/python"))
    monkeypatch.setattr(sys, "prefix", str(tmp_path / "venv"))
    monkeypatch.setattr(sys, "base_prefix", "/usr")
    monkeypatch.setattr(unit, "__file__", str(tmp_path / "source/edge/service/unit.py"))
    assert keys(render())["BindReadOnlyPaths"] == [str(tmp_path / "source"), str(tmp_path / "venv")]
    inside = tmp_path / "venv/lib/python3.13/site-packages/edge/service/unit.py"
    monkeypatch.setattr(unit, "__file__", str(inside))
    assert keys(render())["BindReadOnlyPaths"] == [str(tmp_path / "venv")]


def test_an_installation_among_temporary_files_is_refused(tmp_path: Path) -> None:
    for python in ("/tmp/venv/bin/python", "/var/tmp/venv/bin/python"):
        with pytest.raises(UsageError, match=r"/tmp/venv, which no service can see \(install it in /opt/anyecg\)"):
            need_visible(Path(python))
    link = tmp_path / "link"
    link.symlink_to("/tmp/venv")
    with pytest.raises(UsageError, match="no service can see"):
        need_visible(link / "bin/python")
    for python in (OPT, HOME):
        need_visible(python)


def test_the_command_of_the_installation_is_used(tmp_path: Path) -> None:
    (tmp_path / "anyecg").touch()
    assert f"exec {tmp_path}/anyecg run " in keys(render(tmp_path / "python"))["ExecStart"][0]


@pytest.mark.parametrize("folder", ["my programs", "50%", "a'b", "a$b", "a\nExecStartPre=x"])
def test_a_path_that_systemd_or_the_shell_would_read_otherwise_is_refused(folder: str) -> None:
    with pytest.raises(UsageError, match="characters that a unit cannot hold"):
        render(Path("/opt") / folder / "bin/python")


def test_every_place_in_the_template_is_filled() -> None:
    for python in (OPT, HOME):
        assert not re.search(r"@[A-Z]+@", render(python))


def test_the_seal_tells_a_change_by_hand() -> None:
    text = render(OPT)
    assert sealed(text)
    assert sealed(seal("of another version\n"))
    assert not sealed(text.replace("RestartSec=5", "RestartSec=50"))
    assert not sealed(text + "\n[Service]\nUser=root\n")
    assert not sealed("[Service]\nExecStart=/bin/true\n")
    assert not sealed("")


def test_there_is_one_unit_in_the_project() -> None:
    """Pages and packages name the command that writes it; a second copy would disagree with it one day."""
    pages = [*(ROOT / "docs").glob("*.md"), ROOT / "README.md", ROOT / "SECURITY.md"]
    for page in pages:
        assert not re.search(r"^(ExecStart|\[Service\])", page.read_text(), re.MULTILINE), page
    assert [p.name for p in ROOT.glob("packaging/*.service")] == []
