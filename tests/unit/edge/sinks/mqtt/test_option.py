"""``--mqtt`` of ``anyecg run``, in a file of options, and in those of a service."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge.bundle.reader import load_bundle
from edge.cli.main import main
from edge.sinks.mqtt import sink
from edge.sources import SourceInfo
from helpers.free_ports import ports
from helpers.service_options import check

SIM = "sim:?speed=max"


def run(*more: str) -> int:
    return main(["run", "--source", SIM, "--seconds", "15", "--view", "none", *more])


def test_without_the_library_one_line_names_the_extra(monkeypatch, capsys, tmp_path) -> None:
    monkeypatch.setattr(sink, "find_spec", lambda name: None)
    assert run("--mqtt", "mqtt://localhost", "--session-dir", str(tmp_path / "s")) == 6
    assert "pip install 'anyecg-edge[mqtt]'" in capsys.readouterr().err
    assert not (tmp_path / "s").exists()


def test_a_password_in_the_url_is_refused_before_anything_is_made(capsys, tmp_path) -> None:
    made = tmp_path / "s"
    assert run("--mqtt", "mqtts://u:hunter2@localhost/x", "--session-dir", str(made), "--record") == 2
    said = capsys.readouterr().err
    assert "must not hold a password" in said
    assert "hunter2" not in said
    assert not made.exists()


def test_several_recordings_are_not_published(capsys) -> None:
    pytest.importorskip("paho.mqtt.client", reason="the mqtt extra is not installed")
    assert main(["run", "--source", "replay:a.csv", "replay:b.csv", "--mqtt", "mqtt://localhost"]) == 2
    assert "--mqtt takes one recording" in capsys.readouterr().err


def test_a_broker_that_is_not_there_costs_a_run_nothing_but_a_line(capsys, tmp_path) -> None:
    pytest.importorskip("paho.mqtt.client", reason="the mqtt extra is not installed")
    (port,) = ports(1)
    options = tmp_path / "options.toml"
    options.write_text(f'mqtt = "mqtt://localhost:{port}/x?name=nowhere"\n')
    assert run("--config", str(options), "--out", str(tmp_path / "out.jsonl")) == 0
    out, err = capsys.readouterr()
    assert f"mqtt localhost:{port}: connection refused; estimates wait\n" in err
    assert f"mqtt        0 estimates sent to localhost:{port}, 13 not sent; connection refused\n" in out
    assert (tmp_path / "out.jsonl").read_text().count("\n") == 13


def test_a_missing_certificate_and_a_missing_password_are_named(capsys, tmp_path, monkeypatch) -> None:
    pytest.importorskip("paho.mqtt.client", reason="the mqtt extra is not installed")
    monkeypatch.delenv("ANYECG_MQTT_PASSWORD", raising=False)
    (tmp_path / "empty.pem").write_text("nothing\n")
    for url, what in (
        ("mqtts://localhost?ca=/nowhere.pem", "/nowhere.pem is not usable as a certificate authority"),
        (f"mqtts://localhost?ca={tmp_path}/empty.pem", "empty.pem is not usable as a certificate authority"),
        ("mqtts://u@localhost", "there is no password for the user of localhost:8883"),
    ):
        assert run("--mqtt", url) == 2
        assert what in capsys.readouterr().err


@pytest.mark.parametrize(
    ("url", "noted"), [("mqtt://broker.lan", True), ("mqtt://localhost", False), ("mqtts://broker.lan", False)]
)
def test_an_unencrypted_connection_to_another_computer_is_noted(url: str, noted: bool, capsys) -> None:
    pytest.importorskip("paho.mqtt.client", reason="the mqtt extra is not installed")
    source = SourceInfo("sim:", "anyecg_patch", live=False, host_clock=False)
    sink.open_mqtt(url, source, load_bundle("demo"), 1.0, quiet=True)
    assert ("unencrypted; use mqtts://" in capsys.readouterr().err) == noted


@pytest.mark.parametrize(
    ("more", "what"),
    [
        ("", None),
        ("?password_file=/etc/anyecg/secret", "gets the password of its broker from systemd"),
        ("?ca=/home/pi/ca.pem", "cannot see /home/pi/ca.pem"),
        ("?ca=ca.pem", "needs an absolute path"),
    ],
)
def test_a_service_gets_its_password_from_systemd(tmp_path: Path, more: str, what: str | None, monkeypatch) -> None:
    monkeypatch.setattr(sink, "find_spec", lambda name: object())
    check(tmp_path, f'mqtt = "mqtts://u@localhost/x{more}"\n', what)
