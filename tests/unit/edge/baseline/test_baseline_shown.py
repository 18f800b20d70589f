"""Where a change is shown while a run goes on: the live view, plain lines, the page in the browser."""

from __future__ import annotations

import io
from dataclasses import replace

from edge.baseline.record import QUANTITIES, Change, QuantityChange
from edge.baseline.words import quantity_text, range_text
from edge.http.view import _change
from edge.records import Estimate
from edge.sinks.live.frame import row_text
from edge.sinks.live.layout import WAVES_HEIGHT, layout
from edge.sinks.live.state import LiveState
from edge.sinks.plain import PlainSink
from helpers.quiet_hours import AT_REST, estimates

OUTSIDE = QuantityChange(57, -33, 49, "published", within=False)
UNKNOWN = QuantityChange(-0.14, -0.01, 0.01, "unknown", within=None)
WITHIN = QuantityChange(-0.001, -0.05, 0.01, "measured", within=True)
FOUND = Change(5.0, 30, {"qtc_ms": OUTSIDE, "t_mv": UNKNOWN})
NOT_FOUND = Change(5.0, 2, missing=dict.fromkeys(QUANTITIES, "few_windows"))


def record(change: Change | None) -> Estimate:
    return replace(next(estimates(lambda _t: AT_REST, 10.0)), change=change)


def screen(change: Change | None, width: int = 150, height: int = 24) -> list[str]:
    state = LiveState()
    state.estimate(record(change))
    return [row_text(row) for row in layout(state, width, height)]


def row(change: Change | None) -> str:
    return next((line for line in screen(change) if line.startswith(" change")), "")


def test_the_live_view_has_one_row_and_none_without_a_baseline() -> None:
    text = "QTc +57 ms (OUTSIDE posture and motion)  T amplitude -0.14 mV (more than scatter, posture unknown)"
    assert row(FOUND) == f" change {text}  "
    assert "too few clean windows" in row(NOT_FOUND)
    assert "within posture and motion" in row(Change(5.0, 30, {"t_mv": WITHIN}))
    assert not row(None)
    assert not [line for line in screen(FOUND, height=WAVES_HEIGHT - 1) if line.startswith(" change")]
    for width in (1, 40, 80):
        assert all(len(line) <= width for line in screen(FOUND, width))
    assert len(screen(FOUND)) == len(screen(None)) == 24


def test_what_lies_outside_is_in_the_colour_of_a_warning() -> None:
    state = LiveState()
    state.estimate(record(FOUND))
    styles = {span.text: span.style for line in layout(state, 150, 24) for span in line}
    assert styles["QTc +57 ms (OUTSIDE posture and motion)"] == "warn"
    assert styles["T amplitude -0.14 mV (more than scatter, posture unknown)"] == ""


def test_plain_lines_and_the_page_say_the_same() -> None:
    out = io.StringIO()
    sink = PlainSink(out, 0.0)
    sink.estimate(record(FOUND))
    sink.estimate(record(None))
    shown, without = out.getvalue().splitlines()[-2:]
    assert shown.endswith(f"change: {_change(record(FOUND))}")
    assert _change(record(FOUND)).startswith("QTc +57 ms (OUTSIDE posture and motion); T amplitude")
    assert "change" not in without
    assert _change(record(None)) == ""


def test_zero_has_no_sign() -> None:
    assert quantity_text("t_mv", -0.004) == "0.00 mV"
    assert quantity_text("qtc_ms", 0.4) == "0 ms"
    assert range_text("qtc_ms", -12.2, 3.0) == "-12 to +3 ms"
    assert range_text("t_over_r", -0.2, 0.0) == "-0.20 to 0.00"
