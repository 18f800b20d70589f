"""Damaged text recordings: torn ends, text between the numbers, rows that ran into each other."""

from __future__ import annotations

import numpy as np
import pytest

from edge.sources.replay.text import table as table_module
from firmware_bridge.errors import InputError
from helpers.text_files import COUNTS, ECG_MV, MV, SECONDS, N, is_whole, play, table

CSV = table("time_s,ecg_mv", SECONDS, MV)
LONGEST = max(len(cell) for cell in MV)


@pytest.mark.parametrize("cut", range(1, 14))
def test_a_torn_last_number_is_no_sample(tmp_path, cut):
    played = play(tmp_path, CSV[:-cut])
    assert np.allclose(played.samples, ECG_MV[: len(played.samples)])
    assert len(played.samples) == N - (cut > 1)
    assert played.lost == 0
    assert ("may be cut off" in played.found) == (cut > 1 and not CSV[:-cut].endswith("\n"))


def test_a_torn_whole_number_is_no_sample(tmp_path):
    for cut in (1, 2, 3):
        played = play(tmp_path, table("ecg", COUNTS)[:-cut], "fs=250")
        assert played.samples.tolist() == [int(c) for c in COUNTS[:-1]]
        assert played.decided["torn_last_line"] is True


def test_a_last_line_without_an_end_counts_if_its_number_is_whole(tmp_path):
    assert is_whole(play(tmp_path, CSV[:-1]))
    assert is_whole(play(tmp_path, table("ecg_mv,time_s", MV, SECONDS)[:-1]))
    assert len(play(tmp_path, table("time_s,ecg,hr", SECONDS, COUNTS, ["70"] * N)[:-2]).samples) == N
    assert len(play(tmp_path, table("ecg", [f"{float(v):.3e}" for v in MV])[:-1], "fs=250").samples) == N
    assert len(play(tmp_path, table("ecg", [f"{float(v):.3e}" for v in MV])[:-2], "fs=250").samples) == N - 1


def test_zeros_after_a_power_failure_are_no_samples(tmp_path):
    for cut in (3, 7, 13):
        played = play(tmp_path, CSV[:-cut].encode() + bytes(200_000))
        assert np.allclose(played.samples, ECG_MV[:-1])
    inside = CSV.encode()
    half = inside.index(b"\n", len(inside) // 2) - 2
    played = play(tmp_path, inside[:half] + bytes(70_000) + inside[half + 30 :])
    assert played.lost > 0
    assert set(np.round(played.samples, 4)) <= set(np.round(ECG_MV, 4).astype(np.float32))


def test_text_between_the_numbers_is_skipped_counted_and_noted(tmp_path):
    rows = CSV.splitlines()
    rows[101:101] = ["# marker 1", "Button pressed", "", "time_s,ecg_mv"]
    rows[300] = rows[300].split(",")[0] + ",ERR"
    rows += ["Total samples: 400", "End of file"]
    played = play(tmp_path, "\n".join(rows) + "\n")
    assert played.lost == 1
    assert len(played.samples) == N - 1
    assert played.decided["skipped_rows"] == 6
    assert "6 rows without a number skipped, the first in line 102: '# marker 1'" in played.found


def test_a_word_in_a_column_of_numbers_stands_for_a_sample(tmp_path):
    played = play(
        tmp_path, table("ecg_mv", MV[:100]) + "!\n!\n# note\n" + table("", MV[100:]) + "The end of it\n!\n", "fs=250"
    )
    assert [b.lost for b in played.blocks if b.lost] == [2]
    assert np.allclose(played.samples, ECG_MV)
    assert played.decided["skipped_rows"] == 5


def test_two_files_in_one_are_two_segments(tmp_path):
    played = play(tmp_path, CSV + CSV)
    assert [e.kind for e in played.events] == ["connected", "restarted", "info", "end"]
    assert len(played.samples) == 2 * N


def test_rows_that_ran_into_each_other_give_no_sample(tmp_path):
    text = table("n,ecg", [str(i) for i in range(N)], COUNTS)
    at = text.index("\n", 2000)
    played = play(tmp_path, text[:at] + text[at + 1 :], "fs=250")
    assert set(played.samples) <= {int(c) for c in COUNTS}
    assert played.lost == 2


def test_more_text_than_numbers_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(table_module, "MIN_SKIPPED", 10)
    with pytest.raises(InputError, match="more text than numbers, as in line 402"):
        play(tmp_path, table("ecg_mv", MV) + "It was a dark night\n" * 1000, "fs=250")
    with pytest.raises(InputError, match="no rows of numbers"):
        play(tmp_path, "It was a dark night\n" * 1000, "fs=250")


def test_nothing_is_said_of_a_clean_file(tmp_path):
    played = play(tmp_path, CSV)
    assert played.found == ""
    assert "skipped_rows" not in played.decided


def test_text_of_a_file_cannot_control_the_terminal(tmp_path):
    played = play(tmp_path, table("time_s,ecg\x1b[2J\x1b]0;x\x07_mv", SECONDS, MV))
    line = played.info.decided.line()
    assert line.isprintable()
    assert len(line) <= 1000
