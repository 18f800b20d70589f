"""The broker's URL: what it means, and that a password never gets into it, into a message or into a list."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge.sinks.mqtt.address import Broker
from firmware_bridge.errors import UsageError

SECRET = "hunter2-correct-horse"


def test_a_whole_url() -> None:
    text = "mqtts://pi%40home@broker.lan:8884/home/ecg?name=bedroom&ca=/etc/ca.pem&discovery=ha&every=30"
    assert Broker.parse(text) == Broker(
        "broker.lan", 8884, True, "pi@home", "home/ecg", "bedroom", Path("/etc/ca.pem"), None, "ha", 30.0
    )


@pytest.mark.parametrize(
    ("text", "host", "port", "tls"),
    [
        ("mqtts://broker", "broker", 8883, True),
        ("mqtt://10.0.0.2/", "10.0.0.2", 1883, False),
        ("mqtts://[fe80::1]:99/x", "fe80::1", 99, True),
    ],
)
def test_what_is_left_out_has_defaults(text: str, host: str, port: int, tls: bool) -> None:
    broker = Broker.parse(text)
    assert (broker.host, broker.port, broker.tls, broker.user) == (host, port, tls, "")
    assert broker.discovery == "homeassistant"
    assert broker.place == (f"[{host}]:{port}" if ":" in host else f"{host}:{port}")
    assert Broker.parse("mqtt://h?discovery=off").discovery is None


@pytest.mark.parametrize(
    "text",
    [
        f"mqtts://user:{SECRET}@broker/x",
        f"mqtts://:{SECRET}@broker/x",
        f"mqtts://user@broker/x?password={SECRET}",
        f"http://user:{SECRET}@broker",
        f"mqtts://user:{SECRET}@broker:port/x",
        f"mqtts://user:{SECRET}@[broker/x",
        f"mqtts://user:{SECRET}@bro ker/x",
        f"mqtts://user@broker/x?ca=x&key={SECRET}",
        f"mqtts://user@broker/x#{SECRET}",
    ],
)
def test_no_message_repeats_a_password(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        Broker.parse(text)
    assert SECRET not in str(caught.value)


def test_a_password_in_the_url_says_where_it_belongs() -> None:
    with pytest.raises(UsageError, match=r"must not hold a password .*ANYECG_MQTT_PASSWORD.*password_file=FILE"):
        Broker.parse(f"mqtts://user:{SECRET}@broker/x")


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("broker.lan", "must begin with mqtts://"),
        ("mqtts://", "no valid host"),
        ("mqtts://broker/a/+/b", "characters that a topic"),
        ("mqtts://broker/a/%23", "characters that a topic"),
        ("mqtts://broker/$SYS", "characters that a topic"),
        ("mqtts://broker/a//b", "characters that a topic"),
        ("mqtts://broker?discovery=a/%2B", "characters that a topic"),
        ("mqtts://broker?name=%1B%5B2J", "name in the broker's URL"),
        ("mqtts://broker?nmae=x", "did you mean"),
        ("mqtts://broker?name=a&name=b", "twice"),
        ("mqtts://broker?name=", "no value"),
        ("mqtts://broker?every=0", "outside 1 to 3600"),
        ("mqtts://broker?every=nan", "outside 1 to 3600"),
        ("mqtt://broker?ca=/etc/ca.pem", "encrypted"),
        ("mqtts://broker/" + 5000 * "x", "too long"),
    ],
)
def test_other_urls_are_refused(text: str, what: str) -> None:
    with pytest.raises(UsageError, match=what):
        Broker.parse(text)


def private(path: Path, text: str, mode: int = 0o600) -> Path:
    path.write_text(text)
    path.chmod(mode)
    return path


def test_the_password_comes_from_the_file_then_the_environment_then_systemd(tmp_path: Path) -> None:
    file = private(tmp_path / "file", "one\n")
    private(tmp_path / "mqtt-password", "three\n", 0o400)
    environment = {"ANYECG_MQTT_PASSWORD": "two", "CREDENTIALS_DIRECTORY": str(tmp_path)}
    assert Broker.parse(f"mqtts://u@h?password_file={file}").password(environment) == "one"
    assert Broker.parse("mqtts://u@h").password(environment) == "two"
    del environment["ANYECG_MQTT_PASSWORD"]
    assert Broker.parse("mqtts://u@h").password(environment) == "three"
    assert Broker.parse("mqtts://h").password(environment) is None


@pytest.mark.parametrize(
    ("text", "mode", "what"),
    [
        ("secret\n", 0o644, "can be read by every user .*chmod 600"),
        ("", 0o600, "does not hold a password"),
        ("two\nlines\n", 0o600, "does not hold a password"),
        (5000 * "x", 0o600, "larger than"),
    ],
)
def test_a_password_file_that_is_not_one_is_refused(tmp_path: Path, text: str, mode: int, what: str) -> None:
    file = private(tmp_path / "file", text, mode)
    with pytest.raises(UsageError, match=what):
        Broker.parse(f"mqtts://u@h?password_file={file}").password({})


def test_a_user_without_a_password_and_a_password_without_a_user_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no password for the user of h:8883"):
        Broker.parse("mqtts://u@h").password({"CREDENTIALS_DIRECTORY": str(tmp_path)})
    with pytest.raises(UsageError, match="needs a user"):
        Broker.parse("mqtts://h?password_file=/x").password({})
    with pytest.raises(UsageError, match="No such file"):
        Broker.parse("mqtts://u@h?password_file=/nowhere/x").password({})


def test_a_broker_as_text_holds_no_password(tmp_path: Path) -> None:
    file = private(tmp_path / "file", SECRET)
    broker = Broker.parse(f"mqtts://u@h?password_file={file}")
    assert broker.password({}) == SECRET
    assert SECRET not in repr(broker)
