"""Recognises a Cyton whose frames alternate between its own board and a Daisy module.

With a Daisy the board sends 250 frames a second as before, but those with odd numbers hold channels 1 to 8 and those
with even numbers channels 9 to 16, so each channel has 125 samples a second. Nothing in a frame says so. The boot text
does, and so do the samples: electrodes have offsets, so two boards differ from frame to frame by far more than either
changes by itself. Sources: brainflow-dev/brainflow@0fc5162:src/board_controller/openbci/cyton_daisy.cpp;
OpenBCI/Documentation: website/docs/Cyton (boot text ``On Daisy ADS1299 Device ID``).
"""

from __future__ import annotations

import numpy as np

BOARD_CHANNELS = 8
FRAMES = 32
"""Frames that are compared at a time."""
CHECKS = 16
"""Comparisons without a sign of a Daisy after which there is none: two seconds."""
APART = 8.0
"""Difference between the boards, relative to the usual change of a channel, that shows a Daisy."""
FLOOR = 8.0
"""Smallest difference that counts, counts: less than a microvolt."""
AGREE = 2
"""Channels that must show it."""
BOARD_TEXT, DAISY_TEXT = b"On Board ADS1299", b"On Daisy ADS1299"
PROMPT = b"$$$"
TEXT_MAX = 512
"""Bytes of the boot text that are kept."""


class DaisyCheck:
    """Decides once per connection whether frames come from two boards.

    Attributes:
        found: Whether there is a Daisy; ``None`` while that is open.
    """

    def __init__(self) -> None:
        self.found: bool | None = None
        self._checks = 0
        self._text = b""
        self._frames: list[tuple[int, bytes]] = []

    def text(self, data: bytes) -> None:
        """Read the boot text, in any pieces, up to its prompt."""
        self._text = (self._text + data)[-TEXT_MAX:]
        if DAISY_TEXT in self._text:
            self.found = True
        elif BOARD_TEXT in self._text and PROMPT in self._text:
            self.found = False

    def frame(self, number: int, channels: bytes) -> None:
        """Look at the next frame.

        Args:
            number: Its number, unwrapped.
            channels: Its eight channels, 24 bits each, big-endian.
        """
        if self._frames and number != self._frames[-1][0] + 1:
            self._frames.clear()
        self._frames.append((number, channels))
        if len(self._frames) < FRAMES:
            return
        self._checks += 1
        if _two_boards(b"".join(frame for _number, frame in self._frames)):
            self.found = True
        elif self._checks == CHECKS:
            self.found = False
        self._frames.clear()


def _two_boards(data: bytes) -> bool:
    raw = np.frombuffer(data, np.uint8).reshape(FRAMES, BOARD_CHANNELS, 3).astype(np.int32)
    high = raw[..., 0].astype(np.int8).astype(np.int32) << 16
    values = (high | raw[..., 1] << 8 | raw[..., 2]).astype(np.float64)
    change = np.abs(values[2:] - values[:-2]).mean(axis=0)
    apart = np.abs(values[::2].mean(axis=0) - values[1::2].mean(axis=0))
    return int(np.count_nonzero(apart > APART * change + FLOOR)) >= AGREE
