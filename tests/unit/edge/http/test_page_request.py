"""Requests are read the same however their bytes are cut, and everything that is not one is refused with a status."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.http.request import MAX_BODY_BYTES, MAX_HEAD_BYTES, RefusedError, Request, RequestReader

FORM = "application/x-www-form-urlencoded"
LOGIN = (
    b"POST /login HTTP/1.1\r\nHost: localhost:8080\r\nContent-Type: " + FORM.encode() + b"\r\n"
    b"Content-Length: 13\r\nCookie: a=1; anyecg_8080=word; b=2\r\n\r\ntoken=a%20b+c"
)


def read(data: bytes) -> Request | None:
    return RequestReader().feed(data)


def test_a_request_has_its_parts() -> None:
    request = read(b"GET /history?patch=3&x=%41 HTTP/1.1\r\nhOsT:  localhost \r\nAccept:*/*\r\n\r\n")
    assert request is not None
    assert (request.method, request.path) == ("GET", "/history")
    assert request.query == {"patch": "3", "x": "A"}
    assert request.headers == {"host": "localhost", "accept": "*/*"}
    assert request.form() == {}


@settings(max_examples=40)
@given(st.lists(st.integers(0, len(LOGIN)), max_size=5))
def test_any_split_gives_the_same_request(cuts: list[int]) -> None:
    reader, ends = RequestReader(), [*sorted(cuts), len(LOGIN)]
    got = [reader.feed(LOGIN[a:b]) for a, b in zip([0, *ends], ends, strict=False)]
    whole = next(one for one in got if one is not None)
    assert whole == read(LOGIN)
    assert whole.form() == {"token": "a b c"}
    assert (whole.cookie("anyecg_8080"), whole.cookie("anyecg_80")) == ("word", "")


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"GET / HTTP/2.0\r\nHost: a", 400),
        (b"GET http://a/ HTTP/1.1\r\nHost: a", 400),
        (b"GET  / HTTP/1.1\r\nHost: a", 400),
        (b"GET /\xff HTTP/1.1\r\nHost: a", 400),
        (b"PUT / HTTP/1.1\r\nHost: a", 405),
        (b"GET / HTTP/1.1", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nHost: b", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\n folded: b", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX : b", 400),
        (b"GET / HTTP/1.1\r\nHost: a\nX: b", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: \x00", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 5", 400),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -5", 400),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: \xb2", 400),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d" % (MAX_BODY_BYTES + 1), 413),
        (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked", 501),
        (b"GET / HTTP/1.1\r\nHost: a" + b"\r\nX: y" * 64, 431),
        (b"GET /?" + b"a=b&" * 9 + b" HTTP/1.1\r\nHost: a", 400),
    ],
)
def test_what_is_no_acceptable_request_is_refused(head: bytes, status: int) -> None:
    with pytest.raises(RefusedError) as refused:
        read(head + b"\r\n\r\n")
    assert refused.value.status == status


def test_a_head_without_end_is_refused_at_its_limit() -> None:
    reader = RequestReader()
    assert reader.feed(b"GET / HTTP/1.1\r\nX: " + b"y" * (MAX_HEAD_BYTES - 19)) is None
    with pytest.raises(RefusedError) as refused:
        reader.feed(b"y")
    assert refused.value.status == 431


@settings(max_examples=40)
@given(st.binary(max_size=200))
def test_no_bytes_raise_anything_else(data: bytes) -> None:
    for start in (b"", b"GET / HTTP/1.1\r\n", b"POST /login HTTP/1.1\r\nHost: a\r\n"):
        try:
            RequestReader().feed(start + data + b"\r\n\r\n")
        except RefusedError as refused:
            assert refused.status in {400, 405, 413, 431, 501}
