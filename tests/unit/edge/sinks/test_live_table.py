"""The live view of several patches: one row each, flagged ones stay, nothing is cut by another's row."""

from __future__ import annotations

import io

from edge.records import BundleRef, Estimate, LabEstimate, QualityRecord, WindowSpan
from edge.sinks.live.frame import row_text
from edge.sinks.live.state import LiveState
from edge.sinks.live.table import TableSink, table
from firmware_bridge.samples import LinkEvent, LinkEventKind


def estimate(*flagged: str, abstained=None, rate=61.0) -> Estimate:
    labs = tuple(LabEstimate(key, None, "1", 0.9, None, 0.5, True, 3, "strong") for key in flagged)
    return Estimate(
        "2026-11-29T12:00:00.000Z", True, "s", "d", WindowSpan(0, 10), BundleRef("demo", "0" * 64),
        QualityRecord(0.9), rate, labs, abstained,
    )  # fmt: skip


def rows(view: TableSink, width: int = 100, height: int = 12, seconds: float = 0.0) -> list[str]:
    return [row_text(row) for row in view._layout(width, height, seconds)]


def test_each_patch_has_a_row_with_what_matters() -> None:
    now_s = [0.0]
    view = TableSink("demo 1.0.0", io.StringIO(), clock=lambda: now_s[0])
    parts = {name: view.patch(name) for name in ("bedroom", "hall", "kitchen", "attic")}
    for name in ("bedroom", "hall"):
        parts[name].event(LinkEvent(LinkEventKind.CONNECTED, 0, "open"))
        parts[name].signal(None, 125.0, 0.0)
    parts["bedroom"].estimate(estimate("potassium_high"))
    parts["hall"].estimate(estimate(abstained="lead_off", rate=None))
    parts["kitchen"].event(LinkEvent(LinkEventKind.INFO, 0, "no such device", {"reason": "no such device"}))
    view.ended("attic", "ended: the disk failed")
    shown = rows(view)
    assert "2 of 4 patches" in shown[0]
    assert shown[1].split() == ["PATCH", "LINK", "HR", "QUALITY", "ESTIMATES"]
    assert shown[2].split(maxsplit=5) == ["bedroom", "●", "receiving", "61", "0.90", "▲ potassium high 90 %"]
    assert shown[3].split(maxsplit=5)[3:] == ["---", "0.90", "an electrode has no contact"]
    assert shown[4].split(maxsplit=3)[:3] == ["kitchen", "◐", "waiting"]
    assert shown[4].endswith("no such device")
    assert shown[5].split(maxsplit=3)[:3] == ["attic", "○", "ended"]
    assert shown[5].endswith("the disk failed")
    assert shown[-1].startswith("Research software")
    now_s[0] = 9.0
    assert "no data for 9 s" in rows(view)[2]
    assert "0 of 4 patches" in rows(view)[0]


def test_a_patch_with_a_flagged_output_stays_on_every_page() -> None:
    states = [LiveState(f"p{i:02d}") for i in range(30)]
    for state in states:
        state.estimate(estimate("potassium_high") if state.source == "p17" else estimate())
    seen = set()
    for page in range(20):
        shown = [row_text(row) for row in table(LiveState("demo"), states, 80, 11, 5.0 * page)]
        names = {row.split()[0] for row in shown[2:10] if row}
        assert "p17" in names
        seen |= names
    assert {f"p{i:02d}" for i in range(30)} <= seen
    assert "8 shown" in row_text(table(LiveState("demo"), states, 80, 11, 0.0)[0])


def test_it_fits_into_any_terminal() -> None:
    states = [LiveState("x" * 40), LiveState("y")]
    states[0].estimate(estimate("potassium_high", "sodium_low"))
    for width in (1, 20, 40, 80):
        for height in (1, 2, 3, 5, 24):
            frame = table(LiveState("demo"), states, width, height, 0.0)
            assert len(frame) <= height
            assert all(len(row_text(row)) <= width for row in frame)
