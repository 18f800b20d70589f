"""Takes the pictures of docs/img: the live view on a terminal, the page in the browser, and reports.

python packaging/pictures.py                # all of them, three minutes
python packaging/pictures.py --only page    # one group: live, page, session, reports

Needs the test environment and Chromium (Debian: ``chromium``). Look at each picture before you commit it. The picture
of the quality gate is not among them: no bundle changes it.
"""

from __future__ import annotations

import argparse
import base64
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

if TYPE_CHECKING:
    from helpers.chromium import Browser

IMAGES = ROOT / "docs" / "img"
GROUPS = ("live", "reports", "session", "page")

CLOCK_SET = "import edge.grid.wallclock; edge.grid.wallclock.kernel_clock_synced = lambda: True; "
"""Code that makes a picture look the same on a machine whose clock is not synchronised."""

ONE = ("bedroom-1=sim:?seed=4&potassium=6.6",)
THREE = (*ONE, "bedroom-2=sim:?seed=5&hr=58", "corridor=sim:?seed=6&hr=95")
HISTORY_S = 100.0
"""Length of a run before its page is taken, s: the charts of its outputs then have a history."""
SETTLE_S = 12.0
"""Time for a page to receive the ECG that it draws, s."""

NIGHT = "sim:?seed=3&potassium=6.3&speed=max&faults=drop=0.0003"
NIGHT_S = 408
REPORT_WIDTH, REPORT_RATIO = 1000, 0.9
REPORTS = (
    ("validation-report.png", "docs/validation/demo.html", None, 1140),
    ("reliability.png", "docs/validation/demo.html", "#reliability", 722),
    ("parity-report.png", "edge/bundles/demo/validation/parity.html", None, 1500),
)
"""Picture, page, the element at its top, and its height in CSS pixels."""
SESSION_HEIGHT = 1300
NARROW = (390, 1196)
"""Width and height of each half of the picture of a session on a phone, CSS pixels."""
HALVES = """<body style="margin:0"><img src="light.png"><img src="dark.png"></body>"""


def anyecg(*args: str) -> list[str]:
    """Return the command line of a command of this checkout."""
    return [sys.executable, "-c", f"{CLOCK_SET}import sys; from edge.cli.main import main; sys.exit(main())", *args]


def environment() -> dict[str, str]:
    """Return the environment in which a command runs."""
    return {**os.environ, "PYTHONPATH": str(ROOT)}


def run(*args: str) -> None:
    """Run a command of this checkout, and end with its last line if it fails."""
    done = subprocess.run(anyecg(*args), env=environment(), capture_output=True, text=True, check=False)
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines()
        raise SystemExit(f"'anyecg {args[0]}' failed: {said[-1] if said else done.returncode}")


def serve(stack: ExitStack, sources: Sequence[str], folder: Path) -> str:
    """Run patches and return the address of their page.

    Args:
        stack: What ends the run.
        sources: The patches.
        folder: Folder for what the run says.
    """
    said = folder / f"said-{len(sources)}.txt"
    with said.open("wb") as stderr:
        served = subprocess.Popen(
            anyecg("run", "--source", *sources, "--http", "127.0.0.1:0", "--view", "none"),
            env=environment(), stdout=subprocess.DEVNULL, stderr=stderr,
        )  # fmt: skip
    stack.callback(served.wait)
    stack.callback(served.terminate)
    until_s = time.monotonic() + 60.0
    while time.monotonic() < until_s:
        if found := re.search(r"http://\S+/", said.read_text()):
            return found[0]
        time.sleep(0.2)
    raise SystemExit(f"no page: {said.read_text()}")


def take(one: Browser, name: str, *, whole: bool = False) -> None:
    """Take one picture of docs/img, and say so."""
    one.picture(IMAGES / name, whole=whole)
    sys.stdout.write(f"docs/img/{name}\n")


def live() -> None:
    """Take the live view of a simulated patient."""
    run("demo", "--seconds", "32", "--picture", str(IMAGES / "live.svg"), "--force")
    sys.stdout.write("docs/img/live.svg\n")


def pages(one: Browser, folder: Path) -> None:
    """Take the page of a run: three patches, and one on a desktop computer and on a phone."""
    from helpers.chromium import DESKTOP, PHONE

    with ExitStack() as stack:
        three, alone = (serve(stack, sources, folder) for sources in (THREE, ONE))
        time.sleep(HISTORY_S)
        one.screen(DESKTOP)
        one.go(three)
        time.sleep(SETTLE_S)
        take(one, "page-three.png")
        one.screen(DESKTOP, dark=True)
        one.go(alone)
        time.sleep(SETTLE_S)
        one.run("document.querySelector('details').open = true")
        time.sleep(2.0)
        take(one, "page-desktop-dark.png", whole=True)
        one.screen(PHONE)
        one.go(alone)
        time.sleep(SETTLE_S)
        take(one, "page-phone.png")
        one.screen(PHONE, dark=True)
        time.sleep(2.0)
        take(one, "page-phone-dark.png")


def session(one: Browser, folder: Path) -> None:
    """Take the report of a session, and its top on a phone in the light and in the dark scheme."""
    night = folder / "night"
    page = folder / "night.html"
    kept = ("--session-dir", str(night), "--record", "--view", "none")
    run("run", "--source", NIGHT, "--seconds", str(NIGHT_S), *kept)
    run("report", str(night), "--out", str(page))
    report = page.as_uri()
    one.screen((REPORT_WIDTH, SESSION_HEIGHT, REPORT_RATIO, False))
    one.go(report)
    take(one, "session-report.png")
    for dark in (False, True):
        one.screen((*NARROW, REPORT_RATIO, True), dark=dark)
        one.go(report)
        one.picture(folder / f"{'dark' if dark else 'light'}.png")
    (folder / "halves.html").write_text(HALVES)
    width, height = (round(REPORT_RATIO * x) for x in NARROW)
    one.screen((2 * width, height, 1.0, False))
    one.go((folder / "halves.html").as_uri())
    take(one, "session-phone.png")


def reports(one: Browser) -> None:
    """Take the top of each report, or a part of it."""
    for name, page, top, height in REPORTS:
        one.screen((REPORT_WIDTH, height, REPORT_RATIO, False))
        one.go((ROOT / page).as_uri())
        y = one.run(f"document.querySelector('{top}').getBoundingClientRect().top - 9") if top else 0
        clip = {"x": 0, "y": y, "width": REPORT_WIDTH, "height": height, "scale": 1}
        got = one("Page.captureScreenshot", format="png", captureBeyondViewport=True, clip=clip)
        (IMAGES / name).write_bytes(base64.b64decode(got["data"]))
        sys.stdout.write(f"docs/img/{name}\n")


def main(argv: list[str] | None = None) -> int:
    """Take the pictures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=GROUPS, action="append", help="only this group; may be repeated")
    args = parser.parse_args(argv)
    groups = args.only or GROUPS
    if "live" in groups:
        live()
    if set(groups) == {"live"}:
        return 0
    from helpers.chromium import NAMES, browser

    if not any(map(shutil.which, NAMES)):
        sys.stderr.write("no picture of a page was taken: chromium is not installed (Debian: chromium)\n")
        return 1
    with tempfile.TemporaryDirectory() as work, browser(Path(work) / "profile") as one:
        if "reports" in groups:
            reports(one)
        if "session" in groups:
            session(one, Path(work))
        if "page" in groups:
            pages(one, Path(work))
    return 0


if __name__ == "__main__":
    sys.exit(main())
