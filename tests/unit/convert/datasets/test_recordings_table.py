"""Recordings that do not state their rate, scale or lead: the table beside them, the options, and their precedence."""

from __future__ import annotations

import re
import tempfile
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from convert.datasets.described import RecordingOptions, Stated, open_recording, stated_files
from convert.datasets.pairs import chosen_windows, find_recordings
from convert.datasets.rectable import Entry, RecordingTable, read_table
from convert.datasets.windows import collect_windows
from edge.sources.replay.folder import recording_files
from firmware_bridge.errors import AnyEcgError, InputError, UsageError
from helpers.ecg_shapes import ecg

NONE = RecordingOptions()


def write_csv(path: Path, fs_hz: float = 250.0, *, time: bool = False, header: str = "", scale: float = 1.0) -> Path:
    """Write an ECG of 20 s, with a time column in seconds or without one."""
    signal = ecg([0.8] * 22, fs=fs_hz)[0] * scale
    rows = [f"{i / fs_hz:.6f},{v:.5f}" if time else f"{v:.5f}" for i, v in enumerate(signal)]
    header = header or ("time_s,ecg" if time else "")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join([*filter(None, [header]), *rows]) + "\n")
    return path


def table(folder: Path, text: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "recordings.toml").write_text(text)
    return folder


def stated(folder: Path, options: RecordingOptions = NONE) -> dict[str, Stated]:
    found = stated_files(recording_files(folder), folder, options)
    return {path.relative_to(folder).as_posix(): one for path, one in found.items()}


def signal_of(folder: Path, name: str = "a.csv", options: RecordingOptions = NONE):
    return open_recording(folder / name, stated(folder, options)[name], 1.0)._reader.signal


def test_a_recording_without_a_rate_says_where_to_state_it(tmp_path: Path) -> None:
    write_csv(tmp_path / "a.csv")
    advice = r"a\.csv does not contain its sampling rate \(set fs_hz in recordings\.toml beside it, or give --fs HZ\)"
    with pytest.raises(InputError, match=advice):
        collect_windows(tmp_path, 4)
    windows, why = chosen_windows(find_recordings(tmp_path)[0], 5.0, 8)
    assert not windows
    assert re.search(advice, why)


def test_table_and_option_give_the_same_windows(tmp_path: Path) -> None:
    write_csv(tmp_path / "x" / "a.csv")
    by_option = collect_windows(tmp_path, 4, options=RecordingOptions(fs_hz=250))
    table(tmp_path, "[default]\nfs_hz = 250\n")
    by_table = collect_windows(tmp_path, 4)
    np.testing.assert_array_equal(by_option.raw(), by_table.raw())
    (recording,) = find_recordings(tmp_path)
    windows, _ = chosen_windows(recording, 5.0, 8)
    np.testing.assert_allclose(windows[0].raw, by_table.windows[0].raw)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('["a.csv"]\nrate = 250\n', r"unknown key 'rate' in \['a\.csv'\] \(use fs_hz, lsb_mv, unit, lead, channel"),
        ('["a.csv"]\nfs_hz = "250"\n', r"fs_hz in \['a\.csv'\] is '250' \(give a number from 60 to 4000 Hz\)"),
        ('["a.csv"]\nfs_hz = true\n', "fs_hz .* is 'True'"),
        ('["a.csv"]\nfs_hz = nan\n', "fs_hz .* is 'nan'"),
        ('["a.csv"]\nfs_hz = 4\n', "fs_hz .* is '4'"),
        ('["a.csv"]\nlsb_mv = 0\n', "lsb_mv .* is '0'"),
        ('["a.csv"]\nunit = "volts"\n', r'unit .* is \'volts\' \(give "mV", "uV" or "counts"\)'),
        ('["a.csv"]\nlead = 2\n', r"lead .* is '2' \(give text in quotes"),
        ('["a.csv"]\nchannel = 0\n', "channel .* is '0'"),
        ('["a.csv"]\nchannel = 1.5\n', "channel .* is '1.5'"),
        ('["a.csv"]\npatient = ""\n', "patient .* is ''"),
        ('["a.csv"]\nskip = 1\n', r"skip .* is '1' \(give true or false\)"),
        ('["a.csv"]\nlsb_mv = 0.1\nunit = "mV"\n', "both lsb_mv and unit"),
        ('["a.csv"]\nlead = "II"\nchannel = 1\n', "both lead and channel"),
        ('["b.csv"]\nfs_hz = 250\n["*.dat"]\n', r"the entry 'b\.csv' matches no file"),
        ('["A.csv"]\nfs_hz = 250\n', r"the entry 'A\.csv' matches no file"),
        ("fs_hz = 250\n", r"'fs_hz' stands outside an entry"),
        ("[default\n", "not valid TOML"),
        ("[default]\nskip = true\n", "leaves out every recording"),
    ],
)
def test_a_wrong_table_is_named_in_one_line(tmp_path: Path, text: str, message: str) -> None:
    write_csv(tmp_path / "a.csv")
    table(tmp_path, text)
    for read in (lambda: collect_windows(tmp_path, 4), lambda: find_recordings(tmp_path)):
        with pytest.raises(InputError, match=message) as caught:
            read()
        assert "\n" not in str(caught.value)


