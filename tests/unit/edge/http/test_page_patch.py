"""One patch on the page: words, history in constant memory, bounded ECG, and the metrics of Prometheus."""

from __future__ import annotations

import dataclasses
import json
import math
import re
import time
from dataclasses import replace

import numpy as np
import pytest

from edge.bundle.reader import Bundle, load_bundle
from edge.explain.record import LabReasons
from edge.http import view
from edge.http.history import STEPS, History
from edge.http.metrics import metrics_text
from edge.http.patch import KEPT_S, PENDING_S, PatchSink
from edge.records import (
    AbstainReason,
    BundleRef,
    Estimate,
    LabEstimate,
    QualityRecord,
    RunSummary,
    WindowSpan,
    utc_text,
)
from edge.sources import SourceInfo
from firmware_bridge.samples import LinkEvent, LinkEventKind
from helpers.fleet_hops import RHYTHM, WAVES


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return load_bundle("demo")


def patch(bundle: Bundle, name: str = "Bedroom") -> PatchSink:
    return PatchSink(1, name, SourceInfo("sim:", "anyecg_patch", live=False, host_clock=True), bundle, 1.0)


def estimate(end_s: float = 12.0, reason: AbstainReason | None = None, value: float = 6.5) -> Estimate:
    labs = (
        LabEstimate("potassium_high", "2823-3", "1", 0.98521, (0.97, 0.99), 0.1171, True, 3, "strong"),
        LabEstimate("sodium_low", "2951-2", "1", 0.2, (0.1, 0.3), 0.19, None, 3, "limited"),
        LabEstimate("potassium", "2823-3", "mmol/L", value, (value - 1, value + 1), None, None, 3, "strong"),
    )
    return Estimate(
        utc_text(time.time_ns()), True, "abc", "anyecg_patch", WindowSpan(end_s - 10.0, end_s),
        BundleRef("anyecg-demo 0.2.0", 64 * "a"), QualityRecord(0.0 if reason else 0.987, ("noisy_baseline",)), 69.4,
        () if reason else labs, reason, lost_samples=7, latency_ms={"inference": 2.0, "total": 3.0},
    )  # fmt: skip


def shown(sink: PatchSink) -> dict[str, object]:
    with sink.lock:
        out = json.loads(view.text(view.about(sink) | view.state(sink)))
    assert isinstance(out, dict)
    return out


def test_outputs_are_shown_in_words_with_unit_interval_threshold_and_evidence(bundle: Bundle) -> None:
    sink = patch(bundle)
    sink.estimate(estimate())
    page = shown(sink)
    rows = {head["title"]: (head, lab) for head, lab in zip(page["heads"], page["labs"], strict=True)}  # type: ignore[call-overload]  # parsed JSON
    head, lab = rows["Potassium above 5.0 mmol/L"]
    threshold = bundle.calibration["potassium_high"].threshold
    assert (head["limit"], head["evidence"], head["unit"]) == (f"{100 * threshold:.0f} %", "strong", "%")
    assert lab == ["99 %", "97 to 99", True, 3, False, "", ""]
    head, lab = rows["Potassium"]
    assert (head["limit"], lab) == ("", ["6.5 mmol/L", "5.5 to 7.5", None, 3, False, "", ""])
    assert rows["Total calcium below 8.6 mg/dL"][1] is None
    assert (page["rate"], page["quality"], page["lost"]) == (69, 99, 7)
    assert page["flags"] == ["noisy baseline"]


def test_a_flagged_output_says_what_it_rests_on(bundle: Bundle) -> None:
    sink = patch(bundle)
    found = LabReasons({"T": 0.94}, {"T": "narrow and tall"}, 3.2, 2, 7.0)
    e = estimate()
    sink.estimate(dataclasses.replace(e, labs=tuple(lab._replace(reasons=found) for lab in e.labs)))
    said = [lab[6] for lab in shown(sink)["labs"] if lab is not None]  # type: ignore[attr-defined]  # parsed JSON
    assert sorted(said) == ["", "", "rests on 94 % T wave (narrow and tall), 7 s ago"]


def test_an_abstention_gives_the_reason_and_keeps_the_last_estimate_with_its_age(bundle: Bundle) -> None:
    sink = patch(bundle)
    sink.estimate(estimate(12.0))
    sink.estimate(estimate(20.0, "gap"))
    page = shown(sink)
    assert page["reason"] == "samples are missing in this window"
    assert page["quality"] is None  # there was no window, so there is no quality
    assert page["labsAge_s"] == 8.0
    assert page["refused"] == [["samples are missing in this window", 1]]


def test_numbers_that_json_does_not_have_are_left_out(bundle: Bundle) -> None:
    sink = patch(bundle)
    odd = dataclasses.replace(estimate(), heart_rate_bpm=math.nan, latency_ms={"total": math.inf})
    sink.estimate(dataclasses.replace(odd, quality=QualityRecord(math.nan), window=WindowSpan(math.nan, math.nan)))
    page = shown(sink)
    assert [page[key] for key in ("rate", "quality", "latencyMs", "end_s")] == [None] * 4
    assert "nan" not in metrics_text([sink], viewers=0, dropped=0).lower()


