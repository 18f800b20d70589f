"""Describe a checkpoint in text, for ``anyecg convert inspect``."""

from __future__ import annotations

from convert.checkpoint.spec import Net1DSpec, is_norm, normalisation_moved, spec_from_tensors
from convert.checkpoint.tensors import Checkpoint

WINDOW_SAMPLES = 5000
"""Length of the window for which the number of operations is given."""


def describe(checkpoint: Checkpoint, stride: int, *, use_bn: bool) -> str:
    """Return architecture, parameters, heads, hash and oddities as text, one line each.

    Args:
        checkpoint: The checkpoint.
        stride: Stride of the first block of each stage.
        use_bn: Whether the network was trained with batch normalisation.

    Raises:
        InputError: The checkpoint does not hold a Net1D.
    """
    spec = spec_from_tensors(checkpoint.tensors, str(checkpoint.path), stride=stride, use_bn=use_bn)
    facts = ", ".join(f"{k} {v}" for k, v in checkpoint.facts.items()) or "none"
    rows = {
        "file": f"{checkpoint.path} ({checkpoint.path.stat().st_size} bytes, tensors under '{checkpoint.layout}')",
        "sha256": checkpoint.sha256,
        "facts": facts,
        "network": f"Net1D, {spec.in_channels} lead(s), {len(spec.filter_list)} stages, {len(spec.blocks())} blocks",
        "filters": " ".join(map(str, (spec.base_filters, *spec.filter_list))),
        "blocks": " ".join(map(str, spec.m_blocks_list)),
        "kernel": f"{spec.kernel_size}, stride {spec.stride} ({_stride_text(checkpoint)}), "
        f"groups of {spec.groups_width}, ratio {spec.ratio:g}",
        "normalised": _norm_text(spec, checkpoint),
        "parameters": f"{spec.count_parameters()} in use, {spec.count_macs(WINDOW_SAMPLES) / 1e9:.3f} GMAC a window of "
        f"{WINDOW_SAMPLES}",
        "heads": f"{spec.n_classes} outputs of {spec.filter_list[-1]} features (the file does not name them)",
        "tensors": f"{len(checkpoint.tensors)}, stored as {', '.join(checkpoint.dtypes)}",
        "oddities": "; ".join(_oddities(spec, checkpoint)) or "none",
    }
    return "".join(f"{name:<11} {text}\n" for name, text in rows.items())


def _stride_text(checkpoint: Checkpoint) -> str:
    return "as the file says" if "stride" in checkpoint.facts else "not in the file"


def _norm_text(spec: Net1DSpec, checkpoint: Checkpoint) -> str:
    if not any(is_norm(name) for name in checkpoint.tensors):
        return "no (its tensors are absent)"
    return "yes" if spec.use_bn else "no (the file has its tensors, as it always does, but they are unused)"


def _oddities(spec: Net1DSpec, checkpoint: Checkpoint) -> list[str]:
    out = list(checkpoint.oddities)
    moved = normalisation_moved(checkpoint.tensors)
    if moved and not spec.use_bn:
        out.append(
            "the running averages of the normalisation left their initial values; give --bn on if training used it"
        )
    if spec.use_bn and not moved:
        out.append(
            "the running averages of the normalisation have their initial values; give --bn off if it was not used"
        )
    return out
