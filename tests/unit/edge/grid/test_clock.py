"""The two clocks: learning in the first frames, the effect of a single frame, and the detection of another clock."""

from __future__ import annotations

import pytest

from edge.grid.clock import HISTORY_FRAMES, HostClock, SampleClock

MS = 1_000_000
S = 1_000_000_000


class TestHostClock:
    def learnt(self, latency_ns: int = 10 * MS) -> HostClock:
        clock = HostClock()
        for k in range(HISTORY_FRAMES):
            clock.update(k * S, k * S + latency_ns)
        return clock

    def test_before_the_first_frame_nothing_is_known(self) -> None:
        clock = HostClock()
        assert (clock.offset_ns, clock.reanchored, clock.to_host_ns(5)) == (None, 0, None)

    def test_device_time_plus_offset_is_host_time(self) -> None:
        clock = HostClock()
        clock.update(3 * S, 10 * S)
        assert clock.offset_ns == 7 * S
        assert clock.to_host_ns(5 * S) == 12 * S

    def test_while_learning_only_a_smaller_latency_counts_at_once(self) -> None:
        clock = HostClock()
        for k, latency_ns in enumerate([300 * MS, 20 * MS, 90 * MS, 15 * MS]):
            clock.update(k * S, k * S + latency_ns)
        assert clock.offset_ns == 15 * MS

    def test_the_last_frame_of_learning_may_step_and_the_next_one_slews(self) -> None:
        clock = HostClock()
        for k in range(HISTORY_FRAMES - 2):
            clock.update(k * S, k * S + 100 * MS)
        clock.update(62 * S, 62 * S + 50 * MS)
        assert clock.offset_ns == 50 * MS
        clock.update(63 * S, 63 * S + 20 * MS)
        assert clock.offset_ns == 50 * MS - 500_000
        clock.update(64 * S, 64 * S + 30 * MS)
        assert clock.offset_ns == 50 * MS - 2 * 500_000

    def test_a_step_below_half_a_millisecond_is_taken_completely(self) -> None:
        clock = self.learnt()
        clock.update(64 * S, 64 * S + 10 * MS - 300_000)
        assert clock.offset_ns == 10 * MS - 300_000

    def test_the_best_latency_expires_after_64_frames(self) -> None:
        clock = self.learnt()
        for k in range(64, 64 + HISTORY_FRAMES - 1):
            clock.update(k * S, k * S + 10 * MS + 300_000)
        assert clock.offset_ns == 10 * MS
        clock.update(127 * S, 127 * S + 10 * MS + 300_000)
        assert clock.offset_ns == 10 * MS + 300_000

    @pytest.mark.parametrize(("off_ns", "another"), [(-S, False), (-S - 1, True), (30 * S, False), (30 * S + 1, True)])
    def test_a_mismatch_beyond_its_limits_is_another_clock(self, off_ns: int, another: bool) -> None:
        clock = self.learnt()
        clock.update(64 * S, 64 * S + 10 * MS + off_ns)
        assert clock.reanchored == int(another)
        assert (clock.offset_ns == 10 * MS + off_ns) is another

    def test_a_restart_forgets_the_mapping_and_the_latencies(self) -> None:
        clock = self.learnt()
        clock.restart()
        assert clock.to_host_ns(0) is None
        clock.update(0, 40 * MS)
        clock.update(S, S + 20 * MS)
        assert (clock.offset_ns, clock.reanchored) == (20 * MS, 0)


class TestSampleClock:
    FS = 100.0
    N = 10
    FRAME_NS = S // 10

    def started(self, frames: int = 0) -> SampleClock:
        clock = SampleClock(self.FS)
        clock.start(5 * S)
        for k in range(1, frames + 1):
            clock.advance(self.N, 5 * S + k * self.FRAME_NS)
        return clock

    def test_before_the_start_nothing_is_expected_or_measured(self) -> None:
        clock = SampleClock(self.FS)
        assert clock.error_s(10, 7 * S) == 0.0
        assert clock.measured_hz is None
        clock.start(5 * S)
        assert clock.measured_hz is None

    def test_the_rate_is_samples_by_device_time(self) -> None:
        clock = self.started()
        clock.advance(10, 5 * S + 100 * MS)
        assert clock.measured_hz == pytest.approx(100.0)
        clock.advance(20, 5 * S + 325 * MS)
        assert clock.measured_hz == pytest.approx(30 / 0.325)

    def test_a_clock_that_did_not_advance_measures_nothing(self) -> None:
        clock = self.started()
        clock.advance(10, 5 * S)
        assert clock.measured_hz is None
        clock.advance(10, 5 * S + 1)
        assert clock.measured_hz == pytest.approx(20e9)

    def test_frames_on_time_follow_each_other(self) -> None:
        clock = self.started(3)
        assert clock.error_s(10, 5 * S + 400 * MS) == pytest.approx(0.0, abs=1e-12)
        assert clock.error_s(20, 5 * S + 530 * MS) == pytest.approx(0.03)
        assert clock.advance(10, 5 * S + 400 * MS) == (pytest.approx(0.3), pytest.approx(0.4))

    def test_the_first_frame_moves_by_the_gains_of_a_filter_that_has_seen_ten(self) -> None:
        """Growing memory (k = 10): phase gain 2 (2k - 1) / k (k + 1) = 38/110, rate gain 6 / k (k + 1) = 6/110."""
        clock, late_s = self.started(), 0.002
        _, end_s = clock.advance(10, 5 * S + 100 * MS + 2 * MS)
        assert end_s == pytest.approx(0.1 + 38 / 110 * late_s)
        period_s = 0.01 + 6 / 110 * late_s / 10
        assert clock.error_s(1000, 5 * S) == pytest.approx(-(end_s + 1000 * period_s))
        # The next one has seen eleven.
        expected_s = end_s + 10 * period_s
        error_s = clock.error_s(10, 5 * S + 204 * MS)
        assert error_s == pytest.approx(0.204 - expected_s)
        assert clock.advance(10, 5 * S + 204 * MS)[1] == pytest.approx(expected_s + 42 / 132 * error_s)

    def test_in_the_end_the_gains_are_those_of_benedict_and_bordner(self) -> None:
        clock = self.started(3000)
        _, end_s = clock.advance(10, 5 * S + 300 * S + 100 * MS + 2 * MS)
        assert end_s == pytest.approx(300.1 + 0.05 * 0.002, abs=1e-7)
        period_s = 0.01 + 0.00128 * 0.002 / 10
        assert clock.error_s(100_000, 5 * S) == pytest.approx(-(end_s + 100_000 * period_s), abs=1e-4)

    @pytest.mark.parametrize(("off_ms", "moved_s"), [(-5000, -0.025), (5000, 0.025)])
    def test_one_frame_moves_by_a_quarter_of_its_length_at_most(self, off_ms: int, moved_s: float) -> None:
        clock = self.started()
        assert clock.advance(10, 5 * S + (100 + off_ms) * MS)[1] == pytest.approx(0.1 + moved_s)

    @pytest.mark.parametrize(("off_ms", "period_s"), [(-5000, 0.0097), (5000, 0.0103)])
    def test_the_period_stays_within_three_percent(self, off_ms: int, period_s: float) -> None:
        clock = self.started()
        _, end_s = clock.advance(10, 5 * S + (100 + off_ms) * MS)
        assert clock.error_s(1000, 5 * S) == pytest.approx(-(end_s + 1000 * period_s))


def test_every_other_clock_is_counted() -> None:
    clock = HostClock()
    for k in range(4):
        clock.update(k * 10**15, 0)
    assert clock.reanchored == 3
