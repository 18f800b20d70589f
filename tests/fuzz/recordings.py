"""Targets for recordings: every format, read as a replay reads it."""

from __future__ import annotations

import functools
import gzip
import json
import struct
import zlib
from functools import partial
from pathlib import Path

import numpy as np

from convert.teacher.content import content_of
from edge.engine import Engine
from edge.model import ConstantModel
from edge.records import to_json
from edge.session import session_info
from edge.sources import SourceUrl
from edge.sources.replay.base import Reader, ReadOptions
from edge.sources.replay.raw import open_raw
from edge.sources.replay.source import Playback, ReplaySource, open_reader
from firmware_bridge.rawlog.format import MAGIC, RECEIVED, U32, record
from firmware_bridge.samples import MAX_FS_HZ, MIN_FS_HZ, LinkEvent, SampleBlock
from fuzz.bundles import demo
from fuzz.decoders import as_input
from fuzz.target import LARGEST_CLOCK_NS, Target, check_texts, scratch
from helpers.binary_recordings import Edf, sine, stored, wfdb_files
from helpers.devices_frames import CASES
from helpers.text_files import COUNTS, FS_HZ, MV, SECONDS, comma, stamp, table

SAMPLES_PER_BYTE = 1100
"""Most samples that a byte may become: what deflate can pack, and more than any format does."""
SPLIT = b"\n---8<---\n"
"""Parts of an input that is several files."""
SHORT = 40
"""Rows of a table to begin with."""


def folder(name: str) -> Path:
    """Return a folder for the files of one target."""
    path = scratch() / name
    path.mkdir(exist_ok=True)
    return path


def options(path: Path, data: bytes) -> ReadOptions:
    """Return options that depend on the input, so that they need no place in it."""
    pick = zlib.crc32(data[-64:]) % 8
    rate_hz = 250.0 if pick % 2 or path.suffix == ".mat" else None
    return ReadOptions(fs_hz=rate_hz, column=("1" if pick == 2 else "2" if pick == 3 else None))


def check_reader(path: Path, data: bytes) -> None:
    """Open a recording and read it to its end."""
    reader = open_reader(path, options(path, data))
    samples = 0
    for chunk in reader.chunks():
        assert chunk.values.dtype in (np.int32, np.float32)
        assert np.all(np.isfinite(chunk.values) | (False if chunk.missing is None else chunk.missing))
        assert chunk.missing is None or chunk.missing.shape == chunk.values.shape
        assert chunk.time_ns is None or chunk.time_ns.shape == chunk.values.shape
        assert 0 <= chunk.lost <= 1 << 62
        check_texts([chunk.note])
        samples += len(chunk.values)
    assert samples <= SAMPLES_PER_BYTE * len(data)
    check_signal(reader)
    # The blocks of a replay, with gaps and clocks.
    source = ReplaySource(f"replay:{path}", reader, path.name, Playback())
    for count, (due_s, item) in enumerate(source.blocks()):
        assert due_s == due_s
        if isinstance(item, SampleBlock):
            check_block(item)
        else:
            check_texts([item.detail])
        assert count <= 100 + samples


def check_signal(reader: Reader) -> None:
    """Check what a reader says about its signal."""
    signal = reader.signal
    assert MIN_FS_HZ <= signal.fs_hz <= MAX_FS_HZ
    assert signal.lsb_mv is None or 1e-9 <= signal.lsb_mv <= 1e3
    assert signal.start_unix_ns is None or abs(signal.start_unix_ns) < 1 << 68
    check_texts([*signal.notes, *signal.leads, signal.lead])
    if signal.decided is not None:
        check_texts([signal.decided.line()])
        json.dumps(signal.decided.as_dict(), allow_nan=False)


def check_block(block: SampleBlock) -> None:
    """Check one block."""
    assert len(block) > 0 or block.lost > 0
    assert np.all(np.isfinite(block.samples))
    assert 0 <= block.lost <= 1 << 62
    assert block.device_time_ns is None or abs(block.device_time_ns) < LARGEST_CLOCK_NS


# --- EDF and BDF


def edf_seeds() -> list[bytes]:
    """Return EDF, EDF+D with a gap, and BDF."""
    signals = [{"label": "EEG", "data": sine(3, 20)}, {"label": "ECG II", "data": sine(3, 100)}]
    files = (
        Edf(signals, records=3),
        Edf(signals[1:], records=3, reserved="EDF+D", onsets=[0, 1, 4.5]),
        Edf(signals[1:], records=3, bdf=True, reserved="BDF+C"),
    )
    return [file.write(folder("edf") / "seed").read_bytes() for file in files]


def check_edf(data: bytes) -> None:
    """Read an EDF or BDF file."""
    check_named("ecg.edf", data)


