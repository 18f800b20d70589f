"""`anyecg prepare` in long runs: killed processes, a cluster that loses a worker, and memory."""

from __future__ import annotations

import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from convert.datasets.prepared import PreparedDataset
from convert.simulate.write import CohortPlan, write_cohort
from helpers.local_cluster import cluster

pytestmark = pytest.mark.slow

LABELS = "[heads]\nmin_values = 10\nmin_positives = 2\n"


def command(cohort: Path, out: Path, *more: str) -> list[str]:
    labels = cohort.parent / "labels.toml"
    labels.write_text(LABELS)
    argv = ["prepare", "--mcmed", str(cohort), "--labels", str(labels), "--out", str(out), "--quiet", *more]
    return [sys.executable, "-m", "edge.cli", *argv]


def files_of(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.fixture(scope="module")
def cohort(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("cohort") / "c"
    write_cohort(CohortPlan(patients=120, seed=21, seconds=60.0, dirt=True), root)
    return root


@pytest.fixture(scope="module")
def wanted(cohort, tmp_path_factory) -> dict[str, bytes]:
    out = tmp_path_factory.mktemp("wanted") / "p"
    subprocess.run(command(cohort, out), check=True, timeout=300, capture_output=True)
    return files_of(out)


def test_kills_at_random_moments_change_no_byte(cohort, wanted, tmp_path):
    out, rng, kills = tmp_path / "p", random.Random(5), 0
    # Wait until the run has started, so that not every kill hits the start of the interpreter.
    for _ in range(12):
        process = subprocess.Popen(command(cohort, out, "--scheduler", rng.choice(["none", "threads:2"])),
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # fmt: skip
        deadline = time.monotonic() + 120
        while not (out / "prepare.json").exists() and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(rng.uniform(0.0, 0.6))
        process.kill()
        kills += process.wait() == -signal.SIGKILL
    subprocess.run(command(cohort, out), check=True, timeout=300, capture_output=True)
    assert kills >= 3
    assert files_of(out) == wanted


def test_a_worker_that_dies_loses_and_doubles_nothing(cohort, wanted, tmp_path):
    out = tmp_path / "p"
    # The paths are relative to this folder, and the workers have another working directory.
    argv = command(cohort, Path(os.path.relpath(out, cohort.parent)), "--scheduler")
    argv[argv.index("--mcmed") + 1] = cohort.name
    with cluster(tmp_path, 2) as (address, workers, _):
        run = subprocess.Popen([*argv, address], stderr=subprocess.PIPE, text=True, cwd=cohort.parent)
        deadline = time.monotonic() + 120
        while len(list((out / "shards").glob("*.json"))) < 4 and run.poll() is None and time.monotonic() < deadline:
            time.sleep(0.005)
        running = run.poll() is None or (run.returncode, run.communicate()[1])
        workers[0].kill()
        _, err = run.communicate(timeout=300)
        assert running is True, "the run ended before the worker was killed"
        assert run.returncode == 0, err
    assert files_of(out) == wanted
    PreparedDataset(out).verify()


def test_memory_does_not_grow_with_the_data(tmp_path):
    """Peak memory is the same for ten and for three hundred patients, with shards of the same size."""
    # Not getrusage: a child process inherits the peak of its parent.
    code = (
        "import sys; from edge.process import budget; from edge.cli.main import main; rc = main(sys.argv[1:]);"
        "print('peak', budget.peak_rss_mib()); sys.exit(rc)"
    )
    peak_mib = []
    for patients in (10, 300):
        root = tmp_path / f"c{patients}"
        write_cohort(CohortPlan(patients=patients, seed=4, seconds=60.0, dirt=True), root)
        argv = command(root, tmp_path / f"p{patients}")[3:]
        done = subprocess.run([sys.executable, "-c", code, *argv], capture_output=True, text=True, timeout=600)
        assert done.returncode == 0, done.stderr
        peak_mib.append(float(done.stdout.split("peak")[-1]))
    assert peak_mib[1] - peak_mib[0] < 15_000 / 1024, peak_mib


@pytest.mark.alone
def test_the_benchmark_holds():
    script = Path(__file__).resolve().parents[4] / "benchmarks" / "bench_prepare.py"
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr


SBATCH = """#!{python}
# The part of SLURM that the recipe needs: start a job and print its number.
import subprocess, sys
job = subprocess.Popen(["bash", sys.argv[-1]], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                       stderr=subprocess.DEVNULL, start_new_session=True)
print("Submitted batch job", job.pid)
"""
SCANCEL = """#!{python}
import contextlib, os, signal, sys
for job in sys.argv[1:]:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(int(job), signal.SIGTERM)
"""


def test_the_slurm_page_matches_the_code(cohort, wanted, tmp_path):
    """The script and the commands of the page work with a queue that starts every job at once."""
    pytest.importorskip("dask_jobqueue", reason="dask-jobqueue is not installed")
    page = (Path(__file__).resolve().parents[4] / "docs" / "prepare-slurm.md").read_text()
    program = re.search(r"```python\n(.*?)```", page, re.DOTALL)
    script = re.search(r"```sh\n(.*?)```", page, re.DOTALL)
    assert program is not None
    assert script is not None
    (tmp_path / "slurm_cluster.py").write_text(program[1])
    (tmp_path / "labels.toml").write_text(LABELS)
    (tmp_path / "cohort").symlink_to(cohort)
    for name, text in (("sbatch", SBATCH), ("scancel", SCANCEL)):
        (tmp_path / name).write_text(text.format(python=sys.executable))
        (tmp_path / name).chmod(0o755)
    env = {**os.environ, "PATH": f"{tmp_path}:{Path(sys.executable).parent}:{os.environ['PATH']}"}
    with (tmp_path / "log").open("w") as log:
        done = subprocess.run(["bash", "-c", script[1]], cwd=tmp_path, env=env, timeout=300, stdout=log, stderr=log)
    assert done.returncode in (0, 143), (tmp_path / "log").read_text()
    assert files_of(tmp_path / "prepared") == wanted
