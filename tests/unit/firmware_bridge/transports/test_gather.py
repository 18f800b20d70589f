"""Small reads are joined: how often the program wakes, how long a byte waits, and what an exception keeps."""

from __future__ import annotations

import pytest

from firmware_bridge.transports._gather import CHUNK_BYTES, GATHER_S, SETTLE_S, Gatherer

MS = 1_000_000


class Line:
    """A port that delivers bytes at known times, on a clock that only waiting advances."""

    def __init__(self, arrivals: list[tuple[float, bytes]]) -> None:
        self.now_ns = 0
        self.waits = 0
        self._arrivals = [(round(at_s * 1e9), data) for at_s, data in arrivals]

    def clock_ns(self) -> int:
        return self.now_ns

    def pause(self, seconds: float) -> None:
        assert seconds > 0
        self.waits += 1
        self.now_ns += round(seconds * 1e9)

    def more(self) -> bytes:
        out = b""
        while self._arrivals and self._arrivals[0][0] <= self.now_ns:
            out += self._arrivals.pop(0)[1]
        return out

    def first(self) -> bytes:
        """Wait 0.2 s at most for the first byte, as a port does."""
        self.waits += 1
        end_ns = self.now_ns + 200 * MS
        self.now_ns = min(end_ns, max(self.now_ns, self._arrivals[0][0])) if self._arrivals else end_ns
        if not self._arrivals or self._arrivals[0][0] > self.now_ns:
            return b""
        at, data = self._arrivals.pop(0)
        if len(data) > 1:
            self._arrivals.insert(0, (at, data[1:]))
        return data[:1]

    def read_all(self) -> list[tuple[int, int, bytes]]:
        """Return every chunk: time when it was passed on, stated arrival, bytes."""
        gatherer = Gatherer(self.pause, self.clock_ns)
        out = []
        while self._arrivals:
            data = bytearray()
            gatherer.read(data, self.first, self.more)
            if data:
                out.append((self.now_ns, gatherer.arrival_ns, bytes(data)))
        return out


def test_a_byte_every_millisecond_wakes_25_times_a_second() -> None:
    line = Line([(k * 1e-3, bytes([k % 256])) for k in range(1, 10_001)])
    chunks = line.read_all()
    assert len(chunks) <= 10 / GATHER_S + 2
    assert line.waits <= len(chunks) + 25
    assert b"".join(data for _, _, data in chunks) == bytes(k % 256 for k in range(1, 10_001))


@pytest.mark.parametrize("every_s", [0.0005, 0.002, 0.00625, 0.008, 0.0156, 0.02])
def test_no_byte_waits_longer_than_the_gathering_time(every_s: float) -> None:
    times = [k * every_s for k in range(1, 3000)]
    waited, at = [], 0
    for passed_ns, arrival_ns, data in Line([(t, b"x") for t in times]).read_all():
        waited += [passed_ns - round(t * 1e9) for t in times[at : at + len(data)]]
        at += len(data)
        assert 0 <= passed_ns - arrival_ns <= round((GATHER_S + SETTLE_S) * 1e9)
        assert arrival_ns >= round(times[at - 1] * 1e9)
    assert at == len(times)
    assert max(waited) <= round((GATHER_S + SETTLE_S) * 1e9) + 1


@pytest.mark.parametrize("every_s", [0.0625, 0.1, 0.252])
def test_a_whole_frame_after_a_pause_passes_after_the_settling_time(every_s: float) -> None:
    chunks = Line([(k * every_s, b"f" * 64) for k in range(1, 100)]).read_all()
    assert [data for _, _, data in chunks] == [b"f" * 64] * 99
    for k, (passed_ns, arrival_ns, _) in enumerate(chunks, 1):
        assert abs(arrival_ns - k * every_s * 1e9) < 2
        assert passed_ns - arrival_ns == pytest.approx(SETTLE_S * 1e9)


def test_a_frame_that_is_still_arriving_is_not_cut() -> None:
    """64 bytes at 115200 baud take 5.6 ms."""
    sent = [(0.1 * k + byte / 11_520, b"b") for k in range(1, 50) for byte in range(64)]
    chunks = Line(sent).read_all()
    assert [len(data) for _, _, data in chunks] == [64] * 49
    for k, (passed_ns, arrival_ns, _) in enumerate(chunks, 1):
        last_ns = round((0.1 * k + 63 / 11_520) * 1e9)
        assert 0 <= arrival_ns - last_ns <= SETTLE_S * 1e9
        assert passed_ns - last_ns <= 2 * SETTLE_S * 1e9


@pytest.mark.parametrize("bytes_per_s", [100_000, 1_000_000])
def test_a_fast_stream_is_read_before_the_buffer_of_a_terminal_is_full(bytes_per_s: int) -> None:
    sent = [(k * 1e-3, b"y" * (bytes_per_s // 1000)) for k in range(1, 2000)]
    chunks = Line(sent).read_all()
    assert max(len(data) for _, _, data in chunks[20:]) <= max(4095, 3 * CHUNK_BYTES)


def test_bytes_before_an_exception_are_kept() -> None:
    line = Line([(0.01, b"abc")])
    data, calls = bytearray(), 0

    def more() -> bytes:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise OSError(5, "unplugged")
        return line.more()

    with pytest.raises(OSError, match="unplugged"):
        Gatherer(line.pause, line.clock_ns).read(data, line.first, more)
    assert data == b"abc"


def test_silence_after_a_dense_stream_is_waited_for_by_the_port_alone() -> None:
    line = Line([(k * 1e-3, b"x") for k in range(1, 200)])
    line.read_all()
    gatherer = Gatherer(line.pause, line.clock_ns)
    before = line.waits
    for _ in range(10):
        data = bytearray()
        gatherer.read(data, line.first, line.more)
        assert not data
    assert line.waits - before == 10
