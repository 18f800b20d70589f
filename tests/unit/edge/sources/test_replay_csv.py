"""Text recordings: layouts, rates, gaps, and files that are refused."""

from __future__ import annotations

import asyncio
import contextlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.sources import open_source
from edge.sources.replay.base import ReadOptions
from edge.sources.replay.csv_text import CsvReader
from edge.sources.replay.text import lines as module
from firmware_bridge.errors import InputError, UsageError
from firmware_bridge.samples import LinkEvent, LinkEventKind, SampleBlock


def replay(path, query=""):
    """All items of a recording, without waiting."""

    async def collect():
        source = open_source(f"replay:{path}?speed=max{'&' if query else ''}{query}")
        return [item async for item in source.items()]

    return asyncio.run(collect())


def blocks(items):
    return [item for item in items if isinstance(item, SampleBlock)]


def samples(items):
    return np.concatenate([b.samples for b in blocks(items)])


def write(tmp_path, text, name="ecg.csv"):
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


@pytest.mark.parametrize(
    ("text", "query", "fs_hz", "unit", "lead"),
    [
        ("0.1\n0.2\n0.3\n", "fs=250", 250, "counts", "ecg"),
        ("ecg_mv\n0.1\n0.2\n0.3\n", "fs=250", 250, "mV", "ecg_mv"),
        ("\ufeffecg (uV)\r\n100\r\n200\r\n300\r\n", "fs=250", 250, "mV", "ecg (uV)"),
        ("time_ms;ECG_mV\n0;0,1\n4;0,2\n8;0,3\n", "", 250, "mV", "ECG_mV"),
        ("time_s\tII\n0.000\t0.1\n0.004\t0.2\n0.008\t0.3\n", "unit=mV", 250, "mV", "II"),
        ("t ecg\n0 0.1\n0.008 0.2\n0.016 0.3\n", "unit=mV", 125, "mV", "ecg"),
        ("timestamp,hr,ecg\n1600000000000000000,60,0.1\n1600000000004000000,60,0.2\n1600000000008000000,60,0.3\n",
         "unit=mV", 250, "mV", "ecg"),
        ("'Elapsed time','V5','MLII'\n'seconds','mV','mV'\n0.0,9,0.1\n0.004,9,0.2\n0.008,9,0.3\n", "", 250, "mV",
         "MLII"),
        ("# made by a logger\nsample #,I\n0,0.1\n1,0.2\n2,0.3\n", "fs=250&unit=mV", 250, "mV", "I"),
        ("0.000,0.1\n0.004,0.2\n0.008,0.3\n", "unit=mV", 250, "mV", "ecg"),
    ],
)  # fmt: skip
def test_layouts(tmp_path, text, query, fs_hz, unit, lead):
    path = write(tmp_path, text)
    items = replay(path, query)
    assert samples(items).tolist() == pytest.approx([0.1, 0.2, 0.3], rel=1e-6)
    block = blocks(items)[0]
    assert block.unit == unit
    assert block.fs_hz == pytest.approx(fs_hz)
    assert open_source(f"replay:{path}?{query}").info.lead == lead
    assert items[-1].kind == LinkEventKind.END


def test_a_millisecond_column_gives_the_true_rate(tmp_path):
    rows = "".join(f"{round(i * 1000 / 130.16)},{i}\n" for i in range(5000))
    path = write(tmp_path, "time_ms,ecg\n" + rows)
    assert open_source(f"replay:{path}").info.fs_hz == pytest.approx(130.16, rel=1e-4)


def test_gaps_in_the_time_column_are_gaps(tmp_path):
    keep = [i for i in range(1000) if not 300 <= i < 350 and i != 700]
    path = write(tmp_path, "time_ms,ecg_mv\n" + "".join(f"{i * 4},{i}\n" for i in keep))
    found = blocks(replay(path))
    assert [b.lost for b in found if b.lost] == [50, 1]
    assert samples(found).tolist() == keep
    ends = np.cumsum([len(b) for b in found]) - 1
    assert [b.device_time_ns for b in found] == [keep[e] * 4_000_000 for e in ends]


def test_missing_cells_are_lost_samples_at_any_place(tmp_path):
    text = "a,ecg\n,NaN\n,\n1,1\n1,2\n1,null\n1,3\n1\n1,\n"
    found = blocks(replay(write(tmp_path, text), "fs=250"))
    assert [(b.lost, b.samples.tolist()) for b in found] == [(2, [1, 2]), (1, [3]), (2, [])]


def test_a_blank_line_of_one_column_is_a_missing_sample_but_not_at_the_end(tmp_path):
    found = blocks(replay(write(tmp_path, "1\n\n\n2\n\n\n"), "fs=250"))
    assert [(b.lost, b.samples.tolist()) for b in found] == [(0, [1]), (2, [2])]


