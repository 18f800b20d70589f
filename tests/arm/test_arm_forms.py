"""The dynamic-range form of a foundation bundle on emulated 64-bit ARM, against the outputs of this machine."""

from __future__ import annotations

import json

import pytest
from jobs import done, here
from machines import AARCH64_311, AARCH64_313, GUEST

pytest.importorskip("tensorflow")

from helpers.small_teacher import small_bundle

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

LOGITS = 0.01
"""Largest difference of a logit. Float32 rounds differently on another processor, and each difference may move an
activation to the next step."""


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return small_bundle(tmp_path_factory.mktemp("forms"), "dynamic")


@pytest.mark.parametrize(
    ("machine", "cpu"), [(AARCH64_311, "cortex-a53"), (AARCH64_313, "cortex-a76")], ids=lambda x: getattr(x, "name", x)
)
def test_dynamic_range_gives_the_same_logits(jobs, bundle, machine, cpu):
    script = str(GUEST / "golden_outputs.py")
    found = json.loads(done(jobs.python(here(machine), script, str(bundle), cpu=cpu)).stdout)
    print(f"{machine.name} {cpu}: logits at most {found['logits_max']:.5f} apart, {found['peak_mib']:.0f} MiB")
    assert found["logits_max"] <= LOGITS
    ours = json.loads(done(jobs.python(None, script, str(bundle))).stdout)
    assert ours["logits_max"] == 0.0
