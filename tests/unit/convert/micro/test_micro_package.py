"""The TFLite Micro package is reproducible, compiles without warnings, and reports faults by its exit status."""

from __future__ import annotations

import os
import re
import shutil
import struct
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from convert.cli.micro_package import main as package_main
from convert.compute.inference import arena_bytes
from convert.micro import c_source as c
from convert.micro.arena import measure
from convert.micro.graph import read_graph
from convert.micro.package import build, from_bundle
from edge.bundle.reader import load_bundle
from edge.cli.main import main as anyecg
from edge.frontend.stream import lowpass_taps
from edge.onpatch.fixed import fixed_heads, identity
from firmware_bridge.errors import BundleError, CheckFailedError
from helpers.firmware_build import HERE, MOCK, STRICT_C, STRICT_CXX, compiled, run, sources, tool, write_frontend_case


@pytest.fixture(scope="module")
def bundle():
    return load_bundle("demo")


@pytest.fixture(scope="module")
def package(bundle):
    return build(from_bundle(bundle))


@pytest.fixture(scope="module")
def folder(package, tmp_path_factory):
    root = tmp_path_factory.mktemp("package")
    for name, data in package.files.items():
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_bytes(data)
    return root


def c_numbers(text: bytes, name: str) -> list[int]:
    body = re.search(rf"{name}(?:\[[^\]]*\])+ = \{{(.*?)\}};".encode(), text, re.DOTALL)
    assert body is not None
    return [int(n, 0) for n in re.findall(rb"-?0x[0-9a-f]+|-?\d+", body[1])]


def test_same_bundle_same_bytes(bundle, package):
    assert build(from_bundle(bundle)).files == package.files


def test_the_arrays_hold_the_bundle(bundle, package):
    assert bytes(c_numbers(package.files["anyecg_model.c"], "anyecg_model")) == bundle.model
    golden = package.files["anyecg_golden.c"]
    assert c_numbers(golden, "anyecg_golden_inputs") == bundle.golden_inputs.reshape(-1).tolist()
    assert c_numbers(golden, "anyecg_golden_outputs") == bundle.golden_outputs.reshape(-1).tolist()
    taps = [float(t) for t in re.findall(rb"-?\d\.\d+(?:e-\d+)?(?=[,\n])", package.files["anyecg_frontend.c"])]
    assert taps == lowpass_taps(250)[24:].tolist()


def test_every_head_has_its_calibration(bundle, package):
    text = package.files["anyecg_outputs.c"].decode()
    rows = re.findall(r'^  \{(".*)\},?$', text, re.MULTILINE)
    assert len(rows) == len(bundle.manifest.outputs)
    for row, head in zip(rows, bundle.manifest.outputs, strict=True):
        cells = row.split(", ")
        cal = bundle.calibration[head.key]
        assert cells[0] == f'"{head.key}"'
        assert int(cells[5]) == head.index
        found = [np.float32(float(n.rstrip("f"))) for n in cells[10:]]
        wanted = (cal.slope, cal.offset, cal.threshold or 0.0, cal.interval_width, cal.level)
        assert found == [np.float32(n) for n in wanted]


def test_the_package_has_the_fixed_point_and_the_identity_of_the_python_side(bundle, package):
    fixed = fixed_heads(bundle.manifest.outputs, bundle.calibration, bundle.manifest.output.scale)
    table = c_numbers(package.files["anyecg_outputs.c"], "anyecg_heads_q")
    assert table == [number for head in fixed for number in head.row()]
    stated = bytes(c_numbers(package.files["anyecg_outputs.c"], "anyecg_identity"))
    assert stated == identity(bundle.model, fixed)


def test_arena_is_what_the_interpreter_needs(bundle, package):
    arena = package.arena
    assert arena.measured == arena_bytes(bundle.model)
    # The real interpreter on an emulated Cortex-M4 used 31,264 bytes with CMSIS-NN, on a Cortex-M55 31,888.
    assert 31_264 <= arena.cortex_m <= 31_264 + 1024
    assert 31_888 <= arena.helium <= 31_888 + 1024
    assert arena.esp_nn > arena.helium
    assert package.windows == len(bundle.golden_inputs)


def test_operations_are_registered_by_their_names(package):
    text = package.files["anyecg_ops.h"].decode()
    assert package.ops == ("ADD", "CONV_2D", "DEPTHWISE_CONV_2D", "MEAN")
    assert re.findall(r"resolver\.(\w+)\(", text) == ["AddAdd", "AddConv2D", "AddDepthwiseConv2D", "AddMean"]
    assert b"#define ANYECG_OP_COUNT 4u\n" in package.files["anyecg_config.h"]


