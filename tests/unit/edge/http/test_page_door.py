"""The address of the page, the hosts by which it may be asked for, and its token."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from edge.cli.main import main
from edge.http.address import HttpAddress
from edge.http.open import open_page
from edge.http.server import PageServer
from edge.http.token import Door, given_token, new_token
from edge.sinks.live.layout import layout
from edge.sinks.live.state import LiveState
from firmware_bridge.errors import OutputError, UsageError
from helpers.free_ports import ports
from helpers.service_options import check

TOKEN = "correct-horse-battery"


@pytest.mark.parametrize(
    ("text", "host", "port", "loopback"),
    [
        ("127.0.0.1:8080", "127.0.0.1", 8080, True),
        ("8080", "127.0.0.1", 8080, True),
        ("localhost:0", "localhost", 0, True),
        ("[::1]:80", "::1", 80, True),
        ("0.0.0.0:8080", "0.0.0.0", 8080, False),
        ("192.0.2.7:8080", "192.0.2.7", 8080, False),
    ],
)
def test_an_address_has_host_and_port(text: str, host: str, port: int, loopback: bool) -> None:
    address = HttpAddress.parse(text)
    assert (address.host, address.port, address.loopback) == (host, port, loopback)


@pytest.mark.parametrize(
    "text", ["", ":8080", "8080:", "127.0.0.1", "http://127.0.0.1:80", "::1:80", "a b:80", "localhost:70000", "x" * 999]
)
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="must be HOST:PORT"):
        HttpAddress.parse(text)


def test_a_browser_that_was_led_here_under_another_name_is_refused() -> None:
    here = HttpAddress.parse("127.0.0.1:8080")
    for host in ("127.0.0.1:8080", "localhost:8080", "localhost", "LOCALHOST:9999", "[::1]:8080"):
        assert here.allows(host), host
    for host in ("evil.example", "evil.example:8080", "localhost.evil.example", "127.0.0.1.evil.example", "", "a/b"):
        assert not here.allows(host), host
    # From other computers it has many names; there the cookie, which belongs to one name, is the protection.
    assert HttpAddress.parse("0.0.0.0:8080").allows("pi.local:8080")


def test_an_unknown_host_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(UsageError, match="the host 'patch\\.invalid' of the page is unknown"):
        HttpAddress.parse("patch.invalid:80")


def test_the_address_for_people_names_this_computer() -> None:
    assert HttpAddress.parse("127.0.0.1:0").url(8081) == "http://127.0.0.1:8081/"
    assert HttpAddress.parse("[::1]:0").url(8081) == "http://[::1]:8081/"
    assert "0.0.0.0" not in HttpAddress.parse("0.0.0.0:0").url(8081)


def test_new_tokens_are_long_and_differ() -> None:
    tokens = {new_token() for _ in range(100)}
    assert len(tokens) == 100
    assert {len(token) for token in tokens} == {26}


def test_the_token_comes_from_the_file_then_the_environment_then_systemd(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(f"{TOKEN}\n")
    file.chmod(0o600)
    (tmp_path / "http-token").write_text("the-token-of-systemd\n")
    environment = {"CREDENTIALS_DIRECTORY": str(tmp_path)}
    assert given_token(None, {}) is None
    assert given_token(None, environment) == "the-token-of-systemd"
    environment["ANYECG_HTTP_TOKEN"] = "that-of-the-environment"
    assert given_token(None, environment) == "that-of-the-environment"
    assert given_token(str(file), environment) == TOKEN
    file.chmod(0o644)
    with pytest.raises(UsageError, match="can be read by every user"):
        given_token(str(file), environment)


@pytest.mark.parametrize(
    "token", ["short", "x" * 257, "with a blank in it", "umläute-are-not-ascii", "control\x07character"]
)
def test_an_unusable_token_is_refused_and_not_repeated(token: str) -> None:
    with pytest.raises(UsageError, match="not usable") as refused:
        given_token(None, {"ANYECG_HTTP_TOKEN": token})
    assert token not in str(refused.value)


def test_the_cookie_opens_until_the_run_ends_and_does_not_come_from_the_token() -> None:
    door, again = Door(TOKEN), Door(TOKEN)
    assert door.is_cookie(door.cookie)
    assert not again.is_cookie(door.cookie)
    assert len(door.cookie) == 64
    assert door.is_token(TOKEN)
    for wrong in ("", TOKEN[:-1], TOKEN + "x", "ü", door.cookie):
        assert not door.is_token(wrong)
    for wrong in ("", TOKEN, door.cookie[:-1], "ü"):
        assert not door.is_cookie(wrong)
    assert not Door(None).is_cookie("")


def test_other_computers_need_a_token() -> None:
    with pytest.raises(UsageError, match="needs a token"):
        PageServer("0.0.0.0:0")


def test_a_new_token_never_gets_into_a_log(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "--source", "sim:", "--http", "0.0.0.0:0"]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_the_live_view_shows_the_address_which_its_screen_would_hide() -> None:
    state = LiveState("sim:", "demo", page="http://192.0.2.7:8080/?token=abc")
    rows = ["".join(span.text for span in row) for row in layout(state, 80, 24)]
    assert " page http://192.0.2.7:8080/?token=abc" in rows
    assert not any("page" in "".join(span.text for span in row) for row in layout(LiveState(), 80, 24))


def test_a_new_token_is_shown_once_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ANYECG_HTTP_TOKEN", raising=False)

    class Terminal:
        text = ""

        def isatty(self) -> bool:
            return True

        def write(self, text: str) -> None:
            self.text += text

        def flush(self) -> None:
            pass

    terminal = Terminal()
    with open_page("0.0.0.0:0", None, terminal) as server:  # type: ignore[arg-type]  # only these methods are used
        assert server is not None
        assert "?token=" not in server.address
        assert f"page: {server.invitation}\n" in terminal.text
        assert terminal.text.count("token=") == 1
    assert "not encrypted" in terminal.text


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        (["--http", "nowhere"], 2, "must be HOST:PORT"),
        (["--http-token-file", "x"], 2, "--http-token-file needs a page"),
        (["--http", "127.0.0.1:0", "--http-token-file", "/nowhere"], 2, "cannot read the token"),
    ],
)
def test_a_run_with_unusable_options_ends_before_it_makes_anything(
    options: list[str], code: int, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = tmp_path / "session"
    assert main(["run", "--source", "sim:", "--session-dir", str(made), *options]) == code
    err = capsys.readouterr().err
    assert said in err
    assert err.count("\n") == 1
    assert not made.exists()


def test_a_port_in_use_ends_the_run_with_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (port,) = ports(1)
    other = PageServer(f"127.0.0.1:{port}")
    other.start()
    try:
        made = tmp_path / "session"
        words = ["run", "--source", "sim:", "--http", f"127.0.0.1:{port}", "--session-dir", str(made), "--record"]
        assert main(words) == 7
        err = capsys.readouterr().err
        assert f"cannot show the page at 127.0.0.1:{port}: the port is in use (name another port" in err
        assert err.count("\n") == 1
        assert not made.exists()
    finally:
        other.close()


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ('http = "0.0.0.0:8080"\n', None),
        ('http = "127.0.0.1:80"\n', "may not use the port"),
        ('http = "nowhere"\n', "must be HOST:PORT"),
        ('http = "8080"\nhttp_token_file = "/etc/anyecg/token"\n', "gets the token of its page from systemd"),
    ],
)
def test_a_service_gets_its_token_from_systemd(lines: str, said: str | None, tmp_path: Path) -> None:
    check(tmp_path, lines, said)


def test_several_recordings_have_no_page(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "--source", "replay:a.csv", "replay:b.csv", "--http", "127.0.0.1:0"]) == 2
    assert "--http takes one recording" in capsys.readouterr().err


def test_an_address_of_another_computer_cannot_be_used() -> None:
    server = PageServer("192.0.2.7:8080", TOKEN)
    with pytest.raises(OutputError, match="does not have the address"):
        server.start()
    server.close()
