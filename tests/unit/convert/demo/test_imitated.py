"""Real recordings that the student of the demonstration imitates: which leads, which files, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("scipy", reason="the convert extra is not installed")

from convert.datasets.pairs import chosen_windows, find_recordings
from convert.demo.imitated import Imitated, Imitation, find_imitated
from convert.simulate.real_forms import FormItems
from convert.teacher.patients import tokens
from edge.process.files import sha256_of
from firmware_bridge.errors import InputError, UsageError
from helpers.two_lead_records import write_record


def test_every_lead_of_every_recording_is_used(tmp_path):
    header = write_record(tmp_path / "leads", "a")
    write_record(tmp_path / "leads", "b", leads=("ii", "pleth"))
    found = find_imitated(Imitation((tmp_path / "leads",), copies=2, source="own"), 1, 20.0)
    names = [r.name for r in found.recordings]
    assert names[:3] == ["leads/a ii", "leads/a ii, form 1", "leads/a ii, form 2"]
    assert [n for n in names if "form" not in n] == ["leads/a ii", "leads/a v1", "leads/b ii"]
    assert all(r.training_only for r in found.recordings)
    assert len({r.size for r in found.recordings}) == 9
    assert found.entry["leads"] == 3
    assert found.entry["source"] == "own"
    assert found.entry["recordings"][0] == {
        "name": "leads/a",
        "files": {"a.hea": sha256_of(header), "a.dat": sha256_of(header.with_suffix(".dat"))},
    }
    # The bundle lists the recordings as other commands know them, so that they refuse to judge on them.
    assert set(tokens(found.recordings)) == set(tokens(find_recordings(tmp_path / "leads")))


def test_a_lead_is_read_as_it_was_recorded_and_a_form_gives_more_windows(tmp_path):
    write_record(tmp_path, "a")
    found = find_imitated(Imitation((tmp_path,), "V1", 3), 1, 20.0)
    windows = [len(chosen_windows(r, 3.0, 4)[0]) for r in found.recordings]
    assert len(windows) == 4
    assert windows[0] == 1
    assert sum(windows) > 4


def test_the_hash_depends_on_the_samples_and_not_on_the_place(tmp_path):
    write_record(tmp_path / "one", "a")
    write_record(tmp_path / "one", "b")
    write_record(tmp_path / "two" / "data", "a")
    write_record(tmp_path / "two" / "data", "b")
    one, two = (find_imitated(Imitation((tmp_path / name,)), 1, 20.0) for name in ("one", "two"))
    assert one.entry["sha256"] == two.entry["sha256"]
    assert [r.size for r in one.recordings] == [r.size for r in two.recordings]
    other = find_imitated(Imitation((tmp_path / "one",)), 2, 20.0)
    forms = [i for i, r in enumerate(one.recordings) if isinstance(r.items, FormItems)]
    assert all(one.recordings[i].items.seed != other.recordings[i].items.seed for i in forms)


def test_damaged_recordings_are_skipped_and_named(tmp_path):
    write_record(tmp_path / "leads", "good")
    write_record(tmp_path / "leads", "other", leads=("pleth", "abp"))
    (tmp_path / "leads" / "broken.hea").write_text("garbage")
    write_record(tmp_path / "leads", "lost").with_suffix(".dat").unlink()
    found = find_imitated(Imitation((tmp_path / "leads",), "II"), 1, 20.0)
    assert [entry["name"] for entry in found.entry["recordings"]] == ["leads/good"]
    reasons = dict(found.skipped)
    assert set(reasons) == {"leads/broken", "leads/lost", "leads/other"}
    assert "none of the leads II" in reasons["leads/other"]
    assert str(tmp_path) not in "".join(reasons.values())


def test_a_folder_without_a_usable_recording_is_refused(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no usable recording"):
        find_imitated(Imitation((tmp_path / "empty",)), 1, 20.0)
    with pytest.raises(InputError, match=r"no data folder at .* \(give a folder of recordings\)"):
        find_imitated(Imitation((tmp_path / "none",)), 1, 20.0)
    (tmp_path / "empty" / "broken.hea").write_text("garbage")
    with pytest.raises(InputError, match=r"no usable recording in .*broken"):
        find_imitated(Imitation((tmp_path / "empty",)), 1, 20.0)
    assert find_imitated(Imitation(), 1, 20.0) == Imitated()


def test_a_recording_that_is_given_twice_is_refused(tmp_path):
    write_record(tmp_path / "one", "a")
    write_record(tmp_path / "two", "a")
    with pytest.raises(UsageError, match="the same recording"):
        find_imitated(Imitation((tmp_path / "one", tmp_path / "two")), 1, 20.0)


@pytest.mark.parametrize("options", [{"copies": -1}, {"copies": 101}, {"leads": " , "}])
def test_options_out_of_range_are_refused(options):
    with pytest.raises(UsageError, match="--imitate"):
        Imitation(**options)


def test_a_file_with_one_unnamed_signal_is_used(tmp_path):
    record = write_record(tmp_path / "wfdb", "a")
    samples = np.fromfile(record.with_suffix(".dat"), "<i2")[1::2] / 1000.0
    (tmp_path / "leads").mkdir()
    (tmp_path / "leads" / "one.csv").write_text("\n".join(f"{x:.3f}" for x in samples))
    (tmp_path / "leads" / "recordings.toml").write_text('["one.csv"]\nfs_hz = 500\nunit = "mV"\n')
    found = find_imitated(Imitation((tmp_path / "leads",), copies=3), 1, 20.0)
    windows = [len(chosen_windows(r, 3.0, 4)[0]) for r in found.recordings]
    assert windows[0] == 1
    assert sum(windows) > 4


def test_advice_about_an_imitated_recording_names_no_option_of_other_recordings(tmp_path):
    """The option --fs of the command is about the recordings of --compare."""
    (tmp_path / "a.csv").write_text("II mV\n" + "0.1\n" * 6000)
    with pytest.raises(InputError, match=r"set fs_hz in recordings.toml beside it\) "):
        find_imitated(Imitation((tmp_path,)), 1, 20.0)


def test_a_form_may_be_mixed_with_every_other_lead_of_its_recording(tmp_path):
    write_record(tmp_path, "a")
    write_record(tmp_path, "b", leads=("ii", "pleth"))
    found = find_imitated(Imitation((tmp_path,), copies=1), 1, 20.0)
    forms = {r.name: r.items for r in found.recordings if isinstance(r.items, FormItems)}
    others = {name: [o.stated.entry.lead for o in form.others] for name, form in forms.items()}
    folder = tmp_path.name
    assert others == {f"{folder}/a ii, form 1": ["v1"], f"{folder}/a v1, form 1": ["ii"], f"{folder}/b ii, form 1": []}
