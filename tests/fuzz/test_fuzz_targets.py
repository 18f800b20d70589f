"""Every fuzz target without a fuzzer: valid inputs, everything that was ever found, and a few changes of each."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from firmware_bridge import devices
from fuzz import bundles, decoders, recordings
from fuzz.mutate import bytes_changed, json_changed
from fuzz.registry import DECODERS, TARGETS
from fuzz.target import MAX_BYTES

FINDINGS = Path(__file__).resolve().parent / "findings"
FOUND = sorted(path for path in FINDINGS.rglob("*") if path.is_file())
CHANGES = 12
NEVER_WHOLE = {"bundle-zip", "checkpoint-zip", "checkpoint-legacy", "checkpoint-safetensors"}
"""Targets whose seeds are too small to be a whole bundle or network; they are refused at the very end."""


def test_every_device_and_format_has_a_target() -> None:
    assert set(DECODERS) == {f"decoder-{name}" for name in devices.names()}
    needed = {
        "manifest",
        "calibration",
        "golden",
        "checkpoint-pickle",
        "wfdb",
        "edf",
        "csv",
        "aer",
        "estimates",
        "page-request",
        "collected-hop",
    }
    assert needed <= set(TARGETS)


@pytest.mark.parametrize("name", TARGETS)
def test_seeds_are_read_and_changes_are_read_or_refused(name: str) -> None:
    target, random_ = TARGETS[name], random.Random(name)
    seeds = target.seeds()
    assert all(len(seed) <= MAX_BYTES for seed in seeds)
    assert (sum(target(seed) for seed in seeds) > 0) == (name not in NEVER_WHOLE)
    for number in range(CHANGES):
        seed = random_.choice(seeds)
        changed = json_changed(seed, random_, target.tag_bytes) if target.is_json and number % 2 else None
        target(bytes_changed(seed, random_, target.words) if changed is None else changed)


@pytest.mark.parametrize("path", FOUND, ids=lambda path: f"{path.parent.name}-{path.name}")
def test_nothing_is_found_twice(path: Path) -> None:
    assert path.stat().st_size <= MAX_BYTES
    TARGETS[path.parent.name](path.read_bytes())


def test_a_target_notices_a_wrong_block(monkeypatch: pytest.MonkeyPatch) -> None:
    target = TARGETS["decoder-polar_h10"]
    monkeypatch.setattr(decoders, "ITEMS_PER_BYTE", 0)
    monkeypatch.setattr(decoders, "FIXED_ITEMS", 0)
    with pytest.raises(AssertionError):
        target(target.seeds()[0])


def test_a_target_notices_other_exceptions(monkeypatch: pytest.MonkeyPatch) -> None:
    def raises(*_args: object) -> None:
        raise IndexError

    monkeypatch.setattr(bundles, "parse_calibration", raises)
    monkeypatch.setattr(recordings, "open_reader", raises)
    for name in ("calibration", "edf"):
        with pytest.raises(IndexError):
            TARGETS[name](TARGETS[name].seeds()[0])
