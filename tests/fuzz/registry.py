"""All fuzz targets by name."""

from __future__ import annotations

from fuzz import bundles, checkpoints, decoders, network, recordings, settings
from fuzz.target import Target

FILES: dict[str, Target] = {
    target.name: target for module in (bundles, checkpoints, recordings, network, settings) for target in module.TARGETS
}
DECODERS: dict[str, Target] = {target.name: target for target in decoders.TARGETS}
TARGETS: dict[str, Target] = {**FILES, **DECODERS}
