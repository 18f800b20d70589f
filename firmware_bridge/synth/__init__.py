"""Synthetic ECG and noise."""

from __future__ import annotations

from typing import TYPE_CHECKING

from firmware_bridge.lazy import lazy_face

if TYPE_CHECKING:
    from firmware_bridge.synth.ecgsyn import EcgParams, EcgSynth
    from firmware_bridge.synth.noise import NoiseParams, NoiseSource

__all__ = ["EcgParams", "EcgSynth", "NoiseParams", "NoiseSource"]

if not TYPE_CHECKING:
    __getattr__, __dir__ = lazy_face(
        __name__,
        {
            "EcgParams": "ecgsyn",
            "EcgSynth": "ecgsyn",
            "NoiseParams": "noise",
            "NoiseSource": "noise",
        },
    )
