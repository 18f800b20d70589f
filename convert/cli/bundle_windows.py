"""Windows of recordings for ``anyecg bundle diff --data``, as the runtime forms them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TextIO

import numpy as np

from convert.cli.recording_options import add_recording_options, recording_options
from convert.foundation.windows import enough_windows
from edge.cli.parser import Parser
from edge.frontend.stream import WINDOW_S
from edge.window import Window


def recorded_windows(data: Path, count: int, stream: TextIO | None, options: Sequence[str] = ()) -> list[Window]:
    """Return windows that the quality gate accepts, spread over the recordings of a folder.

    Args:
        data: A folder of recordings, or one recording.
        count: Largest number of windows.
        stream: Stream for progress lines, or ``None``.
        options: ``--fs``, ``--lsb-mv`` and ``--lead`` with their values, for recordings that do not state them.

    Raises:
        UsageError: An option is wrong.
        InputError: The recordings give fewer than two usable windows.
        MissingExtraError: No recording can be read without an extra.
    """
    parser = Parser("anyecg bundle diff", "")
    add_recording_options(parser)
    described = recording_options(parser.parse_args(options))
    no_beats = np.empty(0, dtype=np.int64)
    return [
        Window(w.end_s - WINDOW_S, w.end_s, w.filtered, w.raw, no_beats, scale_known=True)
        for w in enough_windows(data, count, stream, described).windows
    ]