def check_named(name: str, data: bytes) -> None:
    """Read a file with this name."""
    path = folder(name.partition(".")[2]) / name
    path.write_bytes(data)
    check_reader(path, data)


# --- WFDB


def wfdb_seeds() -> list[bytes]:
    """Return records: header, and signal file."""
    counts = np.round(200 * np.sin(np.arange(600) / 40)).astype(int)
    simple = b"r 1 250 600 10:00:00 01/02/2020\na.dat 16 200(3)/mV 12 0 3 0 0 II\n# age: 63\n"
    frames = b"r 3 125/250(0) 200\na.dat 212 200/mV 12 0 3 7 0 V1\na.dat 212:2 200/uV 12 0 0 1 0 II\na.dat 212x2 2\n"
    segments = b"r/4 2 250 1700\nl 0\ns 600\n~ 500\ns 600\n"
    packed = b"r 1 250 600\na.dat 310x2+8 200/mV 10 0 0 0 0 V5\n"
    return [
        simple + SPLIT + stored(16, counts),
        frames + SPLIT + stored(212, counts),
        segments + SPLIT + b"",
        packed + SPLIT + bytes(8) + stored(310, counts),
    ]


@functools.cache
def _segments() -> Path:
    """Return the folder of the records, with a layout and a segment that headers may name."""
    path = folder("wfdb")
    counts = np.round(200 * np.sin(np.arange(600) / 40)).astype(int)
    wfdb_files(path, "l", "l 2 250 0\n~ 0 200/mV 16 0 0 0 0 II\n~ 0 100/mmHg 16 0 0 0 0 ABP\n")
    wfdb_files(path, "s", "s 1 250 600\ns.dat 16 400/mV 16 0 0 0 0 II\n", s=stored(16, counts))
    return path


def check_wfdb(data: bytes) -> None:
    """Read a record, and the digest by which it is recognised."""
    header, _, signal = data.partition(SPLIT)
    path = wfdb_files(_segments(), "r", header, a=signal)
    assert len(content_of(path)) == 64
    check_reader(path, data)


# --- Tables of text, and JSON


def csv_seeds() -> list[bytes]:
    """Return tables of several dialects."""
    mv, counts, seconds = MV[:SHORT], COUNTS[:SHORT], SECONDS[:SHORT]
    clocks = [f"{stamp(float(t)):%Y-%m-%d %H:%M:%S.%f}" for t in seconds]
    texts = [
        table("time_s,ecg_mv", seconds, mv),
        table("Zeit (s);EKG II (mV)", comma(seconds), comma(mv), sep=";"),
        table("'Elapsed time','II'\n'hh:mm:ss.mmm','mV'", [f"'0:{float(t):06.3f}'" for t in seconds], mv),
        table("timestamp\tI\tII\tcount", clocks, counts, counts, [str(i % 16) for i in range(SHORT)], sep="\t"),
        "Name,-\nRecorded Date,2020-01-05 10:00:00 +0100\nSample Rate,512 hertz\n\nLead,Lead I\nUnit,\u00b5V\n\n"
        + "\n".join(counts),
        "sep=;\n" + table("", seconds, mv, sep=";", end="\r\n") + "End of file\n",
    ]
    encoded = [text.encode() for text in texts]
    return [*encoded, texts[0].encode("utf-16"), gzip.compress(encoded[0], 1)]


def json_seeds() -> list[bytes]:
    """Return JSON as apps write it."""
    mv = [float(v) for v in MV[:SHORT]]
    rows = [{"t": float(t), "ecg": v} for t, v in zip(SECONDS, mv, strict=False)]
    texts = [
        json.dumps({"fs": FS_HZ, "lead": "II", "unit": "mV", "samples": mv}),
        json.dumps(rows),
        "\n".join(json.dumps(row) for row in rows),
        json.dumps({"data": {"ecg": {"samplingRate": "250 Hz", "values": mv}}, "start": "2020-01-05T10:00:00Z"}),
        json.dumps(mv),
    ]
    return [text.encode() for text in texts]


# --- MATLAB


def mat_seeds() -> list[bytes]:
    """Return files of versions 4, 5 and 7."""
    counts = np.round(200 * np.sin(np.arange(300) / 40)).astype("<i2").tobytes()

    def element(kind: int, data: bytes) -> bytes:
        return struct.pack("<II", kind, len(data)) + data + bytes(-len(data) % 8)

    def matrix(name: bytes) -> bytes:
        inner = element(6, struct.pack("<II", 10, 0)) + element(5, struct.pack("<2i", 1, 300))
        return element(14, inner + element(1, name) + element(3, counts))

    head = b"MATLAB 5.0 MAT-file".ljust(124) + b"\0\1IM"
    packed = zlib.compress(matrix(b"ecg"))
    return [
        struct.pack("<5i", 30, 1, 300, 0, 4) + b"ecg\0" + counts,
        head + matrix(b"ecg") + matrix(b"val"),
        head + struct.pack("<II", 15, len(packed)) + packed,
    ]


