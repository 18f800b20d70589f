"""Simulated emergency-department patients: demographics, laboratory values, and parameters of the ECG.

Every number here is arbitrary unless it has a source. The distributions resemble those of an emergency department, but
abnormal values are more frequent, so that a small cohort can train a model. Sodium has its own random stream and
depends on nothing, so that no model can predict it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from convert.simulate.couplings import couple
from firmware_bridge.synth.ecgsyn import EcgParams
from firmware_bridge.synth.noise import NoiseParams

SECOND_VISIT = 0.12
"""Share of the patients with two visits, by default."""

MAX_VISITS = 12
"""Maximum number of visits of a patient."""

_STREAM_PATIENT, _STREAM_VISIT, _STREAM_SODIUM, _STREAM_NOISE = range(4)


@dataclass(frozen=True, slots=True)
class Demographics:
    """Demographics of a patient.

    Attributes:
        age: Age in years, 18 to 90.
        sex: ``"F"`` or ``"M"``.
        race: Race, as MC-MED writes it.
        ethnicity: Ethnicity, as MC-MED writes it.
    """

    age: int
    sex: str
    race: str
    ethnicity: str


@dataclass(frozen=True, slots=True)
class Visit:
    """One visit of one patient.

    Attributes:
        seed: Seed of the cohort.
        index: Number of the patient in the cohort, from 0.
        visit: Number of the visit of the patient, from 0.
        demographics: Demographics of the patient.
        labs: Values of all labs by catalogue key, in the unit of the catalogue, ordered or not.
        latents: Parameters of the ECG after the couplings.
        base: Parameters of the ECG before the couplings.
        noise: Noise of the recording.
    """

    seed: int
    index: int
    visit: int
    demographics: Demographics
    labs: Mapping[str, float]
    latents: EcgParams
    base: EcgParams
    noise: NoiseParams


def visits_of(seed: int, index: int, mean: float | None = None) -> int:
    """Return the number of visits of a patient.

    Args:
        seed: Seed of the cohort.
        index: Number of the patient.
        mean: Mean number of visits, 1 or more: each visit is followed by another with the same chance, up to
            :data:`MAX_VISITS`. ``None`` for one visit, or two with the chance :data:`SECOND_VISIT`.
    """
    u = float(_rng(seed, index, 0, _STREAM_PATIENT).random())
    if mean is None:
        return 2 if u < SECOND_VISIT else 1
    again = 1.0 - 1.0 / mean
    count = 1
    while count < MAX_VISITS and u < again**count:
        count += 1
    return count


def draw_visit(seed: int, index: int, visit: int = 0) -> Visit:
    """Draw one visit. The result depends on the arguments only, so that any process can make any patient.

    Args:
        seed: Seed of the cohort, non-negative.
        index: Number of the patient, non-negative.
        visit: Number of the visit, from 0. All visits of a patient share demographics and the shape of the ECG, but
            not the labs.
    """
    person = _rng(seed, index, 0, _STREAM_PATIENT)
    person.random()  # the draw of visits_of
    demographics = _demographics(person)
    shape = person.standard_normal(14)
    flags = person.random(2)
    today = _rng(seed, index, visit, _STREAM_VISIT)
    labs = _labs(today, demographics)
    labs.update(_sodium(_rng(seed, index, visit, _STREAM_SODIUM), labs))
    base = _heart(demographics, shape, flags, today)
    noise = _noise(_rng(seed, index, visit, _STREAM_NOISE))
    return Visit(seed, index, visit, demographics, MappingProxyType(labs), couple(base, labs), base, noise)


def _rng(seed: int, index: int, visit: int, stream: int) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, index, visit, stream, 0xA7E])))


def _demographics(rng: np.random.Generator) -> Demographics:
    """Draw demographics with the distributions that MC-MED reports for its visits, such as age 53 ± 20."""
    age = int(np.clip(round(float(rng.normal(53.0, 20.0))), 18, 90))
    sex = "F" if rng.random() < 0.543 else "M"
    race = str(rng.choice(["White", "Other", "Asian", "Black"], p=[0.42, 0.34, 0.17, 0.07]))
    hispanic = rng.random() < 0.25
    return Demographics(age, sex, race, "Hispanic/Latino" if hispanic else "Non-Hispanic/Non-Latino")


def _tails(
    rng: np.random.Generator,
    body: tuple[float, float],
    low: tuple[float, float, float],
    high: tuple[float, float, float],
    limits: tuple[float, float],
) -> float:
    """Draw from a normal body (mean, sd) with exponential tails (probability, start, mean excess)."""
    which, excess, z = float(rng.random()), float(rng.exponential()), float(rng.standard_normal())
    if which < low[0]:
        value = low[1] - low[2] * excess
    elif which > 1.0 - high[0]:
        value = high[1] + high[2] * excess
    else:
        value = body[0] + body[1] * z
    return float(min(max(value, limits[0]), limits[1]))


def _lognormal(rng: np.random.Generator, median: float, sd_log: float, lowest: float, highest: float) -> float:
    return float(np.clip(median * math.exp(sd_log * float(rng.standard_normal())), lowest, highest))


def _labs(rng: np.random.Generator, who: Demographics) -> dict[str, float]:
    """Draw all labs except sodium and the labs derived from it."""
    kidney = rng.random() < 0.08 + 0.15 * (who.age > 65)
    liver = rng.random() < 0.08
    labs: dict[str, float] = {}
    labs["creatinine"] = _lognormal(rng, 3.2 if kidney else (0.78 if who.sex == "F" else 0.95), 0.3, 0.3, 15.0)
    labs["bun"] = _lognormal(rng, 42.0 if kidney else 14.0, 0.35, 3.0, 180.0)
    labs["egfr"] = _egfr(labs["creatinine"], who)
    labs["albumin"] = float(np.clip(rng.normal(2.9 if liver else 4.1, 0.4), 1.3, 5.4))
    labs["magnesium"] = _tails(rng, (2.05, 0.17), (0.14, 1.6, 0.28), (0.07, 2.6, 0.55), (0.6, 6.0))
    low_k = 0.22 if labs["magnesium"] < 1.6 else 0.11
    high_k = 0.26 if kidney else 0.09
    labs["potassium"] = _tails(rng, (4.15, 0.32), (low_k, 3.5, 0.38), (high_k, 5.0, 0.75), (2.0, 8.5))
    calcium = _tails(rng, (9.4, 0.33), (0.12, 8.5, 0.55), (0.08, 10.25, 0.95), (5.5, 15.5))
    labs["calcium"] = float(np.clip(calcium + 0.25 * (labs["albumin"] - 4.0), 5.2, 15.8))
    diabetic = rng.random() < 0.22
    glucose = _tails(rng, (112.0, 18.0), (0.08, 70.0, 13.0), (0.0, 0.0, 0.0), (22.0, 900.0))
    labs["glucose"] = _lognormal(rng, 205.0, 0.4, 80.0, 900.0) if diabetic and glucose > 70.0 else glucose
    body_hb = 13.4 if who.sex == "F" else 14.9
    anaemic = 0.42 if kidney else 0.17
    labs["hemoglobin"] = _tails(rng, (body_hb, 1.0), (anaemic, 12.0, 1.9), (0.0, 0.0, 0.0), (4.0, 19.0))
    labs["mcv"] = float(np.clip(rng.normal(90.0, 5.0), 60.0, 120.0))
    labs["hematocrit"] = 3.0 * labs["hemoglobin"] + float(rng.normal(0.0, 0.8))
    labs["rbc"] = 10.0 * labs["hematocrit"] / labs["mcv"]
    labs["free_t4"] = _tails(rng, (1.22, 0.17), (0.05, 0.8, 0.12), (0.09, 1.8, 1.1), (0.2, 7.7))
    labs["tsh"] = _lognormal(rng, 1.8 * math.exp(-2.2 * (labs["free_t4"] - 1.22)), 0.6, 0.005, 100.0)
    labs["wbc"] = _lognormal(rng, 8.6, 0.4, 0.3, 60.0)
    labs["platelets"] = _lognormal(rng, 130.0 if liver else 245.0, 0.3, 8.0, 1100.0)
    labs["lactate"] = _lognormal(rng, 1.4, 0.45, 0.3, 18.0)
    labs["alt"] = _lognormal(rng, 70.0 if liver else 22.0, 0.5, 4.0, 4000.0)
    labs["ast"] = _lognormal(rng, 85.0 if liver else 24.0, 0.45, 6.0, 5000.0)
    labs["bilirubin_total"] = _lognormal(rng, 2.4 if liver else 0.5, 0.5, 0.1, 35.0)
    labs["hs_troponin_i"] = _lognormal(rng, 14.0 if kidney else 4.5, 1.0, 1.0, 20000.0)
    return labs


def _sodium(rng: np.random.Generator, labs: Mapping[str, float]) -> dict[str, float]:
    """Draw sodium and the anions that follow it. ``labs`` is not used, so that sodium depends on no other lab."""
    del labs
    sodium = _tails(rng, (139.5, 2.2), (0.14, 136.0, 4.0), (0.06, 145.0, 3.0), (105.0, 172.0))
    chloride = 103.0 + 0.8 * (sodium - 139.5) + float(rng.normal(0.0, 2.0))
    co2 = float(np.clip(rng.normal(25.0, 2.6), 6.0, 42.0))
    return {"sodium": sodium, "chloride": chloride, "co2_total": co2, "anion_gap": sodium - chloride - co2}


def _egfr(creatinine: float, who: Demographics) -> float:
    """Return the eGFR by CKD-EPI 2021 without race (Inker, NEJM 2021;385:1737), mL/min/1.73 m2."""
    female = who.sex == "F"
    x = creatinine / (0.7 if female else 0.9)
    value: float = 142.0 * min(x, 1.0) ** (-0.241 if female else -0.302) * max(x, 1.0) ** -1.2 * 0.9938**who.age
    return value * (1.012 if female else 1.0)


def _heart(who: Demographics, z: np.ndarray, flags: np.ndarray, rng: np.random.Generator) -> EcgParams:
    """Draw the ECG before the couplings, with a large variation between patients, so that no lab is trivial."""
    today = rng.standard_normal(6)
    af = bool(flags[0] < 0.02 + 0.06 * (who.age > 70))
    block = bool(flags[1] < 0.05)
    qrs_ms = 88.0 * math.exp(0.09 * z[0]) + (42.0 if block else 0.0)
    return EcgParams(
        hr_bpm=float(np.clip(82.0 + 7.0 * z[1] + 8.0 * today[0] + (18.0 if af else 0.0), 45.0, 150.0)),
        rr_sd_ms=float(np.clip(22.0 * math.exp(0.5 * z[2] + 0.3 * today[1] - 0.008 * (who.age - 50)), 3.0, 90.0)),
        lf_hf=float(math.exp(0.5 * today[2])),
        resp_hz=float(np.clip(0.27 + 0.05 * today[3], 0.14, 0.45)),
        pr_ms=float(np.clip(158.0 + 18.0 * z[3] + 0.25 * (who.age - 53), 105.0, 260.0)),
        p_mv=0.11 * math.exp(0.28 * z[4]),
        p_ms=float(np.clip(100.0 + 10.0 * z[5], 70.0, 140.0)),
        qrs_ms=float(np.clip(qrs_ms, 68.0, 170.0)),
        q_mv=-0.06 * math.exp(0.6 * z[6]),
        r_mv=float(np.clip(0.85 * math.exp(0.35 * z[7]), 0.25, 2.5)),
        s_mv=-0.14 * math.exp(0.6 * z[8]),
        st_mv=0.02 * float(z[9]) + 0.01 * float(today[4]),
        qtc_ms=float(np.clip(405.0 + 15.0 * z[10] + 8.0 * today[5] + (8.0 if who.sex == "F" else 0.0), 340.0, 490.0)),
        t_mv=float(np.clip(0.27 * math.exp(0.38 * z[11]), 0.06, 0.9)) * (-0.5 if block else 1.0),
        t_ms=168.0 * math.exp(0.09 * float(z[12])),
        t_asymmetry=1.4 * math.exp(0.10 * float(z[13])),
        u_mv=0.012 * math.exp(0.5 * float(z[13] * 0.3 + today[1])),
        resp_r=float(0.04 * math.exp(0.4 * today[2])),
        pvc_per_beat=float(0.02 * rng.random() ** 3 if rng.random() < 0.15 else 0.0),
        af=af,
        f_wave_mv=float(0.03 + 0.04 * rng.random()),
    )


def _noise(rng: np.random.Generator) -> NoiseParams:
    """Draw the noise of a recording: mostly low, sometimes high."""
    bad = 3.0 if rng.random() < 0.12 else 1.0
    return NoiseParams(
        wander_mv=_lognormal(rng, 0.05, 0.6, 0.005, 0.5),
        mains_hz=60.0,
        mains_mv=_lognormal(rng, 0.004, 0.8, 0.0003, 0.08),
        muscle_mv=_lognormal(rng, 0.007 * bad, 0.5, 0.001, 0.1),
        white_mv=_lognormal(rng, 0.003, 0.3, 0.001, 0.02),
        motion_per_min=_lognormal(rng, 0.25 * bad, 0.8, 0.0, 8.0),
        motion_mv=_lognormal(rng, 0.4, 0.4, 0.1, 2.0),
        pops_per_min=0.1 * bad,
        pop_mv=0.7,
        contact_loss_per_min=0.06 * bad,
        gain_drift=0.02,
    )
