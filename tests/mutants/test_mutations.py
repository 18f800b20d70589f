"""Which nodes are mutated, and how a score is computed."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("mutmut", reason="mutmut is not installed: pip install -e '.[mutants]'")

from mutations import mutants_of
from run import subjects, wilson

SOURCE = '''"""A module."""

from typing import Literal

Reason = Literal["a", "b"]
__all__ = ["Reason", "f"]
LIMIT = 15.0
"""Seconds."""


class C:
    @property
    def late(self) -> bool:
        return self.age > LIMIT


def f(x: "int | None" = 3) -> str:
    if x is None:
        raise ValueError("wording", 7)
    return "ok" if x else "no"
'''


def test_constants_properties_and_branches_are_mutated_and_declarations_and_messages_are_not(tmp_path: Path) -> None:
    path = tmp_path / "module.py"
    path.write_text(SOURCE)
    mutants = mutants_of(path)
    what = [m.what for m in mutants]
    assert "module: 15.0 -> 16.0" in what
    assert "late: > LIMIT -> >= LIMIT" in what
    assert "f: 3 -> 4" in what
    assert "f: is -> is not" in what
    assert not any("Literal" in w or "Reason" in w or "wording" in w or "7" in w for w in what)
    assert len({m.key for m in mutants}) == len(mutants)
    for mutant in mutants:
        assert mutant.source() != SOURCE
        compile(mutant.source(), "module.py", "exec")


def test_keys_do_not_depend_on_lines_above_or_on_the_folder(tmp_path: Path) -> None:
    for name, text in (("a.py", SOURCE), ("b.py", SOURCE.replace("LIMIT = 15.0", "\n\nLIMIT = 15.0"))):
        (tmp_path / name).write_text(text)
    assert [m.key for m in mutants_of(tmp_path / "a.py")] == [m.key for m in mutants_of(tmp_path / "b.py")]


def test_every_module_and_every_test_file_of_the_targets_exists() -> None:
    for subject in subjects([]):
        assert subject.tests, subject.path


def test_the_interval_of_a_score() -> None:
    low, high = wilson(54, 60)
    assert (low, high) == (pytest.approx(0.799, abs=0.001), pytest.approx(0.953, abs=0.001))
    assert wilson(0, 0) == (0.0, 1.0)
