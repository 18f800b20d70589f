"""Writes edge/frontend/ecgfounder_constants.py: the filters of ecgfounder/1 as the installed scipy designs them.

    .venv/bin/python packaging/ecgfounder_constants.py

The committed file is that of scipy 1.17, as are all models trained so far. Up to 1.17 scipy solves for the initial
states numerically and misses the exact ones by about 1e-6; scipy 1.18 computes them exactly. A test compares the file
with the installed scipy; run this command only for a new version of the front end.
"""

from __future__ import annotations

from pathlib import Path

import scipy
from scipy.signal import butter, iirnotch, lfilter_zi

FILE = Path(__file__).resolve().parent.parent / "edge" / "frontend" / "ecgfounder_constants.py"

HEADER = '''"""Filter coefficients and initial states of ``ecgfounder/1``. Designed by scipy {version}; do not edit.

``.venv/bin/python packaging/ecgfounder_constants.py`` writes this file. ``B`` is the numerator, ``A`` the denominator,
``ZI`` the state of a settled step response (``scipy.signal.lfilter_zi``). Input and output are in the same unit.
"""
'''


def design() -> dict[str, tuple[str, tuple[float, ...]]]:
    """Returns docstring and values of each constant by name."""
    designs = {
        "NOTCH": ("scipy.signal.iirnotch(50, 30, 500)", iirnotch(50.0, 30.0, 500.0)),
        "BAND": ('scipy.signal.butter(4, [0.67, 40], "bandpass", fs=500)', butter(4, [0.67, 40.0], "bandpass", fs=500)),
    }
    constants = {}
    for name, (call, (b, a)) in designs.items():
        constants[f"{name}_B"] = (f"Numerator of ``{call}``.", tuple(b.tolist()))
        constants[f"{name}_A"] = (f"Denominator of ``{call}``.", tuple(a.tolist()))
        constants[f"{name}_ZI"] = (f"Initial state of ``{call}``.", tuple(lfilter_zi(b, a).tolist()))
    return constants


def render() -> str:
    """Returns the text of the module."""
    text = HEADER.format(version=scipy.__version__)
    for name, (docstring, values) in design().items():
        lines = "".join(f"    {value!r},\n" for value in values)
        text += f'\n{name} = (\n{lines})\n"""{docstring}"""\n'
    return text


if __name__ == "__main__":
    FILE.write_text(render())
