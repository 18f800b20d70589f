"""The values in the JSON and TOML inputs of the fuzz targets, each replaced by values of other types."""

from __future__ import annotations

import json
import re

import pytest

from fuzz.mutate import each_value_changed
from fuzz.registry import TARGETS

OTHERS = (None, True, -1, 10**30, 0.5, "", "x", [], ["x"], [0.5, 0.6], {}, {"x": 1})
IN_TOML = ("true", "-1", "1" + "0" * 30, "nan", '""', '"x"', "[]", '["x"]', "[0.5, 0.6]", "{}", "{ x = 1 }", "07:32:00")
VALUE_OF_TOML = re.compile(r"^([A-Za-z_.]+ = )(.+)$", re.MULTILINE)
JSON_TARGETS = [name for name, target in TARGETS.items() if target.is_json]


def test_json_targets_are_named() -> None:
    assert {"manifest", "calibration", "settings", "signature"} <= set(JSON_TARGETS)


@pytest.mark.parametrize("name", JSON_TARGETS)
def test_values_of_another_type_in_json_are_read_or_refused(name: str) -> None:
    target, tried = TARGETS[name], 0
    for seed in target.seeds():
        tag, text = seed[: target.tag_bytes], seed[target.tag_bytes :]
        try:
            tree = json.loads(text)
        except ValueError:
            continue
        for changed in each_value_changed(tree, OTHERS):
            target(tag + changed.encode())
            tried += 1
    assert tried > 30


def test_values_of_another_type_in_toml_are_read_or_refused() -> None:
    target, tried = TARGETS["settings"], 0
    for seed in target.seeds():
        text = seed.decode()
        for found in VALUE_OF_TOML.finditer(text):
            for other in IN_TOML:
                target((text[: found.start(2)] + other + text[found.end(2) :]).encode())
                tried += 1
    assert tried > 300
