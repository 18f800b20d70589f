"""The entities that Home Assistant's own MQTT integration makes of a run, in all of its states."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("paho.mqtt.client", reason="the mqtt extra is not installed")

from edge.bundle.reader import load_bundle
from edge.records import NOTICE
from helpers.mosquitto import running

HERE = Path(__file__).resolve().parent
PLACE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "anyecg-edge" / "home-assistant"


def home_assistant() -> Path:
    python = Path(os.environ.get("ANYECG_HOME_ASSISTANT", PLACE)) / "bin" / "python"
    if not python.exists():
        pytest.skip("Home Assistant is not installed (.ci/install-home-assistant)")
    return python


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    python, folder = home_assistant(), tmp_path_factory.mktemp("ha")
    (folder / "test_watch.py").write_text((HERE / "watch_entities.py").read_text())
    (folder / "pytest.ini").write_text("[pytest]\nasyncio_mode = auto\n")
    (folder / "broker").mkdir()
    with running(folder / "broker") as broker:
        url = f"mqtt://127.0.0.1:{broker.port}/ecg?name=bedroom"
        run = [sys.executable, "-m", "edge.cli", "run", "--source", "sim:?potassium=6.5", "--view", "none"]
        outer = os.environ.get("PYTHONPATH", str(HERE.parents[1]))
        command = ["env", f"PYTHONPATH={outer}", *run, "--mqtt", url]
        env = {k: v for k, v in os.environ.items() if not k.startswith(("PYTEST", "PYTHONPATH"))}
        env |= {"WATCH_PORT": str(broker.port), "WATCH_OUT": str(folder / "out"), "WATCH_COMMAND": json.dumps(command)}
        done = subprocess.run(
            [python, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "test_watch.py"],
            cwd=folder, env=env, capture_output=True, text=True, timeout=400,
        )  # fmt: skip
    assert done.returncode == 0, done.stdout[-4000:]
    out: dict[str, Any] = json.loads((folder / "out").read_text())
    return out


@pytest.mark.slow
def test_one_device_with_the_entities_of_the_bundle(seen: dict[str, Any]) -> None:
    assert seen["devices"] == 1
    assert seen["device"]["name"] == "bedroom"
    assert seen["device"]["identifiers"] == [["mqtt", "anyecg_bedroom"]]
    assert seen["device"]["model"].endswith(f"bundle anyecg-demo {load_bundle('demo').manifest.version}")
    expected = {f"sensor.bedroom_{name}" for name in ("heart_rate", "signal_quality", "status", "last_estimate")}
    expected |= {f"sensor.bedroom_{name}" for name in ("rhythm", "pr_interval", "qrs_interval", "qt_interval")}
    expected.add("sensor.bedroom_qtc_interval")
    for head in load_bundle("demo").manifest.outputs:
        if head.unit != "1":
            expected.add(f"sensor.bedroom_{head.key}_estimate")
            continue
        expected.add(f"sensor.bedroom_{head.key}_probability")
        if head.evidence.tier != "limited":
            expected.add(f"binary_sensor.bedroom_{head.key}_flag")
    assert set(seen["estimating"]) == expected
    disabled = {name for name, entity in seen["estimating"].items() if entity["disabled_by"]}
    assert disabled == {"sensor.bedroom_sodium_low_probability", "sensor.bedroom_sodium_high_probability"}


@pytest.mark.slow
def test_values_have_units_intervals_evidence_and_the_notice(seen: dict[str, Any]) -> None:
    entities = seen["estimating"]
    potassium = entities["sensor.bedroom_potassium_estimate"]
    assert 5.0 < float(potassium["state"]) < 8.0
    attributes = potassium["attributes"]
    assert attributes["unit_of_measurement"] == "mmol/L"
    assert attributes["state_class"] == "measurement"
    assert "device_class" not in attributes
    assert attributes["interval"][0] < float(potassium["state"]) < attributes["interval"][1]
    assert (attributes["refers_to_loinc"], attributes["evidence"]) == ("2823-3", "strong")
    assert attributes["notice"] == NOTICE
    assert float(entities["sensor.bedroom_potassium_high_probability"]["state"]) > 50.0
    assert entities["sensor.bedroom_potassium_high_probability"]["attributes"]["unit_of_measurement"] == "%"
    flag = entities["binary_sensor.bedroom_potassium_high_flag"]
    assert (flag["state"], flag["attributes"]["device_class"]) == ("on", "problem")
    assert entities["binary_sensor.bedroom_potassium_low_flag"]["state"] == "off"
    assert 55 <= int(entities["sensor.bedroom_heart_rate"]["state"]) <= 85
    assert entities["sensor.bedroom_status"]["state"] == "ok"
    assert entities["sensor.bedroom_status"]["category"] == "diagnostic"
    assert entities["sensor.bedroom_last_estimate"]["attributes"]["device_class"] == "timestamp"


@pytest.mark.slow
def test_an_abstention_is_unknown_and_a_dead_run_unavailable(seen: dict[str, Any]) -> None:
    for phase, state in (("warming_up", "unknown"), ("killed", "unavailable")):
        for name, entity in seen[phase].items():
            if entity["disabled_by"] is None and "quality" not in name and "status" not in name:
                assert entity["state"] == state, (phase, name)
    assert seen["warming_up"]["sensor.bedroom_status"]["state"] in {"waiting", "warming_up"}
