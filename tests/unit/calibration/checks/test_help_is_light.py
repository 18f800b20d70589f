"""The help of `anyecg validate` loads no library, so that it appears at once."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from calibration.checks import defaults
from calibration.validate.run import ValidateOptions
from convert.stats.metrics import RESAMPLES

CODE = """
import sys
from edge.cli.main import main
try:
    main(["validate", "--help"])
except SystemExit:
    pass
print([name for name in ("numpy", "scipy", "sklearn", "wfdb", "jinja2") if name in sys.modules], file=sys.stderr)
"""


def test_the_help_loads_no_library():
    root = Path(__file__).resolve().parents[4]
    done = subprocess.run([sys.executable, "-c", CODE], cwd=root, capture_output=True, text=True, check=True)
    assert "--plan-size" in done.stdout
    assert done.stderr.strip() == "[]"


def test_defaults_are_those_of_the_options():
    options = ValidateOptions("demo", Path(), Path())
    assert (options.split, options.seed, options.hop_s) == (defaults.SPLIT, defaults.SEED, defaults.HOP_S)
    assert (options.resamples, options.robustness) == (defaults.RESAMPLES, defaults.ROBUSTNESS)
    assert defaults.RESAMPLES == RESAMPLES
