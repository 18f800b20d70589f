"""Measures the waves of every ten-second window, with the chain and the front end of the foundation tier."""

from __future__ import annotations

from types import MappingProxyType

import numpy as np

from edge.api.items import Waves
from edge.chain import SignalChain
from edge.frontend.ecgfounder import FS_HZ, ZSCORE_EPSILON, EcgFounderFrontEnd
from edge.frontend.stream import WINDOW_S
from edge.grid.timeline import Gap, Timeline
from edge.waves.features import NAMES, segment_features
from edge.window import NoWindow, Window
from firmware_bridge.samples import LinkItem

GATHER_S = 0.2
"""Signal that waits until it is resampled and filtered together, s (``edge.engine``)."""

_NONE = MappingProxyType(dict.fromkeys(NAMES, float("nan")))


class WaveMeter:
    """Measures windows at every hop.

    Args:
        hop_s: Seconds between measurements.

    Raises:
        MissingExtraError: scipy is not installed.
    """

    def __init__(self, hop_s: float) -> None:
        self._front_end = EcgFounderFrontEnd()
        self._timeline = Timeline(round(FS_HZ), round(GATHER_S * FS_HZ))
        self._chain = SignalChain(round(FS_HZ), hop_s)

    def push(self, item: LinkItem) -> list[Waves]:
        """Take the next item of the link and return the measurements that are now due."""
        found: list[Waves] = []
        for part in self._timeline.push(item):
            answers = self._chain.gap(part) if isinstance(part, Gap) else self._chain.push(part)
            found += [self._measure(answer) for answer in answers]
            self._timeline.due = self._chain.due
        return found

    def _measure(self, answer: Window | NoWindow) -> Waves:
        if isinstance(answer, NoWindow):
            return Waves(max(0.0, answer.end_s - WINDOW_S), answer.end_s, _NONE, answer.reason)
        quality = self._chain.assess(answer)
        if quality.reason is not None:
            return Waves(answer.start_s, answer.end_s, _NONE, quality.reason)
        filtered = self._front_end.filter(answer.raw)
        centred = filtered - filtered.mean()
        sd = float(np.sqrt((centred * centred).mean()))
        sd_mv = np.array([sd if answer.scale_known else np.nan])
        row = segment_features((centred / (sd + ZSCORE_EPSILON))[None], sd_mv)[0]
        return Waves(answer.start_s, answer.end_s, MappingProxyType(dict(zip(NAMES, row.tolist(), strict=True))))
