"""One-line changes that once survived every test, each with the test that now fails for it.

``python tests/mutants/survivors.py`` applies each to a temporary copy of the packages, runs its test there and prints
whether the test fails. Source lines and tests are found by their text, so this list does not change when a file moves.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("firmware_bridge", "edge", "convert", "calibration")
TIMEOUT_S = 120.0
TESTS_FAILED = 1
"""Exit status of pytest for a failed test. Another status means that the test did not run."""


@dataclass(frozen=True, slots=True)
class Survivor:
    """One change.

    Attributes:
        name: What the change does.
        old: Text that occurs exactly once in the packages.
        new: The text that replaces it.
        test: Name of the test function that must fail.
    """

    name: str
    old: str
    new: str
    test: str


SURVIVORS = (
    Survivor(
        "interval: errors added instead of their squares",
        "outer * np.hypot(width, inner * error)",
        "outer * (width + inner * error)",
        "test_model_error_and_spread_of_windows_add_as_independent_errors",
    ),
    Survivor(
        "quality weight 1 (engine)",
        "self._estimator.add(window.end_s, outputs, quality.score, waves, rhythm.name)",
        "self._estimator.add(window.end_s, outputs, 1.0, waves, rhythm.name)",
        "test_a_window_weighs_as_much_as_its_quality_in_the_estimate",
    ),
    Survivor(
        "quality weight 1 (estimator)",
        "weight = max(round(score * WEIGHT_STEPS), 1) if self._by_quality else 1",
        "weight = 1",
        "test_windows_are_weighted_by_quality_in_logit_space",
    ),
    Survivor(
        "rhythms of windows that left the average are still counted",
        "self._count[self._held.popleft()[1]] -= 1",
        "self._held.popleft()",
        "test_the_count_of_a_rhythm_falls_with_its_windows",
    ),
    Survivor(
        "a single window fits the rhythms that an output does not name",
        "return rhythms is None or rhythm in rhythms",
        "return rhythms is None or rhythm not in rhythms",
        "test_a_single_window_fits_any_rhythm_or_one_that_is_named",
    ),
    Survivor(
        "stalled after 20 s instead of 15",
        'STALL_S = 15.0\n"""Silence after which',
        'STALL_S = 20.0\n"""Silence after which',
        "test_silence_is_stalled_after_fifteen_seconds",
    ),
    Survivor(
        "backward jumps of the device clock ignored",
        "return error_s if abs(error_s) > limit_s else None",
        "return error_s if error_s > limit_s else None",
        "test_a_device_clock_that_goes_back_ends_the_segment_and_loses_nothing",
    ),
    Survivor(
        "backward jumps of the device clock counted as negative loss",
        "if 0 < jump_s <= MAX_GAP_S:",
        "if jump_s <= MAX_GAP_S:",
        "test_a_device_clock_that_goes_back_ends_the_segment_and_loses_nothing",
    ),
    Survivor(
        "gap clamp removed (backwards)",
        "start_s = max(self.end_s, self._start_of(block, lost))",
        "start_s = self._start_of(block, lost)",
        "test_a_clock_that_is_a_little_early_after_a_lead_off_makes_no_gap_backwards",
    ),
    Survivor(
        "gap clamp removed (a week)",
        "min(max(silent_s, 0.0), MAX_GAP_S)",
        "max(silent_s, 0.0)",
        "test_the_gap_after_a_lost_link_is_neither_negative_nor_longer_than_a_week",
    ),
    Survivor(
        "hop after a flood off by one",
        "self._next_hop = math.floor(signal_s / self._hop_s) + 1",
        "self._next_hop = math.floor(signal_s / self._hop_s)",
        "test_hops_beyond_the_limit_are_passed_over",
    ),
    Survivor(
        "limit of a flood off by one",
        "if len(out) >= MAX_GAP_HOPS:",
        "if len(out) > MAX_GAP_HOPS:",
        "test_hops_beyond_the_limit_are_passed_over",
    ),
    Survivor(
        "report of a stream without delimiters off by one",
        "while self._skipped >= SKIP_REPORT_BYTES:",
        "while self._skipped > SKIP_REPORT_BYTES:",
        "test_a_stream_without_delimiters_is_reported_as_soon_as_the_limit_is_reached",
    ),
    Survivor(
        "artefact guard of the R-peak decision removed",
        "slope = min(self._last.slope, median(self._slopes))",
        "slope = self._last.slope",
        "test_a_beat_soon_after_a_steep_artefact_is_not_taken_for_its_t_wave",
    ),
    Survivor(
        "loss dropped on queue overflow (pipeline)",
        "lost=entry.item.lost + self.lost",
        "lost=entry.item.lost",
        "test_every_sample_of_an_overflowing_queue_arrives_or_counts_as_lost",
    ),
    Survivor(
        "earlier loss of a dropped block forgotten (pipeline)",
        "self.lost += len(entry.item) + entry.item.lost",
        "self.lost += len(entry.item)",
        "test_every_sample_arrives_or_is_carried_by_the_next_block",
    ),
    Survivor(
        "loss dropped on queue overflow (serial port)",
        "self._queue.append(_overflowed(self._overflow))",
        "pass",
        "test_dropped_bytes_are_counted_in_an_event_before_the_next_chunk",
    ),
    Survivor(
        "_synced kept on reset (frames)",
        "self._held.clear()\n        self._synced = False",
        "self._held.clear()",
        "test_after_a_reset_text_counts_as_boot_text_again",
    ),
    Survivor(
        "_synced kept on reset (BioHarness)",
        'self._held, self._synced = b"", False',
        'self._held = b""',
        "test_after_a_reset_bytes_without_a_frame_count_as_those_of_a_new_stream",
    ),
    Survivor(
        "minimum share of defined replicates removed",
        "if len(known) < MIN_DEFINED * len(replicates) or not len(known):",
        "if not len(known):",
        "test_an_interval_needs_half_of_its_replicates",
    ),
    Survivor(
        "latency of the filter not reset",
        'times = {"front_end": self._chain.spent_ms}\n        self._chain.spent_ms = 0.0',
        'times = {"front_end": self._chain.spent_ms}',
        "test_each_estimate_carries_the_filter_time_of_its_own_hop",
    ),
    Survivor(
        "bins of the calibration error weighted alike",
        "sum(len(part) * abs(p[part].mean() - labels[part].mean()) for part in parts) / len(p)",
        "sum(abs(p[part].mean() - labels[part].mean()) for part in parts) / len(parts)",
        "test_the_calibration_error_weights_each_bin_by_its_rows",
    ),
    Survivor(
        "bins of the calibration error by chance weighted alike",
        "chance += len(part) / len(p) * ",
        "chance += 1 / len(parts) * ",
        "test_the_calibration_error_of_perfect_probabilities_weights_bins_by_their_rows",
    ),
)


