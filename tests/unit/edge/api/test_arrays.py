"""Arrays through the chain: pushed, predicted in one line, and the results as tables."""

from __future__ import annotations

import sys
import threading

import numpy as np
import pytest

import edge
from edge.api.answer import Answers
from firmware_bridge.errors import MissingPackageError
from firmware_bridge.synth.ecgsyn import EcgParams, EcgSynth

FS_HZ = 250.0
ECG_MV = EcgSynth(EcgParams(), 1).generate(round(40 * FS_HZ), FS_HZ)


@pytest.fixture(scope="module")
def bundle() -> edge.Bundle:
    return edge.load_bundle("demo")


@pytest.fixture(scope="module")
def predicted(bundle: edge.Bundle) -> edge.Estimates:
    return bundle.predict(ECG_MV, FS_HZ)


def test_one_line_predicts(predicted: edge.Estimates) -> None:
    answer = edge.load_bundle("demo").predict(ECG_MV, FS_HZ).answer
    assert answer is not None
    assert answer.labs == predicted[-1].labs
    assert answer.heart_rate_bpm == pytest.approx(70, abs=1)
    for lab in answer.labs:
        assert lab.value is not None
        assert lab.interval is not None
        assert lab.interval[0] <= lab.value <= lab.interval[1]
        assert lab.flag is (None if lab.threshold is None or lab.tier == "limited" else lab.value >= lab.threshold)


@pytest.mark.parametrize("size", [1, 37, 250, 10_000])
def test_pieces_of_any_length_give_the_same(bundle: edge.Bundle, predicted: edge.Estimates, size: int) -> None:
    stream = edge.ArrayStream(FS_HZ, bundle)
    found, beats_s = [], []
    for start in range(0, len(ECG_MV), size):
        out = stream.push(ECG_MV[start : start + size])
        found += out.estimates
        beats_s += out.beats_s
    found += stream.finish().estimates
    assert [(e.window, e.labs, e.heart_rate_bpm) for e in found] == [
        (e.window, e.labs, e.heart_rate_bpm) for e in predicted
    ]
    assert beats_s == [b.time_s for b in edge.open(ECG_MV, fs_hz=FS_HZ).beats()]
    assert stream.end_s == pytest.approx(40.0)
    assert stream.finish().estimates == []
    with pytest.raises(edge.UsageError, match="finished"):
        stream.push(ECG_MV)


@pytest.mark.parametrize("kind", [np.float32, np.float64, list, "series"])
def test_any_kind_of_array_is_taken(bundle: edge.Bundle, kind: object) -> None:
    scaled = ECG_MV[:3000]
    if kind == "series":
        pd = pytest.importorskip("pandas", reason="pandas is not installed")
        given = pd.Series(scaled)
    else:
        given = scaled.tolist() if kind is list else scaled.astype(kind)
    answer = bundle.predict(given, FS_HZ).answer
    assert answer is not None
    assert answer.heart_rate_bpm == pytest.approx(70, abs=2)


def test_microvolts_given_as_millivolts_are_not_an_ecg(bundle: edge.Bundle) -> None:
    answer = bundle.predict(np.rint(ECG_MV[:3000] * 1000).astype(np.int32), FS_HZ).answer
    assert answer is not None
    assert answer.abstained == "poor_signal"


def test_missing_samples_are_a_gap(bundle: edge.Bundle) -> None:
    holed = ECG_MV.copy()
    holed[5000:5100] = np.nan
    by_nan = bundle.predict(holed, FS_HZ)
    stream = edge.ArrayStream(FS_HZ, bundle)
    by_count = stream.push(ECG_MV[:5000]).estimates + stream.push(ECG_MV[5100:], lost=100).estimates
    assert [e.abstained for e in by_nan] == [e.abstained for e in by_count]
    assert "gap" in {e.abstained for e in by_nan}
    assert by_nan[-1].lost_samples == 100
    with pytest.raises(edge.UsageError, match="negative"):
        stream.push(ECG_MV, lost=-1)


def test_ten_seconds_and_less(bundle: edge.Bundle) -> None:
    ten = bundle.predict(ECG_MV[:2500], FS_HZ)
    assert [e.abstained for e in ten][-1] is None
    assert ten.answer is ten[-1]
    short = bundle.predict(ECG_MV[:500], FS_HZ)
    assert short.answer is not None
    assert short.answer.abstained == "warming_up"
    nothing = bundle.predict([], FS_HZ)
    assert [e.abstained for e in nothing] == ["warming_up"]
    assert edge.Estimates([]).answer is None


