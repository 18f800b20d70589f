"""The example patch in C, and a reader for its output."""

from __future__ import annotations

import asyncio
from pathlib import Path

from firmware_bridge.samples import SampleBlock
from helpers.c_side import C_SIDE

EXAMPLE = C_SIDE / "examples" / "patch"


def with_model(package: Path, runtime: str) -> list[Path]:
    """Return the sources in C of the example with the model of a package, without the library and the hardware."""
    parts = ("model", "golden", "outputs") if runtime == "tflm" else ("kernels", "layers", "network", "outputs")
    example = [EXAMPLE / name for name in ("main.c", "patch_estimate.c", "patch_model.c")]
    return [*example, *(package / f"anyecg_{part}.c" for part in parts)]


def model_flags(runtime: str) -> list[str]:
    """Return the definitions of a build with a model."""
    return ["-DANYECG_WITH_MODEL=1", *(["-DANYECG_TFLM"] if runtime == "tflm" else [])]


async def listen(source, seconds: float, timeout_s: float = 120.0) -> list:
    """Collect items until that many seconds of signal have arrived."""
    items: list = []
    got = 0.0
    try:
        async with asyncio.timeout(timeout_s):
            async for item in source.items():
                items.append(item)
                if isinstance(item, SampleBlock):
                    got += (len(item) + item.lost) / item.fs_hz
                if got >= seconds:
                    break
    finally:
        await source.close()
    return items