def test_a_table_has_a_largest_size_and_must_be_text(tmp_path: Path) -> None:
    path = tmp_path / "recordings.toml"
    path.write_bytes(b"#" * ((1 << 22) + 1))
    with pytest.raises(InputError, match="larger than 4 MiB"):
        read_table(path)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match="not valid TOML"):
        read_table(path)


def test_the_nearest_table_applies_alone(tmp_path: Path) -> None:
    for name in ("a.csv", "x/b.csv", "x/y/c.csv", "z/d.csv"):
        write_csv(tmp_path / name)
    table(tmp_path, '[default]\nfs_hz = 100\npatient = "p"\n')
    table(tmp_path / "x", '["y/*"]\nfs_hz = 250\n')
    found = {name: (one.entry.fs_hz, one.entry.patient) for name, one in stated(tmp_path).items()}
    assert found == {"a.csv": (100, "p"), "x/b.csv": (None, None), "x/y/c.csv": (250, None), "z/d.csv": (100, "p")}


def test_a_single_recording_uses_the_table_beside_it(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "a.csv")
    table(tmp_path, '[default]\nfs_hz = 250\n["other.csv"]\nfs_hz = 100\n')
    assert collect_windows(path, 4).used == [path]


def test_a_wfdb_record_is_matched_by_each_of_its_names(tmp_path: Path) -> None:
    for suffix in (".hea", ".mat"):
        (tmp_path / f"r1{suffix}").write_bytes(b"x")
    for key in ("r1", "r1.hea", "r1.mat", "*.mat", "r?"):
        entry = RecordingTable(tmp_path / "recordings.toml", Entry(), {key: Entry(fs_hz=300)})
        assert entry.entry(tmp_path / "r1.hea").fs_hz == 300
    assert entry.entry(tmp_path / "q1.hea").fs_hz is None


def test_skipped_recordings_and_patients(tmp_path: Path) -> None:
    for name in ("a.csv", "b.csv", "c.csv"):
        write_csv(tmp_path / name)
    table(tmp_path, '[default]\nfs_hz = 250\n["c.csv"]\nskip = true\n["[ab].csv"]\npatient = "7"\n')
    assert [(r.name, r.patient) for r in find_recordings(tmp_path)] == [("a", "7"), ("b", "7")]
    found = collect_windows(tmp_path, 4)
    assert ([p.name for p in found.used], found.skipped) == (["a.csv", "b.csv"], {})


