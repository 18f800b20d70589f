"""Targets for what comes from a network: requests of browsers, estimates from a broker, and files of estimates."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager

from edge.collect.hops import RefusedError as RefusedHopError
from edge.collect.hops import hop_of_message
from edge.http import request
from edge.records import from_json, to_json
from edge.store.blocks import MAGIC, BlockWriter
from edge.store.reader import EstimateReader
from edge.store.rows import RowEncoder
from firmware_bridge.errors import InputError
from fuzz.target import MAX_BYTES, Target, check_texts, scratch
from helpers.fleet_hops import estimate

HEAD = b"GET /?token=a%20b HTTP/1.1\r\nHost: pi:8080\r\nCookie: anyecg=secret; b=c\r\n\r\n"
FORM = (
    b"POST /login HTTP/1.1\r\nHost: pi\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 11\r\n"
    b"\r\ntoken=a%2Bb"
)
PIECE_BYTES = 7
"""Bytes that arrive at a time."""
ROWS, SPLIT = b"R", b"\n-8<-\n"
"""First byte of an input that is rows, and what is between them."""


@contextmanager
def refused(kind: type[Exception]) -> Iterator[None]:
    """Turn an exception that means a refusal into the one that targets know."""
    try:
        yield
    except kind as error:
        raise InputError(str(error)) from None


def check_request(data: bytes) -> None:
    """Read a request in pieces and as a whole; both must say the same."""
    with refused(request.RefusedError):
        whole = request.RequestReader().feed(data)
        reader, found = request.RequestReader(), None
        for start in range(0, len(data), PIECE_BYTES):
            found = reader.feed(data[start : start + PIECE_BYTES])
            if found is not None:
                break
        assert found == whole
        if whole is not None:
            assert len(whole.body) <= request.MAX_BODY_BYTES
            assert len(whole.query) <= request.MAX_FIELDS
            whole.form()
            whole.cookie("anyecg")


def check_hop(data: bytes) -> None:
    """Take a message of a broker as a hop; what is kept of it has bounded size."""
    with refused(RefusedHopError):
        hop = hop_of_message("patch-1", data)
    check_texts([hop.session, hop.device, hop.flags or "", hop.reason or ""])
    assert 0 <= hop.start_us <= hop.end_us
    assert hop.time.tzinfo is not None


def check_estimates(data: bytes) -> None:
    """Read a file of estimates; what is not one is counted, and every line is one line."""
    path = scratch() / "estimates.aee"
    path.write_bytes(sealed(data[1:]) if data.startswith(ROWS) else data)
    reader = EstimateReader(path)
    for line in reader.lines():
        assert "\n" not in line
    assert reader.damaged_bytes + reader.tail_bytes <= path.stat().st_size
    for read in EstimateReader(path).estimates():
        from_json(to_json(read))


def sealed(data: bytes) -> bytes:
    """Return a block with correct checksums of rows that are not: what a program of ill will writes."""
    head = MAGIC + bytes(8)
    deflate, crc, out = zlib.compressobj(1, zlib.DEFLATED, -zlib.MAX_WBITS), zlib.crc32(head), [head]
    for row in data.split(SPLIT):
        payload = (deflate.compress(row) + deflate.flush(zlib.Z_SYNC_FLUSH)).removesuffix(b"\0\0\xff\xff")
        crc = zlib.crc32(payload, crc)
        out.append(len(payload).to_bytes(3, "little") + struct.pack("<I", crc) + payload)
    return b"".join(out)


def estimates_seeds() -> list[bytes]:
    """Return a file of two blocks, one of lines, and rows without checksums."""
    lines = [to_json(estimate(n, abstained=n == 4)) for n in range(6)]
    writer, rows = BlockWriter(block_lines=4), RowEncoder()
    return [
        b"".join(writer.line(line) for line in lines),
        "".join(f"{line}\n" for line in lines).encode()[:MAX_BYTES],
        ROWS + SPLIT.join(rows.encode(line) for line in lines),
    ]


TARGETS = (
    Target(
        "page-request",
        lambda: [HEAD, FORM],
        check_request,
        (b"\r\n\r\n", b"Content-Length: ", b"Transfer-Encoding: chunked", b"POST / HTTP/1.1", b"%", b"&", b"="),
    ),
    Target(
        "collected-hop",
        lambda: [to_json(estimate(0)).encode(), to_json(estimate(1, abstained=True)).encode()],
        check_hop,
        (b"null", b"1e400", b"NaN"),
        is_json=True,
    ),
    Target("estimates", estimates_seeds, check_estimates, (MAGIC, ROWS, SPLIT, b"{", b"\n")),
)
