"""The constant filters of ecgfounder/1 against the installed scipy and against exact arithmetic."""

from __future__ import annotations

import runpy
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge.frontend import ecgfounder_constants as constants
from edge.frontend.ecgfounder import BAND, NOTCH, Stage

COMMAND = "packaging/ecgfounder_constants.py"

COEFFICIENTS_RTOL = 1e-12
"""Of numerators and denominators: the same design to the last digits on every processor."""
STATE_ATOL = 5e-6
"""Of initial states: up to scipy 1.17 they solve an ill-conditioned system, and the error depends on the processor
(1e-6 was seen on x86-64)."""


@pytest.fixture(scope="module")
def command(pytestconfig: pytest.Config) -> dict[str, Any]:
    script = Path(pytestconfig.rootpath) / COMMAND
    if not script.is_file():
        pytest.skip(f"{COMMAND} is not part of this installation")
    return runpy.run_path(str(script))


def test_the_constants_are_what_the_installed_scipy_designs(command: dict[str, Any]) -> None:
    designed = command["design"]()
    assert set(designed) == {name for name in vars(constants) if name.isupper()}
    for name, (_, values) in designed.items():
        tolerance = {"rtol": 0.0, "atol": STATE_ATOL} if name.endswith("_ZI") else {"rtol": COEFFICIENTS_RTOL}
        np.testing.assert_allclose(getattr(constants, name), values, err_msg=name, **tolerance)


def test_the_command_writes_a_module_of_the_same_form(command: dict[str, Any]) -> None:
    written = Path(constants.__file__).read_text()
    rendered: str = command["render"]()
    assert _without_values(rendered) == _without_values(written)
    namespace: dict[str, Any] = {}
    exec(compile(rendered, COMMAND, "exec"), namespace)
    assert namespace["NOTCH_B"] == pytest.approx(constants.NOTCH_B, rel=COEFFICIENTS_RTOL)


def _without_values(module: str) -> list[str]:
    return [line for line in module.splitlines() if not line.startswith("    ") and "Designed by scipy" not in line]


@pytest.mark.parametrize("stage", [NOTCH, BAND], ids=["notch", "band"])
def test_the_initial_states_are_settled(stage: Stage) -> None:
    """Exact rational arithmetic, without scipy: the state that a constant input of one leaves unchanged."""
    b, a = ([Fraction(float(value)) for value in values] for values in (stage.b, stage.a))
    gain = sum(b) / sum(a)
    tails = [b[k] - a[k] * gain for k in range(1, len(a))]
    exact = [float(sum(tails[k:])) for k in range(len(tails))]
    np.testing.assert_allclose(stage.zi, exact, rtol=0.0, atol=STATE_ATOL)


def test_the_padding_is_that_of_filtfilt() -> None:
    assert (NOTCH.pad, BAND.pad) == (9, 27)
