"""The server over real sockets: login, live events, slow and too many viewers, floods, and its end."""

from __future__ import annotations

import re
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import numpy as np
import pytest

from edge.bundle.reader import Bundle, load_bundle
from edge.cli.main import main
from edge.http import connection, server
from edge.http.address import HttpAddress
from edge.http.broadcast import Broadcast
from edge.http.patch import PatchSink
from edge.http.request import RequestReader
from edge.http.routes import GUESS_EVERY_S, Routes, Told
from edge.http.server import MAX_CONNECTIONS, PageServer
from edge.http.token import Door
from edge.records import RunSummary
from edge.sources import SourceInfo
from helpers.free_ports import ports
from helpers.page_client import Answer, Viewer, connect, get, post, raw

TOKEN = "correct-horse-battery"
INFO = SourceInfo("sim:", "anyecg_patch", live=False, host_clock=True)


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return load_bundle("demo")


@contextmanager
def served(token: str | None = None, **more: int) -> Iterator[tuple[PageServer, int]]:
    page = PageServer("127.0.0.1:0", token, **more)
    page.start()
    try:
        yield page, int(page.address.rstrip("/").rpartition(":")[2])
    finally:
        page.close()


def feed(sink: PatchSink, start_s: float = 0.0) -> None:
    sink.signal(np.linspace(0.0, 1.0, 25), 125.0, start_s)


def until(what: object) -> None:
    assert callable(what)
    end_s = time.monotonic() + 10.0
    while not what():
        assert time.monotonic() < end_s
        time.sleep(0.01)


def test_a_viewer_gets_everything_once_and_then_what_is_new(bundle: Bundle) -> None:
    with served() as (page, port):
        first = page.patch("Bedroom", INFO, bundle, 1.0)
        feed(first)
        with Viewer(port) as viewer:
            whole = viewer.event("page")
            assert [one["name"] for one in whole["patches"]] == ["Bedroom"]
            assert viewer.event("signal")[0][1][0][:2] == [0.0, 125.0]
            feed(first, 0.2)
            first.beat(0.3)
            assert viewer.event("signal") == [[1, [[0.2, 125.0, [round(1000 * i / 24) for i in range(25)]]], [0.3]]]
            second = page.patch("Bedroom", INFO, bundle, 1.0)
            assert [one["name"] for one in viewer.event("page")["patches"]] == ["Bedroom", "Bedroom 2"]
            second.close(RunSummary(ended_by="end"))
            assert viewer.event("state")[0]["ended"] == "the recording is at its end"
            page.patch("Bedroom 2", INFO, bundle, 1.0)
            assert [one["id"] for one in viewer.event("page")["patches"]] == [1, 3]
            page.remove(first)
            assert [one["id"] for one in viewer.event("page")["patches"]] == [3]


def test_every_answer_forbids_what_the_page_does_not_need() -> None:
    with served() as (_page, port):
        for path in ("/", "/page.css", "/page.js", "/metrics", "/healthz", "/nothing"):
            headers = get(port, path).headers
            assert headers["content-security-policy"].startswith("default-src 'none'; script-src 'self'; ")
            assert "unsafe" not in headers["content-security-policy"]
            assert headers["x-content-type-options"] == "nosniff"
            assert headers["cache-control"] == "no-store"
            assert "access-control-allow-origin" not in headers


def test_the_page_refers_to_nothing_outside() -> None:
    with served() as (_page, port):
        page = get(port, "/").body
        files = set(re.findall(r'(?:src|href)="(/[^"]+)"', page)) - {"/metrics"}
        scripts = [get(port, path).body for path in files if path.endswith(".js")]
        files |= {path for script in scripts for path in re.findall(r'from "(/[^"]+)"', script)}
        texts = [get(port, path) for path in sorted(files)]
        assert {one.status for one in texts} == {200}
        for text in (page, *(one.body for one in texts)):
            assert re.findall(r"https?://(?!www\.w3\.org/2000/svg)[^\"'\s]*", text) == []
            assert "style=" not in text


