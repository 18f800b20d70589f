"""Reasons of a run: the same as those of the command, within a budget, and shown wherever an output is flagged."""

from __future__ import annotations

import asyncio
import io
import json
import sys
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from edge.bench.ecg import plain_session
from edge.cli.explain import _read
from edge.cli.main import main
from edge.engine import Engine
from edge.explain.live import MAX_SHARE, LiveReasons
from edge.explain.parts import reference_parts
from edge.explain.reasons import Explainer, Occlusion
from edge.explain.record import LabReasons, because, flag_because, reasons_dict, reasons_from
from edge.records import Estimate, from_json, to_dict, to_json
from edge.session import Loaded, load
from edge.sinks.live.frame import row_text
from edge.sinks.live.layout import layout
from edge.sinks.live.state import LiveState
from edge.sinks.plain import PlainSink
from edge.sources import open_source
from edge.store.well_typed import well_typed
from firmware_bridge.errors import InputError

URL = "sim:?speed=max&seed=3&seconds=42&t_mv=0.7&t_ms=110"
FOUND = LabReasons({"T": 0.94, "QRS": 0.06}, {"T": "narrow and tall"}, 3.2, 2, 7.0)


@cache
def loaded() -> Loaded:
    return load("demo", "litert-reference")


def run(url: str = URL, live: LiveReasons | None = None, model: object = None, hop_s: float = 1.0) -> list[Estimate]:
    """Run a source through an engine."""
    given = model or loaded().model
    engine = Engine(loaded().bundle, given, plain_session(), hop_s, reasons=live)
    out: list[Estimate] = []

    async def go() -> None:
        source = open_source(url)
        async for item in source.items():
            out.extend(engine.push(item).estimates)
        await source.close()
        out.extend(engine.finish().estimates)

    asyncio.run(go())
    return out


def live_of(model: object = None, hop_s: float = 1.0, **options) -> LiveReasons:
    return LiveReasons(loaded().bundle, model or loaded().model, hop_s, **options)


@cache
def with_reasons() -> list[Estimate]:
    return run(live=live_of())


def reasons_in(e: Estimate) -> dict[str, LabReasons]:
    return {lab.key: lab.reasons for lab in e.labs if lab.reasons is not None}


def test_a_run_and_the_command_agree():
    """They explain the same windows with the same code, so that only the rounding of JSON may differ."""
    explainer = Explainer(loaded().bundle, loaded().model)
    asyncio.run(_read(open_source(URL), loaded().bundle, explainer))
    told = {one.key: one for one in explainer.reasons()}
    last = reasons_in(with_reasons()[-1])
    assert {key for key, one in told.items() if one.told} == {key for key, one in last.items() if one.shares}
    assert last["potassium_high"].windows == explainer.windows == 3
    for key, one in last.items():
        assert one.effect == pytest.approx(told[key].effect, abs=1e-9)
        assert dict(one.shares) == pytest.approx(told[key].shares, abs=1e-9)
    assert next(iter(last["potassium_high"].shares)) == "T"
    assert last["potassium_high"].looks["T"] == "narrow and tall"


def test_reasons_come_one_part_a_hop_and_state_their_age():
    firsts = [reasons_in(e).get("potassium_high") for e in with_reasons() if e.abstained is None]
    ages = [None if one is None else round(one.age_s) for one in firsts]
    assert ages[:20] == [None] * 7 + list(range(7, 17)) + [7, 8, 9]
    assert all("reasons" in e.latency_ms for e in with_reasons() if e.abstained is None)


def test_everything_else_is_as_without_reasons():
    def others(estimates: list[Estimate]) -> list[dict[str, object]]:
        out = []
        for e in estimates:
            d = to_dict(replace(e, labs=tuple(lab._replace(reasons=None) for lab in e.labs)))
            out.append({key: value for key, value in d.items() if key not in {"latency_ms", "time"}})
        return out

    assert others(with_reasons()) == others(run())


class Counted:
    """A model that counts its runs."""

    backend = "counted"

    def __init__(self) -> None:
        self.runs = 0

    def run(self, window):
        self.runs += 1
        return loaded().model.run(window)


@pytest.mark.parametrize(("hop_s", "most"), [(1.0, 2), (0.4, 2), (2.5, 4), (10.0, 15)])
def test_a_hop_has_a_bounded_number_of_runs(hop_s, most):
    model = Counted()
    live = live_of(model, hop_s)
    model.runs, counts = 0, []
    step = live.step
    live.step = lambda meter, end_s: (step(meter, end_s), counts.append(model.runs), setattr(model, "runs", 0))
    estimates = run(live=live, hop_s=hop_s)
    assert max(counts) == most
    assert sum(counts) <= (len(estimates) * hop_s / 10.0 + 1.0) * 15
    assert reasons_in(estimates[-1])


def test_a_slow_machine_gets_its_reasons_later_and_within_the_share():
    run_s, model = 0.15, Counted()
    live = live_of(model, clock=lambda: run_s * model.runs)
    model.runs = 0
    estimates = run(URL.replace("seconds=42", "seconds=120"), live)
    hops = sum(e.abstained is None for e in estimates)
    assert 0.9 * MAX_SHARE * hops <= run_s * model.runs <= MAX_SHARE * hops + 2 * run_s
    assert reasons_in(estimates[-1])


def test_an_output_that_abstains_has_no_reasons():
    live = live_of()
    run(live=live)
    labs = tuple(lab._replace(value=None, flag=None, abstained="rhythm") for lab in run()[-1].labs)
    assert not any(lab.reasons for lab in live.put(labs, 50.0))


