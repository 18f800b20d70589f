"""The notebooks of examples/notebooks run, show their pictures, and say what their committed output says."""

from __future__ import annotations

import json
import re
import runpy
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = sorted((ROOT / "examples" / "notebooks").glob("*.ipynb"))
LIVE = "live_patch"
"""The notebook whose figures depend on the moment."""
MAX_BYTES = 200_000
ABSOLUTE = re.compile(r"(?<![\w.:/])/(?!dev/)\w+/[^\s\"']*")
"""A path from the root of a file system. A device file is the same on all machines; that of a URL follows a host."""


def cells(path: Path) -> list[dict[str, Any]]:
    return json.loads(path.read_text(encoding="utf-8"))["cells"]


def said(found: list[dict[str, Any]]) -> list[str]:
    """Return what the cells print and return as text, with the pieces of one stream joined.

    How many pieces a slow cell prints in depends on the load of the computer.
    """
    out: list[str] = []
    for cell in found:
        stream = None
        for output in cell.get("outputs", []):
            text = "".join(output.get("text", output.get("data", {}).get("text/plain", "")))
            if stream is not None and output.get("name") == stream:
                out[-1] += text
            else:
                out.append(text)
            stream = output.get("name")
    return out


def texts(part: object) -> Iterator[str]:
    """Yield every text of a notebook but its pictures, which are base64."""
    if isinstance(part, str):
        yield part
    elif isinstance(part, list):
        yield from chain.from_iterable(map(texts, part))
    elif isinstance(part, dict):
        yield from chain.from_iterable(texts(value) for key, value in part.items() if key != "image/png")


def pictures(found: list[dict[str, Any]]) -> int:
    return sum("image/png" in output.get("data", {}) for cell in found for output in cell.get("outputs", []))


def test_there_are_three() -> None:
    assert [path.stem for path in NOTEBOOKS] == ["judging_a_bundle", "live_patch", "recording"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_the_committed_notebook_is_small_whole_and_of_no_machine(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert len(text) < MAX_BYTES
    assert not ABSOLUTE.findall("\n".join(texts(json.loads(text))))
    assert "Research software, no medical device" in text or "say nothing about people" in text
    code = [cell for cell in cells(path) if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in code] == list(range(1, len(code) + 1))
    assert not [o for cell in code for o in cell["outputs"] if o["output_type"] == "error" or o.get("name") == "stderr"]
    assert pictures(code) >= 1
    assert pictures(code) == "".join("".join(c["source"]) for c in code).count("plt.show()")


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_the_notebook_runs(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for library in ("nbclient", "ipykernel", "matplotlib", "pandas", "scipy"):
        pytest.importorskip(library, reason="the notebooks extra is not installed")
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.setenv("MPLCONFIGDIR", str(tmp_path / "mpl"))
    folder = tmp_path / "run"
    folder.mkdir()
    run = runpy.run_path(str(ROOT / "packaging" / "notebooks.py"))["executed"](path, folder)
    assert pictures(run.cells) == pictures(cells(path))
    if path.stem == LIVE:
        printed = "\n".join(said(run.cells))
        assert re.search(r"gap from [3-7] to [6-9] s", printed)
        assert re.search(r"potassium_high +evidence strong +flag True", printed)
        assert re.search(r"7[0-5] bpm", printed)
    else:
        assert said(run.cells) == said(cells(path)), "run: python packaging/notebooks.py"