def copy_packages(to: Path) -> Path:
    """Copy the packages into a folder and return it."""
    for name in PACKAGES:
        shutil.copytree(ROOT / name, to / name, ignore=shutil.ignore_patterns("__pycache__"))
    return to


def place_of(text: str, folders: list[Path]) -> Path:
    """Return the Python file below the folders that contains a text, which must occur exactly once.

    Raises:
        LookupError: The text does not occur, or more than once.
    """
    found = [p for folder in folders for p in sorted(folder.rglob("*.py")) for _ in range(p.read_text().count(text))]
    if len(found) != 1:
        raise LookupError(
            f"{text!r} occurs {len(found)} times, but it must occur once; correct the entry in {__file__}"
        )
    return found[0]


def file_of(function: str) -> Path:
    """Return the file of a test function."""
    files = [p for p in sorted((ROOT / "tests").rglob("test_*.py")) if re.search(rf"def {function}\(", p.read_text())]
    if len(files) != 1:
        raise LookupError(
            f"{function} is in {len(files)} files, but it must be in one; correct the entry in {__file__}"
        )
    return files[0]


def run_tests(copy: Path, functions: list[str]) -> subprocess.CompletedProcess[str]:
    """Run tests by function name on the packages of a copy, and return the output and status of pytest."""
    nodes = [f"{file_of(function)}::{function}" for function in functions]
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", "-o", "addopts="]
    command += ["-c", str(ROOT / "pyproject.toml"), "--rootdir", str(ROOT), *nodes]
    # No byte code: for a file that changes twice within a second, Python would use the first compiled version.
    environment = os.environ | {"PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(
        command, cwd=copy, env=environment, capture_output=True, text=True, timeout=TIMEOUT_S, check=False
    )


def survives(copy: Path, survivor: Survivor) -> str:
    """Apply a change to a copy, run its test and undo the change.

    Returns:
        An empty string if the test fails as it should, otherwise the output of pytest.
    """
    path = place_of(survivor.old, [copy / name for name in PACKAGES])
    whole = path.read_text()
    path.write_text(whole.replace(survivor.old, survivor.new))
    try:
        done = run_tests(copy, [survivor.test])
    finally:
        path.write_text(whole)
    return "" if done.returncode == TESTS_FAILED else f"exit status {done.returncode}\n{done.stdout}{done.stderr}"


def main() -> int:
    """Apply every change and return the number of survivors."""
    alive = 0
    with tempfile.TemporaryDirectory() as folder:
        copy = copy_packages(Path(folder))
        for survivor in SURVIVORS:
            output = survives(copy, survivor)
            alive += bool(output)
            print(f"{'SURVIVED' if output else 'killed  '}  {survivor.name}: {survivor.test}", flush=True)
            if output:
                print(output)
    print(f"{len(SURVIVORS) - alive} of {len(SURVIVORS)} killed")
    return alive


if __name__ == "__main__":
    sys.exit(min(main(), 1))
