"""Installed bundles: whatever happens and whenever the process ends, the current one is whole and has passed."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest

from edge.bundle.files import MANIFEST
from edge.bundle.install import CURRENT, go_back, install_bundle
from edge.bundle.reader import Bundle, demo_bundle_path, load_bundle
from edge.cli.main import main
from firmware_bridge.errors import BundleError, OutputError
from helpers.edited_bundles import edit, rehash, zipped

FILES_LEFT = {"MODEL_CARD.md", "calibration.json", "golden.npz", "model.tflite"}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("CACHE_DIRECTORY", raising=False)


def good(bundle: Bundle) -> None:
    """A test that every bundle passes."""


def make_bundle(folder: Path, version: str) -> Path:
    """A small bundle of a version: without reports, so that a test of every step is quick."""
    shutil.copytree(demo_bundle_path(), folder)
    for name in ("micro", "validation"):
        shutil.rmtree(folder / name)
    edit(folder, lambda m: m.update(version=version, files={k: v for k, v in m["files"].items() if k in FILES_LEFT}))
    return folder


@pytest.fixture
def bundles(tmp_path: Path) -> list[Path]:
    return [make_bundle(tmp_path / f"b{i}", f"{i}.0") for i in range(4)]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "installed"


def install(path: Path, root: Path) -> None:
    install_bundle(load_bundle(path), root, good)


def current(root: Path) -> str:
    return load_bundle(root / CURRENT).manifest.version


def versions(root: Path) -> set[str]:
    return {load_bundle(path / "bundle").manifest.version for path in (root / "versions").iterdir()}


def failing(after: int):  # type: ignore[no-untyped-def]
    """A test that fails from the given call on."""
    calls = 0

    def check(bundle: Bundle) -> None:
        nonlocal calls
        calls += 1
        if calls > after:
            raise BundleError("self-test: it failed", "")

    return check


def test_the_new_one_is_current_and_the_last_one_is_kept(bundles: list[Path], root: Path) -> None:
    for i, path in enumerate(bundles):
        install(path, root)
        assert current(root) == f"{i}.0"
        assert versions(root) == {f"{j}.0" for j in (i - 1, i) if j >= 0}
    done = go_back(root, good)
    assert (done.changed, done.bundle.manifest.version, current(root)) == (True, "2.0", "2.0")
    with pytest.raises(BundleError, match="keeps no earlier bundle"):
        go_back(root, good)
    assert current(root) == "2.0"


def test_files_equal_those_of_a_zip(bundles: list[Path], root: Path, tmp_path: Path) -> None:
    install(zipped(bundles[0], tmp_path / "b.zip", "top/"), root)
    found, wanted = root / CURRENT, bundles[0]
    assert {p.name: p.read_bytes() for p in found.iterdir()} == {p.name: p.read_bytes() for p in wanted.iterdir()}


def test_the_same_bundle_is_installed_once(bundles: list[Path], root: Path) -> None:
    install(bundles[0], root)
    install(bundles[1], root)
    done = install_bundle(load_bundle(bundles[1]), root, failing(0))
    assert (done.changed, done.kept is not None) == (False, True)
    assert versions(root) == {"0.0", "1.0"}


@pytest.mark.parametrize("passed", [0, 1], ids=["before the switch", "after the switch"])
def test_a_failed_test_leaves_the_last_good_one(passed: int, bundles: list[Path], root: Path) -> None:
    for path in bundles[:2]:
        install(path, root)
    with pytest.raises(BundleError, match="it failed"):
        install_bundle(load_bundle(bundles[2]), root, failing(passed))
    assert current(root) == "1.0"
    assert versions(root) == {"0.0", "1.0"}
    assert go_back(root, good).bundle.manifest.version == "0.0"


@pytest.mark.parametrize("passed", [0, 1])
def test_a_failed_first_installation_leaves_no_current_one(passed: int, bundles: list[Path], root: Path) -> None:
    with pytest.raises(BundleError):
        install_bundle(load_bundle(bundles[0]), root, failing(passed))
    assert not os.path.lexists(root / CURRENT)
    install(bundles[1], root)
    assert versions(root) == {"1.0"}


def test_an_interruption_after_the_switch_goes_back(bundles: list[Path], root: Path) -> None:
    install(bundles[0], root)
    calls = []

    def check(bundle: Bundle) -> None:
        calls.append(current(root))
        if len(calls) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        install_bundle(load_bundle(bundles[1]), root, check)
    assert calls == ["0.0", "1.0"]
    assert current(root) == "0.0"


def test_a_damaged_current_one_is_not_the_last_good_one(bundles: list[Path], root: Path) -> None:
    for path in bundles[:2]:
        install(path, root)
    (root / CURRENT / "model.tflite").write_bytes(b"damaged")
    install(bundles[2], root)
    assert current(root) == "2.0"
    assert go_back(root, good).bundle.manifest.version == "0.0"


def test_a_damaged_current_one_is_installed_again(bundles: list[Path], root: Path) -> None:
    install(bundles[0], root)
    (root / CURRENT / "model.tflite").write_bytes(b"damaged")
    install(bundles[0], root)
    assert current(root) == "0.0"


def test_going_back_to_a_bundle_that_fails_changes_nothing(bundles: list[Path], root: Path) -> None:
    for path in bundles[:2]:
        install(path, root)
    with pytest.raises(BundleError):
        go_back(root, failing(0))
    assert current(root) == "1.0"


def test_a_second_installation_at_once_is_refused(bundles: list[Path], root: Path) -> None:
    install(bundles[0], root)
    with (root / ".lock").open("rb+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(OutputError, match="another installation"):
            install(bundles[1], root)


@pytest.mark.parametrize("kind", ["file", "folder", "link"])
def test_what_an_installation_has_not_made_stays(kind: str, bundles: list[Path], root: Path) -> None:
    root.mkdir()
    (root / "versions" / "mine").mkdir(parents=True)
    (root / "staging-mine").mkdir()
    if kind == "file":
        (root / CURRENT).write_text("mine")
    elif kind == "folder":
        (root / CURRENT).mkdir()
    else:
        (root / CURRENT).symlink_to(bundles[3])
    with pytest.raises(OutputError, match="not a link of an installation"):
        install(bundles[0], root)
    shutil.rmtree(root / CURRENT) if kind == "folder" else (root / CURRENT).unlink()
    for path in bundles:
        install(path, root)
    assert (root / "versions" / "mine").is_dir()
    assert (root / "staging-mine").is_dir()


def lying_zip(folder: Path, target: Path, name: str) -> Path:
    """A zip whose manifest lists a further file; a common top folder hides an absolute path from a simple check."""
    (folder / "x").write_bytes(b"x")
    rehash(folder, "x")
    edit(folder, lambda m: m["files"].update({name: m["files"].pop("x")}))
    with zipfile.ZipFile(target, "w") as z:
        for path in folder.iterdir():
            z.write(path, "top/" + (name if path.name == "x" else path.name))
    return target


@pytest.mark.parametrize("name", ["/{}/escaped", "./y", "a//b", "model.tflite/y"])
def test_no_name_in_a_zip_leaves_the_folder(name: str, bundles: list[Path], root: Path, tmp_path: Path) -> None:
    install(bundles[1], root)
    path = lying_zip(bundles[0], tmp_path / "l.zip", name.format(str(tmp_path)[1:]))
    with pytest.raises(BundleError):
        install(path, root)
    assert not (tmp_path / "escaped").exists()
    assert current(root) == "1.0"
    assert {p.name for p in root.iterdir()} == {CURRENT, "versions", ".lock"}


def test_a_source_that_changes_is_refused(bundles: list[Path], root: Path) -> None:
    source = load_bundle(bundles[0])
    edit(bundles[0], lambda m: m.update(version="7.7"))
    with pytest.raises(BundleError, match="changed while it was copied"):
        install_bundle(source, root, good)


def test_no_place_is_one_line(bundles: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    assert main(["bundle", "install", str(bundles[0]), "--to", str(tmp_path / "file")]) == 7
    assert len(capsys.readouterr().err.splitlines()) == 1


CHANGES = {"os.mkdir", "os.rename", "os.symlink", "os.remove", "os.rmdir", "os.link", "shutil.rmtree"}
"""Audit events of Python that change a folder; a file that is opened for writing counts too."""


def killed_at(step: int, source: Bundle, root: Path) -> bool:
    """Install in a child process that is killed just before its nth change to the disk; false if it had fewer."""
    child = os.fork()
    if child == 0:
        left = step

        def watch(event: str, arguments: tuple) -> None:  # type: ignore[type-arg]
            nonlocal left
            writes = event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR)
            if event in CHANGES or writes:
                left -= 1
                if left < 0:
                    os.kill(os.getpid(), signal.SIGKILL)

        try:
            sys.addaudithook(watch)
            install_bundle(source, root, good)
        except BaseException:
            os._exit(1)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signal.SIGKILL
        return True
    assert os.WEXITSTATUS(status) == 0
    return False


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
@pytest.mark.parametrize(
    "earlier", [pytest.param(0, marks=pytest.mark.slow), 1, pytest.param(2, marks=pytest.mark.slow)]
)
def test_killed_at_every_step_the_current_one_is_whole(earlier: int, bundles: list[Path], tmp_path: Path) -> None:
    """No step leaves anything but the old or the new bundle, and the next installation clears up."""
    source, after = load_bundle(bundles[earlier]), load_bundle(bundles[3])
    seen, step = [], 0
    while True:
        root = tmp_path / f"root{step}"
        for path in bundles[:earlier]:
            install(path, root)
        killed = killed_at(step, source, root)
        linked = os.path.lexists(root / CURRENT)
        assert linked or earlier == 0
        seen.append(current(root) if linked else "none")
        if seen[-1] == f"{earlier}.0" and earlier:
            # Once the new one is current, the last good one is what it goes back to.
            notes = (root / CURRENT).resolve().parent / "previous"
            kept = root / "versions" / notes.read_text() / "bundle"
            assert load_bundle(kept).manifest.version == f"{earlier - 1}.0"
        install_bundle(after, root, good)
        assert current(root) == "3.0"
        assert {p.name for p in root.iterdir()} == {CURRENT, "versions", ".lock"}
        assert versions(root) <= {"3.0", seen[-1]}
        if not killed:
            break
        step += 1
    old = f"{earlier - 1}.0" if earlier else "none"
    assert step > 10
    assert seen == sorted(seen, key=[old, f"{earlier}.0"].index), seen
    assert set(seen) == {old, f"{earlier}.0"}


@pytest.mark.slow
def test_the_command_killed_at_any_time_leaves_a_whole_bundle(bundles: list[Path], root: Path) -> None:
    install(bundles[0], root)
    command = [sys.executable, "-m", "edge.cli", "bundle", "install", str(bundles[1]), "--to", str(root)]
    outcomes = set()
    for i in range(60):
        child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(0.025 * i)
        child.kill()
        child.wait()
        outcomes.add(current(root))
        install(bundles[0], root)
    assert outcomes == {"0.0", "1.0"}


def test_every_step_writes_the_manifest_and_turns_the_link(bundles: list[Path], root: Path) -> None:
    """The events that the test above counts are those of an installation."""
    seen: list[str] = []
    active = True

    def watch(event: str, arguments: tuple) -> None:  # type: ignore[type-arg]
        if active and (event in CHANGES or event == "open"):
            seen.append(f"{event} {Path(str(arguments[0])).name}")

    sys.addaudithook(watch)
    try:
        install(bundles[0], root)
    finally:
        active = False
    for wanted in (f"open {MANIFEST}", "os.symlink bundle", "os.rename .link"):
        assert wanted in seen


def test_the_command_installs_tests_and_goes_back(bundles: list[Path], root: Path, capsys) -> None:
    assert main(["bundle", "install", str(bundles[0]), "--to", str(root)]) == 0
    assert main(["bundle", "install", "demo", "--to", str(root)]) == 0
    out = capsys.readouterr().out
    assert "unsigned" in out
    assert "kept: '--back' returns to" in out
    assert main(["bundle", "verify", str(root / CURRENT)]) == 0
    assert main(["bundle", "install", "--back", "--to", str(root)]) == 0
    assert current(root) == "0.0"
    run = ["run", "--source", "sim:", "--speed", "max", "--seconds", "14", "--view", "none"]
    assert main([*run, "--bundle", str(root / CURRENT)]) == 0


def test_the_command_keeps_the_good_one_when_the_self_test_fails(bundles: list[Path], root: Path, capsys) -> None:
    """A model whose outputs are not the golden ones, with hashes that are right."""
    assert main(["bundle", "install", str(bundles[0]), "--to", str(root)]) == 0
    model = bytearray((bundles[1] / "model.tflite").read_bytes())
    for at in range(len(model) // 2, len(model) // 2 + 4000):
        model[at] ^= 0x55
    (bundles[1] / "model.tflite").write_bytes(model)
    rehash(bundles[1], "model.tflite")
    assert main(["bundle", "install", str(bundles[1]), "--to", str(root)]) == 4
    assert len(capsys.readouterr().err.splitlines()) == 1
    assert (current(root), versions(root)) == ("0.0", {"0.0"})


@pytest.mark.parametrize(
    ("arguments", "code"),
    [([], 2), (["--back", "demo"], 2), (["--back"], 4), (["demo", "--trusted", "none.pub"], 2)],
)
def test_wrong_use_is_one_line_and_writes_nothing(arguments: list[str], code: int, root: Path, capsys) -> None:
    assert main(["bundle", "install", "--to", str(root), *arguments]) == code
    assert len(capsys.readouterr().err.splitlines()) == 1
    assert not root.exists()


def test_an_untrusted_bundle_is_refused_before_anything_is_written(root: Path, tmp_path: Path, capsys) -> None:
    (tmp_path / "k.pub").write_text(f"anyecg-ed25519 {'A' * 43}= nobody\n")
    assert main(["bundle", "install", "demo", "--to", str(root), "--trusted", str(tmp_path / "k.pub")]) == 4
    assert "is unsigned" in capsys.readouterr().err
    assert not root.exists()
