"""Any change to a text recording gives samples or one clear error, and the size of the pieces never matters."""

from __future__ import annotations

import gzip
import json

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from firmware_bridge.errors import InputError, UsageError
from helpers.text_files import ECG_MV, MV, SECONDS, UV, N, comma, play, stamp, table

ISO = [stamp(float(t)).isoformat(timespec="milliseconds") for t in SECONDS]
FILES = {
    "csv": table("time_s,ecg_mv", SECONDS, MV).encode(),
    "semicolon": table("Zeit (s);EKG (µV)", comma(SECONDS), comma(UV), sep=";").encode("latin-1"),
    "pairs": table("time_s,ecg_mv", comma(SECONDS), comma(MV)).encode(),
    "iso": table("time,ecg_mv,label", ISO, MV, ["N"] * N).encode(),
    "utf16": table("time_s\tecg_mv", SECONDS, MV, sep="\t").encode("utf-16"),
    "one": table("# Sampling Rate: 250 Hz\necg_mv", MV).encode(),
    "bare": table("", [str(i % 256) for i in range(N)], MV).encode(),
    "json": json.dumps({"fs": 250, "unit": "mV", "ecg": ECG_MV.tolist()}).encode(),
    "lines": "".join(
        json.dumps({"ecg": {"Samples": [round(1000 * v) for v in ECG_MV[i : i + 16]], "Timestamp": 4 * i}}) + "\n"
        for i in range(0, N, 16)
    ).encode(),
    "gzip": gzip.compress(table("time_s,ecg_mv", SECONDS, MV).encode()),
    "opensignals": (
        b'# OpenSignals Text File Format\n# {"x": {"device": "bitalino", "sampling rate": 250, "resolution": [4, 10], '
        b'"label": ["A1"], "column": ["nSeq", "A1"], "sensor": ["ECG"]}}\n# EndOfHeader\n'
        + table("", [str(i % 16) for i in range(N)], [str(int(512 + 200 * v)) for v in ECG_MV], sep="\t").encode()
    ),
}
TOKENS = [b"\n", b"\r", b",", b";", b"\t", b'"', b"'", b"-", b".", b"e", b"E9", b"nan", b"inf", b"1e999", b"\0",
          b"\xff", b"\xb5", b"# ", b"%", b"{", b"[", b"]", b"}", b"sep=;", b":", b"0000-00-00T00:00:00", b"fs=0",
          b"99:99:99", b"\xef\xbb\xbf", b"\xff\xfe", b"9" * 400, b"  ", b"", b"ecg", b"time_s,ecg_mv\n", b"\x1a",
          b"1_000", b"0x10", b"\xd9\xa1"]  # fmt: skip

CELLS = ["1", "-0.5", "0,5", "", "x", "nan", "1e3", "12:00:00", "7"]

edits = st.lists(
    st.tuples(st.floats(0, 1), st.integers(0, 40), st.one_of(st.sampled_from(TOKENS), st.binary(max_size=12))),
    min_size=1,
    max_size=6,
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@pytest.mark.parametrize("kind", FILES)
@given(edits=edits, query=st.sampled_from(["", "fs=250", "column=2", "lead=ecg", "unit=mV&fs=250", "column=1&fs=100"]))
def test_a_changed_file_gives_samples_or_one_clear_error(kind, edits, query, tmp_path_factory):
    data = FILES[kind]
    for place, length, new in edits:
        at = int(place * len(data))
        data = data[:at] + new + data[at + length :]
    try:
        played = play(tmp_path_factory.mktemp("text"), data, query)
    except (InputError, UsageError) as error:
        assert "\n" not in str(error)
        assert "damaged header" not in str(error) or kind == "gzip", "a reader raised an error of Python's"
        return
    assert np.isfinite(played.samples.astype(float)).all()
    assert played.info.decided.line().isprintable()
    json.dumps(played.decided, allow_nan=False)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@pytest.mark.parametrize("kind", FILES)
@given(cut=st.floats(0, 1), piece=st.integers(1, 3000))
def test_a_cut_file_gives_a_prefix_in_pieces_of_any_size(kind, cut, piece, tmp_path_factory):
    folder = tmp_path_factory.mktemp("text")
    data = FILES[kind]
    whole = play(folder, data, "unit=mV&fs=250").samples
    cut_data = data[: max(1, int(cut * len(data)))]

    def read():
        try:
            return play(folder, cut_data, "unit=mV&fs=250").samples.tolist()
        except InputError as error:
            return str(error)

    found = read()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("edge.sources.replay.text.lines.PIECE_BYTES", piece)
        assert read() == found
    if isinstance(found, list) and len(found) > 80:
        assert found == whole[: len(found)].tolist()


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.lists(
        st.lists(st.sampled_from(["1", "-0.5", "0,5", "", "x", "nan", "1e3", "12:00:00", "7"]), max_size=4), max_size=12
    ),
    sep=st.sampled_from([",", ";", "\t", " ", "|"]),
    head=st.sampled_from(["", "time,ecg\n", "ecg\n", "a;b;c\n"]),
)
def test_any_small_table_is_read_or_refused(rows, sep, head, tmp_path_factory):
    text = head + "".join(sep.join(row) + "\n" for row in rows)
    try:
        played = play(tmp_path_factory.mktemp("text"), text, "fs=250")
    except (InputError, UsageError) as error:
        assert "damaged header" not in str(error)
        return
    assert np.isfinite(played.samples).all()