def test_a_stated_fact_changes_the_key_of_stored_results(tmp_path: Path) -> None:
    write_csv(tmp_path / "a.csv", time=True)
    (plain,) = find_recordings(tmp_path)
    (with_lead,) = find_recordings(tmp_path, RecordingOptions(lead="ecg"))
    table(tmp_path, '[default]\npatient = "7"\n')
    (with_patient,) = find_recordings(tmp_path)
    assert plain.stated == with_patient.stated == ""
    assert with_lead.stated


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        ("[default]\nfs_hz = 250\n", RecordingOptions(fs_hz=300), "states 250 Hz for a.csv, but --fs says 300"),
        ("[default]\nlsb_mv = 0.1\n", RecordingOptions(lsb_mv=0.2), "states lsb_mv = 0.1 for a.csv, but --lsb-mv"),
        ('[default]\nunit = "uV"\n', RecordingOptions(lsb_mv=0.2), "states unit = uV for a.csv, but --lsb-mv"),
        ('[default]\nlead = "II"\n', RecordingOptions(lead="I"), "states lead II for a.csv, but --lead says I"),
    ],
)
def test_table_and_option_that_disagree_are_refused(
    tmp_path: Path, text: str, options: RecordingOptions, message: str
) -> None:
    write_csv(tmp_path / "a.csv")
    table(tmp_path, text)
    with pytest.raises(UsageError, match=message):
        collect_windows(tmp_path, 4, options=options)


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        ("[default]\nfs_hz = 300\n", NONE, r"a\.csv states 250 Hz, but .*recordings\.toml says fs_hz = 300"),
        ("", RecordingOptions(fs_hz=300), r"a\.csv states 250 Hz, but --fs says 300"),
        ('[default]\nunit = "uV"\n', NONE, r"states another scale, but .*recordings\.toml says unit = uV"),
        ("", RecordingOptions(lsb_mv=0.2), r"states another scale, but --lsb-mv says 0\.2"),
    ],
)
def test_a_file_that_states_something_else_stops_the_command(
    tmp_path: Path, text: str, options: RecordingOptions, message: str
) -> None:
    write_csv(tmp_path / "a.csv", time=True, header="time_s,ecg_mv")
    table(tmp_path, text)
    with pytest.raises(UsageError, match=message):
        collect_windows(tmp_path, 4, options=options)
    (recording,) = find_recordings(tmp_path, options)
    with pytest.raises(UsageError, match=message):
        chosen_windows(recording, 5.0, 8)


def test_what_agrees_with_the_file_changes_nothing(tmp_path: Path) -> None:
    write_csv(tmp_path / "a.csv", time=True, header="time_s,ecg_mv")
    plain = collect_windows(tmp_path, 4)
    table(tmp_path, '[default]\nfs_hz = 251\nunit = "mV"\n')
    stated_too = collect_windows(tmp_path, 4, options=RecordingOptions(fs_hz=250, lead="ecg_mv"))
    np.testing.assert_array_equal(plain.raw(), stated_too.raw())


@pytest.mark.parametrize("how", ["table", "option"])
def test_a_missing_scale_is_filled_and_the_rate_kept(tmp_path: Path, how: str) -> None:
    write_csv(tmp_path / "a.csv", time=True, scale=200)
    assert signal_of(tmp_path).lsb_mv is None
    options = RecordingOptions(lsb_mv=0.005) if how == "option" else NONE
    table(tmp_path, "[default]\nlsb_mv = 0.005\n" if how == "table" else "")
    signal = signal_of(tmp_path, options=options)
    assert (signal.lsb_mv, round(signal.fs_hz)) == (0.005, 250)


VALUES = {
    "fs_hz": st.floats(20, 20_000),
    "lsb_mv": st.floats(1e-9, 1e3),
    "unit": st.sampled_from(["mV", "uV", "counts"]),
    "lead": st.sampled_from(["I", "II", "MLII"]),
    "channel": st.integers(1, 256),
    "patient": st.sampled_from(["1", "2"]),
    "skip": st.booleans(),
}
KEYS = tuple(f.name for f in fields(Entry))
PAIR = {"lsb_mv": "unit", "unit": "lsb_mv", "lead": "channel", "channel": "lead"}