def test_unknown_paths_and_kinds_of_requests() -> None:
    with served() as (_page, port):
        assert get(port, "/../etc/passwd").status == 404
        assert get(port, "/web/page.css").status == 404
        assert get(port, "/history?patch=9").status == 404
        assert post(port, "/", "a=b").status == 405
        assert raw(port, b"nonsense\r\n\r\n").status == 400
        assert get(port, "/", host="evil.example").status == 421
        for site, status in (("cross-site", 403), ("same-site", 403), ("same-origin", 200), ("none", 200)):
            assert get(port, "/metrics", f"Sec-Fetch-Site: {site}").status == status
        assert get(port, "/", "Sec-Fetch-Site: cross-site").status == 200  # a link may lead here
        head = get(port, "/", method="HEAD")
        assert (head.status, head.body) == (200, "")
        assert int(head.headers["content-length"]) == len(get(port, "/").body.encode())


def cookie(answer: Answer) -> str:
    return answer.headers["set-cookie"].partition(";")[0]


def test_with_a_token_nothing_is_shown_without_it(bundle: Bundle) -> None:
    with served(TOKEN) as (page, port):
        page.patch("Bedroom", INFO, bundle, 1.0)
        for path in ("/", "/events", "/history?patch=1", "/metrics", "/nothing"):
            answer = get(port, path)
            assert answer.status == 401, path
            assert "Bedroom" not in answer.body
        assert get(port, "/healthz").body == "ok\n"
        for answer in (get(port, f"/?token={TOKEN}"), post(port, "/login", f"token={TOKEN}")):
            assert (answer.status, answer.headers["location"]) == (303, "/")
            assert TOKEN not in str(answer)
            assert "HttpOnly; SameSite=Strict" in answer.headers["set-cookie"]
            with Viewer(port, f"Cookie: {cookie(answer)}") as viewer:
                assert viewer.event("page")["patches"][0]["name"] == "Bedroom"
        assert get(port, "/metrics", f"Authorization: Bearer {TOKEN}").status == 200
        wrong = post(port, "/login", "token=<b>wrong-wrong-wrong</b>")
        assert wrong.status == 401
        assert "This is not the token." in wrong.body
        assert "<b>" not in wrong.body


def test_after_wrong_tokens_none_counts_for_a_while_but_who_is_in_stays_in() -> None:
    with served(TOKEN) as (_page, port):
        inside = cookie(get(port, f"/?token={TOKEN}"))
        statuses = [get(port, "/?token=wrong-wrong-wrong").status for _ in range(12)]
        assert statuses[:10] == [401] * 10
        assert statuses[-1] == 429
        assert get(port, "/", f"Cookie: {inside}").status == 200
        assert get(port, f"/?token={TOKEN}").status == 429
        assert get(port, "/metrics", f"Authorization: Bearer {TOKEN}").status == 429


