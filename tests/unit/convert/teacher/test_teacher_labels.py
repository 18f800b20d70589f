"""Windows for teacher and student, shards after interrupted runs, disturbances, and hard labels."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("scipy", reason="the convert extra is not installed")

from convert.datasets.heads import heads_of_file
from convert.datasets.pairs import (
    CONTEXT_SAMPLES,
    MARGIN,
    chosen_windows,
    find_recordings,
    student_stream,
    windows_of,
)
from convert.simulate.patient import simulate_patient
from convert.simulate.wearable import PATCH_RATES_HZ, Wearable, disturb, through_rate
from convert.simulate.write import CohortPlan, write_cohort
from convert.teacher.hard_labels import hard_labels
from convert.teacher.soft_labels import WindowPlan, label
from edge.frontend.stream import StreamFilter, window_input_int8
from edge.grid.timeline import Timeline, Uniform
from firmware_bridge.errors import InputError, OutputError, UsageError
from firmware_bridge.samples import SampleBlock
from helpers.moments_teacher import HEADS, MomentsTeacher, write_folder

OFF = dict.fromkeys(("gain", "wander", "mains", "muscle", "motion", "gap", "polarity", "rate"), 0.0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_folder(tmp_path_factory.mktemp("records") / "data", 6)


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    out = tmp_path_factory.mktemp("mcmed") / "cohort"
    write_cohort(CohortPlan(12, 3, 30.0), out)
    return out


def test_student_and_teacher_read_the_same_ten_seconds(folder):
    """The context gives the same bits as the running filter, and teacher and student read the same samples."""
    recording = find_recordings(folder)[0]
    windows = list(windows_of(recording.items(), 1.0))
    assert len(windows) >= 10
    timeline, running = Timeline(500), StreamFilter(500)
    raw, stream, start_s = [], [], None
    for item in recording.items():
        for part in timeline.push(item):
            assert isinstance(part, Uniform)
            start_s = part.start_s if start_s is None else start_s
            raw.append(part.samples)
            stream.append(running.push(part.samples))
    raw, stream = np.concatenate(raw), np.concatenate(stream)
    for window in windows:
        first = round((window.start_s - start_s - 1.112) * 125)
        assert np.array_equal(student_stream(window.context), stream[first : first + 1250])
        at = round((window.start_s - start_s) * 500)
        assert np.array_equal(window.raw, raw[at : at + 5000])
    # An impulse is at the same time in the teacher's and in the student's window.
    context = np.zeros(CONTEXT_SAMPLES)
    context[MARGIN + 4 * 700] = 1.0
    assert int(np.argmax(student_stream(context))) == 700


def test_the_grid_of_the_device_gives_the_same_student_windows(folder):
    """A patch filters on a 250 Hz grid, this code on 500 Hz: the int8 windows differ by rounding only."""
    recording = find_recordings(folder)[1]
    window = next(windows_of(recording.items(), 1.0))
    timeline, device = Timeline(250), StreamFilter(250)
    parts, start_s = [], None
    for item in recording.items():
        for part in timeline.push(item):
            start_s = part.start_s if start_s is None else start_s
            parts.append(device.push(part.samples))
    stream = np.concatenate(parts)
    shift = (window.start_s - start_s - 1.112) * 125
    ours = window_input_int8(student_stream(window.context)).astype(int)
    on_device = window_input_int8(stream[round(shift) : round(shift) + 1250]).astype(int)
    assert abs(shift - round(shift)) < 0.5
    assert np.corrcoef(ours, on_device)[0, 1] > (0.9999 if abs(shift - round(shift)) < 0.01 else 0.98)


def test_no_window_spans_a_gap_or_noise():
    ecg = simulate_patient(5, 0, 40.0).ecg_mv.astype(np.float32)
    hole = ecg.copy()
    hole[9000:9100] = np.nan

    def block(samples):
        return SampleBlock(samples=samples, unit="mV", lsb_mv=None, fs_hz=500.0, device_time_ns=None, arrival_ns=0)

    starts = [w.start_s for w in windows_of(iter([block(hole)]), 1.0)]
    assert starts
    assert not any(s < 18.2 and s + 10 > 18.0 for s in starts)
    noise = np.random.default_rng(0).standard_normal(20000).astype(np.float32)
    assert list(windows_of(iter([block(noise)]), 1.0)) == []


def test_windows_are_spread_over_a_long_recording(folder):
    recording = find_recordings(folder)[0]
    every, _ = chosen_windows(recording, 1.0, 100)
    few, why = chosen_windows(recording, 1.0, 3)
    assert why == ""
    assert 2 <= len(few) <= 3
    assert few[-1].start_s - few[0].start_s >= 0.5 * (every[-1].start_s - every[0].start_s)


def test_interrupted_and_damaged_shards_end_with_the_same_bytes(folder, tmp_path):
    recordings, plan = find_recordings(folder), WindowPlan(2.0, 4)
    whole = label(tmp_path / "a", recordings, MomentsTeacher(), plan, None)
    assert len(whole) >= 12
    assert whole.logits.shape == (len(whole), 2)
    assert whole.features.shape == (len(whole), 3)
    bytes_of = {p.name: p.read_bytes() for p in (tmp_path / "a").iterdir()}
    again = MomentsTeacher()
    label(tmp_path / "a", recordings, again, plan, None)
    assert again.calls == 0
    shard = tmp_path / "a" / "labels-00001.shard"
    for damage in (shard.read_bytes()[:-1], b"", shard.read_bytes()[:50] + b"x" + shard.read_bytes()[51:]):
        shard.write_bytes(damage)
        teacher = MomentsTeacher()
        label(tmp_path / "a", recordings, teacher, plan, None)
        assert 0 < teacher.calls < len(whole)
        assert {p.name: p.read_bytes() for p in (tmp_path / "a").iterdir()} == bytes_of
    originals = [w.context for r in recordings for w in chosen_windows(r, 2.0, 4)[0]]
    assert len(originals) == len(whole)
    for i, window in enumerate(originals):
        assert np.abs(whole.context(i) - window).max() <= np.ptp(window) / 65000
    shard.unlink()
    with pytest.raises(InputError, match="changed during the run"):
        whole.context(len(whole) - 1)


KILLED = """
import sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from helpers.moments_teacher import MomentsTeacher
from convert.datasets.pairs import find_recordings
from convert.teacher.soft_labels import WindowPlan, label
label(Path({out!r}), find_recordings(Path({data!r})), MomentsTeacher(0.15), WindowPlan(2.0, 4), None)
"""


def test_a_process_killed_with_sigkill_resumes(folder, tmp_path):
    reference, out = tmp_path / "whole", tmp_path / "killed"
    label(reference, find_recordings(folder), MomentsTeacher(), WindowPlan(2.0, 4), None)
    script = KILLED.format(tests=str(Path(__file__).resolve().parents[3]), out=str(out), data=str(folder))
    root = str(Path(__file__).resolve().parents[4])
    process = subprocess.Popen([sys.executable, "-c", script], cwd=root)
    deadline = time.monotonic() + 120
    while not (out / "labels-00000.shard").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    process.kill()
    process.wait()
    assert not (out / "labels-00001.shard").exists()
    teacher = MomentsTeacher()
    resumed = label(out, find_recordings(folder), teacher, WindowPlan(2.0, 4), None)
    assert 0 < teacher.calls < len(resumed)
    shards = sorted(p.name for p in reference.glob("*.shard"))
    assert [(out / n).read_bytes() for n in shards] == [(reference / n).read_bytes() for n in shards]


def test_a_work_folder_is_bound_to_one_teacher_and_plan(folder, tmp_path):
    recordings = find_recordings(folder)[:1]
    label(tmp_path, recordings, MomentsTeacher(), WindowPlan(2.0, 4), None)
    other = MomentsTeacher()
    other.identity = "1"
    for teacher, plan in ((other, WindowPlan(2.0, 4)), (MomentsTeacher(), WindowPlan(2.0, 5))):
        with pytest.raises(UsageError, match="another teacher"):
            label(tmp_path, recordings, teacher, plan, None)


def test_a_full_disk_gives_a_one_line_error(folder):
    recordings = find_recordings(folder)[:1]
    with pytest.raises(OutputError):
        label(Path("/dev/full/x"), recordings, MomentsTeacher(), WindowPlan(), None)


def test_an_error_names_the_reason_of_an_unusable_recording(tmp_path):
    (tmp_path / "notes.csv").write_text("hello\nworld\n")
    recordings = find_recordings(tmp_path)
    with pytest.raises(InputError, match="none of 1 recordings has a usable window; notes"):
        label(tmp_path / "w", recordings, MomentsTeacher(), WindowPlan(), None)
    with pytest.raises(InputError, match="no usable recording"):
        find_recordings(tmp_path / "w")
    with pytest.raises(InputError, match="no data folder"):
        find_recordings(tmp_path / "nowhere")


@pytest.mark.parametrize("name", [*OFF, "all"])
def test_a_disturbed_ecg_is_still_recognisable(folder, name):
    context = next(windows_of(find_recordings(folder)[2].items(), 5.0)).context
    clean = student_stream(context)
    options = Wearable(**{k: 1.0 if name in (k, "all") else 0.0 for k in OFF})
    found = []
    for seed in range(6):
        out = disturb(context, float(clean.std()), np.random.default_rng(seed), options)
        assert np.array_equal(out, disturb(context, float(clean.std()), np.random.default_rng(seed), options))
        assert out.shape == context.shape
        assert not np.array_equal(out, context)
        found.append(np.corrcoef(clean, student_stream(out))[0, 1])
    if name in ("polarity", "all"):
        assert max(found) < 0
    else:
        assert np.median(found) > {"motion": 0.5, "gap": 0.5, "rate": 0.6, "muscle": 0.8, "wander": 0.8}.get(name, 0.95)


def test_no_disturbance_changes_nothing(folder):
    context = np.random.default_rng(1).standard_normal(CONTEXT_SAMPLES)
    assert np.array_equal(disturb(context, 1.0, np.random.default_rng(2), Wearable(**OFF)), context)
    with pytest.raises(UsageError):
        Wearable(gap=1.5)


@pytest.mark.parametrize("fs_hz", PATCH_RATES_HZ)
def test_a_lower_rate_keeps_the_frequencies_below_its_limit(fs_hz):
    t = np.arange(CONTEXT_SAMPLES) / 500.0
    x = np.sin(2 * np.pi * 30.0 * t)
    y = through_rate(x, fs_hz, 0.0)
    assert y.shape == x.shape
    assert np.abs(y - x)[200:-200].max() < 0.01


def test_labels_by_recording(folder, tmp_path):
    recordings = find_recordings(folder)
    labels = label(tmp_path / "w", recordings, MomentsTeacher(), WindowPlan(4.0, 2), None)
    table = tmp_path / "labels.csv"
    table.write_text("record,potassium_high,potassium\np01,1,6.5\np02,0,\n")
    hard = hard_labels(tmp_path, HEADS, recordings, labels)
    assert np.all(hard[labels.recording == 1] == np.float32([1, 6.5]))
    assert np.all(hard[labels.recording == 2, 0] == 0)
    assert np.all(np.isnan(hard[labels.recording == 2, 1]))
    assert np.all(np.isnan(hard[labels.recording == 0]))
    for text, message in (
        ("record,potassium_high\nnobody,1\n", "line 2: the data have no record 'nobody'"),
        ("record,potassum\np01,1\n", "no output 'potassum'"),
        ("record,potassium_high\np01,2\n", "expected 0 or 1"),
        ("who,potassium_high\np01,1\n", "neither a column"),
        ("record,potassium_high\np01,\n", "has no label for any window and output"),
    ):
        table.write_text(text)
        with pytest.raises(InputError, match=message):
            hard_labels(tmp_path, HEADS, recordings, labels)
    with pytest.raises(InputError, match="no labels in"):
        hard_labels(folder, HEADS, recordings, labels)


def test_labels_of_a_cohort_agree_with_its_table(cohort, tmp_path):
    recordings = find_recordings(cohort)
    assert {r.patient for r in recordings} != {r.name for r in recordings}
    labels = label(tmp_path, recordings, MomentsTeacher(), WindowPlan(5.0, 2), None)
    hard = hard_labels(cohort, HEADS, recordings, labels)
    both = ~np.isnan(hard).any(axis=1)
    assert both.sum() > len(labels) / 3
    assert np.all((hard[both, 1] > 4.0) | (hard[both, 0] == 0))
    assert 2.0 < hard[both, 1].min() <= hard[both, 1].max() < 10.0


def test_labels_of_another_cohort_are_refused(cohort, tmp_path):
    other = tmp_path / "other"
    write_cohort(CohortPlan(2, 9, 20.0), other)
    recordings = find_recordings(cohort)
    labels = label(tmp_path / "w", recordings, MomentsTeacher(), WindowPlan(5.0, 2), None)
    with pytest.raises(InputError, match="does not have the visit"):
        hard_labels(other, HEADS, recordings, labels)


def test_heads_of_a_checkpoint(tmp_path):
    path = tmp_path / "o.json"
    rows = [
        {"key": "high", "lab": "potassium", "direction": "high", "loinc": "2823-3"},
        {"key": "k", "lab": "potassium", "kind": "value", "unit": "mmol/L"},
    ]
    path.write_text(json.dumps(rows))
    high, value = heads_of_file(path)
    assert (high.key, high.loinc, high.unit, high.is_value) == ("high", "2823-3", "1", False)
    assert (value.unit, value.is_value, value.direction) == ("mmol/L", True, None)
    path.write_text(json.dumps([{"key": "k", "lab": "potassium"}]))
    with pytest.raises(InputError, match="needs a direction"):
        heads_of_file(path)
