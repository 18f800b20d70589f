"""Every change that once survived all tests is applied to a copy and must make its test fail."""

from __future__ import annotations

from pathlib import Path

import pytest
import survivors
from survivors import PACKAGES, ROOT, SURVIVORS, Survivor


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return survivors.copy_packages(tmp_path_factory.mktemp("packages"))


@pytest.mark.parametrize("survivor", SURVIVORS, ids=lambda s: s.name)
def test_its_line_and_its_test_exist_once(survivor: Survivor) -> None:
    assert survivors.place_of(survivor.old, [ROOT / name for name in PACKAGES]).is_file()
    assert survivors.file_of(survivor.test).is_file()


@pytest.mark.slow
def test_without_a_change_all_of_the_tests_pass(copy: Path) -> None:
    done = survivors.run_tests(copy, sorted({s.test for s in SURVIVORS}))
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("survivor", SURVIVORS, ids=lambda s: s.name)
def test_its_test_fails(copy: Path, survivor: Survivor) -> None:
    assert survivors.survives(copy, survivor) == ""
