"""``anyecg report``: one page that loads nothing, with every output, and the ECG that can be read back from it."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from edge.bundle.reader import load_bundle
from edge.cli.main import main
from edge.sessions import SessionFolder
from edge.sessions.chart import Chart
from edge.sessions.ecg import Segment, read_ecg
from edge.sessions.ecg_view import Piece, view_ecg
from edge.sessions.page import session_page
from edge.sessions.trends import STEPS, Curve, Trends
from helpers.needs import tool
from helpers.pages import faults
from helpers.small_session import OFF_THEN_GAP, START_UNIX_S, write_session

URL = f"sim:?potassium=6.5&seed=1&faults={OFF_THEN_GAP}"


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A session with losses that was killed and continued."""
    folder = tmp_path_factory.mktemp("sessions") / "night"
    write_session(folder, URL, finish=False)
    return write_session(folder, URL, 20.0)


@pytest.fixture(scope="module")
def page(session: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    out = tmp_path_factory.mktemp("pages") / "night.html"
    assert main(["report", str(session), "--out", str(out)]) == 0
    assert out.stat().st_mode & 0o077 == 0
    return out.read_text(encoding="utf-8")


def data(page: str, key: str):
    found = re.search(rf'<script type="application/json" id="{key}">(.*?)</script>', page)
    assert found
    return json.loads(found[1])


def test_the_page_is_whole_and_loads_nothing(page: str) -> None:
    assert faults(page) == []
    assert "no medical device" in page


def test_every_output_has_a_row_and_a_course(page: str, session: Path) -> None:
    last = [e for e in SessionFolder(session).estimates() if e.labs][-1]
    means = {h.key: h.means for h in load_bundle("demo").manifest.outputs}
    for lab in last.labs:
        name = means[lab.key] or lab.key.replace("_", " ")
        assert f'<th scope="row">{name[0].upper()}{name[1:]}</th>' in page
        assert f"Course of {name}, " in page
    title = re.search(r"<title>(.*?)</title>", page)
    assert title is not None
    flagged = r"potassium above 5\.0 mmol/L flagged in all(, .+ flagged in .+)? of \d+ estimates"
    assert re.fullmatch(f"night: {flagged}", title[1])
    assert 'class="band"' in page
    assert 'class="limit"' in page
    assert "an electrode has no contact" in page
    assert "virtual patch was unplugged" in page
    assert "in 2 runs" in page


def test_the_ecg_of_the_page_is_that_of_the_recording(page: str, session: Path, tmp_path: Path) -> None:
    pieces = [Piece(*row[:5], tuple(row[5])) for row in data(page, "ecg-data")]
    segments = [part for part in read_ecg(SessionFolder(session), tmp_path) if isinstance(part, Segment)]
    assert len(pieces) == len(segments) == 5  # all of them shorter than a minute
    for piece, segment in zip(pieces, segments, strict=True):
        n = len(segment.samples) // 2
        assert piece.fs_hz == pytest.approx(125.0, abs=0.01)
        assert piece.samples() == pytest.approx(segment.samples[: 2 * n].reshape(-1, 2).mean(axis=1), abs=0.0026)
    assert pieces[0].start_unix_s == pytest.approx(START_UNIX_S, abs=1.0)
    beats = [(run, t_s) for run, t_s, _rr in SessionFolder(session).beats()]
    assert sum(len(piece.beats_ms) for piece in pieces) == len(beats)
    facts = data(page, "facts")
    assert facts["start"] == pytest.approx(pieces[0].start_unix_s, abs=1.0)
    assert facts["end"] >= pieces[-1].start_unix_s


@pytest.mark.slow
def test_a_browser_draws_the_ecg(page: str, tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text(page, encoding="utf-8")
    command = [tool("chromium"), "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path}/profile"]
    command += [
        "--enable-logging=stderr",
        "--virtual-time-budget=4000",
        "--dump-dom",
        (tmp_path / "page.html").as_uri(),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    drawn = re.search(r'<svg id="ecg".*?</svg>', done.stdout, re.DOTALL)
    assert drawn is not None, done.stderr
    assert re.search(r'aria-label="ECG from 2026-11-18 12:0\d:\d\d UTC, ten seconds, [1-9]\d* R peaks"', drawn[0])
    assert drawn[0].count('class="beat"') >= 3
    assert 'class="controls js on"' in done.stdout
    assert "CONSOLE" not in done.stderr.upper(), done.stderr


def test_a_large_step_survives_the_differences(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from edge.sessions import ecg_view

    square = np.where(np.arange(4000) // 50 % 2, 150.0, -150.0)
    segment = Segment(1, 1, 0.0, 16.0, 250.0, "mV", 0.001, square, np.array([4000], np.intp), np.array([16.0]))
    write_session(tmp_path / "s", seconds=1.0)
    monkeypatch.setattr(ecg_view, "read_ecg", lambda *_: iter([segment]))
    view = view_ecg(SessionFolder(tmp_path / "s"), tmp_path)
    assert view.pieces[0].samples() == pytest.approx(square.reshape(-1, 2).mean(axis=1), abs=0.01)
    monkeypatch.setattr(ecg_view, "MAX_S", 10.0)
    monkeypatch.setattr(ecg_view, "PIECE_S", 4.0)
    view = view_ecg(SessionFolder(tmp_path / "s"), tmp_path)
    assert len(view.pieces) == 2
    assert view.left_out_s == pytest.approx(8.0)


@pytest.mark.parametrize("raw", [True, False])
def test_an_empty_session_has_a_page(tmp_path: Path, raw: bool) -> None:
    write_session(tmp_path / "s", seconds=0.1, finish=False, raw=raw)
    out = tmp_path / "s.html"
    assert main(["report", str(tmp_path / "s"), "--out", str(out)]) == 0
    assert "s: no estimate" in out.read_text(encoding="utf-8")


def test_names_of_a_session_cannot_become_elements(session: Path, tmp_path: Path) -> None:
    folder = tmp_path / "<img src=x>"
    shutil.copytree(session, folder)
    about = json.loads((folder / "session.json").read_text())
    about["device"] = about["device_url"] = "</script><script>alert(1)</script>"
    about["bundle"]["means"] = {key: f"<u>{key}</u>\x1b" for key in about["bundle"]["means"]}
    about["versions"] = {"<b>": "<i>"}
    (folder / "session.json").write_text(json.dumps(about))
    (folder / "events.jsonl").write_text('{"time": "<u>", "kind": "<u>", "detail": "<u>\\u001b[2J"}\n')
    opened = SessionFolder(folder)
    text = session_page(opened, Trends(opened), None)
    assert not re.search(r"<(img|u|i|b)\b", text)
    assert "alert(1)</script>" not in text
    assert "\x1b" not in text


def test_pages_are_not_replaced_unasked(session: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "x.html"
    out.write_text("mine")
    assert main(["report", str(session), "--out", str(out), "--no-ecg"]) == 2
    assert "--force" in capsys.readouterr().err
    assert out.read_text() == "mine"
    assert main(["report", str(session), "--out", str(out), "--no-ecg", "--force"]) == 0
    assert data(out.read_text(), "ecg-data") == []
    assert main(["report", str(session), "--out", str(tmp_path / "x.png")]) == 2
    assert main(["report", str(session), "--out", str(tmp_path / "absent" / "x.html")]) == 7
    assert main(["report", str(tmp_path), "--out", str(tmp_path / "y.html")]) == 3


def test_a_curve_keeps_its_gaps_and_ignores_what_is_no_number() -> None:
    curve = Curve()
    for step in (0, 1, 5):
        curve.add(step, float(step), (step - 1.0, step + 1.0))
    curve.add(2, None)
    curve.add(3, float("nan"))
    curve.add(1, 3.0, (float("-inf"), 4.0))
    runs = curve.runs()
    assert [[point[0] for point in run] for run in runs] == [[0, 1], [5]]
    assert runs[0][1] == (1, 2.0, 1.5, 2.5)


def test_a_long_session_has_a_bounded_number_of_marks(session: Path) -> None:
    trends = Trends(SessionFolder(session))
    trends.end_unix_s = trends.start_unix_s + 40 * 86400.0
    shades = [(trends.start_unix_s + 3600.0 * n, trends.start_unix_s + 3600.0 * n + 600.0) for n in range(960)]
    curve = Curve()
    for step in range(STEPS):
        curve.add(step, 0.5, (0.4, 0.6))
    svg = Chart(trends, shades).draw(curve, "x", limit=0.7, ends=(0.0, 1.0))
    assert svg.count("<rect") <= 400
    assert svg.count('class="mid"') <= 8
    assert len(svg) < 60_000