# --- Raw recordings of the kit


HEADER = {
    "device": "",
    "url": "sim:",
    "session": "s",
    "start_unix_ns": 10**18,
    "start_monotonic_ns": 0,
    "host_clock": True,
}


def aer_seeds() -> list[bytes]:
    """Return files, and recordings whose checksums are computed here: a header line, then records."""
    out = []
    for name in ("ad8232_text", "anyecg_patch", "polar_h10"):
        frames = [piece for piece, _values in CASES[name].frames(np.random.default_rng(2), 10)]
        header = json.dumps({**HEADER, "device": name, "options": CASES[name].options}).encode()
        body = b"".join(struct.pack("<BBH", RECEIVED, 0, 1000) + as_input([f])[:256] for f in frames)
        out.append(header + b"\n" + body)
    whole = MAGIC + U32.pack(len(header)) + header + U32.pack(zlib.crc32(header))
    out.append(whole + b"".join(record(i * 10**9, RECEIVED, 0, f) for i, f in enumerate(frames)))
    return out


def _written(data: bytes) -> bytes:
    """Return the recording of an input that begins with its header: records of kind, channel, delay (ms), payload."""
    header, _, body = data.partition(b"\n")
    out = [MAGIC, U32.pack(len(header)), header, U32.pack(zlib.crc32(header))]
    at, arrival_ns = 0, 0
    while at + 5 <= len(body):
        kind, channel, delay_ms, size = struct.unpack_from("<BBHB", body, at)
        # The longest delay is a clock that jumps to its end.
        arrival_ns = (1 << 63) - 1 if delay_ms == 0xFFFF else min(arrival_ns + delay_ms * 10**6, (1 << 63) - 1)
        out.append(record(arrival_ns, kind, channel, body[at + 5 : at + 5 + size]))
        at += 5 + size
    return b"".join(out)


def check_aer(data: bytes) -> None:
    """Replay a raw recording through the whole chain, up to the lines of its estimates."""
    path = folder("aer") / "r.aer"
    path.write_bytes(_written(data) if data[:1] == b"{" else data)
    source = open_raw(SourceUrl.parse(f"replay:{path}?speed=max"), path)
    info = source.info
    check_texts([*info.notes, info.device])
    bundle = demo()
    model = ConstantModel(np.zeros(bundle.manifest.output.width, np.int8))
    engine = Engine(bundle, model, session_info(source), 10.0)
    count = 0
    for due_s, item in source.timed():
        assert due_s == due_s
        if item is None:  # bytes that decoded to nothing, for which the replay waits
            continue
        if isinstance(item, SampleBlock):
            check_block(item)
        elif isinstance(item, LinkEvent):
            check_texts([item.detail])
        out = engine.push(item)
        for estimate in out.estimates:
            json.loads(to_json(estimate), parse_constant=_no_constant)
        count += 1
    assert count <= 100 + 3 * len(data)


def _no_constant(name: str) -> object:
    raise AssertionError(f"{name} in an estimate")


TARGETS = (
    Target(
        "edf",
        edf_seeds,
        check_edf,
        (b"EDF+D", b"BDF+C", b"EDF Annotations ", b"\x14\x14\x00", b"\xffBIOSEMI", b"-1      "),
    ),
    Target(
        "wfdb",
        wfdb_seeds,
        check_wfdb,
        (b" 212", b" 516", b" 310", b" 8 ", b"/mV", b"(0)", b"~ 0", b"+16", b":3", b"x2", b"/2"),
    ),
    Target(
        "csv",
        csv_seeds,
        partial(check_named, "ecg.csv"),
        (b"time", b"ecg", b"mV", b"uV", b"NaN", b";", b"\t", b"1e308", b"sep=", b"Hz"),
    ),
    Target(
        "json-recording",
        json_seeds,
        partial(check_named, "ecg.json"),
        (b"samplingRate", b"samples", b"fs", b"NaN"),
        is_json=True,
    ),
    Target("mat", mat_seeds, partial(check_named, "ecg.mat"), (b"MATLAB 5.0", b"\0\1IM", b"\x0e\0\0\0", b"\x0f\0\0\0")),
    Target("aer", aer_seeds, check_aer, (MAGIC, b'"device"', b'"options"', b"\xff\xff", b'"kind": "end"')),
)
