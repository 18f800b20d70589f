"""Project files: citation, hooks, source distribution, and the paths and commands in the documentation."""

from __future__ import annotations

import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

yaml = pytest.importorskip("yaml", reason="PyYAML is not installed (the extra cluster brings it)")

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
PROSE = ("CONTRIBUTING.md", "SECURITY.md", "docs/glossary.md", "docs/testing.md")

CFF_KEYS = {
    "abstract",
    "authors",
    "cff-version",
    "commit",
    "contact",
    "date-released",
    "doi",
    "identifiers",
    "keywords",
    "license",
    "license-url",
    "message",
    "preferred-citation",
    "references",
    "repository",
    "repository-artifact",
    "repository-code",
    "title",
    "type",
    "url",
    "version",
}
"""Allowed keys of a citation file, by schema 1.2.0."""
PERSON_KEYS = {"family-names", "given-names", "orcid", "affiliation"}


def recipe(target: str) -> str:
    """Return the commands of a make target."""
    found = re.search(rf"^{re.escape(target)}:[^\n]*\n((?:\t[^\n]*\n?)+)", MAKEFILE, re.MULTILINE)
    assert found, f"the Makefile has no target {target!r}"
    return found[1]


def test_the_citation_follows_the_schema() -> None:
    cff = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert cff["cff-version"] == "1.2.0"
    assert set(cff) <= CFF_KEYS
    assert {"message", "title", "authors"} <= set(cff)
    assert cff["authors"] == PROJECT["project"]["authors"] == [{"name": "The anyecg-edge authors"}]
    assert cff["title"] == PROJECT["project"]["name"]
    assert cff["license"] == PROJECT["project"]["license"]
    for reference in cff["references"]:
        assert {"authors", "title", "type", "year"} <= set(reference)
        assert all(set(author) <= PERSON_KEYS for author in reference["authors"])
    cited = [i["value"] for r in cff["references"] for i in r["identifiers"]]
    assert cited == ["arXiv:2510.22301", "arXiv:2410.04133"]


def test_versions_agree() -> None:
    version = PROJECT["project"]["version"]
    assert str(yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))["version"]) == version


def test_hooks_run_the_commands_of_make() -> None:
    config = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))
    assert [repo["repo"] for repo in config["repos"]] == ["local"]
    hooks = {hook["id"]: hook for hook in config["repos"][0]["hooks"]}
    assert all(hook["language"] == "system" and hook["pass_filenames"] is False for hook in hooks.values())
    ran = "".join(recipe(hook["entry"].removeprefix("make ")) for hook in hooks.values())
    for command in ("$(BIN)/ruff check .", "$(BIN)/ruff format --check .", "$(BIN)/mypy"):
        assert command in ran


def test_the_source_distribution_has_every_file() -> None:
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("no git, or no repository: which files belong to the project is not known")
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    top = {name.split("/")[0] for name in listed.splitlines()} - {".gitignore", "pyproject.toml"}  # hatch adds these
    assert top - set(PROJECT["tool"]["hatch"]["build"]["targets"]["sdist"]["include"]) == set()


@pytest.mark.parametrize("name", PROSE)
def test_paths_in_the_prose_exist(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    paths = re.findall(
        r"`((?:edge|convert|calibration|firmware_bridge|tests|docs|packaging|constraints|examples|\.ci)/[\w./-]*)`",
        text,
    )
    assert [p for p in paths if not (ROOT / p).exists() and "NAME" not in p] == []


@pytest.mark.parametrize("name", PROSE)
def test_make_targets_in_the_prose_exist(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    for words in re.findall(r"(?:`|^)make ((?:[a-z]+ ?)+)", text, re.MULTILINE):
        for target in words.split():
            recipe(target)
