"""The waves of a window as a program gets them: those of its estimate, and more features of the same average beat."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

from edge.api.items import Waves
from edge.waves.features import NAMES, average_beat_features, rhythm_features
from edge.waves.mean_beat import STREAM_HZ
from edge.waves.path import FS_HZ
from edge.waves.record import DIGITS

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from edge.records import Estimate
    from edge.waves.measure import WaveMeter

NAN = float("nan")
ALL_NAMES: tuple[str, ...] = (*NAMES, *(name for name in DIGITS if name not in NAMES))
"""Names of all values: the features of a segment, then those that only estimates have."""

_NONE = MappingProxyType(dict.fromkeys(ALL_NAMES, NAN))
_OF_ST = ("st_r", "t_area_r", "t_area_mv_ms")
"""Features that need ST."""


def waves_of(e: Estimate, meter: WaveMeter, beats: NDArray[np.int64]) -> Waves:
    """Return the waves of the window of an estimate or abstention.

    Args:
        e: The estimate.
        meter: What has measured its window.
        beats: R peaks of the window, as indices into the 125 Hz stream.
    """
    if e.waves is None:
        return Waves(e.window.start_s, e.window.end_s, _NONE, e.abstained)
    found = dict(_NONE)
    if meter.beat is None:
        found |= rhythm_features(beats, STREAM_HZ)
    else:
        found |= rhythm_features(meter.beat.peaks, FS_HZ)
        scale_mv = NAN if "mv" in e.waves.missing else 1.0
        found |= average_beat_features(meter.beat, meter.found, scale_mv)
    if "st" in e.waves.missing:
        found |= dict.fromkeys(_OF_ST, NAN)
    for name in DIGITS:
        value = getattr(e.waves, name)
        found[name] = NAN if value is None else value
    return Waves(e.window.start_s, e.window.end_s, MappingProxyType(found))
