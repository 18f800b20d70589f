"""Runs the notebooks of examples/notebooks and writes them back with their output; needs the ``notebooks`` extra.

python packaging/notebooks.py                  # all of them
python packaging/notebooks.py recording.ipynb  # one
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "examples" / "notebooks"
CELL_S = 300
"""Time limit of a cell, s."""


def executed(path: Path, folder: Path) -> Any:
    """Run a notebook in an empty folder and return it with its output, without times and machine names.

    Args:
        path: The notebook.
        folder: Working folder of its kernel.

    Raises:
        CellExecutionError: A cell raised.
    """
    import nbformat
    from nbclient import NotebookClient

    os.environ["PYTHONPATH"] = os.pathsep.join(p for p in (str(ROOT), os.environ.get("PYTHONPATH", "")) if p)
    notebook = nbformat.read(path, as_version=4)
    client = NotebookClient(
        notebook, timeout=CELL_S, kernel_name="python3", resources={"metadata": {"path": str(folder)}}
    )
    with tempfile.TemporaryDirectory(prefix="nb") as sockets:
        # Local sockets instead of TCP ports: nobody else can reach the kernel.
        manager = client.create_kernel_manager()
        manager.transport, manager.ip = "ipc", str(Path(sockets) / "k")
        client.execute()
    for number, cell in enumerate((c for c in notebook.cells if c.cell_type == "code"), 1):
        cell.metadata.pop("execution", None)
        cell.execution_count = number
        for output in cell.outputs:
            if "execution_count" in output:
                output.execution_count = number
    notebook.metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    return notebook


def main(names: list[str]) -> None:
    """Run the notebooks and write them."""
    import nbformat

    for path in [FOLDER / name for name in names] or sorted(FOLDER.glob("*.ipynb")):
        with tempfile.TemporaryDirectory() as folder:
            nbformat.write(executed(path, Path(folder)), path)
        print(f"{path.relative_to(ROOT)}: {path.stat().st_size // 1024} KiB")


if __name__ == "__main__":
    main(sys.argv[1:])
