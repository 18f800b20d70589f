"""Raw recordings: they read back unchanged, whatever happened to the file; hostile files are refused."""

import errno
import json
import os
import zlib
from pathlib import Path
from types import SimpleNamespace

import pytest

from firmware_bridge import full_disk
from firmware_bridge.errors import InputError, OutputError
from firmware_bridge.items import HOLE_BYTES, RawChunk
from firmware_bridge.parts import next_part
from firmware_bridge.rawlog import MAGIC, PAYLOAD_MAX, RawLogHeader, RawLogReader, RawLogWriter, is_rawlog
from firmware_bridge.rawlog import writer as rawlog_writer
from firmware_bridge.rawlog.format import HEAD, record
from firmware_bridge.rawlog.resync import Budget, next_record
from firmware_bridge.samples import LinkEvent, LinkEventKind

HEADER = RawLogHeader("anyecg_patch", "serial:/dev/x", "s1", 1_700_000_000_000_000_000, 55, extra={"note": "n"})
ITEMS = [
    LinkEvent(LinkEventKind.CONNECTED, 60, "open", {"port": "/dev/x"}),
    RawChunk(61, "data", b"\x01\x02\x00"),
    RawChunk(62, "control", b"\xf0"),
    RawChunk(63, "data", bytes(range(256))),
    LinkEvent(LinkEventKind.DISCONNECTED, 64, "gone"),
]


@pytest.fixture
def recording(tmp_path):
    path = tmp_path / "a.aer"
    writer = RawLogWriter(path, HEADER)
    for item in ITEMS:
        writer.item(item)
    writer.sent(65, b"hello?")
    writer.close()
    writer.close()
    return path


def comparable(items):
    return [(i.kind, i.arrival_ns, i.detail, dict(i.data)) if isinstance(i, LinkEvent) else i for i in items]


def test_round_trip(recording):
    reader = RawLogReader(recording)
    assert reader.header == HEADER
    assert comparable(reader.items()) == comparable(ITEMS)
    assert reader.damage == ""
    assert list(reader.items(sent=True))[-1] == RawChunk(65, ">data", b"hello?")
    assert is_rawlog(recording)


def test_records_are_written_before_the_file_is_closed(tmp_path):
    writer = RawLogWriter(tmp_path / "a.aer", HEADER)
    writer.item(ITEMS[1])
    assert list(RawLogReader(tmp_path / "a.aer").items()) == [ITEMS[1]]
    writer.close()


def test_any_truncation_gives_the_whole_records_before_it(recording):
    whole = recording.read_bytes()
    start = len(MAGIC) + 8 + int.from_bytes(whole[8:12], "little")
    seen = set()
    for size in range(start, len(whole)):
        recording.write_bytes(whole[:size])
        reader = RawLogReader(recording)
        got = list(reader.items())
        assert comparable(got) == comparable(ITEMS[: len(got)])
        seen.add(len(got))
        at_a_record_end = not reader.damage
        assert at_a_record_end or "truncated" in reader.damage
    assert seen == set(range(len(ITEMS) + 1))


def test_any_truncation_of_the_head_is_an_input_error(recording):
    whole = recording.read_bytes()
    start = len(MAGIC) + 8 + int.from_bytes(whole[8:12], "little")
    for size in range(start):
        recording.write_bytes(whole[:size])
        with pytest.raises(InputError):
            RawLogReader(recording)


def without_holes(items):
    return [i for i in items if not (isinstance(i, LinkEvent) and HOLE_BYTES in i.data)]


@pytest.mark.parametrize("bits", [0x01, 0x41, 0x80, 0xFF])
def test_a_damaged_byte_costs_the_record_that_it_hits(recording, bits):
    whole = recording.read_bytes()
    start = len(MAGIC) + 8 + int.from_bytes(whole[8:12], "little")
    losses = set()
    for at in range(start, len(whole)):
        broken = bytearray(whole)
        broken[at] ^= bits
        recording.write_bytes(broken)
        reader = RawLogReader(recording)
        got = list(reader.items())
        kept = comparable(without_holes(got))
        wanted = comparable(ITEMS)
        # The name of a channel is there twice; the last record, which the host sent, is not shown.
        lost = [i for i in wanted if i not in kept]
        assert [i for i in wanted if i in kept] == kept
        assert len(lost) <= 1
        assert reader.damage
        holes = [i.data[HOLE_BYTES] for i in got if isinstance(i, LinkEvent) and HOLE_BYTES in i.data]
        for i in lost:
            if isinstance(i, RawChunk):
                assert holes == [len(i.data)]
        losses.add(wanted.index(lost[0]) if lost else None)
    assert losses == {None, *range(len(ITEMS))}


