"""Devices, sources and sinks of other packages: found late, checked, and a broken one is one line with its package."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import edge
from edge.cli.main import main
from edge.sinks.plugin import open_sink
from edge.sources import open_source
from firmware_bridge import devices, plugins
from firmware_bridge.errors import OutputError, PluginError, UsageError
from firmware_bridge.samples import SampleBlock
from firmware_bridge.synth.ecgsyn import EcgParams, EcgSynth

ROOT = Path(__file__).resolve().parents[4]
TEMPLATE = ROOT / "examples" / "plugin"
EXAMPLE = {
    "anyecg.devices": {"text-patch": "anyecg_example.device:DEVICE"},
    "anyecg.sources": {"npy": "anyecg_example.source:open_npy"},
    "anyecg.sinks": {"csv": "anyecg_example.sink:open_csv"},
}
"""The entry points of the template; a slow test installs it with pip and compares."""


def install(folder: Path, package: str, groups: dict[str, dict[str, str]], code: dict[str, str] | None = None) -> None:
    """Make a folder on the path look like one into which a package was installed."""
    info = folder / f"{package.replace('-', '_')}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
    lines = [f"[{group}]\n" + "".join(f"{n} = {t}\n" for n, t in names.items()) for group, names in groups.items()]
    (info / "entry_points.txt").write_text("\n".join(lines))
    for name, text in (code or {}).items():
        (folder / name).write_text(text)


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(folder)
    before = set(sys.modules)
    devices.known.cache_clear()
    yield folder
    devices.known.cache_clear()
    for name in set(sys.modules) - before:
        if (getattr(sys.modules[name], "__file__", None) or "").startswith((str(folder), str(TEMPLATE))):
            del sys.modules[name]


@pytest.fixture
def example(site: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.syspath_prepend(TEMPLATE)
    install(site, "anyecg-example", EXAMPLE)
    return site


def write_ecg(path: Path) -> None:
    np.save(path, EcgSynth(EcgParams(), 1).generate(5000, 250.0))


def test_source_and_sink_of_the_template_work_in_a_run(example: Path, tmp_path: Path, capsys) -> None:
    write_ecg(tmp_path / "ecg.npy")
    rate = tmp_path / "rate.csv"
    source = f"npy:{tmp_path}/ecg.npy?fs=250"
    assert main(["run", "--source", source, "--sink", f"csv:{rate}", "--view", "none", "--speed", "max"]) == 0
    rows = rate.read_text().splitlines()
    assert rows[0] == "time,heart_rate_bpm,abstained"
    assert len(rows) == 19
    assert 68 < float(rows[-1].split(",")[1]) < 72
    answer = edge.Estimates(edge.open(source).estimates()).answer
    assert answer is not None
    assert f"{answer.heart_rate_bpm:.1f}" == rows[-1].split(",")[1]


def test_a_device_of_the_template_decodes(example: Path) -> None:
    device = devices.get("Text-Patch")
    decoder = device.decoder()
    items = decoder.feed(b"120\n-5\nx\n7", 5) + decoder.feed(b"0\n", 6)
    blocks = [i for i in items if isinstance(i, SampleBlock)]
    assert [b.samples.tolist() for b in blocks] == [[120, -5], [70]]
    assert decoder.counters() == {"frames": 3, "corrupt": 1}
    assert decoder.writes() == []
    assert open_source("tcp:127.0.0.1:1?device=text_patch").info.device == "text_patch"
    assert device.profile in devices.known()


@pytest.mark.parametrize("url", ["npy:nowhere.npy", "npy:nowhere.npy?x=1"])
def test_errors_of_the_template_are_those_of_the_kit(example: Path, url: str, capsys) -> None:
    assert main(["run", "--source", url, "--view", "none"]) in {2, 3}
    assert capsys.readouterr().err.count("\n") == 1


def test_the_commands_list_what_packages_offer(example: Path, capsys) -> None:
    assert main(["devices"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert "text_patch" in out
    assert "device  device=text_patch" in out
    assert "source  --source npy:..." in out
    assert "sink    --sink csv:..." in out
    assert "anyecg-example 1.0" in out
    assert main(["devices", "text-patch"]) == 0
    assert "Text patch" in capsys.readouterr().out
    assert main(["devices", "--json"]) == 0
    listing = json.loads(capsys.readouterr().out)
    assert [(p["kind"], p["name"]) for p in listing["plugins"]] == [
        ("device", "text_patch"),
        ("source", "npy"),
        ("sink", "csv"),
    ]
    assert {p["package"] for p in listing["plugins"]} == {"anyecg-example"}
    assert main(["devices", "--markdown"]) == 0
    assert "text_patch" not in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main(["run", "--help"])
    flat = " ".join(capsys.readouterr().out.split())
    assert "source --source npy:... (anyecg-example 1.0)" in flat
    assert "sink --sink csv:... (anyecg-example 1.0)" in flat


BROKEN = {
    "import": ("1 / 0", "ZeroDivisionError"),
    "exit": ("raise SystemExit(3)", "SystemExit"),
    "nothing": ("", "AttributeError"),
    "number": ("thing = 3", "'int'"),
    "raises": ("def thing(x=None):\n    raise ValueError('no\\nway')\n", "ValueError"),
    "none": ("def thing(x=None):\n    return None\n", ""),
}


@pytest.mark.parametrize("kind", BROKEN)
@pytest.mark.parametrize(
    ("group", "arguments"),
    [
        ("anyecg.sources", ["--source", "broken:x"]),
        ("anyecg.devices", ["--source", "serial:/dev/nowhere?device=broken"]),
        ("anyecg.sinks", ["--source", "sim:?speed=max", "--seconds", "1", "--sink", "broken:x"]),
    ],
)
def test_a_broken_plugin_is_one_line_with_its_package(site: Path, group, arguments, kind, capsys) -> None:
    code, word = BROKEN[kind]
    install(site, "bad-package", {group: {"broken": "bad_module:thing"}}, {"bad_module.py": code})
    assert main(["run", "--view", "none", *arguments]) == 6
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert "bad-package 1.0" in err
    assert "uninstall bad-package" in err
    assert word in err or group == "anyecg.devices"
    fails_on_load = kind in {"import", "exit", "nothing"} or group == "anyecg.devices"
    assert main(["devices"]) == (6 if fails_on_load else 0)
    assert ("bad-package" in capsys.readouterr().err) == fails_on_load


def test_a_plugin_that_fails_in_a_run_is_one_line(site: Path, capsys) -> None:
    code = (
        "from edge.sinks import BaseSink\n"
        "from edge.sources import SourceInfo\n"
        "class Bad(BaseSink):\n"
        "    def estimate(self, e): raise KeyError('x')\n"
        "def sink(rest): return Bad()\n"
        "class Source:\n"
        "    info = SourceInfo('bad:', 'bad', live=False, host_clock=False)\n"
        "    async def items(self):\n"
        "        raise RuntimeError('gone')\n"
        "        yield\n"
        "    async def close(self): pass\n"
        "def source(url): return Source()\n"
    )
    groups = {"anyecg.sinks": {"bad": "bad_run:sink"}, "anyecg.sources": {"bad": "bad_run:source"}}
    install(site, "bad-run", groups, {"bad_run.py": code})
    sink = ["run", "--source", "sim:?speed=max&seconds=20", "--sink", "bad:", "--view", "none"]
    assert main(sink) == OutputError.exit_code
    err = capsys.readouterr().err
    assert "bad-run 1.0 failed: KeyError" in err.splitlines()[-1]
    assert main(["run", "--source", "bad:", "--view", "none"]) == PluginError.exit_code
    assert "bad-run 1.0 failed: RuntimeError: gone" in capsys.readouterr().err.splitlines()[-1]


def test_a_decoder_that_raises_names_its_package(site: Path) -> None:
    code = (TEMPLATE / "anyecg_example" / "device.py").read_text().replace("del channel", "1 / 0")
    install(site, "bad-decoder", {"anyecg.devices": {"text_patch": "bad_decoder:DEVICE"}}, {"bad_decoder.py": code})
    with pytest.raises(PluginError, match=r"bad-decoder 1\.0 failed: ZeroDivisionError"):
        devices.get("text_patch").decoder().feed(b"1\n", 0)


def test_a_device_under_another_name_is_refused(site: Path) -> None:
    code = (TEMPLATE / "anyecg_example" / "device.py").read_text()
    install(site, "misnamed", {"anyecg.devices": {"other": "misnamed:DEVICE"}}, {"misnamed.py": code})
    with pytest.raises(PluginError, match="calls itself 'text_patch'"):
        devices.get("other")
    assert "other" not in {kind.name for kind in devices.known()}


def test_names_of_the_kit_are_never_replaced(site: Path, capsys) -> None:
    groups = {"anyecg.devices": {"polar-h10": "evil:x"}, "anyecg.sources": {"sim": "evil:x"}}
    install(site, "evil", groups, {"evil.py": "raise SystemExit('loaded')"})
    assert devices.get("polar_h10").profile.title.startswith("Polar")
    assert open_source("sim:").info.device == "anyecg_patch"
    assert main(["devices"]) == 6
    err = capsys.readouterr().err
    assert err.count("\n") == 2
    assert "device 'polar_h10' of the package evil 1.0 is ignored" in err
    assert "source 'sim' of the package evil 1.0 is ignored" in err


def test_a_name_that_two_packages_offer_is_refused(example: Path, capsys) -> None:
    install(example, "second", {g: dict.fromkeys(names, "second:x") for g, names in EXAMPLE.items()})
    for use in (lambda: devices.get("text_patch"), lambda: open_source("npy:x"), lambda: open_sink("csv:x")):
        with pytest.raises(PluginError, match="anyecg-example and second"):
            use()
    assert main(["devices"]) == 6
    assert capsys.readouterr().err.count("\n") == 3


def test_unknown_names_list_those_of_packages(example: Path) -> None:
    with pytest.raises(UsageError, match="text_patch"):
        devices.get("nothing")
    with pytest.raises(UsageError, match="npy"):
        open_source("nothing:x")
    with pytest.raises(UsageError, match="installed: csv"):
        open_sink("nothing:x")
    with pytest.raises(UsageError):
        open_source("c:\\ecg.csv")


def test_a_name_that_cannot_be_used_is_said(site: Path, capsys) -> None:
    install(site, "odd", {"anyecg.sources": {"a b": "odd:x", "c": "odd:x"}})
    assert main(["devices"]) == 6
    assert capsys.readouterr().err.count("lower-case letters") == 2


def test_a_run_without_plugins_searches_none(tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "from edge.cli.main import main\n"
        "main(['run', '--source', 'sim:?speed=max', '--seconds', '1', '--view', 'none'])\n"
        "print('firmware_bridge.plugins' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.splitlines()[-1] == "False", done.stderr


def test_the_template_declares_what_this_file_installs() -> None:
    import tomllib

    declared = tomllib.loads((TEMPLATE / "pyproject.toml").read_text())["project"]["entry-points"]
    assert {g: {n.replace("_", "-"): t for n, t in names.items()} for g, names in declared.items()} == EXAMPLE
    assert set(declared) == set(plugins.KINDS)


@pytest.mark.slow
def test_the_template_is_installed_by_pip_and_used(tmp_path: Path) -> None:
    pytest.importorskip("hatchling", reason="hatchling is not installed (constraints/build.txt)")
    folder, target = tmp_path / "copy", tmp_path / "target"
    shutil.copytree(TEMPLATE, folder)
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-index"]
    subprocess.run([*pip, "--no-deps", "--no-build-isolation", "--target", target, folder], check=True, timeout=300)
    write_ecg(tmp_path / "ecg.npy")

    def anyecg(*args: str) -> subprocess.CompletedProcess[str]:
        import os

        env = {**os.environ, "PYTHONPATH": f"{target}{os.pathsep}{ROOT}"}
        command = [sys.executable, "-m", "edge.cli", *args]
        return subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=env, timeout=120)

    listed = anyecg("devices")
    assert listed.returncode == 0, listed.stderr
    assert "anyecg-example 0.1.0" in listed.stdout
    done = anyecg("run", "--source", "npy:ecg.npy?fs=250", "--sink", "csv:rate.csv", "--view", "none")
    assert done.returncode == 0, done.stderr
    assert len((tmp_path / "rate.csv").read_text().splitlines()) == 19
