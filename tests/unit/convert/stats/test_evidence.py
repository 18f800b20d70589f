"""Evidence levels at and around the limits of the AnyECG-Lab paper."""

from __future__ import annotations

import pytest

from convert.stats.evidence import evidence_level


@pytest.mark.parametrize(
    ("auroc", "level"),
    [
        (None, None),
        (0.0, "limited"),
        (0.549, "limited"),
        (0.55, "moderate"),
        (0.65, "moderate"),
        (0.651, "strong"),
        (1.0, "strong"),
    ],
)
def test_the_limits_are_those_of_the_paper(auroc: float | None, level: str | None) -> None:
    assert evidence_level(auroc) == level
