"""Outputs in words: the bundle's own come first, the limits are those of the catalogue, foreign text is cleaned."""

from __future__ import annotations

import dataclasses
import re

import pytest

from convert.datasets.labcatalogue import catalogue
from edge.bundle.reader import load_bundle
from edge.bundle.schema import OutputHead
from edge.bundle.words import head_words, key_words, lab_words, output_words, reference_limits, sentence, unit_words

HEAD = dataclasses.replace(load_bundle("demo").manifest.outputs[0], means=None)


def test_the_limits_on_the_device_are_those_of_the_catalogue() -> None:
    expected = {lab.key: (lab.name, lab.unit, lab.ref_low, lab.ref_high) for lab in catalogue().values()}
    assert {key: tuple(one) for key, one in reference_limits().items()} == expected


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, "potassium below 3.5 mmol/L"),
        ({"direction": "high"}, "potassium above 5.0 mmol/L"),
        ({"direction": "abnormal"}, "potassium outside 3.5 to 5.0 mmol/L"),
        ({"direction": "high", "horizon_min": 60}, "potassium above 5.0 mmol/L, within 60 min"),
        ({"kind": "value", "direction": None}, "potassium"),
        ({"lab": "crp", "direction": "low"}, "CRP low"),
        ({"lab": "egfr"}, "eGFR (CKD-EPI 2021) below 90 mL/min/1.73 m²"),
        ({"lab": "ph_arterial"}, "arterial pH below 7.38"),
        ({"lab": "brand_new\x1b[1m", "direction": "high"}, "brand new\ufffd[1m high"),
        ({"direction": None, "key": "rhythm_abnormal"}, "rhythm abnormal"),
        ({"means": "potassium below 3.0 mmol/L"}, "potassium below 3.0 mmol/L"),
        ({"means": "low\x1b[2J"}, "low\ufffd[2J"),
    ],
)
def test_an_output_is_named_by_what_it_estimates(changes: dict[str, object], words: str) -> None:
    head: OutputHead = dataclasses.replace(HEAD, **changes)  # type: ignore[arg-type]  # fields of the parameters above
    assert head_words(head) == words


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("potassium_high", "potassium above 5.0 mmol/L"),
        ("calcium_low_60min", "total calcium below 8.6 mg/dL, within 60 min"),
        ("egfr_high", "eGFR (CKD-EPI 2021) high"),
        ("glucose_abnormal", "glucose outside 70 to 100 mg/dL"),
        ("wbc_high", "WBC above 11.0 10³/µL"),
        ("potassium_value", "potassium"),
        ("potassium", "potassium"),
        ("inr_value", "INR"),
        ("my_own_high", "my own high"),
        ("my\x1b_own", "my\ufffd own"),
    ],
)
def test_keys_become_words(key: str, words: str) -> None:
    assert key_words(key) == words


def test_every_output_of_the_catalogue_has_words() -> None:
    names = [output_words(lab, direction) for lab in catalogue() for direction in ("low", "high", "abnormal", None)]
    assert len(set(names)) == len(names)
    assert not [name for name in names if re.search(r"[_{}\[\]*]", name)]
    assert sum("above" in name for name in names) > 60


def test_a_sentence_begins_with_a_capital_except_within_a_word() -> None:
    names = [sentence(lab_words(lab)) for lab in ("potassium", "egfr", "d_dimer", "calcium")]
    assert names == ["Potassium", "eGFR (CKD-EPI 2021)", "D-dimer (FEU)", "Total calcium"]
    assert unit_words("1") == ""
