"""The rate correction of QT: the wearer's own exponent where the heart rate varied enough, otherwise Fridericia's.

The relation of QT and RR differs between healthy persons: the best exponent of ``QTc = QT / RR^a`` was between 0.234
and 0.486 in 50 volunteers (Malik et al., Heart 2002;87:220). An exponent of one's own needs a range of rates. Where
rate and posture change together, part of the effect of posture looks like one of the rate: an exponent outside of the
published range is therefore not believed, and postures that the user has named are left out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from edge.baseline.quantities import FRIDERICIA, median, spread
from edge.baseline.samples import Table
from edge.waves.mean_beat import MAD_TO_SD

F64 = NDArray[np.float64]

CorrectionName = Literal["fridericia", "individual"]
PUBLISHED_EXPONENTS = (0.234, 0.486)
"""Lowest and highest exponent of 50 healthy persons (Malik et al., Heart 2002;87:220)."""
BLOCK_S = 300.0
"""Windows are joined into blocks: QT follows the rate with a time constant of a minute (Razak et al., Ann Noninvasive
Electrocardiol 2011;16:148), and a block of five has one QT and one rate, s."""
MIN_BLOCK_WINDOWS = 10
MIN_BLOCKS = 24
"""Fewest blocks for an exponent of one's own: two hours."""
ENDS = (0.1, 0.9)
"""Quantiles of the range of RR: a single block at another rate, such as one of standing, does not make a range."""
MAX_BLOCKS = 576
"""Most blocks that are fitted, evenly chosen: all pairs of them are compared."""
MIN_RATIO = 1.2
"""Smallest ratio of the longest to the shortest RR interval with an exponent of one's own, such as 60 and 72 per
minute. Over a smaller range, an error of the exponent hardly matters."""
MAX_UNSTEADY = 0.2
"""Largest range of RR within minutes, as a share of the median, with which QT can be corrected. In one healthy person
at rest, a jump of the rate from 53 to 86 per minute lengthened Fridericia's QTc by 58 ms, while QT had hardly changed
(Sci Rep 2021, doi:10.1038/s41598-021-93774-9, figure 1)."""
MAX_ERROR = 0.08
"""Largest half width of the 95 % interval of an exponent of one's own; about that of the published range is 0.126."""
RATE_ROOM = 1.5
"""Factor by which RR may differ from that of the quiet hour with a published exponent; the band becomes wider."""
FITTED_ROOM = 1.1
"""Factor by which RR may lie outside of the range in which one's own exponent was fitted."""


@dataclass(frozen=True, slots=True)
class Correction:
    """The rate correction ``QTc = QT / (RR / 1 s)^exponent``.

    Attributes:
        name: ``individual`` if the exponent is the wearer's own.
        exponent: The exponent.
        low: Lowest exponent that the wearer may have.
        high: Highest one.
        rr_low_ms: Shortest RR interval with which QT is corrected, ms.
        rr_high_ms: Longest one, ms.
        blocks: Blocks of five minutes of which the exponent was fitted; 0 for Fridericia's.
    """

    name: CorrectionName
    exponent: float
    low: float
    high: float
    rr_low_ms: float
    rr_high_ms: float
    blocks: int = 0


def unsteady(rr_ms: F64) -> bool:
    """Return whether the heart rate of some minutes changes too much for a corrected QT."""
    low, high = np.quantile(rr_ms, ENDS).tolist()
    return bool(high - low > MAX_UNSTEADY * float(np.median(rr_ms)))


def fit_correction(rows: Table, quiet_rr_ms: float) -> Correction:
    """Fit the wearer's own exponent, by the median slope of all pairs (Theil and Sen), or take Fridericia's.

    Args:
        rows: Windows that may be compared, of all the time that is known.
        quiet_rr_ms: Median RR interval of the quiet hour, ms.
    """
    log_rr, log_qt = _blocks(rows)
    plain = Correction("fridericia", FRIDERICIA, *PUBLISHED_EXPONENTS, quiet_rr_ms / RATE_ROOM, quiet_rr_ms * RATE_ROOM)
    if len(log_rr) < MIN_BLOCKS:
        return plain
    low, high = np.quantile(log_rr, ENDS).tolist()
    if high - low < np.log(MIN_RATIO):
        return plain
    run, rise = log_rr[:, None] - log_rr, log_qt[:, None] - log_qt
    apart = run > 0.25 * (high - low)
    exponent = float(np.median(rise[apart] / run[apart]))
    rest = log_qt - exponent * log_rr
    sd = MAD_TO_SD * spread(rest)
    half = 1.96 * sd / float(np.sqrt(np.sum((log_rr - log_rr.mean()) ** 2)))
    if half > MAX_ERROR or not PUBLISHED_EXPONENTS[0] - half <= exponent <= PUBLISHED_EXPONENTS[1] + half:
        return plain
    shortest, longest = 1000.0 * float(np.exp(low)), 1000.0 * float(np.exp(high))
    return Correction(
        "individual", exponent, exponent - half, exponent + half,
        min(shortest, quiet_rr_ms) / FITTED_ROOM, max(longest, quiet_rr_ms) * FITTED_ROOM, len(log_rr),
    )  # fmt: skip


def _blocks(rows: Table) -> tuple[F64, F64]:
    """Return the logarithms of the median RR, s, and QT, ms, of each block with a steady rate."""
    found: list[tuple[float, float]] = []
    block = np.floor(rows.unix_s / BLOCK_S)
    for one in np.unique(block):
        inside = rows.where(block == one)
        if len(inside.rr_ms) >= MIN_BLOCK_WINDOWS and not unsteady(inside.rr_ms):
            found.append((median(inside.rr_ms), median(inside.qt_ms)))
    if not found:
        return np.zeros(0), np.zeros(0)
    some = np.array(found)[np.unique(np.linspace(0, len(found) - 1, MAX_BLOCKS).astype(np.intp))]
    return np.log(some[:, 0] / 1000.0), np.log(some[:, 1])
