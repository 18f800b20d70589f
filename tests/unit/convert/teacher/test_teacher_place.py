"""The files beside a teacher, and the split that respects the patients it has seen."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from convert.checkpoint.tensors import Checkpoint
from convert.datasets.pairs import Recording, find_recordings
from convert.labels.plan import read_plan
from convert.labels.travelling_plan import BESIDE, ChosenPlan, default_plan, plan_file, read_bundle_plan
from convert.labels.travelling_plan import FILE as PLAN_FILE
from convert.simulate.write import CohortPlan, write_cohort
from convert.teacher.patients import FILE, hash_of, hashes, names_training, patients_file, tokens
from convert.teacher.place import (
    Provenance,
    checkpoint_at,
    is_bundle,
    kept_files,
    network_options,
    outputs_of,
    provenance_of,
)
from convert.teacher.split import GIVE_OTHERS, SeenPatients, parts_of, seen_patients
from edge.bundle.reader import demo_bundle_path
from firmware_bridge.errors import BundleError, InputError, UsageError

SHARES = {"test": 0.12, "calibration": 0.12, "validation": 0.06}


def drawn_as_before(known: np.ndarray, seed: int) -> dict[str, set]:
    """Return the split for a teacher without a list of patients, as for all bundles so far."""
    order = np.random.default_rng([seed, 3]).permutation(len(known))
    found, at = {}, 0
    for name, share in SHARES.items():
        count = max(1, round(len(known) * share))
        found[name] = set(known[order[at : at + count]].tolist())
        at += count
    return found


@given(n=st.integers(4, 200), seed=st.integers(0, 99))
def test_without_a_list_of_patients_the_split_is_unchanged(n, seed):
    known = np.array(sorted(f"p{i}" for i in range(n)))
    found = {name: set(some.tolist()) for name, some in parts_of(known, SeenPatients(), SHARES, seed).items()}
    assert found == drawn_as_before(known, seed)


@given(
    kinds=st.lists(st.sampled_from("tttvnn"), min_size=4, max_size=60),
    seed=st.integers(0, 99),
)
def test_training_patients_of_the_teacher_never_judge_or_calibrate(kinds, seed):
    known = np.array(sorted(f"p{i:02d}" for i in range(len(kinds))))
    of = dict(zip(known.tolist(), kinds, strict=True))
    seen = SeenPatients(
        frozenset(p for p, k in of.items() if k == "t"), frozenset(p for p, k in of.items() if k == "v")
    )
    new = {p for p, k in of.items() if k == "n"}
    try:
        parts = {name: set(some.tolist()) for name, some in parts_of(known, seen, SHARES, seed).items()}
    except InputError as error:
        counts = {name: max(1, round(len(kinds) * share)) for name, share in SHARES.items()}
        assert error.fix == GIVE_OTHERS
        assert len(new) < 2 or (not seen.own(known) and len(new) + len(seen.chose) < sum(counts.values()))
        return
    assert list(parts) == list(SHARES)
    assert all(parts.values())
    assert sum(map(len, parts.values())) == len(set().union(*parts.values()))
    assert not parts["test"] & (seen.trained | seen.chose)
    assert not parts["calibration"] & seen.trained
    if seen and seen.own(known):
        assert parts["test"] | (parts["calibration"] - seen.chose) == new, "the student is trained on no unseen patient"
        assert seen.chose <= parts["calibration"]


def test_hashes_identify_patients(tmp_path):
    write_cohort(CohortPlan(6, 3, 12.0), tmp_path / "c")
    recordings = find_recordings(tmp_path / "c")
    assert frozenset(hash_of(first) for first, *_ in tokens(recordings)) == hashes(recordings)
    patients = sorted({r.patient for r in recordings})
    first = [r for r in recordings if r.patient == patients[0]]
    second = [r for r in recordings if r.patient in patients[:2]]
    known = {"teacher_train": hashes(first), "teacher_val": hashes(second), "teacher_calibration": frozenset()}
    assert seen_patients(recordings, known) == SeenPatients(frozenset(patients[:1]), frozenset(patients[1:2]), 1)
    assert not seen_patients(recordings, {})
    plain = [Recording("a", "a", None, 1, "x", iter), Recording("b", "b", None, 1, "x", iter)]
    assert seen_patients(plain, {"teacher_train": hashes(plain[1:])}).trained == {"b"}


def checkpoint(tmp_path, **facts) -> Checkpoint:
    return Checkpoint(tmp_path / "t.pth", "0", "state_dict", {}, (), facts, ())


def test_stride_and_normalisation_come_from_flag_then_file_then_ecgfounder(tmp_path):
    assert network_options(checkpoint(tmp_path), None, None) == (2, False)
    assert network_options(checkpoint(tmp_path, stride=1, use_bn=1), None, None) == (1, True)
    assert network_options(checkpoint(tmp_path, stride=1, use_bn=1), 4, False) == (4, False)
    for invalid in ({"stride": "two", "use_bn": 7}, {"stride": 0, "use_bn": "yes"}, {"stride": 9999, "use_bn": -1}):
        assert network_options(checkpoint(tmp_path, **invalid), None, None) == (2, False)


def test_files_beside_a_checkpoint(tmp_path):
    teacher = tmp_path / "teacher.pth"
    with pytest.raises(InputError, match=r"no teacher.pth in the folder"):
        checkpoint_at(tmp_path)
    assert is_bundle(tmp_path)
    teacher.write_bytes(b"")
    assert checkpoint_at(tmp_path) == checkpoint_at(teacher) == teacher
    assert not is_bundle(tmp_path)
    with pytest.raises(UsageError, match="--outputs FILE"):
        outputs_of(teacher, None)
    (tmp_path / "outputs.json").write_text("[]")
    assert outputs_of(teacher, None) == tmp_path / "outputs.json"
    assert outputs_of(teacher, tmp_path / "other.toml") == tmp_path / "other.toml"
    assert provenance_of(tmp_path) == Provenance()
    (tmp_path / BESIDE).write_text('{"labels": ["sinus rhythm"]}')
    assert provenance_of(tmp_path).plan is None, "a file of the same name that is not a label plan"
    (tmp_path / BESIDE).write_bytes(plan_file(read_plan(None)))
    parts = {"train": frozenset([b"123456"]), "val": frozenset([b"abcdef"])}
    (tmp_path / "patients.json").write_bytes(patients_file(parts))
    found = provenance_of(teacher)
    assert found.plan == read_plan(None)
    assert found.patients == {"teacher_train": parts["train"], "teacher_val": parts["val"]}
    assert names_training(found.patients)
    assert not names_training({"test": 1, "calibration": 1})
    (tmp_path / BESIDE).write_bytes(plan_file(read_plan(None))[:-50])
    with pytest.raises(InputError, match=r"labels.json cannot be read"):
        provenance_of(teacher)
    (tmp_path / BESIDE).unlink()
    (tmp_path / "patients.json").write_text("{")
    with pytest.raises(BundleError, match="cannot be read"):
        provenance_of(teacher)
    # A folder with a manifest is a bundle, even with a checkpoint in it.
    (tmp_path / "manifest.json").write_text("{}")
    assert is_bundle(tmp_path)


def test_a_bundle_as_teacher_passes_on_its_patients_except_the_test_part(tmp_path):
    parts = {name: frozenset([name.encode()[:6].ljust(6)]) for name in ("teacher_train", "calibration", "test")}
    kept = kept_files(ChosenPlan(read_plan(None), "teacher"), parts)
    assert set(kept) == {PLAN_FILE, FILE}
    assert kept_files(ChosenPlan(default_plan(), "default"), {}) == {}
    (tmp_path / "validation").mkdir()
    (tmp_path / "manifest.json").write_text("{}")
    for name, data in kept.items():
        (tmp_path / name).write_bytes(data)
    found = provenance_of(tmp_path)
    assert found.plan == read_plan(None)
    assert set(found.patients) == {"teacher_train", "teacher_calibration"}
    assert read_bundle_plan(demo_bundle_path()) is None
    (tmp_path / PLAN_FILE).write_text(json.dumps({"schema": "x"}))
    with pytest.raises(BundleError, match="not a label plan"):
        read_bundle_plan(tmp_path)


def test_a_wrong_path_is_said_before_outputs_are_missed(tmp_path):
    with pytest.raises(InputError, match=r"no such checkpoint: .*nowhere\.pth"):
        outputs_of(tmp_path / "nowhere.pth", None)
    (tmp_path / "there.pth").touch()
    with pytest.raises(UsageError, match="are not described"):
        outputs_of(tmp_path / "there.pth", None)
