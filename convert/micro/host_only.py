"""What a host does with the outputs of a bundle and the C code does not: fusion with waves, abstention by rhythm."""

from __future__ import annotations

from collections.abc import Mapping

from convert.micro import c_source as c
from edge.bundle.calibration import HeadCalibration
from edge.bundle.schema import Manifest


def fused_keys(manifest: Manifest, calibration: Mapping[str, HeadCalibration]) -> list[str]:
    """Return the keys of the outputs that the host fuses with waves; the C code does not."""
    return [head.key for head in manifest.outputs if calibration[head.key].fusion is not None]


def rhythm_keys(manifest: Manifest) -> list[str]:
    """Return the keys of the outputs that abstain by rhythm on a host; the C code does not look at the rhythm."""
    return [key for key, _ in _limited(manifest)]


def _limited(manifest: Manifest) -> list[tuple[str, tuple[str, ...]]]:
    """Return the key and the rhythms of each output that abstains in others."""
    return [(head.key, head.rhythms) for head in manifest.outputs if head.rhythms is not None]


def host_only(manifest: Manifest, calibration: Mapping[str, HeadCalibration]) -> str:
    """Return the sections of the README about what only a host does; empty if that is nothing."""
    return _fusion(fused_keys(manifest, calibration)) + _rhythm(_limited(manifest))


def _fusion(keys: list[str]) -> str:
    if not keys:
        return ""
    return (
        "\n## Not in this package: fusion with waves\n\n"
        f"The bundle fuses {', '.join(f'`{c.comment(key)}`' for key in keys)} with the waves of the ECG on a host.\n"
        "This C code does not measure waves: it shows the network's own answer with its own threshold.\n"
    )


def _rhythm(limited: list[tuple[str, tuple[str, ...]]]) -> str:
    if not limited:
        return ""
    rows = "".join(f"- `{c.comment(key)}`: only in {', '.join(rhythms)}\n" for key, rhythms in limited)
    return (
        "\n## Not in this package: abstention by rhythm\n\n"
        "The evidence of these outputs holds for some rhythms only. A host abstains in others. This C code does\n"
        "not look at the rhythm and always answers: do not show these outputs where nothing else knows the rhythm.\n\n"
        f"{rows}"
    )