def test_readme_has_no_placeholder_left(package):
    page = package.files["README.md"].decode()
    assert not re.search(r"@[A-Z0-9_]+@", page)
    for vendor in ("Arduino", "ESP-IDF", "Zephyr", "PlatformIO", "TF_LITE_STATIC_MEMORY"):
        assert vendor in page
    shown = {re.sub(r"^zephyr/.*", "zephyr/", name.removeprefix("bare_metal/")) for name in package.files}
    for name in shown - {"README.md"}:
        stem = re.sub(r"\.[ch]$", "", name)
        assert name in page or f"{stem}.{{h,c}}" in page, name


@pytest.mark.parametrize("std", ["c99", "c11"])
def test_compiles_without_a_warning_and_checks_itself(folder, tmp_path, std):
    program = tmp_path / "check"
    compiled(
        [tool("gcc"), f"-std={std}", *STRICT_C, f"-I{folder}", *sources(folder), folder / "check/main.c", "-o", program]
    )
    done = run([program])
    assert done.returncode == 0, done.stdout
    assert done.stdout.startswith(
        f"anyecg check: ok: model {len(load_bundle('demo').model)} bytes, 8 golden windows, 12 heads"
    )


@pytest.mark.parametrize("std", ["c++11", "c++17"])
def test_headers_compile_as_cxx(folder, tmp_path, std):
    headers = sorted(folder.glob("*.h"))
    unit = tmp_path / "headers.cc"
    unit.write_text(
        "".join(f'#include "{h.name}"\n' for h in headers) + "float f(){return anyecg_score(anyecg_heads,1);}\n"
    )
    # The score helpers are also C, so their casts are C casts.
    flags = [f for f in STRICT_CXX if f != "-Wold-style-cast"]
    compiled([tool("g++"), f"-std={std}", *flags, f"-I{folder}", f"-I{MOCK}", "-fsyntax-only", unit])


