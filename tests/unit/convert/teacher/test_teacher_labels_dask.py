"""Labelling with Dask: threads, processes, and a cluster that loses a worker or its scheduler."""

from __future__ import annotations

import os
import pickle
import sys
import threading
import time
from pathlib import Path

import pytest

pytest.importorskip("tensorflow", reason="the convert extra is not installed")
pytest.importorskip("dask", reason="the cluster extra is not installed")

from convert.checkpoint.net1d import Net1D
from convert.cli.distil import main
from convert.datasets.pairs import find_recordings
from convert.teacher import share as teacher_share
from convert.teacher import soft_labels as teacher_labels
from convert.teacher.open import LiteRtTeacher, float_model
from convert.teacher.share import SharedTeacher, share, teacher_of
from convert.teacher.soft_labels import Crew, WindowPlan, label
from firmware_bridge.errors import InputError, LinkError, MissingExtraError, UsageError
from helpers.local_cluster import cluster
from helpers.moments_teacher import HEADS, MomentsTeacher, write_folder

PLAN = WindowPlan(2.0, 4)


@pytest.fixture(scope="module")
def teacher() -> LiteRtTeacher:
    net = Net1D(1, 8, 1.0, (8, 16), (1, 1), 16, 2, 8, len(HEADS))
    return LiteRtTeacher(float_model(net.with_length(5000)), "small", "5" * 64, HEADS)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_folder(tmp_path_factory.mktemp("records") / "data", 10)


@pytest.fixture(scope="module")
def wanted(folder, teacher, tmp_path_factory) -> dict[str, bytes]:
    out = tmp_path_factory.mktemp("wanted")
    label(out, find_recordings(folder), teacher, PLAN, None)
    return labels_of(out)


def labels_of(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in folder.iterdir() if p.name.startswith((".labels", "labels"))}


@pytest.mark.parametrize("scheduler", ["none", "threads:2", "processes:2"])
def test_every_scheduler_gives_the_same_bytes(folder, teacher, wanted, tmp_path, scheduler, monkeypatch):
    monkeypatch.chdir(folder.parent)
    work = Path(os.path.relpath(tmp_path / "w"))
    label(work, find_recordings(Path(folder.name)), teacher, PLAN, None, Crew(scheduler, tmp_path / "shared"))
    assert len(wanted) == 4
    assert labels_of(tmp_path / "w") == wanted
    kept = list((tmp_path / "shared").glob("*"))
    assert [p.name for p in kept] == ([] if scheduler == "none" else ["teacher-5555555555555555.tflite"])


def test_a_teacher_of_another_class_is_shared_as_it_is(folder, tmp_path):
    recordings = find_recordings(folder)
    label(tmp_path / "a", recordings, MomentsTeacher(), PLAN, None)
    label(tmp_path / "b", recordings, MomentsTeacher(), PLAN, None, Crew("threads:2"))
    assert labels_of(tmp_path / "a") == labels_of(tmp_path / "b")


def test_a_job_carries_the_path_of_the_teacher_and_a_thread_opens_it_once(teacher, tmp_path, monkeypatch):
    given = share(teacher, tmp_path)
    assert isinstance(given, SharedTeacher)
    assert len(pickle.dumps(given)) < 2000 < len(teacher.given[0])
    opened = []

    def counted(*args):
        opened.append(threading.get_ident())
        return LiteRtTeacher(*args)

    monkeypatch.setattr(teacher_share, "LiteRtTeacher", counted)
    first = teacher_of(given)
    assert teacher_of(pickle.loads(pickle.dumps(given))) is first
    other = threading.Thread(target=lambda: [teacher_of(given) for _ in range(3)])
    other.start()
    other.join()
    assert len(opened) == len(set(opened)) == 2
    # The file belongs to another teacher or is damaged: it is written again, and no worker uses the wrong model.
    given.path.write_bytes(given.path.read_bytes()[:-1])
    teacher_share._model.cache_clear()
    with pytest.raises(InputError, match="does not find the teacher"):
        teacher_of(SharedTeacher(given.path, "0" * 64, given.rest))
    monkeypatch.undo()
    assert share(teacher, tmp_path) == given
    assert teacher_of(given) is first


def test_the_run_waits_for_a_shard_that_appears_late(folder, teacher, wanted, tmp_path, monkeypatch):
    """As on NFS: another machine has made the shard, and it is not visible yet."""
    monkeypatch.setattr(teacher_labels, "LOOK_S", 0.05)

    def late(jobs, scheduler, make):
        for job in jobs:
            number, path, *rest = job
            hidden = path.with_suffix(".elsewhere")
            make((number, hidden, *rest))
            threading.Timer(0.3, hidden.replace, (path,)).start()
            yield number

    monkeypatch.setattr(teacher_labels, "run_jobs", late)
    label(tmp_path, find_recordings(folder), teacher, PLAN, None, Crew("tcp://somewhere:1"))
    assert labels_of(tmp_path) == wanted


