"""Outputs in words: the limits are those of the catalogue on the host, and foreign text is cleaned."""

from __future__ import annotations

import dataclasses

import pytest

from convert.datasets.labcatalogue import catalogue
from edge.bundle.reader import load_bundle
from edge.bundle.schema import OutputHead
from edge.bundle.words import output_words, reference_limits

HEAD = load_bundle("demo").manifest.outputs[0]


def test_the_limits_on_the_device_are_those_of_the_catalogue() -> None:
    expected = {lab.key: (lab.name, lab.unit, lab.ref_low, lab.ref_high) for lab in catalogue().values()}
    assert {key: tuple(one) for key, one in reference_limits().items()} == expected


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, "Potassium below 3.5 mmol/L"),
        ({"direction": "high"}, "Potassium above 5 mmol/L"),
        ({"direction": "abnormal"}, "Potassium outside 3.5 to 5 mmol/L"),
        ({"direction": "high", "horizon_min": 60}, "Potassium above 5 mmol/L, within 60 min"),
        ({"kind": "value", "direction": None}, "Potassium"),
        ({"lab": "crp", "direction": "low"}, "CRP low"),
        ({"lab": "egfr"}, "eGFR (CKD-EPI 2021) below 90 mL/min/1.73 m²"),
        ({"lab": "brand_new\x1b[1m", "direction": "high"}, "Brand new\ufffd[1m high"),
        ({"direction": None, "key": "rhythm_abnormal"}, "Rhythm abnormal"),
    ],
)
def test_an_output_is_named_by_what_it_estimates(changes: dict[str, object], words: str) -> None:
    head: OutputHead = dataclasses.replace(HEAD, **changes)  # type: ignore[arg-type]  # fields of the parameters above
    assert output_words(head, reference_limits()) == words