def test_zeros_of_a_power_cut_at_the_end_are_skipped(recording):
    with recording.open("ab") as file:
        file.write(bytes(5000))
    reader = RawLogReader(recording)
    assert comparable(reader.items()) == comparable(ITEMS)
    assert reader.damage.startswith("5000 bytes")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"AECG",
        b"time,mv\n0,1\n",
        MAGIC,
        MAGIC + b"\xff\xff\xff\xff" + b"{" * 100,
        b"AECGRAW2" + bytes(100),
    ],
)
def test_a_file_that_is_not_a_recording(tmp_path, content):
    path = tmp_path / "x.aer"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"x\.aer"):
        RawLogReader(path)


@pytest.mark.parametrize(
    "header",
    [
        "[]",
        "{}",
        '{"device":1',
        "1e999",
        "[" * 5000,
        '{"device":"a","url":"b","session":"c","start_unix_ns":1e999,"start_monotonic_ns":0}',
        '{"device":"a","url":"b","session":"c","start_unix_ns":"x","start_monotonic_ns":0}',
        f'{{"device":"a","url":"b","session":"c","start_unix_ns":{10**40},"start_monotonic_ns":0}}',
        f'{{"device":"a","url":"b","session":"c","start_unix_ns":0,"start_monotonic_ns":{-(10**40)}}}',
        '{"device":"a","url":"b","session":"c","start_unix_ns":0,"start_monotonic_ns":1' + "0" * 5000 + "}",
        '{"device":"a","url":"b","session":"c","start_unix_ns":NaN,"start_monotonic_ns":true}',
    ],
)
def test_hostile_headers(tmp_path, header):
    text = header.encode()
    path = tmp_path / "x.aer"
    path.write_bytes(MAGIC + len(text).to_bytes(4, "little") + text + zlib.crc32(text).to_bytes(4, "little"))
    with pytest.raises(InputError):
        RawLogReader(path)


def test_hostile_events_and_lengths(tmp_path):
    path = tmp_path / "x.aer"
    RawLogWriter(path, HEADER).close()
    with path.open("ab") as file:
        for payload in (b"[]", b'{"kind":"toast","detail":"","data":{}}', b"[" * 5000, b'{"kind":"end"}', b"\xff"):
            file.write(record(1, 1, 0, payload))
        file.write(record(1, 77, 0, b"from the future"))
        file.write(record(1, 0, 9, b"x"))
        file.write((1).to_bytes(8, "little") + bytes(4) + (PAYLOAD_MAX + 1).to_bytes(4, "little") + bytes(100))
    reader = RawLogReader(path)
    assert list(reader.items()) == [RawChunk(1, "channel9", b"x")]
    assert reader.damage