@st.composite
def entries(draw: st.DrawFn) -> dict[str, object]:
    chosen = draw(st.dictionaries(st.sampled_from(KEYS), st.just(None)))
    kept = [k for k in chosen if PAIR.get(k) not in chosen or k < PAIR[k]]
    return {k: draw(VALUES[k]) for k in kept}


@settings(max_examples=60, deadline=None)
@given(default=entries(), early=entries(), late=entries(), named=entries(), name_first=st.booleans())
def test_the_most_specific_statement_of_each_fact_holds(default, early, late, named, name_first: bool) -> None:
    """A name counts more than a pattern, a later pattern more than an earlier one, and all more than the default."""
    patterns = {"*.csv": Entry(**early), "a*": Entry(**late)}
    name = {"a.csv": Entry(**named)}
    ordered = name | patterns if name_first else patterns | name
    found = RecordingTable(Path("t/recordings.toml"), Entry(**default), ordered).entry(Path("t/a.csv"))
    for key in KEYS:
        levels = [e for e in (named, late, early, default) if key in e or PAIR.get(key) in e]
        assert getattr(found, key) == (levels[0].get(key) if levels else None)


@settings(max_examples=40, deadline=None)
@given(
    file=st.sampled_from([None, 250.0]),
    by_table=st.sampled_from([None, 250.0, 250.5, 500.0]),
    option=st.sampled_from([None, 250.0, 251.0, 500.0]),
)
def test_a_rate_is_filled_in_the_order_file_table_option(
    file: float | None, by_table: float | None, option: float | None
) -> None:
    """The first of file, table and option that states a rate holds, and any other that contradicts it is refused."""
    given_rates = [rate for rate in (file, by_table, option) if rate is not None]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_csv(folder / "a.csv", time=file is not None)
        table(folder, f"[default]\nfs_hz = {by_table}\n" if by_table else "")
        options = RecordingOptions(fs_hz=option)
        try:
            signal = signal_of(folder, options=options)
        except AnyEcgError as error:
            agree = bool(given_rates) and max(given_rates) / min(given_rates) < 1.01
            assert not agree
            assert isinstance(error, UsageError if given_rates else InputError)
            return
        assert signal.fs_hz == pytest.approx(given_rates[0], rel=1e-3)
        assert max(given_rates) / min(given_rates) < 1.01


def test_stated_is_the_same_after_pickling() -> None:
    import pickle

    from edge.sources.replay.base import UnstatedError

    one = Stated(Entry(fs_hz=250), RecordingOptions(lead="II"), "t")
    assert pickle.loads(pickle.dumps(one)) == one
    error = pickle.loads(pickle.dumps(UnstatedError("a", "b", "scale")))
    assert (error.what, error.fix, error.fact) == ("a", "b", "scale")
    assert replace(one, entry=Entry(skip=False)).key == replace(one, entry=Entry()).key


def test_a_table_of_many_names_is_read_quickly(tmp_path: Path) -> None:
    """Names are looked up, so that the time does not grow with the product of recordings and entries."""
    n = 20_000
    entries = {f"r{i}.csv": Entry(patient=str(i)) for i in range(n)}
    found = RecordingTable(tmp_path / "recordings.toml", Entry(), {"*9.csv": Entry(fs_hz=250)} | entries)
    assert [found.entry(tmp_path / f"r{i}.csv").patient for i in range(n)] == [str(i) for i in range(n)]
    found.check_used()


def test_brackets_in_a_name_match_themselves(tmp_path: Path) -> None:
    found = RecordingTable(tmp_path / "recordings.toml", Entry(), {"a[1].csv": Entry(fs_hz=250)})
    assert [found.entry(tmp_path / name).fs_hz for name in ("a[1].csv", "a1.csv", "a2.csv")] == [250, 250, None]