def test_old_reasons_are_forgotten():
    live = live_of()
    run(live=live)
    labs = run()[-1].labs
    assert any(lab.reasons for lab in live.put(labs, 50.0))
    live._span_s = 5.0
    live._open = None
    live._explainer.due = lambda _end_s: False
    live.step(None, 60.0)
    assert not any(lab.reasons for lab in live.put(labs, 60.0))


class Constant:
    """A model with the same answer to everything."""

    backend = "constant"

    def run(self, window):
        return np.full(len(loaded().bundle.manifest.outputs), 100, dtype=np.int8)


def test_a_model_that_does_not_read_the_beat_has_no_reasons():
    estimates = run(live=live_of(Constant()), model=Constant())
    found = [one for e in estimates for one in reasons_in(e).values()]
    assert found, "flagged outputs say that there are none"
    assert not any(one.shares for one in found)
    assert flag_because(found[0]) == "no reasons"


def test_the_steps_are_those_of_a_beat():
    explainer = Explainer(loaded().bundle, loaded().model)
    runs = explainer.occlusion(replace(reference_parts(), qtc_s=0.5))
    assert [runs.step() for _ in range(Occlusion.STEPS)] == [False] * 7 + [True]
    assert runs.step()
    assert runs.rows().shape == (9, len(loaded().bundle.manifest.outputs))


def test_the_reference_beat_is_what_the_simulator_gives(monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parents[4] / "packaging"))
    import reference_beat

    written, fresh = (json.loads(text) for text in (reference_beat.FILE.read_text("ascii"), reference_beat.text()))
    sys.modules.pop("reference_beat")
    assert written.keys() == fresh.keys()
    for key, values in written.items():
        assert fresh[key] == pytest.approx(values, abs=2e-6)


def test_words():
    assert because(FOUND) == "94 % T wave (narrow and tall), 6 % QRS"
    assert flag_because(FOUND) == "rests on 94 % T wave (narrow and tall), 6 % QRS"
    assert flag_because(FOUND._replace(effect=-1.0)) == "no reasons", "what lowers an output does not explain a flag"
    assert because(FOUND._replace(shares={})) == "no reasons"


def flagged() -> Estimate:
    last = next(e for e in reversed(with_reasons()) if e.labs)
    return replace(last, labs=tuple(x._replace(reasons=FOUND) if x.key == "potassium_high" else x for x in last.labs))


def test_reasons_survive_json():
    found = well_typed(from_json(to_json(flagged())))
    assert reasons_in(found)["potassium_high"] == FOUND
    assert reasons_from(json.loads(json.dumps(reasons_dict(FOUND)))) == FOUND
    without = replace(flagged(), labs=tuple(lab._replace(reasons=None) for lab in flagged().labs))
    assert '"looks"' not in to_json(without)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("shares", {"liver": 0.5}), ("shares", {"T": 1.5}), ("shares", {"T": None}), ("shares", []),
        ("looks", {"T": 1}), ("looks", {"liver": "tall"}), ("effect", float("nan")), ("effect", "1"),
        ("windows", 0), ("windows", 1.0), ("windows", 13), ("age_s", -1.0), ("age_s", None),
    ],
)  # fmt: skip
def test_reasons_of_the_wrong_kind_are_one_clear_error(key, value):
    line = json.loads(to_json(flagged()))
    lab = next(lab for lab in line["labs"] if lab["key"] == "potassium_high")
    lab["reasons"][key] = value
    with pytest.raises(InputError, match="missing or invalid key"):
        from_json(json.dumps(line))


def test_text_of_a_file_is_made_safe():
    given = reasons_dict(FOUND) | {"looks": {"T": "\x1b[2Jtall" + 99 * "x"}}
    shown = reasons_from(given).looks["T"]
    assert "\x1b" not in shown
    assert len(shown) <= 40


@pytest.mark.parametrize(("height", "shown"), [(24, True), (19, False)])
def test_the_live_view_shows_what_a_flagged_output_rests_on(height, shown):
    state = LiveState("sim", "demo")
    state.estimate(flagged())
    rows = [row_text(row) for row in layout(state, 100, height)]
    assert len(rows) == height
    said = "potassium high: rests on 94 % T wave (narrow and tall), 6 % QRS, 7 s ago"
    assert any(said in row for row in rows) is shown
    assert not any("rests on" in row_text(row) for row in layout(LiveState("sim", "demo"), 100, height))


def test_plain_lines_show_it():
    stream = io.StringIO()
    PlainSink(stream).estimate(flagged())
    assert "FLAG potassium high" in stream.getvalue()
    assert "rests on 94 % T wave (narrow and tall)" in stream.getvalue()


def test_run_with_a_file_of_options_reaches_the_session_and_its_report(tmp_path, capsys):
    config = tmp_path / "run.toml"
    config.write_text(f'source = "{URL}"\nreasons = true\nview = "none"\nsession-dir = "{tmp_path / "night"}"\n')
    assert main(["run", "--config", str(config)]) == 0
    assert "rests on " in capsys.readouterr().out
    assert main(["report", str(tmp_path / "night"), "--out", str(tmp_path / "night.html")]) == 0
    page = (tmp_path / "night.html").read_text(encoding="utf-8")
    assert '<span class="soft">rests on' in page
    assert "T wave (narrow and tall)" in page


def test_many_recordings_and_several_patches_have_reasons(tmp_path, capsys):
    out = tmp_path / "estimates.jsonl"
    two = [f"a={URL}", f"b={URL}&hr=80"]
    assert main(["run", "--source", *two, "--reasons", "--out", str(out), "--view", "none"]) == 0
    found = [from_json(line) for line in out.read_text().splitlines()]
    assert {e.patch for e in found if reasons_in(e)} == {"a", "b"}
    capsys.readouterr()