def test_missing_and_unreadable(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        RawLogReader(tmp_path / "none.aer")
    with pytest.raises(InputError):
        RawLogReader(tmp_path)
    assert not is_rawlog(tmp_path / "none.aer")
    assert not is_rawlog(tmp_path)


def test_never_overwrites(recording):
    before = recording.read_bytes()
    with pytest.raises(OutputError, match="never overwritten"):
        RawLogWriter(recording, HEADER)
    assert recording.read_bytes() == before


def test_no_folder(tmp_path):
    with pytest.raises(OutputError, match="does not exist"):
        RawLogWriter(tmp_path / "no" / "a.aer", HEADER)


def test_large_chunks_are_split(tmp_path):
    path = tmp_path / "a.aer"
    data = os.urandom(PAYLOAD_MAX * 2 + 5)
    writer = RawLogWriter(path, HEADER)
    writer.item(RawChunk(1, "data", data))
    writer.close()
    assert b"".join(item.data for item in RawLogReader(path).items()) == data


def test_a_failing_disk_is_reported_once_and_leaves_whole_records(tmp_path, monkeypatch):
    path = tmp_path / "a.aer"
    writer = RawLogWriter(path, HEADER)
    writer.item(ITEMS[1])
    real = os.write

    def half_then_failed(fd, data):
        if len(data) > 10:
            return real(fd, bytes(data[:10]))
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(rawlog_writer.os, "write", half_then_failed)
    with pytest.raises(OutputError, match="Input/output error"):
        writer.item(ITEMS[3])
    writer.item(ITEMS[3])
    monkeypatch.undo()
    assert writer.dropped == 2
    writer.close()
    reader = RawLogReader(path)
    assert list(reader.items()) == [ITEMS[1]]
    assert reader.damage == ""


def test_records_wait_while_the_disk_is_full(tmp_path, monkeypatch):
    path, said = tmp_path / "a.aer", []
    watch = SimpleNamespace(
        full=lambda what, path: said.append(f"full {what}"),
        room=lambda what: said.append("room"),
        lost_more=lambda what, count: said.append(count),
    )
    writer = RawLogWriter(path, HEADER, watch)
    monkeypatch.setattr(full_disk, "RETRY_S", 0.0)
    room = [os.write]

    def half_then_full(fd, data):
        if room:
            return room[0](fd, data)
        if len(data) > 10:
            return real(fd, bytes(data[:10]))
        raise OSError(errno.ENOSPC, "No space left on device")

    real = os.write
    monkeypatch.setattr(rawlog_writer.os, "write", half_then_full)
    sent = [RawChunk(i, "data", bytes((i % 256,)) * 30) for i in range(400)]
    for i, item in enumerate(sent):
        if i == 100:
            room.clear()
        if i == 300:
            room.append(real)
        writer.item(item)
    writer.close()
    assert list(RawLogReader(path).items()) == sent
    assert said == ["full raw frames", "room"]
    assert writer.dropped == 0


@pytest.mark.parametrize("room", [0, 5, 300, 340, 700])
def test_the_disk_is_full_while_a_part_begins(tmp_path, monkeypatch, room):
    path, real, left = tmp_path / "raw.aer", os.write, [10**9]
    monkeypatch.setattr(full_disk, "RETRY_S", 0.0)

    def write(fd, data):
        taken = min(len(data), left[0])
        if not taken:
            raise OSError(errno.ENOSPC, "No space left on device")
        left[0] -= taken
        return real(fd, bytes(data[:taken]))

    monkeypatch.setattr(rawlog_writer.os, "write", write)
    writer = RawLogWriter(path, HEADER)
    writer.split(2000, lambda: next_part(path), lambda: None)
    sent = [RawChunk(i, "data" if i % 3 else "other", bytes((i % 256,)) * 50) for i in range(400)]
    for i, item in enumerate(sent):
        if i % 40 == 10:
            left[0] = room + i
        if i % 40 == 30:
            left[0] = 10**9
        writer.item(item)
    writer.close()
    assert writer.dropped == 0
    assert list(RawLogReader(path).items()) == sent
    assert len(list(tmp_path.iterdir())) > 5


def test_what_falls_out_of_memory_is_counted(tmp_path, monkeypatch):
    path, lost = tmp_path / "a.aer", []
    watch = SimpleNamespace(
        full=lambda *_: None, room=lambda _: None, lost_more=lambda _what, count: lost.append(count)
    )
    monkeypatch.setattr(rawlog_writer, "RING_BYTES", 300_000)
    writer = RawLogWriter(path, HEADER, watch)
    monkeypatch.setattr(full_disk, "RETRY_S", 0.0)
    real = os.write

    def full(fd, data):
        raise OSError(errno.EDQUOT, "Disk quota exceeded")

    sent = [RawChunk(i, "data", bytes((i % 256,)) * 980) for i in range(1000)]
    monkeypatch.setattr(rawlog_writer.os, "write", full)
    for item in sent[:900]:
        writer.item(item)
    monkeypatch.setattr(rawlog_writer.os, "write", real)
    for item in sent[900:]:
        writer.item(item)
    writer.close()
    got = list(RawLogReader(path).items())
    assert got == sent[sum(lost) :]
    assert 600 < sum(lost) < 800


def test_a_long_recording_is_written_in_parts_and_read_as_one(tmp_path):
    path, ended = tmp_path / "raw.aer", []
    writer = RawLogWriter(path, HEADER)
    writer.split(2000, lambda: next_part(path), lambda: ended.append(1))
    sent = [RawChunk(i, "data" if i % 3 else "other", bytes((i % 256,)) * 50) for i in range(300)]
    for item in sent:
        writer.item(item)
    writer.close()
    names = sorted(p.name for p in tmp_path.iterdir())
    assert len(names) == len(ended) + 1 > 8
    assert list(RawLogReader(path).items()) == sent
    # Another run of the session goes on with its own recording, which is not a part of this one.
    RawLogWriter(next_part(path), HEADER).close()
    assert list(RawLogReader(path).items()) == sent
    # The oldest parts may be removed; any other part starts a sequence, too.
    path.unlink()
    (tmp_path / "raw.2.aer").unlink()
    rest = list(RawLogReader(tmp_path / "raw.3.aer").items())
    assert rest == sent[-len(rest) :]
    assert {item.channel for item in rest} == {"data", "other"}


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_header_on_a_full_disk(tmp_path, monkeypatch):
    real = os.open
    monkeypatch.setattr(rawlog_writer.os, "open", lambda path, flags, mode: real("/dev/full", os.O_WRONLY))
    with pytest.raises(OutputError, match="disk is full"):
        RawLogWriter(tmp_path / "a.aer", HEADER)


def test_header_is_json_that_others_can_read(recording):
    raw = recording.read_bytes()
    assert json.loads(raw[12 : 12 + int.from_bytes(raw[8:12], "little")])["device"] == "anyecg_patch"


@pytest.mark.parametrize("bits", [0x01, 0x10, 0x80])
def test_one_damaged_byte_of_the_head_costs_nothing(recording, bits):
    whole = recording.read_bytes()
    start = len(MAGIC) + 8 + int.from_bytes(whole[8:12], "little")
    for at in range(start):
        broken = bytearray(whole)
        broken[at] ^= bits
        recording.write_bytes(broken)
        if at == len(MAGIC) - 1 and broken[at : at + 1].isdigit():
            with pytest.raises(InputError, match="newer version"):
                RawLogReader(recording)
            continue
        reader = RawLogReader(recording)
        assert reader.header == HEADER
        assert comparable(reader.items()) == comparable(ITEMS)
        assert ("repaired" in reader.damage) == (at >= len(MAGIC))


def test_damage_over_many_records_is_one_hole(tmp_path):
    path = tmp_path / "a.aer"
    writer = RawLogWriter(path, HEADER)
    for i in range(3000):
        writer.item(RawChunk(i, "data", bytes((i % 251,)) * 40))
    writer.close()
    whole = bytearray(path.read_bytes())
    size = 40 + 20
    start = len(whole) - 3000 * size
    whole[start + 100 * size + 5 : start + 2900 * size] = os.urandom(2800 * size - 5)
    path.write_bytes(whole)
    reader = RawLogReader(path)
    got = list(reader.items())
    assert [i.arrival_ns for i in without_holes(got)] == [*range(100), *range(2900, 3000)]
    assert reader.skipped_bytes == 2800 * size
    assert reader.damage == f"{2800 * size} bytes in 1 place are damaged and were skipped"


def test_a_search_in_a_file_made_to_be_slow_ends(tmp_path):
    path = tmp_path / "a.aer"
    RawLogWriter(path, HEADER).close()
    # Every fourth byte begins a record of 64 KiB with a wrong checksum.
    with path.open("ab") as file:
        file.write(bytes(15) + b"\1" + b"\0\0\1\0" * (3 << 18))
    reader = RawLogReader(path)
    assert list(reader.items()) == []
    assert "3145744 bytes" in reader.damage
    budget = Budget.of(path.stat().st_size)
    least = -HEAD.size - PAYLOAD_MAX
    with path.open("rb") as file:
        assert next_record(file, 0, None, budget) is None
    assert least <= budget.left < 0