def test_times_begin_where_the_caller_says(bundle: edge.Bundle) -> None:
    stream = edge.ArrayStream(FS_HZ, bundle, start_unix_ns=1_700_000_000_000_000_000, device="mine")
    (last,) = stream.push(ECG_MV).estimates[-1:]
    assert last.time == "2023-11-14T22:13:58.000Z"
    assert last.device == "mine"


def test_threads_may_share_a_bundle(bundle: edge.Bundle, predicted: edge.Estimates) -> None:
    found: list[edge.Estimates] = []
    threads = [threading.Thread(target=lambda: found.append(bundle.predict(ECG_MV, FS_HZ))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [one[-1].labs for one in found] == [predicted[-1].labs] * 3


def test_the_structured_array_has_every_value(predicted: edge.Estimates) -> None:
    table = predicted.to_numpy()
    assert len(table) == len(predicted) == 38
    assert predicted.heads == tuple(lab.key for lab in predicted[-1].labs)
    for row, e in zip(table, predicted, strict=True):
        assert str(row["time"]) == e.time.removesuffix("Z")
        assert row["end_s"] == e.window.end_s
        assert row["abstained"] == (e.abstained or "")
        assert row["rhythm"] == ("" if e.rhythm is None else e.rhythm.name)
        wanted = np.nan if e.waves is None or e.waves.qt_ms is None else e.waves.qt_ms
        np.testing.assert_equal(row["qt_ms"], wanted)
        for lab in e.labs:
            cell = row[lab.key]
            assert (cell["value"], cell["low"], cell["high"]) == (lab.value, *(lab.interval or ()))
            assert cell["flag"] == (-1 if lab.flag is None else lab.flag)
    assert (table["rhythm"] == "sinus").sum() > 20
    assert np.isfinite(table["qtc_fridericia_ms"]).sum() > 20
    assert (table["af_share"][table["rhythm"] == "sinus"] == 0.0).all()
    waiting = table[table["abstained"] != ""]
    assert np.isnan(waiting["potassium"]["value"]).all()
    assert (waiting["potassium"]["flag"] == -1).all()


def test_the_data_frame_has_every_value(predicted: edge.Estimates) -> None:
    pd = pytest.importorskip("pandas", reason="pandas is not installed")
    frame = predicted.to_pandas()
    assert frame.index.tz is not None
    assert frame["potassium_high.value"].iloc[-1] == predicted[-1].labs[predicted.heads.index("potassium_high")].value
    assert frame["potassium_high.flag"].dtype == "boolean"
    assert frame["potassium.flag"].isna().all()
    assert isinstance(frame, pd.DataFrame)


def test_without_pandas_one_line_says_so(predicted: edge.Estimates, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(MissingPackageError, match="pip install pandas"):
        predicted.to_pandas()


def test_estimates_are_a_sequence(predicted: edge.Estimates) -> None:
    part = predicted[-3:]
    assert isinstance(part, edge.Estimates)
    assert list(part) == list(predicted)[-3:]
    assert predicted.index(part[0]) == len(predicted) - 3
    assert repr(predicted) == "<Estimates: 38 hops, 27 estimates, 11 abstentions>"


def test_the_answer_of_an_abstaining_recording_is_its_usual_reason(bundle: edge.Bundle) -> None:
    flat = bundle.predict(np.zeros(10_000), FS_HZ)
    assert flat.answer is not None
    assert flat.answer.abstained == "flat"
    answers = Answers()
    answers.take(flat)
    assert answers.best() is flat.answer


def test_the_arguments_are_checked(bundle: edge.Bundle) -> None:
    with pytest.raises(edge.InputError, match="10 Hz"):
        bundle.predict(ECG_MV, 10)
    with pytest.raises(edge.UsageError, match="hop"):
        bundle.predict(ECG_MV, FS_HZ, hop_s=0)
    with pytest.raises(edge.InputError, match="shape"):
        bundle.predict(ECG_MV.reshape(2, -1), FS_HZ)
    with pytest.raises(edge.BundleError):
        edge.ArrayStream(FS_HZ, "nowhere")


def test_only_a_trusted_bundle_is_read(tmp_path) -> None:
    keys = tmp_path / "keys.txt"
    keys.write_text("nothing\n")
    with pytest.raises(edge.AnyEcgError):
        edge.load_bundle("demo", trusted=keys)
