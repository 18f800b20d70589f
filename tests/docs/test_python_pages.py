"""The pages on Python: the recipes run, and the reference is what the docstrings say."""

from __future__ import annotations

import runpy
import tomllib
from pathlib import Path

import pytest

import edge
from helpers.doc_blocks import blocks, run_blocks

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "python.md").read_text(encoding="utf-8")
GENERATOR = runpy.run_path(str(ROOT / "packaging" / "api_page.py"))


def test_the_example_of_the_readme_runs(capsys) -> None:
    ((_, code),) = blocks((ROOT / "README.md").read_text(encoding="utf-8"), "python")
    exec(compile(code, "README.md", "exec"), {})
    assert "potassium_high" in capsys.readouterr().out


def test_the_recipes_run_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    pytest.importorskip("scipy", reason="the foundation extra is not installed")
    pytest.importorskip("pandas", reason="pandas is not installed")
    monkeypatch.chdir(tmp_path)
    space = run_blocks(PAGE)
    assert space["found"]["beats"] > 40
    assert space["found"]["high potassium"] > 20
    assert "bpm" in capsys.readouterr().out


def test_the_reference_is_what_the_docstrings_say() -> None:
    page = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    assert page == GENERATOR["text"](), "run: python packaging/api_page.py"


def test_the_reference_has_every_name_once() -> None:
    listed = [name for names in GENERATOR["GROUPS"].values() for name in names]
    assert sorted([*listed, "__version__"]) == sorted(edge.__all__)
    assert len(listed) == len(set(listed))


def test_the_entry_points_of_the_page_are_those_of_the_template() -> None:
    page = (ROOT / "docs" / "plugins.md").read_text(encoding="utf-8")
    ((_, text),) = blocks(page, "toml")
    template = tomllib.loads((ROOT / "examples" / "plugin" / "pyproject.toml").read_text(encoding="utf-8"))
    assert tomllib.loads(text)["project"]["entry-points"] == template["project"]["entry-points"]
