"""Which column is the ECG: by name, else by what the others cannot be, else the user must choose."""

from __future__ import annotations

import numpy as np
import pytest

from edge.sources.replay.base import UnstatedError
from edge.sources.replay.text.columns import not_an_ecg
from helpers.text_files import COUNTS, ECG_MV, FS_HZ, MV, SECONDS, UV, N, is_whole, play, stamp, table

INDEX = [str(i) for i in range(N)]
CONSTANT = ["1"] * N
WRAPPING = [str(i % 256) for i in range(N)]
PAIRED = [str(2 * i % 200) for i in range(N)]
CLOCK = [f"{1.7e9 + i / FS_HZ:.6f}" for i in range(N)]
STATE = [str(i // 100 % 2) for i in range(N)]


@pytest.mark.parametrize(
    ("columns", "query", "taken", "why"),
    [
        ([INDEX, MV], "fs=250", 2, "column 1 is an index"),
        ([WRAPPING, MV], "fs=250", 2, "column 1 is a counter"),
        ([PAIRED, MV, CONSTANT], "fs=250", 2, "column 3 is constant"),
        ([MV, SECONDS], "", 1, "column 2 is a clock"),
        ([CLOCK, MV], "", 2, "column 1 is a clock"),
        ([PAIRED, MV, CONSTANT, CONSTANT, CLOCK, CONSTANT], "", 2, "are constant"),
        ([SECONDS, STATE, MV], "", 3, "column 2 is a state"),
        ([[stamp(i / FS_HZ).isoformat() for i in range(N)], MV], "", 2, "column 1 is a clock"),
    ],
)
def test_a_column_without_a_name_is_taken_if_the_others_are_none(tmp_path, columns, query, taken, why):
    played = play(tmp_path, table("", *columns), f"unit=mV&{query}".rstrip("&"))
    assert is_whole(played)
    assert f"column {taken}" in played.decided["lead_from"]
    assert why in played.decided["lead_from"]
    assert any(f"column {taken} was taken" in note and why in note for note in played.info.notes)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        (table("", SECONDS, MV, UV), "2, 3 (choose one with column=, such as column=2)"),
        (table("", MV, COUNTS), "1, 2 (choose"),
        (table("", *[[f"{k * float(v):.4f}" for v in MV] for k in range(1, 13)]), "12 columns"),
        (table("time_s,foo,bar", SECONDS, MV, UV), "2 (foo), 3 (bar)"),
        (table("time_s,foo_mv,bar_mv", SECONDS, MV, MV[::-1]), "2 (foo_mv), 3 (bar_mv)"),
        (table("", INDEX, CONSTANT), "no column of"),
        (table("", INDEX), "is an index"),
        (table("", WRAPPING), "is a counter"),
    ],
)
def test_two_that_could_be_or_none_are_refused_in_one_line(tmp_path, text, named):
    with pytest.raises(UnstatedError) as caught:
        play(tmp_path, text, "fs=250")
    assert named in str(caught.value)
    assert "column=" in str(caught.value)
    assert caught.value.fact == "lead"
    assert "\n" not in str(caught.value)


def test_the_user_chooses(tmp_path):
    text = table("", SECONDS, UV, MV)
    for query in ("column=3&unit=mV", "column=column 3&unit=mV", "column=2&unit=uV"):
        assert is_whole(play(tmp_path, text, query))
    assert play(tmp_path, table("", INDEX, CONSTANT), "fs=250&column=1").samples[:3].tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    ("header", "lead"),
    [
        ("time_s,foo,ecg", "ecg"),
        ("time_s,resp,Heart ECG", "Heart ECG"),
        ("time_s,V5,MLII", "MLII"),
        ("time_s,ECG_Rate,ECG_Raw", "ECG_Raw"),
        (",temp,EKG II (mV)", "EKG II (mV)"),
        ("sample #,hr,value", "value"),
    ],
)
def test_a_named_column_is_taken_without_a_note(tmp_path, header, lead):
    clock = SECONDS if header.startswith("time") else INDEX
    played = play(tmp_path, table(header, clock, UV, MV), "unit=mV&fs=250")
    assert np.allclose(played.samples, ECG_MV)
    assert played.info.lead == lead
    assert played.info.notes == ()


def test_a_guess_by_the_unit_is_noted(tmp_path):
    played = play(tmp_path, table("time_s,foo,bar (mV)", SECONDS, COUNTS, MV))
    assert is_whole(played)
    assert "guess: the only voltage" in " ".join(played.info.notes)
    assert "guess" in " ".join(play(tmp_path, table("time_s,temperature", SECONDS, MV)).info.notes)


@pytest.mark.parametrize("counter", [INDEX, WRAPPING, PAIRED, [str(i % 16) for i in range(N)]])
def test_a_counter_shows_lost_samples(tmp_path, counter):
    keep = [i for i in range(N) if not 200 <= i < 205]
    text = table("seq,ecg_mv", [counter[i] for i in keep], [MV[i] for i in keep])
    played = play(tmp_path, text, "fs=250")
    assert [b.lost for b in played.blocks if b.lost] == [5]
    assert np.allclose(played.samples, ECG_MV[keep])
    assert "a counter of samples" in played.decided["clock"]


@pytest.mark.parametrize(
    ("values", "why"),
    [
        (np.arange(100), "an index"),
        (np.arange(100) * 0.004, "a clock"),
        (np.repeat(np.arange(50), 2) * 8.0, "a clock"),
        (np.arange(400) % 100, "a counter"),
        (np.repeat(np.arange(200) % 50, 2), "a counter"),
        (np.ones(100), "constant"),
        (np.full(100, np.nan), "without numbers"),
        (np.arange(100) // 20 % 3, "a state"),
        (np.sin(np.arange(100)), ""),
        (np.round(500 * np.sin(np.arange(400) / 40)), ""),
        (ECG_MV, ""),
    ],
)
def test_what_values_say(values, why):
    assert not_an_ecg(np.asarray(values, float)) == why
