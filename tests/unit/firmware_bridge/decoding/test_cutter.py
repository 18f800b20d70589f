"""Frames of a made-up shape: ``#``, a kind, two bytes, no ``!``; behind damage a second one must follow."""

from __future__ import annotations

import pytest

from firmware_bridge.decoding.cutter import MORE, NO, REPORT_EVERY, SAMPLE_MAX, Cutter, Junk, Run

_asked: list[tuple[int, bool, int]] = []
"""Where, trusted, last: the last test's questions."""


def fit(buffer: bytes, at: int, trusted: bool, last: int) -> int:
    _asked.append((at, trusted, last))
    if at < len(buffer) and buffer[at : at + 1] != b"#":
        return NO
    frame = buffer[at : at + 4]
    if b"!" in frame:
        return NO
    if len(frame) < 4 or (not trusted and len(buffer) <= at + 4):
        return MORE
    return 4 if trusted or buffer[at + 4 : at + 5] == b"#" else NO


@pytest.fixture
def cutter() -> Cutter:
    _asked.clear()
    return Cutter(fit, b"#", 2)


def test_frames_of_one_kind_are_one_run(cutter: Cutter) -> None:
    assert cutter.feed(b"#a12#a34#b56#b78#b90") == [Run(b"#a12#a34", 4), Run(b"#b56#b78#b90", 4)]
    assert cutter.feed(b"#b11") == [Run(b"#b11", 4)]


def test_half_a_frame_waits(cutter: Cutter) -> None:
    assert cutter.feed(b"#a12#a") == [Run(b"#a12", 4)]
    assert cutter.feed(b"3") == []
    assert cutter.feed(b"") == []
    assert cutter.feed(b"4#") == [Run(b"#a34", 4)]


def test_what_lies_before_a_frame_is_counted_and_shown(cutter: Cutter) -> None:
    assert cutter.feed(b"hello  \r\n you#a12") == [Junk(13, "hello you", True), Run(b"#a12", 4)]
    assert cutter.feed(b"\x00\x01x#a34#a56") == [Junk(3, "", False), Run(b"#a34#a56", 4)]
    assert cutter.feed(b"again#a78") == [Junk(5, "again", False), Run(b"#a78", 4)]


@pytest.mark.parametrize(("between", "text"), [(b"\r\n", " "), (b"\n\n", ""), (b" ", ""), (b"\r", " "), (b"\x7f", "")])
def test_empty_lines_are_a_blank(cutter: Cutter, between: bytes, text: str) -> None:
    cutter.feed(b"#a12")
    assert cutter.feed(between + b"#a34#") == [Junk(len(between), text, False), Run(b"#a34", 4)]


def test_behind_damage_a_frame_must_be_followed_by_another(cutter: Cutter) -> None:
    """Text and frames leave the stream trusted; anything else takes the trust away until the next frame."""
    cutter.feed(b"#a12 ok #a34")
    assert {trusted for _, trusted, _ in _asked} == {True}
    _asked.clear()
    assert cutter.feed(b"\xff#a56") == []
    assert _asked == [(0, True, ord("4")), (1, False, ord("4"))]
    assert cutter.feed(b"x#b78") == []
    assert cutter.feed(b"#b12#") == [Junk(6, "", False), Run(b"#b78#b12", 4)]


def test_text_after_damage_does_not_bring_the_trust_back(cutter: Cutter) -> None:
    cutter.feed(b"#a12\xff")
    _asked.clear()
    cutter.feed(b"text")
    cutter.feed(b"#a34")
    assert not any(trusted for _, trusted, _ in _asked)
    assert cutter.feed(b"#a56") == [Junk(5, "", False), Run(b"#a34#a56", 4)]
    _asked.clear()
    cutter.feed(b"#")
    assert _asked == [(0, True, ord("6"))]


def test_the_question_names_the_last_byte_of_the_frame_before(cutter: Cutter) -> None:
    cutter.feed(b"x#a12#a34#b56#")
    assert [last for _, _, last in _asked[:2]] == [-1, -1]
    assert set(_asked[2:]) == {(5, True, ord("2")), (9, True, ord("4")), (13, True, ord("6"))}


def test_much_without_a_frame_is_told_in_pieces(cutter: Cutter) -> None:
    assert (REPORT_EVERY, SAMPLE_MAX) == (4096, 160)
    assert cutter.feed(b"y" * 4095) == []
    assert cutter.feed(b"z") == [Junk(4096, "y" * 160, True)]
    assert cutter.feed(b"w" * 9000) == [Junk(4096, "w" * 160, True)] * 2
    assert cutter.feed(b"#a12") == [Junk(808, "w" * 160, True), Run(b"#a12", 4)]
    assert cutter.feed(b"\x00" * 4096) == [Junk(4096, "", False)]
    assert cutter.feed(b"v" * 4096) == [Junk(4096, "v" * 160, False)]


def test_a_stream_that_ends_throws_half_a_frame_away_and_begins_anew(cutter: Cutter) -> None:
    cutter.feed(b"#a12#a3")
    assert cutter.reset() == [Junk(3, "#a3", False)]
    assert cutter.reset() == []
    assert cutter.feed(b"x#a45") == [Junk(1, "x", True), Run(b"#a45", 4)]
    cutter.feed(b"\xff")
    assert cutter.reset() == [Junk(1, "", False)]
    _asked.clear()
    assert cutter.feed(b"#a67") == [Run(b"#a67", 4)]
    assert _asked[0] == (0, True, -1)


def two_byte_start(buffer: bytes, at: int, trusted: bool, last: int) -> int:
    frame = buffer[at : at + 4]
    if not frame:
        return MORE
    if not b"#@".startswith(frame[:2]):
        return NO
    return 4 if len(frame) == 4 else MORE


def test_the_beginning_of_a_longer_start_is_kept() -> None:
    cutter = Cutter(two_byte_start, b"#@", 2)
    assert cutter.feed(b"xy#") == []
    assert cutter.feed(b"@12") == [Junk(2, "xy", True), Run(b"#@12", 4)]
    assert cutter.feed(b"a##@34") == [Junk(2, "a#", False), Run(b"#@34", 4)]
    assert cutter.feed(b"bc") == []
    assert cutter.feed(b"d#@56") == [Junk(3, "bcd", False), Run(b"#@56", 4)]


@pytest.mark.parametrize("size", [1, 2, 3, 5, 50])
def test_any_cut_of_the_stream_finds_the_same(cutter: Cutter, size: int) -> None:
    stream = b"boot\r\n#a12#a34\x00\x01#a!6#b56#b78#a90 ok #b11#b22\xff#a33#a44#"
    whole = Cutter(fit, b"#", 2).feed(stream)
    pieces = [item for i in range(0, len(stream), size) for item in cutter.feed(stream[i : i + size])]
    assert b"".join(x.data for x in pieces if isinstance(x, Run)) == b"".join(
        x.data for x in whole if isinstance(x, Run)
    )
    assert [x for x in pieces if isinstance(x, Junk)] == [x for x in whole if isinstance(x, Junk)]
    assert [x.size for x in whole if isinstance(x, Junk)] == [6, 6, 4, 1]


def test_a_frame_may_be_a_single_byte() -> None:
    cutter = Cutter(lambda buffer, at, _trusted, _last: 1 if buffer[at:] else MORE, b"", 0)
    assert cutter.feed(b"abc") == [Run(b"abc", 1)]