def test_text_of_devices_and_names_holds_no_control_characters(bundle: Bundle) -> None:
    sink = patch(bundle, name="Bed\x1b[31m\u202eroom " + "x" * 100)
    sink.event(LinkEvent(LinkEventKind.DISCONNECTED, 0, "gone\x07" * 1000))
    text = view.text(shown(sink))
    assert "\\u001b" not in text
    assert "\\u202e" not in text
    assert len(sink.name) <= 64
    assert len(str(shown(sink)["remark"])) <= 300


@pytest.mark.parametrize(
    ("ended_by", "words"), [("SIGINT", "the run was ended"), ("end", "the recording is at its end")]
)
def test_an_ended_run_says_so(bundle: Bundle, ended_by: str, words: str) -> None:
    sink = patch(bundle)
    assert shown(sink)["ended"] == ""
    sink.close(RunSummary(ended_by=ended_by))
    assert shown(sink)["ended"] == words
    sink.close(None)
    assert shown(sink)["ended"] == "the run has failed"


def test_a_fast_source_fills_a_bounded_memory(bundle: Bundle) -> None:
    sink = patch(bundle)
    for second in range(3600):
        sink.signal(np.full(125, 0.5), 125.0, float(second))
        sink.beat(second + 0.5)
    pieces, beats = sink.take()
    assert sum(piece.length_s for piece in pieces) <= PENDING_S
    assert pieces[-1].start_s == 3599.0
    assert len(beats) <= 32
    assert sum(piece.length_s for piece in sink.recent) <= KEPT_S
    assert sink.take() == ([], [])
    sink.signal(np.full(125, 0.5), 125.0, 3600.0)
    assert view.signal(sink, *sink.take()) == [1, [[3600.0, 125.0, [500] * 125]], []]


def test_signal_that_cannot_be_sent_as_a_number_is_zero(bundle: Bundle) -> None:
    sink = patch(bundle)
    sink.signal(np.array([np.nan, np.inf, -np.inf, 1e-3]), 125.0, 0.0)
    assert view.signal(sink, *sink.take()) == [1, [[0.0, 125.0, [0, 0, 0, 1]]], []]


def test_counts_without_a_scale_are_not_called_millivolts(bundle: Bundle) -> None:
    sink = patch(bundle)
    sink.signal(np.array([1200.0, -800.0]), 125.0, 0.0)
    assert shown(sink)["millivolts"] is False
    assert view.signal(sink, *sink.take()) == [1, [[0.0, 125.0, [1200, -800]]], []]


def test_the_history_halves_when_it_is_full_and_keeps_its_means() -> None:
    history = History(["potassium"])
    count = 4 * STEPS
    for second in range(count):
        history.add(estimate(float(second), value=second / 100))
    assert history.used <= STEPS
    got = history.as_dict()
    mean, low, high = got["outputs"]["potassium"]  # type: ignore[index]  # parsed JSON
    times = [(i + 0.5) * history.step_s for i in range(history.used)]
    assert mean == pytest.approx([(t - 0.5) / 100 for t in times], abs=0.011)
    assert low == pytest.approx([one - 1 for one in mean], abs=0.001)
    assert high == pytest.approx([one + 1 for one in mean], abs=0.001)
    before = len(view.text(got))
    for second in (1e6, 1e8, math.inf, math.nan, -1e12, 5.0):
        history.add(estimate(second))
    assert history.used <= STEPS
    assert len(view.text(history.as_dict())) < 2 * before


def test_the_history_has_no_values_where_there_was_no_estimate() -> None:
    history = History(["potassium"])
    for second, reason in ((10.0, None), (12.0, "gap"), (14.0, None)):
        history.add(estimate(second, reason))  # type: ignore[arg-type]  # the reasons of the literal type
    got = history.as_dict()
    assert got["outputs"]["potassium"][0] == [6.5, None, 6.5]  # type: ignore[index]  # parsed JSON
    assert got["quality"] == [0.987, None, 0.987]


LABEL = r'[a-z]+="([^"\\\n]|\\["\\n])*"'
LINE = re.compile(rf"[a-z_]+(\{{{LABEL}(,{LABEL})*\}})? -?[0-9]+(\.[0-9]+)?(e[-+]?[0-9]+)?")