def test_what_a_killed_worker_was_writing_is_removed(folder, teacher, wanted, tmp_path, monkeypatch):
    """The scheduler gives the shard of a worker that dies to another one, which does not know of the part."""

    def dying(jobs, scheduler, make):
        for job in jobs:
            job[1].with_name(f".{job[1].name}.0123456789abcdef.part").write_bytes(b"half a shard")
            yield make(job)

    monkeypatch.setattr(teacher_labels, "run_jobs", dying)
    label(tmp_path, find_recordings(folder), teacher, PLAN, None, Crew("tcp://somewhere:1"))
    assert labels_of(tmp_path) == wanted


def test_impossible_options_give_a_one_line_error(folder, teacher, tmp_path, monkeypatch):
    monkeypatch.setattr("convert.compute.schedule.CONNECT_S", 0.3)
    recordings = find_recordings(folder)
    with pytest.raises(LinkError, match=r"no Dask scheduler answers at tcp://127\.0\.0\.1:9"):
        label(tmp_path, recordings, teacher, PLAN, None, Crew("tcp://127.0.0.1:9"))
    argv = [str(tmp_path / "t.pth"), "--data", str(folder), "--out", str(tmp_path / "b")]
    for wrong in ("slurm", "processes:0"):
        with pytest.raises(UsageError, match="--scheduler"):
            main([*argv, "--scheduler", wrong])
    for name in ("dask", "distributed"):
        monkeypatch.setitem(sys.modules, name, None)
    for scheduler in ("threads", "tcp://127.0.0.1:9"):
        with pytest.raises(MissingExtraError, match="cluster"):
            label(tmp_path, recordings, teacher, PLAN, None, Crew(scheduler))


def test_a_killed_worker_process_gives_a_one_line_error(folder, tmp_path):
    with pytest.raises(LinkError, match="was killed"):
        label(tmp_path, find_recordings(folder), KilledTeacher(), PLAN, None, Crew("processes:1"))


class KilledTeacher(MomentsTeacher):
    def label(self, window):
        os._exit(9)


def after(folder: Path, shards: int, act) -> threading.Thread:
    """Call a function as soon as a folder has a number of shards."""

    def watch():
        deadline = time.monotonic() + 120
        while len(list(folder.glob("labels-*.shard"))) < shards and time.monotonic() < deadline:
            time.sleep(0.002)
        act()

    thread = threading.Thread(target=watch)
    thread.start()
    return thread


@pytest.fixture(scope="module")
def long(tmp_path_factory):
    return write_folder(tmp_path_factory.mktemp("long") / "data", 120)


@pytest.mark.slow
def test_a_worker_that_dies_loses_and_doubles_nothing(long, teacher, tmp_path, monkeypatch):
    monkeypatch.setattr(teacher_labels, "SHARD_RECORDINGS", 1)  # so many that a late kill is not too late
    recordings = find_recordings(long)
    label(tmp_path / "one", recordings, teacher, PLAN, None, Crew("none"))
    whole = labels_of(tmp_path / "one")
    standing = tmp_path / "elsewhere"
    standing.mkdir()
    left = []
    with cluster(standing, 2) as (address, workers, _):
        out = tmp_path / "two"

        def kill():
            left.append(len(whole) - 1 - len(list(out.glob("labels-*.shard"))))
            workers[0].kill()

        killer = after(out, 4, kill)
        label(out, recordings, teacher, PLAN, None, Crew(address))
        killer.join()
        assert workers[0].poll() is not None
        assert workers[1].poll() is None
    assert left[0] > 8, "the run was nearly over before the worker was killed"
    assert labels_of(out) == whole


@pytest.mark.slow
def test_a_scheduler_that_dies_gives_a_one_line_error_and_finished_shards_are_kept(
    long, teacher, tmp_path, monkeypatch
):
    monkeypatch.setattr(teacher_labels, "SHARD_RECORDINGS", 1)
    recordings = find_recordings(long)
    standing = tmp_path / "elsewhere"
    standing.mkdir()
    out = tmp_path / "out"
    with cluster(standing, 2, threads=2) as (address, _, scheduler):
        killer = after(out, 4, scheduler.kill)
        with pytest.raises(LinkError, match="the cluster gave up on a shard"):
            label(out, recordings, teacher, PLAN, None, Crew(address))
        killer.join()
    done = labels_of(out)
    assert 4 <= len(done) < 121
    label(out, recordings, teacher, PLAN, None, Crew("none"))
    label(tmp_path / "one", recordings, teacher, PLAN, None, Crew("none"))
    assert labels_of(out) == labels_of(tmp_path / "one")
