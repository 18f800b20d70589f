"""``anyecg firmware``: the whole library, or nothing."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from edge.cli.main import main
from helpers.failing_calls import FAULTS


@pytest.mark.parametrize(("fault", "code", "words"), FAULTS)
def test_a_copy_that_ends_early_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    fault: BaseException, code: int, words: str,
) -> None:  # fmt: skip
    out, real = tmp_path / "AnyECG", shutil.copy2

    def copy(source: str, target: str, *, follow_symlinks: bool = True) -> str:
        if len(list(out.rglob("*"))) > 5:
            raise fault
        return real(source, target, follow_symlinks=follow_symlinks)

    # The default of copytree is bound when it is defined.
    monkeypatch.setattr(shutil.copytree, "__defaults__", (False, None, copy, False, False))
    assert main(["firmware", str(out)]) == code
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert words in err
    assert not list(tmp_path.iterdir())
    monkeypatch.undo()
    assert main(["firmware", str(out)]) == 0
    assert (out / "library.properties").is_file()
