"""The documentation site: every page is listed, every link leads somewhere, and nothing comes from another host."""

from __future__ import annotations

import os
import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

from helpers.doc_blocks import run_blocks

yaml = pytest.importorskip("yaml", reason="PyYAML is not installed (the extra cluster brings it)")

ROOT = Path(__file__).resolve().parents[2]
CONFIG = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))
HOOKS = runpy.run_path(str(ROOT / "packaging" / "site_pages.py"))
CHECK = runpy.run_path(str(ROOT / "packaging" / "build_site.py"))


UNCHANGED = "[w](https://x.org/x) [h](#here) [y](b.md) `[x](../LICENSE)`\n```text\n[y](../LICENSE)\n```"


def listed() -> list[str]:
    return [page for group in CONFIG["nav"] for pages in group.values() for page in pages]


def test_the_navigation_lists_every_page_once() -> None:
    own = {path.name for path in (ROOT / "docs").glob("*.md")}
    added = {page for page in HOOKS["PAGES"].values() if not page.startswith(HOOKS["UNLISTED"])}
    assert sorted(listed()) == sorted(own | added)
    assert all((ROOT / source).is_file() for source in HOOKS["PAGES"])


def test_the_site_asks_no_other_host() -> None:
    assert CONFIG["theme"]["font"] is False
    assert CONFIG["strict"] is True
    assert not {"extra_css", "extra_javascript"} & set(CONFIG)


def test_every_picture_is_on_a_page() -> None:
    text = "".join(path.read_text(encoding="utf-8") for path in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")])
    pictures = list((ROOT / "docs" / "img").iterdir())
    assert [path.name for path in pictures if f"img/{path.name}" not in text] == []
    assert sum(path.stat().st_size for path in pictures) < 2_000_000


@pytest.mark.parametrize(
    ("source", "text", "adapted"),
    [
        ("README.md", "[a](docs/running.md#disk) ![b](docs/img/live.svg)", "[a](running.md#disk) ![b](img/live.svg)"),
        ("README.md", "[`x`](examples) and [c](CHANGELOG.md)", "`x` and [c](changelog.md)"),
        ("docs/plugins.md", "[`p`](../examples/plugin) [s](../SECURITY.md)", "`p` [s](security.md)"),
        ("docs/demo-bundle.md", "[m](../edge/bundles/demo/MODEL_CARD.md)", "[m](demo/model-card.md)"),
        ("docs/a.md", UNCHANGED, UNCHANGED),
        ("edge/bundles/demo/MODEL_CARD.md", "[v](validation/parity.html)", "[v](parity.html)"),
    ],
)  # fmt: skip
def test_links_lead_to_pages_of_the_site(source: str, text: str, adapted: str) -> None:
    assert HOOKS["adapted"](text, source) == adapted


def test_faults_of_a_site_are_found(tmp_path: Path) -> None:
    head = '<link rel="stylesheet" href="s.css"><link rel="canonical" href="https://x.org/">'
    (tmp_path / "a.html").write_text(f'{head}<h1 id="t">t</h1><a href="b.html#u">b</a><a href="https://x.org">x</a>')
    (tmp_path / "b.html").write_text('<h1 id="u">u</h1><a href="a.html#t">a</a><a href="#u">u</a>')
    (tmp_path / "s.css").write_text("a{background:url(data:x)}")
    assert CHECK["faults"](tmp_path) == []
    (tmp_path / "b.html").write_text(
        '<a href="c.html">c</a><a href="#v">v</a><script src="https://x.org/x.js"></script>'
    )
    (tmp_path / "s.css").write_text("a{background:url(https://x.org/f.woff)}")
    assert CHECK["faults"](tmp_path) == [
        "a.html links to b.html#u",
        "b.html loads https://x.org/x.js",
        "b.html links to c.html",
        "b.html links to #v",
        "s.css loads from another host",
    ]


@pytest.mark.slow
def test_the_site_is_built_without_a_network(tmp_path: Path) -> None:
    pytest.importorskip("material", reason="the docs extra is not installed")
    (tmp_path / "sitecustomize.py").write_text(
        "import socket\ndef no(*a, **k): raise OSError('the network is down')\n"
        "socket.create_connection = socket.getaddrinfo = no\nsocket.socket.connect = no\n"
    )
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])])}
    command = [sys.executable, str(ROOT / "packaging" / "build_site.py"), str(tmp_path / "site")]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    for page in listed():
        assert (tmp_path / "site" / page).with_suffix(".html").is_file(), page
    first = (tmp_path / "site" / "index.html").read_text(encoding="utf-8")
    assert "It is not a medical device" in first
    assert re.search(r'<a href="tutorial.html"[^>]*>', first)


@pytest.mark.slow
def test_the_tutorial_runs_from_its_first_command_to_its_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("paho.mqtt.client", reason="the mqtt extra is not installed")
    monkeypatch.chdir(tmp_path)
    run_blocks((ROOT / "docs" / "tutorial.md").read_text(encoding="utf-8"))
    assert (tmp_path / "first.html").is_file()
    assert (tmp_path / "first-csv" / "ecg.csv").is_file()
    assert "beats" in capsys.readouterr().out
