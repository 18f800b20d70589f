"""Effects of laboratory values on the simulated ECG: one row for each effect, with its source.

``arbitrary=True`` marks a row whose *size* is not published. It is chosen so that the simulated task is neither trivial
nor hopeless. If such a row has a source, the source gives only the direction. Do not read the table as physiology
beyond its sources, or as evidence about patients.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal, assert_never

from firmware_bridge.synth.ecgsyn import EcgParams

Shape = Literal["linear", "above", "below"]
Feature = Literal["hr_bpm", "pr_ms", "p_mv", "qrs_ms", "qtc_ms", "t_mv", "t_ms", "t_asymmetry", "u_mv", "rr_sd_ms"]

MMOL_PER_MG_DL_CA = 1.0 / 4.008
"""Calcium, mg/dL to mmol/L (atomic weight 40.08)."""
MMOL_PER_MG_DL_MG = 1.0 / 2.4305
"""Magnesium, mg/dL to mmol/L (atomic weight 24.305)."""
MMOL_PER_MG_DL_GLUCOSE = 1.0 / 18.016
"""Glucose, mg/dL to mmol/L (molecular weight 180.16)."""
PM_PER_NG_DL_FT4 = 12.87
"""Free thyroxine, ng/dL to pmol/L (molecular weight 776.87)."""

NOORDAM = "Noordam, JACC 2019;73:3118, n=153,014"
DIALYSIS = "dialysis patients, n=32 (discovery.researcher.life 45ca6505)"
STAGES = "EMJ 2002;19:74"


@dataclass(frozen=True, slots=True)
class Coupling:
    """One effect of one lab on one feature of the ECG.

    The effect is ``slope * d``, where ``d`` is the distance of the lab from ``at`` in ``lab_unit``: signed for
    ``linear``, the positive part beyond ``at`` for ``above`` and ``below``.

    Attributes:
        lab: Key of the lab in the catalogue.
        to_unit: Factor from the catalogue's unit to ``lab_unit``.
        lab_unit: Unit of ``at`` and of the slope.
        feature: Field of `EcgParams`.
        shape: Shape of the effect, see above.
        at: Value without an effect, in ``lab_unit``.
        slope: Effect per ``lab_unit``, in bpm, ms or mV; with ``log`` on the natural logarithm of the feature.
        log: Whether the effect multiplies the feature.
        source: Publication; empty if there is none.
        arbitrary: Whether the size of the effect is not from the source.
    """

    lab: str
    to_unit: float
    lab_unit: str
    feature: Feature
    shape: Shape
    at: float
    slope: float
    log: bool
    source: str
    arbitrary: bool

    def effect(self, value: float) -> float:
        """Return the effect of ``value``, given in the catalogue's unit."""
        x = value * self.to_unit - self.at
        match self.shape:
            case "linear":
                return self.slope * x
            case "above":
                return self.slope * max(x, 0.0)
            case "below":
                return self.slope * max(-x, 0.0)
            case _ as unreachable:
                assert_never(unreachable)


def _k(feature: Feature, shape: Shape, at: float, slope: float, log: bool, source: str) -> Coupling:
    return Coupling("potassium", 1.0, "mmol/L", feature, shape, at, slope, log, source, arbitrary=True)


def _ca(feature: Feature, shape: Shape, at: float, slope: float, source: str, *, arbitrary: bool) -> Coupling:
    return Coupling("calcium", MMOL_PER_MG_DL_CA, "mmol/L", feature, shape, at, slope, False, source, arbitrary)


def _mg(feature: Feature, shape: Shape, at: float, slope: float, log: bool, source: str = "") -> Coupling:
    arbitrary = not source
    return Coupling("magnesium", MMOL_PER_MG_DL_MG, "mmol/L", feature, shape, at, slope, log, source, arbitrary)


