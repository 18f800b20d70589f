"""The plain C99 network gives the bits of TensorFlow Lite Micro; a graph that it does not cover is refused by name."""

from __future__ import annotations

import contextlib
import json
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("tensorflow", reason="the convert extra is not installed")
pytest.importorskip("tflite_micro", reason="the micro extra is not installed")

from convert.bundle.writer import BundleContents, write_bundle
from convert.compute.inference import run_int8
from convert.micro.c99.cost import PROCESSORS, ram_bytes, table_bytes
from convert.micro.c99.package import build
from convert.micro.c99.reading import NotCoveredError, read_network
from convert.micro.c99.scaling import Scale, mean_scale, output_range, quantized, sum_scales
from convert.micro.c99.twin import run as run_twin
from convert.micro.graph import read_graph
from convert.micro.in_bundle import with_micro
from convert.micro.package import from_bundle
from edge.bundle.reader import demo_bundle_path, load_bundle
from edge.cli.main import main as anyecg
from firmware_bridge.errors import CheckFailedError, InputError
from helpers.c99_students import RUNNER, outputs_of, student, windows, write_sources
from helpers.c_side import C_SIDE
from helpers.firmware_build import STRICT_C, compiled, run, tool


@pytest.fixture(scope="module")
def bundle():
    return load_bundle("demo")


@pytest.fixture(scope="module")
def package(bundle):
    return build(from_bundle(bundle))


@pytest.mark.parametrize(("name", "heads"), [("demo", 12), ("nano", 7)])
def test_outputs_equal_tflm(tmp_path, name, heads):
    model = student(name, heads)
    folder = write_sources(model, tmp_path)
    compiled(
        [
            tool("gcc"),
            "-std=c99",
            "-O1",
            *STRICT_C,
            f"-I{folder}",
            *folder.glob("anyecg_*.c"),
            RUNNER,
            "-o",
            tmp_path / "run",
        ]
    )
    found = windows(120)
    wanted = run_int8(model, found.reshape(-1, 1, 1, 1250, 1), "tflm")
    assert len(np.unique(wanted)) > 20
    assert np.array_equal(outputs_of(tmp_path / "run", found, heads), wanted)
    twin = read_network(read_graph(model))
    assert np.array_equal(np.stack([run_twin(twin, w) for w in found[::10]]), wanted[::10])


