"""packaging/renew_demo.py: what it refuses, how it replaces the bundle, and which lines it lists."""

from __future__ import annotations

import json
import re
import runpy
import shutil
import subprocess
from pathlib import Path

import pytest

from edge.bundle.reader import demo_bundle_path, load_bundle

ROOT = Path(__file__).parents[3]
SCRIPT = runpy.run_path(str(ROOT / "packaging" / "renew_demo.py"))


def test_a_bundle_is_replaced_whole(tmp_path):
    demo = tmp_path / "demo"
    shutil.copytree(demo_bundle_path(), demo)
    new = tmp_path / "new"
    shutil.copytree(demo_bundle_path(), new)
    (demo / "left-over.txt").write_text("of the old bundle")
    (tmp_path / "demo.new").mkdir()
    SCRIPT["put"](new, demo)
    assert load_bundle(demo).sha256 == load_bundle(new).sha256
    assert sorted(p.name for p in tmp_path.iterdir()) == ["demo", "new"]
    assert not (demo / "left-over.txt").exists()


def test_a_damaged_bundle_and_one_of_another_recipe_are_refused(tmp_path, capsys, monkeypatch):
    pytest.importorskip("tensorflow", reason="the convert extra is not installed")
    from convert.demo import run

    before = load_bundle("demo")
    other = tmp_path / "other"
    shutil.copytree(demo_bundle_path(), other)
    monkeypatch.setattr(run, "VERSION", before.manifest.version)
    monkeypatch.setattr(run, "IMITATED_SHA256", "0" * 64)
    assert SCRIPT["main"]([str(other), "--only", "bundle"]) == 1
    assert "other recordings" in capsys.readouterr().err
    monkeypatch.setattr(run, "VERSION", "99")
    assert SCRIPT["main"]([str(other), "--only", "bundle"]) == 1
    assert "the package has anyecg-demo 99" in capsys.readouterr().err
    (other / "MODEL_CARD.md").write_text("altered")
    assert SCRIPT["main"]([str(other), "--only", "bundle"]) == 1
    assert "MODEL_CARD.md was altered" in capsys.readouterr().err
    assert load_bundle("demo").sha256 == before.sha256


def test_lines_that_quote_the_old_bundle_are_listed(tmp_path):
    tokens = SCRIPT["quoted"](demo_bundle_path())
    manifest = json.loads((demo_bundle_path() / "manifest.json").read_text())
    name = f"{manifest['name']} {manifest['version']}"
    summary = json.loads((demo_bundle_path() / "validation" / "report.json").read_text())["summary"]
    macro = f"{summary['macro_auroc_int8']:.4f}"
    (tmp_path / "page.md").write_text(f"The demonstration.\n\n{name} has {macro}.\nNothing 1{macro}5 here.\n")
    (tmp_path / "code.py").write_text(f"# demo\nx = {macro[:-1]}\n")
    (tmp_path / "other.md").write_text(f"{macro}\n")
    git = shutil.which("git")
    if git is None:
        pytest.skip("git is not installed")
    for command in (["init", "-q"], ["add", "."]):
        subprocess.run([git, *command], cwd=tmp_path, check=True)
    found = list(SCRIPT["mentions"](tokens, tmp_path))
    assert [line.split(" (")[0] for line in found] == [f"page.md:3: {name}", f"page.md:3: {macro}"]


def test_the_pages_to_renew_exist():
    for page in SCRIPT["MEASURED"]:
        assert (ROOT / page).is_file(), page


def test_every_picture_of_a_page_is_taken_again():
    taken = set(re.findall(r'"([\w-]+\.png)"', (ROOT / "packaging" / "pictures.py").read_text()))
    pictures = {p.name for p in (ROOT / "docs" / "img").glob("*.png")}
    assert pictures - {"gate-trade.png"} == taken - {"light.png", "dark.png"}
