"""The test vectors for firmware engineers: the files match the code, and the C side agrees with them."""

from __future__ import annotations

from pathlib import Path

import pytest

from convert.micro.vectors import files, main, messages
from firmware_bridge.wire.messages import (
    Ack,
    Data,
    Hello,
    HelloRequest,
    MessageType,
    PatchEstimate,
    Resend,
    Start,
    Status,
    Stop,
)
from helpers.c_side import C_SIDE, SOURCES, CSide
from helpers.c_vectors import SELFTEST, rows
from helpers.firmware_build import STRICT_C, compiled, run, tool


def test_the_command_writes_the_same_files(tmp_path):
    assert main(["--out", str(tmp_path / "v")]) == 0
    made = {path.name: path.read_text(encoding="utf-8") for path in (tmp_path / "v").iterdir()}
    assert made == files()
    assert made == {p.name: p.read_text(encoding="utf-8") for p in (C_SIDE / "vectors").iterdir()}


def test_every_message_has_a_vector():
    kinds = {type(message) for _header, message in messages().values()}
    assert kinds == {Hello, Data, Status, Ack, PatchEstimate, HelloRequest, Start, Stop, Resend}
    assert len(MessageType) == len(kinds)


def test_c_decodes_the_streams_as_the_vectors_say():
    c = CSide()
    try:
        for name, stream, events in rows("streams.txt"):
            c.ask("n")
            heard = c.feed(bytes.fromhex(stream))
            assert [w if w.startswith("body:") else w.rpartition(":")[0] for w in heard] == events.split(), name
        for name, wire, meaning in rows("frames.txt"):
            c.ask("n")
            (body,) = c.feed(bytes.fromhex(wire))
            assert c.ask("w " + body.removeprefix("body:")) == wire, name
            assert "tick=" in meaning
        (counts, window) = (list(map(int, row[0].split())) for row in rows("frontend.txt"))
        c.ask("i250 16")
        c.ask("p " + " ".join(map(str, counts)))
        assert max(abs(a - b) for a, b in zip(c.window().tolist(), window, strict=True)) <= 1
    finally:
        c.close()


def build_selftest(folder: Path, *extra: str) -> Path:
    program = folder / "selftest"
    sources = [*SOURCES, *sorted(SELFTEST.glob("*.c"))]
    compiled(
        [
            *(tool("gcc"), "-std=c99", "-O0", *STRICT_C, *extra),
            *(f"-I{C_SIDE / 'src'}", f"-I{C_SIDE / 'vectors'}", *sources, "-o", program),
        ]
    )
    return program


def test_the_self_test_holds(tmp_path):
    done = run([build_selftest(tmp_path)])
    assert (done.returncode, done.stdout) == (0, "anyecg self-test: ok\n")


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("vector_window[1250] = {\n  ", "vector_window[1250] = {\n  90+", "front end"),
        ("vector_stop[] = {\n  0x03", "vector_stop[] = {\n  0x04", "stop"),
    ],
)  # fmt: skip
def test_the_self_test_fails_if_a_vector_is_wrong(tmp_path, old, new, complaint):
    text = (C_SIDE / "vectors" / "anyecg_vectors.h").read_text()
    assert old in text
    (tmp_path / "anyecg_vectors.h").write_text(text.replace(old, new))
    done = run([build_selftest(tmp_path, f"-I{tmp_path}")])
    assert done.returncode == 1
    assert f"FAILED: {complaint}\n" in done.stdout
