"""Pages of the host: one frame and one look, names in words, and nothing from a file becomes an element."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from calibration.report import findings
from calibration.report.page_html import html_page as validation_page
from convert.pages.render import Contents
from convert.pages.svg import MAX_CLOUD, Plot, forest
from convert.pages.words import names_of
from convert.parity.forms import HeadName, ParityReport, Stage, compare
from convert.parity.layers import LayerRow
from convert.parity.report import html_page as parity_page
from edge.bundle.reader import demo_bundle_path, load_bundle
from edge.bundle.words import output_words
from helpers.needs import tool
from helpers.pages import Page, faults

ROOT = Path(__file__).parents[4]
HOSTILE = '<img src=x>"\x1b[2J\u202e'


@pytest.fixture(scope="module")
def validated() -> dict:
    return json.loads((ROOT / "docs" / "validation" / "demo.json").read_text(encoding="utf-8"))


def compared() -> ParityReport:
    x = np.random.default_rng(0).standard_normal((40, 3))
    steps = np.rint(x / 0.05) * 0.05
    stages = [Stage("float", x), Stage("int8", steps, 0.05), Stage("reference", steps, 0.05)]
    names = [HeadName("potassium_high"), HeadName("free_t4_high"), HeadName("potassium_value", "value", "mmol/L")]
    report = compare("demo 1.0: parity", stages, names)
    report.layers = [LayerRow(i, f"block{i}.depth", "CONV_2D", 30.0 - i, 1.0, 0.0, finite=True) for i in range(6)]
    report.facts = {"windows": 40}
    return report


def pages(validated: dict) -> dict[str, str]:
    return {"parity": parity_page(compared()), "validation": validation_page(validated)}


def test_every_page_has_what_a_page_needs(validated: dict) -> None:
    for name, page in pages(validated).items():
        assert faults(page) == [], name
        assert "Potassium above 5.0 mmol/L" in page
        assert "Free T4 above 1.8 ng/dL" in page


@pytest.mark.parametrize(
    ("before", "after", "fault"),
    [
        (r'<meta name="viewport"[^>]*>', "", "no viewport"),
        (r"prefers-color-scheme:dark", "x", "no dark scheme"),
        (r"@media print", "@media x", "no print style"),
        (r"<thead>.*?</thead>", "", "a table without a head"),
        (r"<li><a href=.*?</li>", "", "the contents list is not that of the chapters"),
        (r"<th scope=\"row\">Potassium above 5.0 mmol/L", "<th>potassium_high", "a raw key: potassium_high"),
        (r"<main>", '<main><script src="https://x"></script>', "it loads something"),
    ],
)
def test_a_fault_of_a_page_is_found(before: str, after: str, fault: str) -> None:
    page = parity_page(compared())
    changed = re.sub(before, after, page, flags=re.DOTALL)
    assert changed != page
    assert faults(changed) == [fault]


def test_the_titles_say_what_was_found(validated: dict) -> None:
    title = re.compile(r"<title>(.*?)</title>")
    assert title.search(validation_page(validated))[1] == "9 of 11 outputs are better than chance; the gate holds"
    failed = {**validated, "gate": {**validated["gate"], "ok": False}}
    failed["gate"]["checks"] = [{"name": "self-test", "ok": False, "found": "9 LSB"}]
    page = validation_page(failed)
    assert title.search(page)[1].endswith("; the gate FAILS")
    assert "The gate FAILS: self-test" in page
    assert title.search(parity_page(compared()))[1] == "Both pairs of forms agree within the limits"
    bad = compared()
    bad.layers[0] = LayerRow(0, "a", "ADD", None, None, 0.0, finite=False)
    assert title.search(parity_page(bad))[1] == "A layer of the quantized network is not finite"


def test_the_error_of_a_value_has_its_unit_in_words() -> None:
    head = {
        "kind": "value",
        "lab": "egfr",
        "horizon_min": None,
        "unit": "mL/min/{1.73_m2}",
        "values": {"mae": {"value": 9.1}},
    }
    assert findings.values([head]) == "eGFR (CKD-EPI 2021) has an MAE of 9.10 mL/min/1.73 m²"


def test_reliability_plots_have_intervals(validated: dict) -> None:
    page = validation_page(validated)
    plots = re.findall(r'<svg[^>]*aria-label="Reliability of .*?</svg>', page)
    assert len(plots) == 11
    assert all('class="whisker' in plot for plot in plots)
    curve = validated["heads"][0]["calibration"]["curve"]
    assert all(low <= share <= high for _p, share, _n, low, high in curve)
    older = json.loads(json.dumps(validated))
    for head in older["heads"]:
        for row in (head.get("calibration") or {"curve": []})["curve"]:
            del row[3:]
    assert "Reliability of" in validation_page(older)


def test_nothing_of_a_file_becomes_an_element(validated: dict) -> None:
    hostile = json.loads(json.dumps(validated))
    hostile["notice"] = hostile["summary"] = hostile["header"]["command"] = HOSTILE
    hostile["header"]["data"]["name"] = hostile["header"]["bundle"]["name"] = HOSTILE
    hostile["header"]["data"]["remarks"] = [HOSTILE]
    hostile["abstention"]["broken"] = [HOSTILE]
    for head in hostile["heads"]:
        head["lab"] = head["note"] = HOSTILE
    report = compared()
    report.title, report.not_run, report.facts = HOSTILE, {HOSTILE: HOSTILE}, {HOSTILE: HOSTILE}
    for page in (validation_page(hostile), parity_page(report)):
        assert "<img" not in page
        assert "\x1b" not in page
        assert "\u202e" not in page
        assert faults(page) == []


def test_the_contents_list_is_made_of_the_chapters() -> None:
    contents = Contents()
    heading = contents.chapter("ROC <curves>", "AUROC & more")
    assert contents.entries == [("roc-curves", "ROC <curves>")]
    expected = '<h2 id="roc-curves"><span class="topic">ROC &lt;curves&gt;</span> AUROC &amp; more</h2>'
    assert str(heading) == expected


def test_names_without_the_limits_of_the_catalogue() -> None:
    heads = [{"key": "k", "lab": "potassium", "direction": "high", "horizon_min": None}]
    assert names_of(heads) == {"k": "potassium above 5.0 mmol/L"}
    assert names_of(heads, limits=False) == {"k": "potassium high"}
    assert names_of([{**heads[0], "direction": None}]) == {"k": "potassium, mmol/L"}


def test_labels_of_a_table_claim_no_cut_off(validated: dict) -> None:
    labels = {"said_by": "labels.csv", "rule": "as in labels.csv", "sha256": ""}
    page = validation_page({**validated, "header": {**validated["header"], "labels": labels}})
    assert "potassium high" in page
    assert "above 5.0" not in page
    assert "Cut-offs in names" not in page


def test_plots_escape_their_texts_and_bound_their_dots() -> None:
    plot = Plot("<b>", (0, 1), (0, 1), ("<i>", "y")).cloud([(0.5, 0.5)] * 10_000).note("<u>").svg()
    assert plot.count("M") <= MAX_CLOUD
    assert "<b>" not in plot
    assert "<u>" not in plot
    assert Plot("x", (0, 1), (0, 1), ("", "")).cloud([]).svg().endswith("</svg>")
    assert "&lt;s&gt;" in forest("t", [("<s>", 0.5, None, "blue", "")], (0, 1), [], "x")


def test_a_page_without_jinja2_names_the_extra(tmp_path: Path) -> None:
    code = (
        "import sys; sys.modules['jinja2'] = None\n"
        "from pathlib import Path\n"
        "from convert.pages import render\n"
        "from firmware_bridge.errors import MissingExtraError\n"
        "try:\n    render(Path('x.html.j2'), title='', about='', notice='')\n"
        "except MissingExtraError as error: print(error.extra)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, timeout=60)
    assert done.stdout.strip() == "convert", done.stderr


@pytest.mark.slow
def test_pages_fit_a_phone(validated: dict, tmp_path: Path) -> None:
    browser = tool("chromium")
    report = "<script>parent.postMessage([document.documentElement.scrollWidth, innerWidth].join(' '), '*')</script>"
    for name, page in pages(validated).items():
        open_page = re.sub(r"<meta http-equiv=[^>]*>", "", page).replace("</main>", f"</main>{report}")
        (tmp_path / f"{name}.html").write_text(open_page, encoding="utf-8")
        frame = f'<iframe src="{name}.html" width="390" height="800" style="border:0"></iframe>'
        script = "<script>onmessage = e => { document.body.dataset.width = e.data }</script>"
        (tmp_path / "frame.html").write_text(f"<!doctype html><body>{script}{frame}</body>", encoding="utf-8")
        command = [browser, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path}/{name}"]
        command += ["--virtual-time-budget=4000", "--dump-dom", (tmp_path / "frame.html").as_uri()]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120)
        found = re.search(r'data-width="(\d+) (\d+)"', done.stdout)
        assert found, done.stderr
        assert int(found[1]) <= int(found[2]) == 390, name


def test_the_parser_reads_what_is_shown() -> None:
    page = Page('<nav><a href="#a">x</a></nav><h2 id="a">y</h2><code>potassium_high</code><svg aria-label="z"/>')
    assert (page.contents, page.headings, page.text) == (["a"], ["a"], ["x", "y", "z"])


def test_the_page_in_the_demonstration_bundle_is_like_the_others() -> None:
    page = (demo_bundle_path() / "validation" / "parity.html").read_text(encoding="utf-8")
    assert faults(page) == []
    assert "Potassium above 5.0 mmol/L" in page


def test_the_demonstration_bundle_says_what_its_outputs_mean() -> None:
    outputs = load_bundle("demo").manifest.outputs
    assert {h.key: h.means for h in outputs if h.means} == {
        h.key: output_words(h.lab, h.direction) for h in outputs if h.direction
    }
