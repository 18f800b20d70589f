"""Rails of a window on the samples as the source gave them."""

from __future__ import annotations

from math import ceil

import numpy as np

from edge.frontend.stream import FS_HZ
from edge.grid.native import NativeTail
from edge.quality.rails import Rails, find_rails, usual_height
from edge.window import Window


def native_rails(tail: NativeTail, window: Window, lookback_s: float) -> Rails | None:
    """Look for rails in a window.

    Args:
        tail: The samples of the source.
        window: The window.
        lookback_s: Signal before the window in which a stay still matters, s.

    Returns:
        What was found; ``None`` if the samples of the source are not known.
    """
    last = tail.last
    if last is None:
        return None
    x, number = tail.span(window.start_s - lookback_s, window.end_s)
    first = max(0, ceil(tail.number(window.start_s) - number))
    at = [round(tail.number(window.start_s + beat / FS_HZ)) - number for beat in window.beats.tolist()]
    beats, height = np.array(at, dtype=np.int64), usual_height(window.filtered, FS_HZ)
    return find_rails(x, last.fs_hz, beats, first=first, step=last.step, limits=last.limits, height=height)