COUPLINGS: tuple[Coupling, ...] = (
    Coupling("potassium", 1.0, "mmol/L", "qtc_ms", "linear", 4.1, -2.8, False, NOORDAM, arbitrary=False),
    _k("t_mv", "above", 4.6, 0.30, True, DIALYSIS),
    _k("t_ms", "above", 4.6, -0.17, True, DIALYSIS),
    _k("pr_ms", "above", 4.6, 14.0, False, DIALYSIS),
    _k("p_mv", "above", 5.5, -0.35, True, STAGES),
    _k("qrs_ms", "above", 6.0, 0.12, True, STAGES),
    _k("t_mv", "below", 3.8, -0.35, True, NOORDAM),
    _k("u_mv", "below", 3.8, 0.02, False, NOORDAM),
    _k("pr_ms", "below", 3.8, 8.0, False, NOORDAM),
    _k("qrs_ms", "below", 3.8, 0.04, True, NOORDAM),
    _k("qtc_ms", "below", 3.8, 8.0, False, NOORDAM),
    _ca("qtc_ms", "linear", 2.32, -11.5, NOORDAM, arbitrary=False),
    _ca("qtc_ms", "below", 2.145, 140.0, NOORDAM, arbitrary=True),
    _ca("qtc_ms", "above", 2.545, -95.0, NOORDAM, arbitrary=True),
    _mg("qtc_ms", "linear", 0.84, 7.2, False, NOORDAM),
    _mg("t_asymmetry", "below", 0.70, -1.2, True),
    _mg("t_mv", "below", 0.70, -1.0, True),
    _mg("pr_ms", "above", 1.07, 60.0, False),
    _mg("qrs_ms", "above", 1.07, 0.3, True),
    Coupling(
        "glucose", MMOL_PER_MG_DL_GLUCOSE, "mmol/L", "qtc_ms", "below", 3.9, 67.0 / 1.4, False,
        "Diabetes 2003;52:1469: +67 ms at 2.5 mmol/L; the threshold 3.9 is chosen", arbitrary=False,
    ),
    Coupling(
        "hemoglobin", 1.0, "g/dL", "hr_bpm", "linear", 13.5, -4.0, False,
        "Weiskopf, Transfusion 2003;43:235 (acute)", arbitrary=False,
    ),
    Coupling(
        "free_t4", PM_PER_NG_DL_FT4, "pmol/L", "hr_bpm", "linear", 15.4, 0.34, False,
        "GESUS, n=18,046: 3.1 to 3.7 bpm per 10 pmol/L", arbitrary=False,
    ),
    Coupling("free_t4", PM_PER_NG_DL_FT4, "pmol/L", "hr_bpm", "above", 23.2, 0.60, False, "", arbitrary=True),
    Coupling("free_t4", PM_PER_NG_DL_FT4, "pmol/L", "p_mv", "above", 23.2, 0.012, True, "", arbitrary=True),
)  # fmt: skip
"""All couplings. A lab without a row has no effect on the ECG; sodium has none, by design and as Noordam found."""

LIMITS: dict[str, tuple[float, float]] = {
    "hr_bpm": (38.0, 190.0),
    "pr_ms": (95.0, 330.0),
    "p_mv": (0.0, 0.5),
    "qrs_ms": (65.0, 200.0),
    "qtc_ms": (300.0, 640.0),
    "t_mv": (-0.6, 1.8),
    "t_ms": (70.0, 290.0),
    "t_asymmetry": (0.7, 2.2),
    "u_mv": (0.0, 0.3),
    "rr_sd_ms": (1.0, 150.0),
}
"""Lower and upper limit of each coupled feature, in the unit of the feature."""


def couple(base: EcgParams, labs: Mapping[str, float]) -> EcgParams:
    """Return ``base`` with the effects of ``labs`` (catalogue keys and units) added.

    A missing lab, or one that is NaN, has no effect.
    """
    added: dict[str, float] = {}
    factor: dict[str, float] = {}
    for row in COUPLINGS:
        value = labs.get(row.lab, math.nan)
        if math.isnan(value):
            continue
        into = factor if row.log else added
        into[row.feature] = into.get(row.feature, 0.0) + row.effect(value)
    changed: dict[str, float] = {}
    for feature, (low, high) in LIMITS.items():
        value = getattr(base, feature) * math.exp(factor.get(feature, 0.0)) + added.get(feature, 0.0)
        changed[feature] = min(max(value, low), high)
    return replace(base, **changed)  # type: ignore[arg-type]  # every key of LIMITS is a float field


def markdown() -> str:
    """Return the couplings as the table of docs/simulator.md."""
    lines = ["| lab | feature | where | effect per unit | size | source |", "|---|---|---|---|---|---|"]
    for row in COUPLINGS:
        where = {"linear": f"from {row.at:g}", "above": f"above {row.at:g}", "below": f"below {row.at:g}"}[row.shape]
        unit = {"hr_bpm": "bpm", "qtc_ms": "ms", "pr_ms": "ms", "qrs_ms": "ms", "u_mv": "mV"}.get(row.feature, "")
        effect = f"× exp({row.slope:+.3g})" if row.log else f"{row.slope:+.3g} {unit}"
        size = "**arbitrary**" if row.arbitrary else "sourced"
        where = f"{where} {row.lab_unit}"
        lines.append(f"| {row.lab} | {row.feature} | {where} | {effect} | {size} | {row.source or 'none'} |")
    return "\n".join(lines) + "\n"
