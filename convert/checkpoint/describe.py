"""A checkpoint in words."""

from __future__ import annotations

from convert.checkpoint.spec import Net1DSpec, is_norm, normalisation_moved, spec_from_tensors
from convert.checkpoint.tensors import Checkpoint

WINDOW_SAMPLES = 5000


def describe(checkpoint: Checkpoint, stride: int, *, use_bn: bool) -> str:
    """Architecture, parameters, heads, hash and oddities, line by line.

    Args:
        checkpoint: That was read.
        stride: Of each stage's first block.
        use_bn: Whether the network was trained with batch normalisation.

    Raises:
        InputError: It is no Net1D.
    """
    spec = spec_from_tensors(checkpoint.tensors, str(checkpoint.path), stride=stride, use_bn=use_bn)
    facts = ", ".join(f"{k} {v}" for k, v in checkpoint.facts.items()) or "none"
    rows = {
        "file": f"{checkpoint.path} ({checkpoint.path.stat().st_size} bytes, tensors under '{checkpoint.layout}')",
        "sha256": checkpoint.sha256,
        "beside": facts,
        "network": f"Net1D, {spec.in_channels} lead(s), {len(spec.filter_list)} stages, {len(spec.blocks())} blocks",
        "filters": " ".join(map(str, (spec.base_filters, *spec.filter_list))),
        "blocks": " ".join(map(str, spec.m_blocks_list)),
        "kernel": f"{spec.kernel_size}, stride {spec.stride} ({_stride_said(checkpoint)}), "
        f"groups of {spec.groups_width}, ratio {spec.ratio:g}",
        "normalised": _norm_text(spec, checkpoint),
        "parameters": f"{spec.count_parameters()} in use, {spec.count_macs(WINDOW_SAMPLES) / 1e9:.3f} GMAC a window of "
        f"{WINDOW_SAMPLES}",
        "heads": f"{spec.n_classes} outputs of {spec.filter_list[-1]} features (the file does not name them)",
        "tensors": f"{len(checkpoint.tensors)}, stored as {', '.join(checkpoint.dtypes)}",
        "oddities": "; ".join(_oddities(spec, checkpoint)) or "none",
    }
    return "".join(f"{name:<11} {text}\n" for name, text in rows.items())


def _stride_said(checkpoint: Checkpoint) -> str:
    return "as the file says" if "stride" in checkpoint.facts else "not in the file"


def _norm_text(spec: Net1DSpec, checkpoint: Checkpoint) -> str:
    if not any(is_norm(name) for name in checkpoint.tensors):
        return "no (its tensors are absent)"
    return "yes" if spec.use_bn else "no (its tensors are in the file, as always, and unused)"


def _oddities(spec: Net1DSpec, checkpoint: Checkpoint) -> list[str]:
    out = list(checkpoint.oddities)
    moved = normalisation_moved(checkpoint.tensors)
    if moved and not spec.use_bn:
        out.append("the averages of the normalisation are not the initial ones; say --bn on if it was trained with it")
    if spec.use_bn and not moved:
        out.append("the averages of the normalisation are the initial ones; say --bn off if it was trained without it")
    return out
