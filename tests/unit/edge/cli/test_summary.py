"""A run ends with an answer: what was found last, what helps if there is nothing, and what to do next."""

from __future__ import annotations

from dataclasses import replace

import pytest

from edge.bundle.reader import load_bundle
from edge.cli.summary import MAX_ROWS, answer_text, next_text, summary_text
from edge.records import ABSTAIN_REASONS, BundleRef, Estimate, LabEstimate, QualityRecord, RunSummary, WindowSpan
from edge.sinks.answer import AnswerSink

BUNDLE = BundleRef("demo", "0" * 64)
HIGH = LabEstimate("potassium_high", "2823-3", "1", 0.91, (0.85, 0.95), 0.25, True, 9, "strong")
LOW = LabEstimate("potassium_low", "2823-3", "1", 0.02, (0.01, 0.04), 0.3, False, 9, "moderate")
VALUE = LabEstimate("potassium", "2823-3", "mmol/L", 6.4, (5.9, 6.8), None, None, 9, "strong")
LABS = (LOW, HIGH, VALUE)
AT = "2026-11-22T16:00:00.000Z"
ESTIMATE = Estimate(AT, True, "s", "patch", WindowSpan(0, 10), BUNDLE, QualityRecord(0.9), 71.6, LABS)


def answer(*estimates: Estimate) -> str:
    sink = AnswerSink()
    for e in estimates:
        sink.estimate(e)
    return answer_text(sink)


def abstaining(reason, end_s: float) -> Estimate:
    return replace(ESTIMATE, labs=(), abstained=reason, window=WindowSpan(end_s - 10, end_s))


def test_flagged_outputs_come_first_then_values_then_the_names_of_the_others() -> None:
    lines = answer(ESTIMATE).splitlines()
    assert lines[0] == "answer      16:00:00 UTC, 72 bpm, signal quality 0.90"
    assert lines[1] == "  FLAG      Potassium above 5.0 mmol/L: 91 % (85 to 95), threshold 25 %, strong evidence"
    assert lines[2].strip() == "Potassium: 6.4 mmol/L (5.9 to 6.8), strong evidence"
    assert lines[3].strip() == "below the threshold: potassium low"
    assert len(lines) == 4


def test_the_words_of_the_bundle_come_first() -> None:
    found = AnswerSink()
    found.estimate(replace(ESTIMATE, labs=(HIGH, VALUE._replace(unit="{INR}"))))
    known = {head.key: head for head in load_bundle("demo").manifest.outputs}
    heads = [replace(known["potassium_high"], means="potassium above 6.0\x1b mmol/L"), known["potassium"]]
    lines = answer_text(found, heads).splitlines()
    assert lines[1].startswith("  FLAG      Potassium above 6.0")
    assert "\x1b" not in lines[1]
    assert lines[2].strip() == "Potassium: 6.4 (5.9 to 6.8), strong evidence"


def test_an_old_estimate_is_not_shown_as_current() -> None:
    text = answer(ESTIMATE, abstaining("lead_off", 44.0))
    assert "34 s old; since then: an electrode has no contact" in text
    assert "what helps: moisten the electrodes" in text
    assert "Potassium above 5.0 mmol/L: 91 %" in text


@pytest.mark.parametrize("reason", ABSTAIN_REASONS)
def test_every_reason_says_what_helps(reason) -> None:
    text = answer(abstaining(reason, 10.0))
    assert text.startswith("answer      no estimate: ")
    assert len(text.partition("what helps: ")[2].strip()) > 10


def test_a_model_with_many_outputs_does_not_fill_the_screen() -> None:
    many = tuple(HIGH._replace(key=f"lab_{n}_high") for n in range(108))
    lines = answer(replace(ESTIMATE, labs=many)).splitlines()
    assert len(lines) == MAX_ROWS + 2
    assert lines[-1].strip() == f"and {108 - MAX_ROWS} more"
    calm = tuple(LOW._replace(key=f"lab_{n}_low") for n in range(108))
    assert answer(replace(ESTIMATE, labs=calm)).splitlines()[-1].endswith(f"lab 11 low and {108 - MAX_ROWS} more")


def test_a_name_from_a_bundle_cannot_control_the_terminal() -> None:
    assert "\x1b" not in answer(replace(ESTIMATE, labs=(HIGH._replace(key="a\x1b[2Jb"),)))


def test_the_end_says_what_to_do_next() -> None:
    assert "--session-dir DIR --record" in next_text(None)
    text = summary_text(RunSummary(), answer=answer(ESTIMATE) + next_text("my folder"))
    assert "anyecg report 'my folder'" in text
    assert "with --record" not in text
    assert "with --record" in next_text("x", recorded=False)
    assert text.index("answer ") > text.index("memory ")
    assert text.endswith("no laboratory result.\n")


def test_a_run_without_any_hop_has_no_answer() -> None:
    assert answer() == ""


@pytest.mark.parametrize(
    ("thrown", "said"),
    [({"events": 1}, False), ({"events": 500}, True), ({"bytes": 1, "events": 1}, True), ({}, False)],
)
def test_a_few_joined_events_are_nothing_that_was_thrown_away(thrown: dict[str, int], said: bool) -> None:
    assert ("thrown away" in summary_text(RunSummary(hops=3, thrown_away=thrown))) == said