def test_metrics_have_the_format_of_prometheus(bundle: Bundle) -> None:
    sink = patch(bundle, name='Bed "1" \\')
    sink.event(LinkEvent(LinkEventKind.CONNECTED, 0, "open"))
    sink.signal(np.zeros(125), 125.0, 0.0)
    sink.estimate(estimate())
    sink.estimate(estimate(13.0, "gap"))
    sink.estimate(estimate(14.0))
    text = metrics_text([sink], viewers=2, dropped=1)
    assert text.endswith("\n")
    seen: list[str] = []
    for line in text.splitlines():
        if line.startswith("#"):
            kind, name = line.split(" ")[1:3]
            assert kind in {"HELP", "TYPE"}
            seen += [name] if kind == "HELP" else []
        else:
            assert LINE.fullmatch(line), line
            assert re.sub(r"_(sum|count)$", "", re.split(r"[{ ]", line)[0]) == seen[-1]
    assert len(seen) == len(set(seen))
    name = r'patch="Bed \"1\" \\"'
    for expected in (
        f'anyecg_hops_total{{{name},result="estimate"}} 2',
        f'anyecg_hops_total{{{name},result="gap"}} 1',
        f'anyecg_estimate{{{name},output="potassium",unit="mmol/L"}} 6.5',
        f'anyecg_estimate_upper{{{name},output="potassium",unit="mmol/L"}} 7.5',
        f'anyecg_estimate_flag{{{name},output="potassium_high",unit="1"}} 1',
        f'anyecg_latency_seconds_sum{{{name},stage="inference"}} 0.006',
        f'anyecg_latency_seconds_count{{{name},stage="inference"}} 3',
        f"anyecg_lost_samples_total{{{name}}} 7",
        f"anyecg_link_up{{{name}}} 1",
        "anyecg_page_viewers 2",
        "anyecg_page_dropped_frames_total 1",
    ):
        assert expected in text.splitlines(), expected
    assert 'flag{patch="Bed \\"1\\" \\\\",output="sodium_low"' not in text  # limited evidence is not judged


def test_old_values_are_not_metrics_of_now(bundle: Bundle) -> None:
    sink = patch(bundle)
    sink.estimate(estimate())
    sink.estimate(estimate(13.0, "poor_signal"))
    assert "anyecg_estimate{" not in metrics_text([sink], viewers=0, dropped=0)
    sink.estimate(dataclasses.replace(estimate(14.0), heart_rate_bpm=None))
    text = metrics_text([sink], viewers=0, dropped=0)
    assert "anyecg_estimate{" in text
    assert "anyecg_heart_rate_bpm" not in text
    sink.close(RunSummary(ended_by="end"))
    text = metrics_text([sink], viewers=0, dropped=0)
    assert "anyecg_estimate{" not in text
    assert 'anyecg_link_up{patch="Bedroom"} 0' in text


def test_an_output_that_abstains_by_rhythm_has_a_remark_and_a_metric(bundle: Bundle) -> None:
    sink, e = patch(bundle), estimate()
    quiet = e.labs[0]._replace(value=None, interval=None, flag=None, abstained="rhythm")
    sink.estimate(replace(e, labs=(quiet, *e.labs[1:])))
    page = shown(sink)
    pairs = zip(page["heads"], page["labs"], strict=True)  # type: ignore[call-overload]  # parsed JSON
    rows = {head["title"]: lab for head, lab in pairs}
    assert rows["Potassium above 5.0 mmol/L"] == ["-", "", None, 3, False, "not validated for this rhythm", ""]
    found = [line for line in metrics_text([sink], viewers=0, dropped=0).splitlines() if "potassium_high" in line]
    assert [line.partition("{")[0] for line in found] == ["anyecg_estimate_abstained"]
    assert found[0].endswith('output="potassium_high",reason="rhythm"} 1')


def test_a_measurement_stays_in_one_line_and_a_zero_has_no_minus(bundle: Bundle) -> None:
    sink = patch(bundle)
    sink.estimate(replace(estimate(), waves=replace(WAVES, st_mv=-0.001), rhythm=RHYTHM))
    parts = str(shown(sink)["waves"]).split(" · ")
    assert [part.split("\u00a0")[0] for part in parts] == ["PR", "QRS", "QT", "QTc", "ST", "T"]
    assert not any(" " in part for part in parts)
    assert parts[4] == "ST\u00a0+0.00\u00a0mV"


def test_rhythm_and_intervals_are_metrics(bundle: Bundle) -> None:
    sink = patch(bundle)
    sink.estimate(replace(estimate(), waves=WAVES, rhythm=RHYTHM))
    text = metrics_text([sink], viewers=0, dropped=0)
    name = f'patch="{sink.name}"'
    for expected in (
        f'anyecg_rhythm{{{name},rhythm="sinus"}} 1',
        f'anyecg_rhythm{{{name},rhythm="af_or_flutter"}} 0',
        f"anyecg_af_ratio{{{name}}} 0.25",
        f'anyecg_ecg_interval_seconds{{{name},interval="QTc"}} 0.402',
    ):
        assert expected in text.splitlines(), expected
    sink.estimate(replace(estimate(13.0), waves=replace(WAVES, pr_ms=None), rhythm=None))
    text = metrics_text([sink], viewers=0, dropped=0)
    assert "anyecg_rhythm{" not in text
    assert 'interval="PR"' not in text
    assert 'interval="QT"' in text