DAMAGE = {
    "anyecg_model.c": ("0x54, 0x46, 0x4c", "0x54, 0x46, 0x4d", "the model's bytes"),
    "anyecg_golden.c": (r"(golden_inputs.*?\n\s+)-?\d+", r"\g<1>99", "the golden inputs"),
    "anyecg_frontend.c": ("0.324188", "0.325188", "the low-pass"),
    "anyecg_outputs.c": (r'"low", 0,', '"low", 77,', "a head"),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_the_check_finds_damage(folder, tmp_path, name):
    pattern, replacement, complaint = DAMAGE[name]
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    text = (copy / name).read_text()
    changed = re.sub(pattern, replacement, text, count=1, flags=re.DOTALL)
    assert changed != text
    (copy / name).write_text(changed)
    compiled([tool("gcc"), "-std=c99", f"-I{copy}", *sources(copy), copy / "check/main.c", "-o", tmp_path / "check"])
    done = run([tmp_path / "check"])
    assert done.returncode == 1
    assert complaint in done.stdout


@pytest.mark.parametrize(
    ("flags", "status", "said"),
    [
        ((), 0, "ok: 0 of 96 outputs differ (by at most 0)"),
        (("-DMOCK_WRONG_WINDOW=7",), 1, "FAILED: 1 of 96 outputs differ (by at most 1)"),
        (("-DANYECG_ARENA_BYTES=4096",), 1, "FAILED: AllocateTensors()"),
    ],
)
def test_self_test_with_a_mock_interpreter(folder, tmp_path, flags, status, said):
    objects = []
    for source in sources(folder):
        objects.append(tmp_path / f"{source.stem}.o")
        compiled([tool("gcc"), "-std=c11", *STRICT_C, f"-I{folder}", *flags, "-c", source, "-o", objects[-1]])
    program = tmp_path / "selftest"
    compiled(
        [
            tool("g++"),
            "-std=c++17",
            *STRICT_CXX,
            f"-I{folder}",
            f"-isystem{MOCK}",
            *flags,
            folder / "main.cc",
            *objects,
            "-o",
            program,
        ]
    )
    done = run([program])
    assert done.returncode == status, done.stdout
    assert said in done.stdout


def test_self_test_without_tflm_gives_a_clear_error(folder, tmp_path):
    done = run([tool("g++"), "-std=c++17", f"-I{folder}", "-fsyntax-only", folder / "main.cc"])
    assert done.returncode != 0
    assert "TFLite Micro is not on the include path" in done.stderr


def test_front_end_from_the_package_only(folder, tmp_path):
    write_frontend_case(tmp_path)
    program = tmp_path / "parity"
    compiled(
        [
            *(tool("gcc"), "-std=c11", "-O2", "-ffp-contract=off", *STRICT_C, f"-I{folder}", f"-I{tmp_path}"),
            *(folder / "anyecg_frontend.c", HERE / "frontend_parity.c", "-lm", "-o", program),
        ]
    )
    done = run([program])
    assert done.returncode == 0, done.stdout
    assert done.stdout.startswith("front end: 0 of 1250 doubles differ")


def test_texts_from_a_manifest_cannot_leave_their_literal(bundle, tmp_path):
    nasty = 'a"; int x; /* \\ ??/ */ é\n#define Q'
    heads = tuple(replace(h, lab=nasty, unit="\\", direction=None) for h in bundle.manifest.outputs)
    manifest = replace(bundle.manifest, name=nasty, notice="*/ #error out", version="`x`|y", outputs=heads)
    files = build(replace(from_bundle(bundle), manifest=manifest)).files
    for name, data in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(data)
    probe = tmp_path / "probe.c"
    probe.write_text(
        '#include <stdio.h>\n#include "anyecg_outputs.h"\n'
        'int main(void){printf("%s|%s|%s", anyecg_heads[0].lab, ANYECG_NAME, anyecg_heads[0].unit);return 0;}\n'
    )
    compiled(
        [
            tool("gcc"),
            "-std=c99",
            "-trigraphs",
            *STRICT_C,
            f"-I{tmp_path}",
            tmp_path / "anyecg_outputs.c",
            probe,
            "-o",
            tmp_path / "p",
        ]
    )
    assert run([tmp_path / "p"]).stdout == f"{nasty}|{nasty}|\\"


@pytest.mark.parametrize("value", [0.0, 1.0, -0.1, 1e-40, 1e39, 123456789.0, 16.0])
def test_number_literals_are_exact(value):
    assert float(c.double(value)) == value
    literal = c.float32(value)
    assert re.fullmatch(r"-?[\d.]+(e[-+]\d+)?f", literal)
    assert set(literal) & {".", "e"}
    wanted = min(value, float(np.finfo(np.float32).max))
    assert struct.pack("<f", float(literal[:-1])) == struct.pack("<f", wanted)


def test_wrong_golden_outputs_are_refused(bundle):
    wrong = bundle.golden_outputs.copy()
    wrong[0, 0] ^= 1
    with pytest.raises(CheckFailedError, match="1 of 96 golden outputs"):
        build(replace(from_bundle(bundle), golden_outputs=wrong))


def test_only_the_micro_tier_is_accepted(bundle):
    source = from_bundle(bundle)
    with pytest.raises(BundleError, match="foundation tier"):
        build(replace(source, manifest=replace(source.manifest, tier="foundation")))


def test_a_model_that_crashes_tflm_gives_a_one_line_error(bundle):
    graph = read_graph(bundle.model)
    with pytest.raises(CheckFailedError, match="TFLite Micro"):
        measure(bundle.model[:2000], graph)


def test_command(tmp_path, capsys, package):
    out = tmp_path / "micro"
    assert anyecg(["micro-package", "demo", "--runtime", "tflm", "--out", str(out)]) == 0
    said = capsys.readouterr().out
    assert f"arena       {package.arena.measured} bytes measured" in said
    found = {p.relative_to(out).as_posix(): p.read_bytes() for p in out.rglob("*") if p.is_file()}
    assert found == dict(package.files)
    (out / "stale.txt").write_text("x")
    assert package_main(["demo", "--runtime", "tflm", "--out", str(out)]) == 0
    assert not (out / "stale.txt").exists()


def test_command_refuses_a_foreign_folder(tmp_path, capsys):
    (tmp_path / "thesis.tex").write_text("years of work")
    assert anyecg(["micro-package", "demo", "--out", str(tmp_path)]) == 7
    assert "is not a package of micro-package" in capsys.readouterr().err
    assert (tmp_path / "thesis.tex").exists()
    assert anyecg(["micro-package", "nowhere", "--out", str(tmp_path / "x")]) == 4
    assert anyecg(["micro-package", "demo"]) == 2


def test_the_commands_of_the_page_run(tmp_path, package):
    """Every command of docs/micro.md runs and prints the text on the page."""
    page = (Path(__file__).resolve().parents[4] / "docs" / "micro.md").read_text()
    script = "".join(re.findall(r"```sh\n(.*?)```", page, re.DOTALL))
    tool("cc")
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = run(["sh", "-e", "-c", script], cwd=tmp_path, env={**os.environ, "PATH": path})
    assert done.returncode == 0, done.stderr
    for block in re.findall(r"```text\n(.*?)```", page, re.DOTALL):
        assert block in done.stdout
    for name in package.files:
        stem = re.sub(r"\.[ch]$", "", name)
        assert name in page or f"{stem}.{{h,c}}" in page or f"{name.split('/')[0]}/" in page, name


def test_a_model_that_the_c_front_end_cannot_feed_is_refused() -> None:
    bundle = load_bundle("demo")
    for name, change, what in (
        ("input", {"scale": 0.1}, "has scale 0.1"),
        ("input", {"zero_point": 3}, "zero point 3"),
        ("form", None, "is of the form dynamic"),
    ):
        m = bundle.manifest
        other = replace(m, form="dynamic") if change is None else replace(m, **{name: replace(m.input, **change)})
        with pytest.raises(BundleError, match=what):
            build(from_bundle(replace(bundle, manifest=other)))
