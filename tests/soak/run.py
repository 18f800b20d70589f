"""Weeks of signal at full speed, with every fault, floods and lost links: ``make soak SOAK="--days 7"``.

Two runs at the same time. One takes the signal of a patch in this computer's memory in virtual time, through the whole
of ``anyecg run``. The other, in real time, is connected to a patch on TCP again and again. Both patches keep account of
what they dropped, and the runs must have noticed exactly that. Ctrl-C ends both; the table then has what was seen.
"""

from __future__ import annotations

import argparse
import json
import resource
import signal
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import asdict
from pathlib import Path

import link_run
import promises

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
DAY_S = 86_400.0
KEEP, KEEP_BYTES = "20MB", 20_000_000
"""Less than a day of signal writes."""
SAY_EVERY_S = 10.0
INTERRUPTED = 130
STOP_S = 30.0
"""Time in which a run must end when it is told to, s."""
_STOPS = (signal.SIGINT, signal.SIGTERM)


def main(argv: list[str] | None = None) -> int:
    """Run both; return 1 if a promise was broken."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--days", type=float, default=7.0, help="days of signal (default 7)")
    parser.add_argument(
        "--reconnections", type=int, help="lost links of each run (default 1000 in 7 days, in proportion)"
    )
    parser.add_argument("--report", type=Path, help="file for the report in JSON")
    parser.add_argument("--folder", type=Path, help="new folder for the sessions (default: a temporary one)")
    options = parser.parse_args(argv)
    if options.reconnections is None:
        options.reconnections = round(1000 / 7 * options.days)
    if options.folder is not None:
        options.folder.mkdir(parents=True)
        return _soak(options, options.folder)
    with tempfile.TemporaryDirectory(prefix="anyecg-soak-") as folder:
        return _soak(options, Path(folder))


def _soak(options: argparse.Namespace, folder: Path) -> int:
    seconds, started_s, stopped = options.days * DAY_S, time.monotonic(), threading.Event()
    before = [signal.signal(number, lambda _number, _frame: stopped.set()) for number in _STOPS]
    links = link_run.Links(options.reconnections)
    real = threading.Thread(target=link_run.run, args=(folder, links, stopped.is_set))
    words = ["--seconds", f"{seconds:g}", "--reconnections", str(options.reconnections), "--keep", KEEP]
    with (folder / "signal.log").open("wb") as log:
        virtual = subprocess.Popen(
            [*link_run.WITH_THE_HARNESS, sys.executable, str(HERE / "signal_run.py"), str(folder), *words],
            cwd=ROOT,
            env=link_run.ENVIRONMENT,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        real.start()
        try:
            _wait(virtual, real, folder, seconds, links, stopped)
        finally:
            if virtual.poll() is None:
                virtual.send_signal(signal.SIGINT)
            stopped_early = stopped.is_set()
            stopped.set()
            real.join()
            try:
                virtual.wait(STOP_S)
            except subprocess.TimeoutExpired:
                virtual.kill()
                virtual.wait()
            for number, handler in zip(_STOPS, before, strict=True):
                signal.signal(number, handler)
    return _report(options, folder, seconds, links, stopped_early=stopped_early, wall_s=time.monotonic() - started_s)


def _wait(
    virtual: subprocess.Popen[bytes],
    real: threading.Thread,
    folder: Path,
    seconds: float,
    links: link_run.Links,
    stopped: threading.Event,
) -> None:
    started_s = said_s = time.monotonic()
    while (virtual.poll() is None or real.is_alive()) and not stopped.is_set():
        time.sleep(0.2)
        if time.monotonic() - said_s >= SAY_EVERY_S:
            said_s = time.monotonic()
            _say(_progress(folder), seconds, links, said_s - started_s)


def _progress(folder: Path) -> dict[str, object]:
    try:
        return dict(json.loads((folder / "progress.json").read_text()))
    except (OSError, ValueError):
        return {}


def _say(seen: dict[str, object], seconds: float, links: link_run.Links, took_s: float) -> None:
    done_s = float(str(seen.get("time_s", 0.0)))
    left_s = max(
        (seconds - done_s) * took_s / done_s if done_s else 0.0,
        (links.wanted - links.made) * took_s / links.made if links.made else 0.0,
    )
    rss = [mib for mib in seen.get("lowest_mib", []) if mib < float("inf")]  # type: ignore[attr-defined]
    sys.stderr.write(
        f"{done_s / DAY_S:.2f} of {seconds / DAY_S:g} days, {done_s / took_s:.0f} x real time; "
        f"{links.made} of {links.wanted} connections; memory {rss[-1] if rss else 0.0:.1f} MiB; "
        f"{left_s / 60:.0f} minutes left\n"
    )
    sys.stderr.flush()


def _report(
    options: argparse.Namespace,
    folder: Path,
    seconds: float,
    links: link_run.Links,
    *,
    stopped_early: bool,
    wall_s: float,
) -> int:
    found = []
    if not stopped_early:
        found += (
            promises.of_signal(folder, seconds, KEEP, KEEP_BYTES)
            if (folder / "account.json").exists()
            else [
                promises.Promise(
                    "the run in virtual time ends", (folder / "signal.log").read_text()[-300:], "", kept=False
                )
            ]
        )
        found += promises.of_links(folder, links)
    kept = all(promise.kept for promise in found)
    report = {
        "schema": "anyecg.soak/1",
        "days": options.days,
        "reconnections": options.reconnections,
        "stopped_early": stopped_early,
        "wall_s": round(wall_s, 1),
        "cpu_s": round(_cpu_s(), 1),
        "kept": kept and not stopped_early,
        "promises": [asdict(promise) for promise in found],
        "signal": _progress(folder),
        "links": asdict(links),
    }
    if options.report is not None:
        options.report.write_text(json.dumps(report, indent=2) + "\n")
    if stopped_early:
        seen = _progress(folder)
        print(f"stopped after {float(str(seen.get('time_s', 0.0))) / DAY_S:.2f} days; the promises were not judged")
        return INTERRUPTED
    print(
        f"{options.days:g} days of signal and {options.reconnections} lost links of each run, in {wall_s / 60:.1f} min "
        f"({_cpu_s() / 60:.1f} min of processor time)"
    )
    print(promises.table(found), end="")
    if not kept:
        print(f"the run said at last: {(folder / 'signal.log').read_text()[-300:].strip() or 'nothing'}")
    return 0 if kept else 1


def _cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    sys.exit(main())
