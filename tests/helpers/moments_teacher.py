"""A teacher whose outputs are moments of the window, and a folder of simulated recordings for it."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from convert.datasets.heads import TeacherHead
from convert.datasets.wfdb16 import write_record
from convert.simulate.patient import simulate_patient

HEADS = (
    TeacherHead("potassium_high", "potassium", "2823-3", "1", "probability", "high"),
    TeacherHead("potassium", "potassium", "2823-3", "mmol/L", "value", None),
)


class MomentsTeacher:
    """A teacher whose outputs are determined by the window and unique to it."""

    name, sha256, identity, heads, features, licence = "moments", "0" * 64, "0", HEADS, 3, "MIT"

    def __init__(self, delay_s: float = 0.0) -> None:
        self.delay_s = delay_s
        self.calls = 0

    def label(self, window):
        self.calls += 1
        time.sleep(self.delay_s)
        assert window.shape == (5000,)
        sd = window.std()
        return np.array([np.abs(window).max() / sd, window[:2500].std() / sd], np.float32), np.array(
            [window.mean(), sd, window[0]], np.float32
        )


def write_folder(folder: Path, count: int, seconds: float = 24.0) -> Path:

    folder.mkdir(parents=True, exist_ok=True)
    for i in range(count):
        ecg = simulate_patient(5, i, seconds).ecg_mv.astype(np.float32)
        write_record(folder, f"p{i:02d}", "II", ecg, 500.0, 1000.0, datetime(2240, 1, 1, tzinfo=UTC))
    return folder
