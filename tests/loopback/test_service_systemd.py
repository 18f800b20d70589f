"""The service under a real systemd: a second one in namespaces of its own, with nothing else to start.

It sees this computer's files, with its own copies of /etc, /var and /run, so nothing outside changes.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SYSTEMD = Path("/lib/systemd/systemd")
TARGETS = ("sysinit", "basic", "multi-user", "shutdown", "time-sync")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        os.geteuid() != 0 or not SYSTEMD.exists() or shutil.which("unshare") is None,
        reason="needs root, systemd and unshare (Debian: systemd, util-linux)",
    ),
]

BOOT = """
set -e
mount --make-rprivate /
mount -t tmpfs tmpfs /run
mkdir -p /run/lock {work}/upper
mount -t tmpfs tmpfs {work}/upper
for folder in etc var; do
  mkdir {work}/upper/$folder {work}/upper/$folder.work
  mount -t overlay overlay -o lowerdir=/$folder,upperdir={work}/upper/$folder,workdir={work}/upper/$folder.work /$folder
done
# Only targets that do nothing, and the script: no service of this computer is started a second time.
mount -t tmpfs tmpfs /usr/lib/systemd/system
for target in {targets}; do printf '[Unit]\\nDefaultDependencies=no\\n' > /usr/lib/systemd/system/$target.target; done
ln -s multi-user.target /usr/lib/systemd/system/default.target
rm -rf /etc/systemd/system
mkdir -p /etc/systemd/system/multi-user.target.wants /etc/systemd/system/anyecg@.service.d
cp {work}/script.service /etc/systemd/system/
ln -s ../script.service /etc/systemd/system/multi-user.target.wants/
cp {work}/test.conf /etc/systemd/system/anyecg@.service.d/
exec env -i container=other PATH="$PATH" {systemd} --system --log-target=console
"""

SCRIPT = """
cd /
touch {work}/up
while [ ! -e {work}/over ]; do
  for file in {work}/*.sh; do
    [ -e "$file" ] || continue
    bash "$file" > "$file.out" 2>&1
    echo $? > "$file.code"
    mv "$file" "$file.done"
  done
  sleep 0.05
done
"""


class Inside:
    """A system that runs commands one after the other."""

    def __init__(self, work: Path) -> None:
        self.work = work
        self._count = 0

    def run(self, command: str) -> tuple[int, str]:
        self._count += 1
        script = self.work / f"{self._count}.sh"
        partial = script.with_suffix(".part")
        partial.write_text(f'export PYTHONPATH={ROOT}\nanyecg() {{ {sys.executable} -m edge.cli "$@"; }}\n{command}\n')
        partial.rename(script)
        end_s = time.monotonic() + 180.0
        while not Path(f"{script}.done").exists():
            assert time.monotonic() < end_s, f"no end of: {command}"
            time.sleep(0.05)
        return int(Path(f"{script}.code").read_text()), Path(f"{script}.out").read_text()

    def until(self, command: str, words: str) -> str:
        end_s = time.monotonic() + 180.0
        while True:
            _code, out = self.run(command)
            if words in out:
                return out
            assert time.monotonic() < end_s, f"{command} does not say {words!r}: {out}"


@pytest.fixture
def inside(tmp_path: Path) -> Iterator[Inside]:
    names = {"work": tmp_path, "targets": " ".join(TARGETS), "systemd": SYSTEMD}
    (tmp_path / "boot").write_text(BOOT.format(**names))
    (tmp_path / "script").write_text(SCRIPT.format(**names))
    (tmp_path / "script.service").write_text(f"[Service]\nType=exec\nExecStart=/bin/bash {tmp_path}/script\n")
    (tmp_path / "test.conf").write_text(
        f"[Service]\nEnvironment=PYTHONPATH={ROOT}\nStandardError=append:{tmp_path}/stderr\n"
    )
    own = ["--mount", "--pid", "--cgroup", "--uts", "--ipc", "--net", "--fork", "--kill-child", "--mount-proc"]
    with (tmp_path / "console").open("w") as console:
        system = subprocess.Popen(["unshare", *own, "bash", tmp_path / "boot"], stdout=console, stderr=console)
    try:
        end_s = time.monotonic() + 60.0
        while not (tmp_path / "up").exists():
            if system.poll() is not None or time.monotonic() > end_s:
                pytest.skip(f"systemd does not start in namespaces here: {(tmp_path / 'console').read_text()[-300:]}")
            time.sleep(0.05)
        yield Inside(tmp_path)
    finally:
        (tmp_path / "over").touch()
        system.kill()
        system.wait()


def test_a_service_from_installation_to_removal(inside: Inside) -> None:
    shutil.copytree(ROOT / "edge/bundles/demo", inside.work / "demo")
    copy = f"mkdir -p /etc/anyecg; cp -r {inside.work}/demo /etc/anyecg/bundle; chmod -R o+rX /etc/anyecg"
    options = 'source = "sim:?seed=3&speed=5"\nbundle = "/etc/anyecg/bundle"\nrecord = ""\n'
    code, out = inside.run(f"{copy}\ncat > /etc/anyecg/a.toml <<E\n{options}E\nanyecg service install a")
    assert (code, out.splitlines()[0]) == (0, "anyecg@a.service: enabled and restarted"), out
    out = inside.until("anyecg service status", "recording anyecg_patch: ")
    assert out.startswith("a: running since ")
    inside.until("systemctl show -p StatusText anyecg@a", " bpm, ")
    _code, out = inside.run(
        "stat -Lc '%a %U' /var/lib/anyecg/a /var/lib/anyecg/a/* /var/cache/private/anyecg/anyecg/proven/*"
    )
    assert out.split("\n")[:2] == ["700 anyecg", "700 anyecg"], "its folder and its session"
    assert out.split("\n")[2].endswith(" anyecg"), "the child that tries a new bundle ran, and its pass is remembered"
    code, out = inside.run("anyecg estimates /var/lib/anyecg/a/* | grep -o clock_synced | head -n 1")
    assert code == 0, "the kernel was asked about the clock, and the service lives"

    code, out = inside.run("anyecg service install a")
    assert "nothing has changed" in out
    inside.run("kill -9 $(systemctl show anyecg@a -p MainPID --value)")
    inside.until("anyecg service status a", "restarted once")

    code, out = inside.run(f"anyecg service install b --source serial:{inside.work}/absent")
    assert code == 0, out
    # PrivateTmp hides that file anyway; what counts is that the service waits and says so.
    out = inside.until("anyecg service status b", "waiting for ")
    assert "no such device" in out
    assert inside.run("anyecg service status")[0] == 0

    inside.run("echo 'source = \"nonsense\"' > /etc/anyecg/b.toml; systemctl restart anyecg@b")
    out = inside.until("anyecg service status b", "stopped by an error ")
    assert "exit code 2: an option is wrong" in out
    assert inside.run("anyecg service status")[0] == 1

    code, out = inside.run("anyecg service remove b && anyecg service remove a")
    assert code == 0, out
    assert "its recordings stay in /var/lib/anyecg/a" in out
    code, out = inside.run("ls /var/lib/anyecg/a/*/summary.json; systemctl is-active anyecg@a; ls /etc/systemd/system")
    assert "summary.json" in out, "it was asked to end and ended in order"
    assert "inactive" in out
    assert "anyecg@.service\n" not in out
    assert "Traceback" not in (inside.work / "stderr").read_text()
