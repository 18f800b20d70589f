"""Recordings of ten seconds, in which the live chain forms no window, and the choice of a lead."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from convert.datasets.described import RecordingOptions
from convert.datasets.pairs import CONTEXT_SAMPLES, chosen_windows, find_recordings, student_stream
from convert.datasets.windows import WindowSet, collect_windows
from edge.tensecond import whole_window
from firmware_bridge.errors import InputError
from helpers.ecg_shapes import ecg

FS_HZ = 500.0
AT_500 = RecordingOptions(fs_hz=FS_HZ)


def signal(seconds: float, fs_hz: float = FS_HZ) -> np.ndarray:
    x = ecg([0.8] * 40, fs=fs_hz)[0]
    return x[: round(seconds * fs_hz)]


def write_wfdb(folder: Path, name: str, leads: dict[str, np.ndarray], fs_hz: float = FS_HZ) -> None:
    wfdb = pytest.importorskip("wfdb")
    samples = np.stack(list(leads.values()), axis=1)
    wfdb.wrsamp(
        name, fs=fs_hz, units=["mV"] * len(leads), sig_name=list(leads), p_signal=samples,
        fmt=["16"] * len(leads), write_dir=str(folder),
    )  # fmt: skip


def windows_of(folder: Path, x: np.ndarray, options: RecordingOptions = AT_500) -> WindowSet:
    (folder / "a.csv").write_text("".join("nan\n" if np.isnan(v) else f"{v:.5f}\n" for v in x))
    return collect_windows(folder, 8, options=options)


@pytest.mark.parametrize("seconds", [10.0, 11.0, 12.0, 14.0])
def test_a_recording_of_about_ten_seconds_gives_its_middle_ten(tmp_path: Path, seconds: float) -> None:
    x = signal(seconds)
    (window,) = windows_of(tmp_path, x).windows
    first = (len(x) - 5000) // 2
    np.testing.assert_allclose(window.raw, x[first : first + 5000].round(5), atol=1e-6)
    assert window.end_s == pytest.approx(first / FS_HZ + 9.992)


def test_the_ends_of_a_slightly_shorter_recording_are_repeated(tmp_path: Path) -> None:
    x = signal(9.9)
    (window,) = windows_of(tmp_path, x).windows
    np.testing.assert_allclose(window.raw, np.pad(x.round(5), 25, mode="edge"), atol=1e-6)


def test_the_student_sees_the_same_ten_seconds(tmp_path: Path) -> None:
    """The window is that of a longer recording, except for the ends, where the filter needs more signal."""
    x = signal(30)
    (window,) = windows_of(tmp_path, x[5000:10000]).windows
    truth = student_stream(x[5000 - 556 : 10000 + 556])
    inside = slice(139, -139)
    np.testing.assert_allclose(window.filtered[inside], truth[inside], atol=1e-3)
    (recording,) = find_recordings(tmp_path, AT_500)
    (pair,), why = chosen_windows(recording, 5.0, 8)
    assert (why, len(pair.context)) == ("", CONTEXT_SAMPLES)
    np.testing.assert_allclose(student_stream(pair.context), window.filtered)
    np.testing.assert_allclose(pair.raw, window.raw)


@pytest.mark.parametrize("fs_hz", [125.0, 250.0, 360.0, 1000.0])
def test_a_recording_at_another_rate_is_resampled_in_place(tmp_path: Path, fs_hz: float) -> None:
    (window,) = windows_of(tmp_path, signal(10, fs_hz), RecordingOptions(fs_hz=fs_hz)).windows
    assert len(window.raw) == 5000
    r_peak = 2500 + int(np.argmax(window.raw[2500:2900]))
    assert abs(r_peak - (2500 + int(np.argmax(signal(10)[2500:2900])))) <= 3


def noise(kind: str) -> np.ndarray:
    rng = np.random.default_rng(3)
    white = rng.standard_normal(5000)
    t = np.arange(5000) / FS_HZ
    return {
        "white": white, "red": np.cumsum(white) * 0.05, "sine": np.sin(2 * np.pi * 10 * t), "flat": np.full(5000, 0.3),
        "mains": np.sin(2 * np.pi * 50 * t), "clipped": np.clip(signal(10) * 20, -1, 1),
        "high": signal(10) * 30, "low": signal(10) * 0.01,
    }[kind]  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("white", "no window of good quality"),
        ("red", "no window of good quality"),
        ("sine", "no window of good quality"),
        ("mains", "no window of good quality|flat"),
        ("flat", "flat signal"),
        ("clipped", "clipped signal"),
    ],
)
def test_what_is_no_ecg_is_refused_with_its_reason(tmp_path: Path, kind: str, reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        windows_of(tmp_path, noise(kind))
    (recording,) = find_recordings(tmp_path, AT_500)
    windows, why = chosen_windows(recording, 5.0, 8)
    assert not windows
    assert why


@pytest.mark.parametrize(("kind", "reason"), [("high", "poor_signal"), ("low", "flat")])
def test_an_impossible_amplitude_is_refused_where_the_scale_is_known(kind: str, reason: str) -> None:
    assert whole_window(noise(kind), 500, 0.0, scale_known=True) == reason
    assert not isinstance(whole_window(noise(kind), 500, 0.0, scale_known=False), str)


def test_missing_samples_and_short_recordings_are_refused(tmp_path: Path) -> None:
    x = signal(12)
    x[3000:3010] = np.nan
    with pytest.raises(InputError, match="no ten seconds without a gap"):
        windows_of(tmp_path, x)
    with pytest.raises(InputError, match="shorter than ten seconds"):
        windows_of(tmp_path, signal(9.4))


@pytest.mark.parametrize("name", ["II", "ii", "ECG II", "MLII", "lead II"])
def test_a_lead_is_chosen_by_any_spelling_of_its_name(tmp_path: Path, name: str) -> None:
    x = signal(10)
    write_wfdb(tmp_path, "r", {"V1": x * 0.5, "II": x, "I": -x})
    found = collect_windows(tmp_path, 4, options=RecordingOptions(lead=name))
    assert found.windows[0].lead == "II"
    assert "1 windows of 1 recordings (lead II of 1), 0 skipped" in found.summary()
    other = collect_windows(tmp_path, 4, options=RecordingOptions(lead="v1"))
    np.testing.assert_allclose(other.raw(), found.raw() * 0.5, atol=0.01)


def test_lead_ii_is_also_found_as_mlii_but_not_instead_of_ii(tmp_path: Path) -> None:
    x = signal(10)
    write_wfdb(tmp_path, "a", {"V5": x, "MLII": x})
    write_wfdb(tmp_path, "b", {"MLII": x, "II": x})
    found = collect_windows(tmp_path, 4, options=RecordingOptions(lead="II"))
    assert [w.lead for w in found.windows] == ["MLII", "II"]


def test_a_missing_lead_is_named_with_those_that_exist(tmp_path: Path) -> None:
    write_wfdb(tmp_path, "a", {"V5": signal(10), "II": signal(10)})
    advice = r"no lead 'aVR' in .*a \(it has: V5, II; choose with lead or channel in recordings\.toml, or --lead NAME\)"
    with pytest.raises(InputError, match=advice):
        collect_windows(tmp_path, 4, options=RecordingOptions(lead="aVR"))


def test_a_channel_is_chosen_by_its_number_in_edf(tmp_path: Path) -> None:
    edfio = pytest.importorskip("edfio")
    x = signal(10)
    signals = [
        edfio.EdfSignal(x * k, FS_HZ, label=label, physical_dimension="mV", physical_range=(-5, 5))
        for label, k in (("II", 1.0), ("V1", 2.0))
    ]
    edfio.Edf(signals, data_record_duration=1).write(tmp_path / "a.edf")
    (tmp_path / "recordings.toml").write_text('["a.edf"]\nchannel = 2\n')
    found = collect_windows(tmp_path, 4, options=RecordingOptions(lead="II"))
    assert found.windows[0].lead == "V1"
    np.testing.assert_allclose(found.windows[0].raw, x * 2, atol=0.01)


@pytest.mark.parametrize("lead", ["I", "II"])
def test_every_clinical_recording_gives_its_window(data_dir: Path, lead: str) -> None:
    pytest.importorskip("wfdb")
    folder = data_dir / "ludb"
    if not folder.is_dir():
        pytest.skip("no ludb in ../shared/data")
    found = collect_windows(folder, 200, options=RecordingOptions(lead=lead))
    assert len(found.windows) == len(found.used) == 100
    assert {w.lead for w in found.windows} == {lead.lower()}
    assert [p.name for p in found.skipped] == ["ludb.csv"]