def test_a_right_token_counts_again_after_a_while() -> None:
    now_s = [0.0]
    address = HttpAddress.parse("127.0.0.1:0")
    routes = Routes(address, Door(TOKEN), lambda: (), lambda: now_s[0])

    def status(token: str) -> int:
        request = RequestReader().feed(f"GET /?token={token} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        assert request is not None
        answer = routes.answer(request, Told(0, 0))
        assert isinstance(answer, bytes)
        return int(answer.split(b" ")[1])

    assert [status("wrong-wrong-wrong") for _ in range(11)] == [401] * 10 + [429]
    assert status(TOKEN) == 429
    now_s[0] = GUESS_EVERY_S + 0.1
    assert status(TOKEN) == 303
    assert status("wrong-wrong-wrong") == 401  # one more
    assert status("wrong-wrong-wrong") == 429
    assert status(TOKEN) == 429


def test_one_viewer_too_many_is_told_so(bundle: Bundle) -> None:
    with served(max_viewers=2) as (_page, port):
        with Viewer(port) as one, Viewer(port) as two:
            assert (one.status, two.status) == (200, 200)
            refused = get(port, "/events")
            assert refused.status == 503
            assert "too many viewers" in refused.body
        until(lambda: "anyecg_page_viewers 0" in get(port, "/metrics").body)
        with Viewer(port) as again:
            assert again.status == 200


def test_a_slow_viewer_loses_updates_and_then_gets_everything_anew(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "MAX_BACKLOG_BYTES", 8192)
    browser, ours = socket.socketpair()
    slow, broadcast = connection.Connection(ours, 0.0), Broadcast()
    slow.stream(b"", 0.0)
    sink = PatchSink(1, "Bedroom", INFO, bundle, 1.0)
    for tick in range(2000):
        feed(sink, 0.2 * tick)
        broadcast.send([sink], [slow], float(tick))
        slow.write(float(tick))
        assert slow.waiting <= 8192 + 20_000  # the limit, and a first message that is larger
        if broadcast.dropped:
            break
    assert broadcast.dropped
    browser.setblocking(False)
    got = b""
    for tick in range(2000, 2200):
        with suppress(BlockingIOError):
            got += browser.recv(1 << 20)
        slow.write(float(tick))
        broadcast.send([sink], [slow], float(tick))
    assert got.count(b"event: page\n") == 2
    browser.close()
    slow.close()


def test_an_error_in_an_answer_costs_a_connection_and_not_the_page(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    with served() as (page, port):
        sink = page.patch("Bedroom", INFO, bundle, 1.0)
        with Viewer(port) as viewer:
            viewer.event("page")
            monkeypatch.setattr(sink, "take", lambda: 1 / 0)
            with pytest.raises(AssertionError, match="the stream has ended"):
                viewer.event("nothing")
            monkeypatch.setattr(sink, "history", None)
            with connect(port) as sock:
                sock.sendall(b"GET /history?patch=1 HTTP/1.1\r\nHost: localhost\r\n\r\n")
                assert sock.recv(1) == b""
        assert get(port, "/healthz").status == 200


def test_connections_that_say_nothing_are_bounded_and_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "REQUEST_S", 0.3)
    monkeypatch.setattr(server, "IDLE_S", 0.1)
    with served() as (page, port):
        silent = [connect(port) for _ in range(MAX_CONNECTIONS + 10)]
        assert len(page._open) <= MAX_CONNECTIONS
        assert get(port, "/healthz").status == 200  # the others were closed to make room
        until(lambda: not page._open)
        for sock in silent:
            sock.close()


def test_a_server_closes_at_once_although_viewers_are_connected(bundle: Bundle) -> None:
    with served() as (page, port), Viewer(port) as viewer:
        viewer.event("page")
        begin_s = time.monotonic()
        page.close()
        assert time.monotonic() - begin_s < server.CLOSE_S
        assert viewer.event("end") == {}
        page.close()
        with pytest.raises(ConnectionRefusedError):
            connect(port)


def test_a_server_that_was_never_started_can_be_closed() -> None:
    PageServer("127.0.0.1:0").close()


def test_a_run_shows_itself_while_it_runs(capsys: pytest.CaptureFixture[str]) -> None:
    (port,) = ports(1)
    got: list[object] = []

    def watch() -> None:
        until(lambda: can_connect(port))
        with Viewer(port) as viewer:
            until(lambda: viewer.event("state")[0]["estimates"] > 0)
            got.append(get(port, "/metrics").body)
            got.append(viewer.event("end"))

    watcher = threading.Thread(target=watch)
    watcher.start()
    source = "sim:?potassium=6.5&speed=15"
    assert main(["run", "--source", source, "--seconds", "30", "--view", "none", "--http", f"127.0.0.1:{port}"]) == 0
    watcher.join(20.0)
    assert f"page: http://127.0.0.1:{port}/\n" in capsys.readouterr().err
    assert 'anyecg_estimate{patch="anyecg_patch",output="potassium",unit="mmol/L"} ' in str(got[0])
    assert got[1] == {}


def can_connect(port: int) -> bool:
    try:
        connect(port).close()
    except OSError:
        return False
    return True
