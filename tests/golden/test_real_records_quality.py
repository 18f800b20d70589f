"""The quality gate on real recordings: it accepts clean ones of any rhythm and rejects broken ones."""

from __future__ import annotations

import numpy as np
import pytest

from edge.quality.gate import QualityGate
from helpers.real_records import load


def judge(data_dir, record, lead, after_s=-np.inf, before_s=np.inf, scale=1.0, scale_known=True):
    """Verdicts on the windows between two times."""
    gate = QualityGate()
    return [
        gate.assess(w.stream * scale, w.raw * scale, 250.0, w.beats, scale_known=scale_known)
        for w in load(data_dir, record, lead).windows
        if w.start_s >= after_s and w.start_s + 10.0 <= before_s
    ]


def accepted(verdicts):
    assert verdicts
    return sum(v.reason is None for v in verdicts) / len(verdicts)


@pytest.mark.parametrize(
    ("record", "lead", "least"),
    [
        ("mitdb_100", "MLII", 0.99),
        ("mitdb_100", "V5", 0.98),
        ("edb_e0103", "ecg", 1.0),
        ("detectpvc_polar_h10", "ecg", 0.92),
        ("ptbdb_s0010_re", "i", 1.0),
        ("ptbdb_s0010_re", "ii", 1.0),
        ("wfdb_mixedsignals", "II", 0.97),
        ("wfdb_mixedsignals", "III", 0.97),
        ("wfdb_mixedsignals", "V", 0.97),
        ("nstdb_118e24", "ecg", 0.93),
        ("cinc2017_A00027", "I", 1.0),
    ],
)
def test_clean_records_pass(data_dir, record, lead, least):
    assert accepted(judge(data_dir, record, lead)) >= least


@pytest.mark.parametrize(("lead", "least"), [("I", 0.93), ("II", 0.98)])
def test_fibrillation_passes_outside_the_excursions_and_is_flagged(data_dir, lead, least):
    steady = judge(data_dir, "cpsc2021_data_84_1", lead, 0, 146) + judge(data_dir, "cpsc2021_data_84_1", lead, 158, 278)
    assert accepted(steady) >= least
    assert np.mean(["irregular_rhythm" in v.flags for v in steady]) > 0.95


def test_sinus_rhythm_is_rarely_flagged(data_dir):
    for record, lead in (("edb_e0103", "ecg"), ("ptbdb_s0010_re", "i"), ("ptbdb_s0010_re", "ii")):
        assert np.mean(["irregular_rhythm" in v.flags for v in judge(data_dir, record, lead)]) < 0.05


@pytest.mark.parametrize("lead", ["I", "II"])
def test_baseline_excursions_are_mostly_refused(data_dir, lead):
    assert accepted(judge(data_dir, "cpsc2021_data_84_1", lead, 278, 318)) <= 0.35


@pytest.mark.parametrize("lead", ["II", "V"])
def test_a_breaking_contact_is_refused(data_dir, lead):
    """Clean until 262 s, intermittent contact until 303 s, one jerk at 314 s that hides no beat, then clean."""
    assert accepted(judge(data_dir, "cinc2015_a103l", lead, 0, 263)) >= 0.97
    broken = judge(data_dir, "cinc2015_a103l", lead, 255, 309)
    assert accepted(broken) <= 0.05
    assert {v.reason for v in broken} - {None} <= {"poor_signal", "saturated"}
    assert accepted(judge(data_dir, "cinc2015_a103l", lead, 315.5, 330)) == 1.0


def test_electrode_motion_is_refused_far_more_often_at_6_db(data_dir):
    noisy = judge(data_dir, "nstdb_118e06", "ecg")
    assert accepted(noisy) <= 0.45
    assert accepted(judge(data_dir, "nstdb_118e06", "ecg", 40, 120)) <= 0.2
    assert accepted(judge(data_dir, "nstdb_118e24", "ecg")) - accepted(noisy) >= 0.5


def test_a_record_that_its_annotators_call_noisy_is_refused(data_dir):
    assert accepted(judge(data_dir, "cinc2017_A00022", "I")) <= 0.1


@pytest.mark.parametrize(("record", "lead"), [("cinc2015_a103l", "V"), ("nstdb_118e06", "ecg")])
def test_counts_of_any_gain_get_the_same_verdict(data_dir, record, lead):
    in_mv = judge(data_dir, record, lead, scale_known=False)
    assert judge(data_dir, record, lead, scale=2.0**14, scale_known=False) == in_mv
