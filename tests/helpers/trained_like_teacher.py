"""A stand-in for a trained teacher: full size, normalisation of real windows, and logits that vary as trained ones do.

A network with random weights has logits that hardly move, which any quantization keeps. This one is harsher than a
trained network: its features move little, so its last layer magnifies them with their noise.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

HEADS = 108
LOGIT_SD = 1.2
LOGIT_MEAN = -2.0
WINDOWS = 80
"""Number of windows for the statistics."""

LUDB_LEADS = ("i", "ii")


SMALL: dict[str, Any] = {"base_filters": 16, "filter_list": (16, 32, 32), "m_blocks_list": (1, 2, 1), "groups_width": 8}
"""Shape of a network that is converted in seconds."""


def trained_like_teacher(
    folder: Path, windows: NDArray[np.float32], seed: int = 1, shape: dict[str, Any] | None = None
) -> Path:
    """Write ``teacher.pth`` and ``outputs.json``.

    Args:
        folder: Output folder.
        windows: Real windows after ``ecgfounder/1``, ``(n, 5000)``.
        seed: Seed of the weights.
        shape: Arguments of ``Net1D``; ``None`` for the full size.

    Returns:
        The checkpoint.
    """
    import keras

    from convert.checkpoint.net1d import Net1D, to_tensors
    from convert.checkpoint.writer import write_checkpoint

    keras.utils.set_random_seed(seed)
    net = Net1D(n_classes=HEADS, use_bn=True, form="native", **(shape or {}))
    chosen = windows[np.linspace(0, len(windows) - 1, WINDOWS).astype(int)].reshape(WINDOWS, 1, -1, 1)
    for layer in net.core.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.0
    net.core(chosen, training=True)
    parts = [np.asarray(net.core(chosen[i : i + 8], training=False)[1]) for i in range(0, WINDOWS, 8)]
    features = np.concatenate(parts).reshape(WINDOWS, -1)
    dense = net.core.get_layer("dense")
    weights, bias = dense.get_weights()
    logits = features @ weights[0, 0] + bias
    factor = LOGIT_SD / logits.std(axis=0)
    dense.set_weights([weights * factor, LOGIT_MEAN - (logits.mean(axis=0) - bias) * factor])
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "teacher.pth"
    write_checkpoint(path, to_tensors(net), facts={"stride": 2, "use_bn": 1})
    heads = [{"key": f"lab_{i}_high", "lab": f"lab {i}", "direction": "high"} for i in range(HEADS)]
    (folder / "outputs.json").write_text(json.dumps({"outputs": heads}))
    return path


def real_windows(data: Path, count: int = 220) -> NDArray[np.float32]:
    """Return windows of the shared recordings after ``ecgfounder/1``, ``(n, 5000)``."""
    from convert.foundation.windows import enough_windows, prepare

    found = enough_windows(data, count, None)
    return prepare(found.raw(), 16.0).values


def ludb_windows(data: Path) -> NDArray[np.float32]:
    """Return leads I and II of all records of LUDB after ``ecgfounder/1``, ``(n, 5000)``."""
    import wfdb

    from convert.foundation.windows import prepare

    records = sorted((data / "ludb" / "data").glob("*.hea"), key=lambda p: int(p.stem))
    raw = []
    for record in records:
        signal = wfdb.rdrecord(str(record.with_suffix("")))
        names = [name.lower() for name in signal.sig_name]
        raw += [signal.p_signal[:5000, names.index(lead)] for lead in LUDB_LEADS]
    return prepare(np.array(raw), 16.0).values
