"""The optional ``fusion`` of a head in ``calibration.json``: an additive model of the network and of the waves.

The fused logit is ``weight * network + offset + sum of terms``. Each term is a piecewise linear curve of one
measurement, so that it can be drawn, or a constant where the measurement is missing (a generalised additive model;
Hastie and Tibshirani, Statistical Science 1986;1:297).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from edge.bundle.typed_json import Reader
from edge.waves.record import DIGITS, MAX_VALUE

MAX_TERMS = 8
"""Most terms of a head."""
MAX_KNOTS = 16
"""Most knots of a term."""
MAX_LOGITS = 50.0
"""Largest effect of a term, in logits; e^50 is beyond any odds."""
MAX_WEIGHT = 1e4
"""Largest weight of the network and largest offset."""


@dataclass(frozen=True, slots=True)
class FusionTerm:
    """The effect of one measurement.

    Attributes:
        feature: Name of the measurement in ``waves``, such as ``t_mv``.
        x: Knots in the unit of the measurement, increasing.
        y: Logits at the knots; straight lines between them, constant beyond.
        missing: Logits where the measurement is missing.
    """

    feature: str
    x: tuple[float, ...]
    y: tuple[float, ...]
    missing: float


@dataclass(frozen=True, slots=True)
class Fusion:
    """The additive model of a head.

    Attributes:
        weight: Factor for the network's calibrated logit (before an isotonic curve).
        offset: Summand, logits.
        terms: Effects of the measurements.
        threshold: Decision threshold of the fused probability; ``None`` for none.
        sd: Standard deviation that the fit adds to the network's interval, logits.
        abstain: Band of abstention of the fused probability; ``None`` for none.
    """

    weight: float
    offset: float
    terms: tuple[FusionTerm, ...]
    threshold: float | None
    sd: float
    abstain: tuple[float, float] | None = None


def parse_fusion(r: Reader) -> Fusion | None:
    """Check the ``fusion`` of a probability; ``None`` if there is none.

    Raises:
        BundleError: A value is missing, of the wrong kind or out of range.
    """
    if r.value is None:
        return None
    r.get("method").one_of("additive")
    weight = _within(r.get("weight"), 0.0, MAX_WEIGHT, "a weight above 0")
    if weight == 0.0:
        raise r.get("weight").fail("a weight above 0, because the network stays in the fused answer")
    terms = tuple(_term(item) for item in r.get("terms").items(MAX_TERMS))
    if not terms or len({term.feature for term in terms}) != len(terms):
        raise r.get("terms").fail("at least one term, and each measurement once")
    return Fusion(
        weight,
        _within(r.get("offset"), -MAX_WEIGHT, MAX_WEIGHT, "an offset"),
        terms,
        probability_or_none(r.opt("threshold")),
        _within(r.get("sd"), 0.0, MAX_LOGITS, "a standard deviation"),
        band_or_none(r.opt("abstain")),
    )


def _term(r: Reader) -> FusionTerm:
    feature = r.get("feature").one_of(*DIGITS)
    x, y = (r.get(name).items(MAX_KNOTS) for name in ("x", "y"))
    knots = tuple(_within(item, -MAX_VALUE, MAX_VALUE, "a measurement") for item in x)
    if len(knots) < 2 or any(b <= a for a, b in pairwise(knots)):
        raise r.get("x").fail("at least two increasing measurements")
    if len(y) != len(knots):
        raise r.get("y").fail("as many logits as knots")
    logits = tuple(_within(item, -MAX_LOGITS, MAX_LOGITS, "logits") for item in y)
    return FusionTerm(feature, knots, logits, _within(r.get("missing"), -MAX_LOGITS, MAX_LOGITS, "logits"))


def probability_or_none(r: Reader) -> float | None:
    """Return a decision threshold of a probability; ``None`` if there is none.

    Raises:
        BundleError: It is not between 0 and 1.
    """
    threshold = r.number_or_none()
    if threshold is not None and not 0.0 < threshold < 1.0:
        raise r.fail("a probability between 0 and 1")
    return threshold


def band_or_none(r: Reader) -> tuple[float, float] | None:
    """Return a band of abstention; ``None`` if there is none.

    Raises:
        BundleError: It is not a pair of increasing probabilities.
    """
    if r.value is None:
        return None
    low, high = r.get("low").number(), r.get("high").number()
    if not 0.0 <= low <= high <= 1.0:
        raise r.fail("low and high, two probabilities")
    return low, high


def _within(r: Reader, low: float, high: float, what: str) -> float:
    number = r.number()
    if not low <= number <= high:
        raise r.fail(f"{what} from {low:g} to {high:g}")
    return number
