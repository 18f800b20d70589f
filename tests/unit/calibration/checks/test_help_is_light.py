"""The help of a command loads no large library, so that it appears at once."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import pytest

from calibration.checks import defaults
from calibration.validate.run import ValidateOptions
from convert.cli import defaults as cli
from convert.demo.run import DemoConfig
from convert.demo.teacher import SHAPES
from convert.distil import assemble
from convert.distil.train import DistilPlan
from convert.foundation import config as foundation
from convert.own_model import run as own_model
from convert.own_model.fit import SAMPLES
from convert.stats.metrics import RESAMPLES
from convert.teacher.open import CheckpointOptions
from convert.teacher.soft_labels import WindowPlan

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


@pytest.mark.parametrize(
    "command",
    ["calibrate probability", "calibrate fuse", "convert micro", "convert foundation", "convert parity", "train-demo",
     "convert inspect", "bundle make", "finetune", "evaluate"],
)  # fmt: skip
def test_the_help_of_commands_that_train_loads_neither_scipy_nor_asyncio(command):
    """These took up to a second before: numpy alone costs about a tenth."""
    root = Path(__file__).resolve().parents[4]
    code = CODE.replace('"validate"', ", ".join(map(repr, command.split()))).replace(
        '"numpy", "scipy"', '"scipy", "asyncio", "tensorflow"'
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert "--help" in done.stdout
    assert done.stderr.strip() == "[]"


@pytest.mark.parametrize("command", ["run", "demo", "doctor", "estimates", "completion", "version"])
def test_the_help_on_a_device_loads_neither_numpy_nor_asyncio(command):
    """Of a third of a second, the chain and the event loop took two thirds."""
    root = Path(__file__).resolve().parents[4]
    code = CODE.replace('"validate"', repr(command)).replace(
        '"numpy", "scipy"', '"numpy", "asyncio", "ssl", "_hashlib"'
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert "--help" in done.stdout
    assert done.stderr.strip() == "[]"


def test_values_of_the_help_are_those_of_the_options():
    student, windows = DistilPlan(), WindowPlan()
    assert {k: getattr(student, k) for k in vars(cli.STUDENT)} == vars(cli.STUDENT)
    assert {k: getattr(windows, k) for k in vars(cli.WINDOWS)} == vars(cli.WINDOWS)
    assert asdict(DemoConfig()) == vars(cli.DEMO)
    assert tuple(sorted(SHAPES)) == cli.DEMO_TEACHERS
    assert cli.OWN_MODEL.front_ends == tuple(SAMPLES)
    assert (cli.OWN_MODEL.licence, cli.OWN_MODEL.windows) == (own_model.DEFAULT_LICENCE, own_model.WINDOWS)
    assert {cli.VERSION} == {own_model.DEFAULT_VERSION, foundation.DEFAULT_VERSION, assemble.VERSION}
    assert {cli.LICENCE} == {foundation.DEFAULT_LICENCE, CheckpointOptions().licence}
    assert cli.FOUNDATION_NAME == foundation.DEFAULT_NAME
