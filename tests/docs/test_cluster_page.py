"""The commands of docs/cluster.md work with a queue that starts jobs at once, and a lost node ends all of them."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytest.importorskip("tensorflow", reason="the convert extra is not installed")
pytest.importorskip("tflite_micro", reason="the micro extra is not installed")

from edge.bundle.reader import load_bundle
from helpers.free_ports import ports
from helpers.tf_cluster import described

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "cluster.md").read_text()

MADE = ("by-dask", "by-workers")

SBATCH = """#!{python}
# What the recipe asks of SLURM: a job with two tasks on this machine.
import os, subprocess, sys
env = dict(os.environ, SLURM_JOB_NODELIST="this[1-1]", SLURM_NTASKS="2", SLURM_JOB_ID=str(os.getpid()))
sys.exit(subprocess.run(["bash", sys.argv[-1]], env=env).returncode)
"""
SRUN = """#!{python}
import os, subprocess, sys
tasks = [subprocess.Popen(sys.argv[2:], env=dict(os.environ, SLURM_PROCID=str(i)))
         for i in range(int(os.environ["SLURM_NTASKS"]))]
sys.exit(max(task.wait() for task in tasks))
"""
SCONTROL = """#!{python}
import sys
assert sys.argv[1:] == ["show", "hostnames", "this[1-1]"]
print("127.0.0.1")
"""


def blocks(kind: str) -> list[str]:
    return re.findall(rf"^```{kind}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


def stub(folder: Path, name: str, text: str) -> None:
    (folder / name).write_text(text.format(python=sys.executable))
    (folder / name).chmod(0o755)


def environment(folder: Path) -> dict[str, str]:
    return {**os.environ, "PATH": f"{folder}:{Path(sys.executable).parent}:{os.environ['PATH']}"}


@pytest.mark.parametrize(("hosts", "tasks", "mine"), [(["n1", "n2", "n7"], 3, 2), (["n1", "n2"], 4, 3)])
def test_tf_config_is_made_from_the_variables_of_slurm(tmp_path, hosts, tasks, mine):
    stub(tmp_path, "scontrol", "#!{python}\nprint('" + "\\n".join(hosts) + "')\n")
    env = environment(tmp_path) | {
        "SLURM_JOB_NODELIST": "n[1-7]", "SLURM_NTASKS": str(tasks), "SLURM_JOB_ID": "41234", "SLURM_PROCID": str(mine),
    }  # fmt: skip
    done = subprocess.run([sys.executable, "-c", blocks("python")[0]], env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["task"] == {"type": "worker", "index": mine}
    listed = found["cluster"]["worker"]
    each = tasks // len(hosts)
    assert listed == [f"{host}:{21234 + i}" for host in hosts for i in range(each)]
    assert listed[mine].startswith(f"{hosts[mine // each]}:")


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_page_matches_the_code(tmp_path):
    for name, text in (("sbatch", SBATCH), ("srun", SRUN), ("scontrol", SCONTROL)):
        stub(tmp_path, name, text)
    (tmp_path / "slurm_tf_config.py").write_text(blocks("python")[0])
    (tmp_path / "train.sbatch").write_text(blocks("bash")[0])
    for number, script in enumerate(blocks("sh")):
        log = tmp_path / f"log-{number}"
        with log.open("w") as file:
            argv = ["bash", "-c", script]
            done = subprocess.run(argv, cwd=tmp_path, env=environment(tmp_path), timeout=400, stdout=file, stderr=file)
        assert done.returncode in (0, 143), log.read_text()
    by_dask, by_workers = (load_bundle(tmp_path / name) for name in MADE)
    assert len(by_dask.model) == len(by_workers.model)
    labels = [
        {p.name: p.read_bytes() for p in (tmp_path / f"{n}.work").glob("labels*")} for n in ("by-dask", "by-workers")
    ]
    assert labels[0] == labels[1]

    # A worker dies during the run: the other one ends with one line, and all of them resume when they are restarted.
    argv = re.search(r"exec (anyecg.*?)'", blocks("bash")[0], re.DOTALL)
    assert argv is not None
    command = (
        argv[1].replace("\\\n", " ").replace("--float-epochs 2", "--float-epochs 40").replace("by-workers", "killed")
    )

    def both() -> list[subprocess.Popen[str]]:
        numbers = ports(2)
        return [
            subprocess.Popen(
                ["bash", "-c", f"exec {command}"], cwd=tmp_path, text=True, stdout=subprocess.PIPE,
                stderr=subprocess.PIPE, env=environment(tmp_path) | {"TF_CONFIG": described(i, numbers)},
            )
            for i in (0, 1)
        ]  # fmt: skip

    chief, other = both()
    deadline = time.monotonic() + 200
    while not list(tmp_path.glob("killed.work/*.npz")) and chief.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    other.send_signal(signal.SIGKILL)
    other.communicate()
    _, err = chief.communicate(timeout=200)
    assert chief.returncode == 5, err
    assert [line for line in err.splitlines() if line.startswith("anyecg:")] == [
        "anyecg: another worker is gone (restart all workers: training resumes from its last state)"
    ]
    # TensorFlow may print its own messages first; the last line must be clear to a user.
    assert err.strip().splitlines()[-1].startswith("anyecg:"), err
    assert "Traceback" not in err
    assert not (tmp_path / "killed").exists()
    for process in both():
        _, err = process.communicate(timeout=400)
        assert process.returncode == 0, err
    load_bundle(tmp_path / "killed")
