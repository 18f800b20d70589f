"""The compact form: every line comes back to the byte, and damage costs no more than it must."""

from __future__ import annotations

import io
import json
import random
import struct
import zlib
from dataclasses import replace

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from edge.records import BundleRef, Estimate, LabEstimate, QualityRecord, WindowSpan, to_json, utc_text
from edge.store import blocks as blocks_module
from edge.store.blocks import MAGIC, MAX_ROW_BYTES, BlockReader, BlockWriter
from edge.store.rows import MAX_TEMPLATES, RowDecoder, RowEncoder, RowError

BUNDLE = BundleRef("demo", "0" * 64)
BASE = Estimate("", True, "s", 'patch "7": 12,', WindowSpan(0, 10), BUNDLE, QualityRecord(0.9), 60.0)


def estimates(count, heads=12, seed=1):
    """Lines of a run: values that move slowly, latencies that do not, abstentions, flags."""
    rng = random.Random(seed)
    values = [rng.uniform(1e-7, 6.0) for _ in range(heads)]
    for i in range(count):
        values = [v * rng.uniform(0.99, 1.01) for v in values]
        labs = tuple(
            LabEstimate(f"lab_{k}", None, "1", v, (0.8 * v, 1.2 * v), 0.1, v > 0.1, min(i, 300), "strong")
            for k, v in enumerate(values)
        )
        abstains = rng.random() < 0.05
        yield to_json(
            replace(
                BASE,
                time=utc_text(1_790_000_000_000_000_000 + i * 1_000_400_000),
                window=WindowSpan(i, i + 10 + rng.choice([0.0, 0.008])),
                quality=QualityRecord(rng.random(), ("clipped",) if rng.random() < 0.02 else ()),
                heart_rate_bpm=None if rng.random() < 0.1 else rng.uniform(40, 180),
                labs=() if abstains else labs,
                abstained=rng.choice(["gap", "poor_signal"]) if abstains else None,
                lost_samples=i // 7,
                latency_ms={"quality": rng.random(), "total": rng.expovariate(0.3)},
            )
        )


def read(data):
    reader = BlockReader(io.BytesIO(data))
    return list(reader.lines()), reader


def compact(lines):
    writer = BlockWriter()
    return [writer.line(line) for line in lines]


def test_a_run_comes_back_and_is_ten_times_smaller():
    lines = list(estimates(1500))
    data = b"".join(compact(lines))
    got, reader = read(data)
    assert got == lines
    assert (reader.lost_lines, reader.damaged_bytes, reader.tail_bytes) == (0, 0, 0)
    assert 10 * len(data) < sum(map(len, lines))


TOKENS = st.one_of(
    st.integers().map(str),
    st.floats(allow_nan=False).map(json.dumps),
    st.sampled_from(["null", "true", "false", "-0.0", "-0", "007", "1e5", "1E5", "1.50", "1e-400", "1e999", "0.1e-3"]),
    st.sampled_from(['"2026-02-30T00:00:00.000Z"', '"0001-01-01T00:00:00.000Z"', '"9999-12-31T23:59:59.999Z"']),
    st.integers(0, 10**12).map(lambda ms: f'"{utc_text(ms * 1_000_000)}"'),
    st.text(max_size=5).map(json.dumps),
)


LINES = st.text(st.characters(exclude_characters="\n"), max_size=20)
"""Anything but the character that ends a line."""


@given(st.lists(st.lists(TOKENS, max_size=6), max_size=12), LINES)
@example([["1" * 5000], ["1.5", "12345678901234567890.5"]], "\0")
@settings(deadline=None, max_examples=50)
def test_any_line_comes_back(rows, odd):
    lines = ['{"a":[' + ",".join(row) + "]}" for row in rows] + [odd, "", '[1,2,"\\u0000,1,"]', "\ud800"]
    encoder, decoder = RowEncoder(), RowDecoder()
    assert [decoder.decode(encoder.encode(line)) for line in [*lines, *lines]] == [*lines, *lines]


def test_templates_are_bounded():
    lines = [f'{{"x{"y" * i}":{i}}}' for i in range(3 * MAX_TEMPLATES)]
    got, _ = read(b"".join(compact(lines)))
    assert got == lines


def test_cut_at_every_byte(monkeypatch):
    monkeypatch.setattr(blocks_module, "BLOCK_LINES", 4)
    lines = list(estimates(10, heads=2))
    pieces = compact(lines)
    data = b"".join(pieces)
    for cut in range(len(data)):
        whole = next(i for i in range(len(pieces)) if cut < len(b"".join(pieces[: i + 1])))
        got, reader = read(data[:cut])
        assert got == lines[:whole]
        assert (reader.lost_lines, reader.damaged_bytes) == (0, 0)
        assert reader.tail_bytes == cut - len(b"".join(pieces[:whole]))


def test_one_changed_byte_costs_the_rest_of_its_block(monkeypatch):
    writer = BlockWriter(block_lines=5)
    lines = list(estimates(20, heads=2))
    pieces = [writer.line(line) for line in lines]
    data = b"".join(pieces)
    for at in range(0, len(data), 3):
        broken = bytearray(data)
        broken[at] ^= 1 << at % 8
        hit = next(i for i in range(len(pieces)) if at < len(b"".join(pieces[: i + 1])))
        got, reader = read(bytes(broken))
        back = (hit // 5 + 1) * 5
        assert got == lines[:hit] + lines[back:]
        assert reader.lost_lines == (back - hit if back < 20 else 0)
        assert (reader.damaged_bytes > 0) == (back < 20)
        assert (reader.tail_bytes > 0) == (back == 20)


def test_random_bytes_end_quietly():
    rng = random.Random(3)
    pieces = compact(list(estimates(30, heads=2)))
    for _ in range(300):
        data = b"".join(rng.choice([rng.choice(pieces), MAGIC, rng.randbytes(rng.randrange(60))]) for _ in range(8))
        got, reader = read(data)
        assert all(line.startswith("{") for line in got)
        assert reader.damaged_bytes + reader.tail_bytes <= len(data)


@pytest.mark.parametrize(
    "row",
    [
        b"",
        b"\x05",
        b"\x80" * 20,
        b"\x00\x01\xff\xff\xff\x7f",
        b"\x00\xff\xff\xff\x7f\x01a",
        b"\x00\x01\x03{\x00}\x01\x05\x03\x02",
        b"\x00\x01\x03{\x00}\x01\x00\x63\x02",
        b"\x00\x01\x03{\x00}\x01\x00\x09\x02",
        b"\x00\x01\x03{\x00}\x01\x00\x03" + b"\xff" * 9 + b"\x01",
        b"\x00\x02\x03{\x00}\x00\x02\x02",
        b"\x00\x01\x03{\x00}\x00\x02\x02",
    ],
)
def test_rows_that_lie_are_refused(row):
    with pytest.raises(RowError):
        RowDecoder().decode(row)


def test_a_record_that_inflates_without_end_is_refused():
    deflate = zlib.compressobj(9, zlib.DEFLATED, -15)
    payload = deflate.compress(bytes(4 * MAX_ROW_BYTES)) + deflate.flush(zlib.Z_SYNC_FLUSH)
    head = MAGIC + bytes(8)
    payload = payload.removesuffix(b"\x00\x00\xff\xff")
    data = (
        head + len(payload).to_bytes(3, "little") + struct.pack("<I", zlib.crc32(payload, zlib.crc32(head))) + payload
    )
    got, reader = read(data + b"".join(compact(["{}"])))
    assert got == ["{}"]
    assert reader.damaged_bytes == len(data)
