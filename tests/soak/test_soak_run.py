"""The soak of ``make soak``, for a day; and that it notices a broken promise."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import promises
import pytest
from link_run import ENVIRONMENT, Links
from promises import of_links, of_signal, table

HERE = Path(__file__).resolve().parent
DAY_S = 86_400.0


def soak(folder: Path, *words: str) -> list[str]:
    return [sys.executable, str(HERE / "run.py"), "--report", str(folder / "report.json"), *words]


@pytest.mark.slow
@pytest.mark.alone
@pytest.mark.timeout(7200)
def test_a_day_with_every_fault(tmp_path: Path) -> None:
    done = subprocess.run(soak(tmp_path, "--days", "1"), env=ENVIRONMENT, capture_output=True, text=True)
    report = json.loads((tmp_path / "report.json").read_text())
    assert done.returncode == 0, done.stdout + done.stderr
    assert report["kept"]
    assert report["signal"]["floods"] == 24
    assert report["links"]["made"] == report["reconnections"] == 143


def started(folder: Path) -> subprocess.Popen[bytes]:
    """A soak that is on its way."""
    process = subprocess.Popen(
        soak(folder, "--days", "7", "--folder", str(folder / "sessions")), env=ENVIRONMENT, stdout=subprocess.PIPE
    )
    while not (folder / "sessions" / "progress.json").exists():
        assert process.poll() is None
        time.sleep(0.1)
    return process


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_can_be_interrupted(tmp_path: Path, number: signal.Signals) -> None:
    process = started(tmp_path)
    process.send_signal(number)
    out, _err = process.communicate()
    assert process.returncode == 130
    assert b"not judged" in out
    assert json.loads((tmp_path / "report.json").read_text())["stopped_early"]


@pytest.mark.slow
def test_nothing_goes_on_when_it_is_killed(tmp_path: Path) -> None:
    process = started(tmp_path)
    tasks = Path(f"/proc/{process.pid}/task").iterdir()
    children = [child for task in tasks for child in (task / "children").read_text().split()]
    assert len(children) == 2
    process.kill()
    process.communicate()
    while any(_runs(child) for child in children):
        time.sleep(0.1)


def _runs(pid: str) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def accounts(folder: Path) -> tuple[dict, dict]:
    truth = {"lost_samples": 7, "delivered_samples": 100, "delivered_crc32": 5, "unplugs": 3}
    seen = {
        "samples": 100, "crc32": 5, "lowest_mib": [40.0, 41.0] + [41.5] * 22, "folder_bytes": 900,
        "grown": {"events.jsonl": 900_000, "events.2.jsonl": 90_000},
    }  # fmt: skip
    summary = {"lost_samples": 7, "reconnects": 3, "hops": 86_399, "estimates": 80_000, "signal_s": 86_400.0}
    (folder / "session").mkdir()
    return {"code": 0, "planted": truth, "seen": seen}, summary


def broken(folder: Path, account: dict, summary: dict) -> list[str]:
    (folder / "account.json").write_text(json.dumps(account))
    (folder / "session" / "summary.json").write_text(json.dumps(summary))
    found = of_signal(folder, DAY_S, "1kB", 1000)
    assert table(found).count("BROKEN") == sum(not promise.kept for promise in found)
    return [promise.what for promise in found if not promise.kept]


READ_BACK = "the kit reads its files back up to the end"
"""There are no files here."""


def test_each_broken_promise_is_noticed(tmp_path: Path) -> None:
    account, summary = accounts(tmp_path)
    assert broken(tmp_path, account, summary) == [READ_BACK]
    truth, seen = account["planted"], account["seen"]
    for part, key, value, words in (
        (seen, "lowest_mib", [40.0, 41.0] + [42.1] * 22, "growth of memory"),
        (seen, "grown", {"events.jsonl": 900_000, "events.2.jsonl": 200_000}, "growth of events"),
        (seen, "folder_bytes", 1001, "session folder"),
        (truth, "lost_samples", 8, "samples lost"),
        (summary, "lost_samples", 6, "samples lost"),
        (seen, "crc32", 6, "every delivered sample"),
        (truth, "unplugs", 4, "reconnections"),
        (summary, "estimates", 8_000, "lines with an estimate"),
    ):
        before = part.get(key)
        part[key] = value
        found = broken(tmp_path, account, summary)
        assert len(found) == 2
        assert found[0].startswith(words) or found[1].startswith(words)
        part[key] = before if before is not None else {}
    account["code"] = 70
    assert broken(tmp_path, account, summary) == ["the run ends with exit code 0"]


def test_time_that_no_line_is_about_is_found() -> None:
    lines = [json.dumps({"window": {"start_s": at, "end_s": at + 10.0}}) for at in (5.0, 6.0, 7.0, 27.0, 28.0)]
    assert promises._said(lines[:3]) == (17.0, 0.0)
    assert promises._said(lines) == (38.0, 10.0)
    assert promises._said([]) == (0.0, 0.0)


def test_each_broken_promise_of_the_links_is_noticed(tmp_path: Path) -> None:
    (tmp_path / "tcp" / "session").mkdir(parents=True)
    (tmp_path / "tcp" / "session" / "summary.json").write_text(json.dumps({"reconnects": 100, "lost_samples": 4}))

    def found(**changes: object) -> list[str]:
        links = Links(100, 100, 143, [40.0] * 101, [11] * 101, {"lost_samples": 4})
        for key, value in changes.items():
            setattr(links, key, value)
        return [promise.what for promise in of_links(tmp_path, links) if not promise.kept]

    assert found() == []
    assert found(code=70) == ["the run on TCP goes on until SIGTERM"]
    assert found(trouble="no data") == ["the run on TCP goes on until SIGTERM"]
    assert found(wanted=101) == ["TCP: reconnections = connections ended"]
    assert found(account={"lost_samples": 5}) == ["TCP: samples lost = samples that the patch lost"]
    assert found(rss_mib=[40.0] * 60 + [41.0] * 41) == ["TCP: growth of memory"]
    assert found(files=[11] * 60 + [13] * 41) == ["TCP: growth of open files"]
    summary = {"reconnects": 100, "lost_samples": 4, "thrown_away": {"queue_samples": 1}}
    (tmp_path / "tcp" / "session" / "summary.json").write_text(json.dumps(summary))
    assert found(account={"lost_samples": 3}) == []
    assert found() == ["TCP: samples lost = samples that the patch lost"]