def test_package_checks_itself(package, tmp_path):
    for name, data in package.files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(data)
    program = tmp_path / "check_network"
    command = [tool("gcc"), "-std=c99", *STRICT_C, f"-I{tmp_path}", tmp_path / "check" / "main.c"]
    compiled([*command, *tmp_path.glob("anyecg_*.c"), "-o", program])
    assert run([program]).stdout == "anyecg self-test: ok: 0 of 96 outputs differ\n"
    layers = tmp_path / "anyecg_layers.c"
    text = layers.read_text()
    at = text.index("head1_weights[")
    at = text.index("{", at) + 1
    line = text[at : text.index(",\n", at)]
    other = ", ".join(str(int(number) // 2) for number in line.split(","))
    layers.write_text(text[:at] + "\n  " + other + text[at + len(line) :])
    compiled([*command, *tmp_path.glob("anyecg_*.c"), "-o", program])
    done = run([program])
    assert done.returncode == 1
    assert "FAILED" in done.stdout


def test_the_headers_go_with_those_of_the_patch_library(package, tmp_path):
    for name, data in package.files.items():
        if name.endswith(".h"):
            (tmp_path / name).write_bytes(data)
    unit = tmp_path / "both.c"
    headers = sorted(path.name for path in tmp_path.glob("*.h"))
    unit.write_text("".join(f'#include "{name}"\n' for name in ("AnyECG.h", *headers)))
    flags = ["-std=c99", *STRICT_C, f"-I{C_SIDE / 'src'}", f"-I{tmp_path}"]
    compiled([tool("gcc"), *flags, "-c", unit, "-o", tmp_path / "both.o"])


def test_the_readme_states_the_figures_and_every_file(package):
    page = package.files["README.md"].decode()
    assert not re.search(r"@[A-Z_]+@", page)
    assert 80 <= len(page.splitlines()) <= 130
    assert (
        f"{table_bytes(package.network) + PROCESSORS['cortex-m0'].code_bytes:,} | {ram_bytes(package.network):,}"
        in page
    )
    for name in set(package.files) - {"README.md"}:
        stem = re.sub(r"\.[ch]$", "", name)
        assert name in page or f"{stem}.{{h,c}}" in page or name.startswith("zephyr/"), name


def test_same_bundle_same_bytes(bundle, package):
    assert build(from_bundle(bundle)).files == package.files


def contents_of(bundle) -> BundleContents:
    raw = json.loads((demo_bundle_path() / "manifest.json").read_text())
    heads = json.loads((demo_bundle_path() / "calibration.json").read_text())["heads"]
    return BundleContents(
        manifest={k: v for k, v in raw.items() if k not in {"schema", "notice", "files"}},
        model=bundle.model,
        heads=heads,
        golden_inputs=bundle.golden_inputs,
        golden_outputs=bundle.golden_outputs,
        model_card="card",
    )


def test_a_new_bundle_contains_its_package(bundle, package, tmp_path):
    write_bundle(tmp_path / "b", with_micro(contents_of(bundle)))
    assert "micro/anyecg_layers.c" in load_bundle(tmp_path / "b").manifest.files
    for name, data in package.files.items():
        assert (tmp_path / "b" / "micro" / name).read_bytes() == data


def test_a_student_that_is_not_covered_gets_the_other_package(bundle, monkeypatch):
    def refuse(_graph):
        raise NotCoveredError("CONV_2D of head", "a test")

    monkeypatch.setattr("convert.micro.c99.package.read_network", refuse)
    files = with_micro(contents_of(bundle)).extra
    assert "micro/main.cc" in files
    assert "micro/anyecg_layers.c" not in files


def test_the_command_replaces_the_other_package(tmp_path, capsys, package):
    out = tmp_path / "micro"
    assert anyecg(["micro-package", "demo", "--runtime", "tflm", "--out", str(out)]) == 0
    assert anyecg(["micro-package", "demo", "--out", str(out)]) == 0
    assert "8 golden windows equal" in capsys.readouterr().out
    assert {str(p.relative_to(out)) for p in out.rglob("*") if p.is_file()} == set(package.files)


def test_wrong_weights_are_found_before_anything_is_written(bundle):
    """The arithmetic of the package is checked, not only the interpreter."""
    from convert.micro.c99 import package as module

    network = read_network(read_graph(bundle.model))
    network.stem.dense.biases[0] += 40_000
    with pytest.raises(CheckFailedError, match="the C99 runtime would differ in"):
        module._check_arithmetic(from_bundle(bundle), network)


@settings(max_examples=120, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 1 << 20), st.integers(0, 255)), min_size=1, max_size=4))
def test_a_damaged_model_is_refused_with_one_error(bundle, changes):
    damaged = bytearray(bundle.model)
    for place, value in changes:
        damaged[place % len(damaged)] = value
    with contextlib.suppress(InputError, NotCoveredError):
        read_network(read_graph(bytes(damaged)))


@pytest.mark.parametrize(("name", "heads"), [("demo", 12), ("nano", 7)])
def test_the_tables_have_the_size_that_the_lint_states(tmp_path, name, heads):
    network = read_network(read_graph(student(name, heads)))
    folder = write_sources(student(name, heads), tmp_path)
    compiler = tool("arm-none-eabi-gcc")
    compiled(
        [
            compiler,
            "-mcpu=cortex-m4",
            "-mthumb",
            f"-I{folder}",
            "-c",
            folder / "anyecg_layers.c",
            "-o",
            tmp_path / "l.o",
        ]
    )
    sizes = run([compiler.removesuffix("gcc") + "size", tmp_path / "l.o"]).stdout.splitlines()[1].split()
    assert int(sizes[0]) == table_bytes(network)
    program = tmp_path / "size.c"
    program.write_text(
        '#include "anyecg_network.h"\n'
        f"typedef char same[sizeof(struct anyecg_network) == {ram_bytes(network)} ? 1 : -1];\n"
    )
    compiled([compiler, "-mcpu=cortex-m4", "-mthumb", f"-I{folder}", "-c", program, "-o", tmp_path / "s.o"])


@pytest.mark.parametrize("factor", [0.25, 0.3, 0.4999, 1e-3, 1e-9, 2.0**-31, 3e-10])
def test_scales_are_exact_to_31_bits(factor):
    scale = quantized(factor)
    assert scale.covered
    assert scale.multiplier / 2**31 / 2.0**scale.shift == pytest.approx(factor, rel=2**-30)


def test_scales_at_their_ends():
    assert quantized(0.0) == quantized(2.0**-40) == Scale(0, 0)
    assert not quantized(0.75).covered
    assert quantized(1 - 2.0**-40) == Scale(1 << 30, -1)  # rounds up to one
    assert sum_scales(0.5, 0.5, 1.0)[:2] == (1 << 21, Scale(1 << 30, 1))
    assert mean_scale(1.0, 1.0, 20) == Scale(int((1 << 30) * 16 / 20), 3)
    assert (output_range("RELU6", 6 / 255, -128).high, output_range("RELU6", 0.1, 3).high) == (127, 63)
    assert output_range("RELU", 0.1, 3).low == 3