def test_a_clock_that_goes_back_is_a_restart(tmp_path):
    times = [*range(0, 400, 4), *range(0, 400, 4)]
    items = replay(write(tmp_path, "time_ms,ecg_mv\n" + "".join(f"{t},1\n" for t in times)))
    events = [item.kind for item in items if isinstance(item, LinkEvent)]
    assert events == ["connected", "restarted", "end"]
    assert len(samples(items)) == 200


def test_timestamps_of_blocks_give_the_rate(tmp_path):
    rows = "".join(f"{(i // 73) * 73 * 1000 / 130:.0f},{i}\n" for i in range(73 * 100))
    items = replay(write(tmp_path, "time_ms,ecg_mv\n" + rows))
    found = blocks(items)
    assert found[0].fs_hz == pytest.approx(130, rel=0.02)
    assert sum(b.lost for b in found) == 0
    assert found[0].device_time_ns is None


@pytest.mark.parametrize(
    ("text", "query", "message"),
    [
        (b"", "fs=250", "is empty"),
        ("ecg\n", "fs=250", "no rows of numbers"),
        ("0.1\n0.2\n", "", "sampling rate (add fs="),
        ("I,II\n0.1,0.2\n", "fs=250&lead=V9", "no lead 'V9'"),
        ("I,II\n0.1,0.2\n", "fs=250&lead=V9", "it has: I, II"),
        ("0.1,0.2\n0.1,0.2\n", "fs=250&column=7", "column 7"),
        ("nan\nnan\n", "fs=250", "no sample"),
        ("time,ecg\n0,1\n1,2\n2,3\n", "", "unclear"),
        ("time_s,ecg\n1,1\n1,2\n1,3\n", "", "does not advance"),
        ("time_s,ecg\n0,1\n1e300,2\n2e300,3\n", "", "sampling rate"),
        (bytes(range(256)) * 40, "fs=250", "not a recording that the kit can read"),
        (b"\x1f\x8b\x08\x00" + bytes(100), "fs=250", "damaged gzip"),
        (b"BZh91AY&SY" + bytes(100), "fs=250", "compressed (bzip2)"),
        ("1" * 200_000, "fs=250", "not a text recording"),
        ("time_s\n0\n1\n", "fs=250", "only a time column"),
    ],
)
def test_bad_files_are_one_clear_line(tmp_path, text, query, message):
    with pytest.raises(InputError) as caught:
        replay(write(tmp_path, text), query)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "query",
    ["fs=abc", "fs=0", "fs=-1", "fs=inf", "fs=nan", "fs=1e9", "speed=0", "speed=fast", "start=-1", "seconds=0",
     "block_s=0", "unit=volts", "lsb_mv=0", "lsb_mv=nan", "unit=mV&lsb_mv=1", "colour=red", "fs=250&fs=250"],
)  # fmt: skip
def test_bad_values_of_the_url(tmp_path, query):
    path = write(tmp_path, "1\n2\n")
    with pytest.raises(UsageError):
        open_source(f"replay:{path}?{query}")


@settings(max_examples=60, deadline=None)
@given(data=st.binary(max_size=300))
def test_garbage_is_refused_or_read_but_never_crashes(data, tmp_path_factory):
    path = write(tmp_path_factory.mktemp("garbage"), data)
    with contextlib.suppress(InputError, UsageError):
        replay(path, "fs=250")


@settings(max_examples=30, deadline=None)
@given(
    piece=st.integers(1, 400),
    cells=st.lists(st.sampled_from(["0.5", "-1", "", "nan", "1e-3"]), min_size=12, max_size=60),
)
def test_pieces_of_the_file_do_not_matter(piece, cells, tmp_path_factory):
    text = "a,ecg_mv\n" + "".join(f"x,{c}\n" for c in [*cells, "1"])
    path = write(tmp_path_factory.mktemp("pieces"), text.replace("x", "0"))
    whole = [(b.lost, b.samples.tobytes(), b.arrival_ns) for b in blocks(replay(path, "fs=250"))]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "PIECE_BYTES", piece)
        cut = [(b.lost, b.samples.tobytes(), b.arrival_ns) for b in blocks(replay(path, "fs=250"))]
    assert cut == whole


def test_a_long_recording_does_not_need_more_memory(tmp_path):
    import tracemalloc

    peaks = []
    for seconds in (100, 1000):
        path = write(tmp_path, "time_ms,ecg_mv\n" + "".join(f"{i * 4},0.123\n" for i in range(250 * seconds)))
        tracemalloc.start()
        n = sum(len(chunk.values) for chunk in CsvReader(path, ReadOptions()).chunks())
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert n == 250 * seconds
    assert peaks[1] < 1.2 * peaks[0] + 100_000
