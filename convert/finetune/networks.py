"""What is trained: a whole network, or a new last layer on a network that stays as it is."""

from __future__ import annotations

import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any, TextIO

import numpy as np
from numpy.typing import NDArray

from convert.compute.progress import Progress
from convert.compute.replicas import Replicas
from convert.compute.tf_runtime import load_tensorflow
from convert.compute.training import save_arrays
from convert.datasets.prepared import PreparedDataset
from convert.finetune.batches import Reader, Rows

F32 = NDArray[np.float32]

FEATURE_BATCH = 32
OPEN_FEATURES = 1 << 29
"""Bytes of features held."""


class WholeNetwork:
    """Every weight moves.

    Args:
        net: A Net1D.
    """

    def __init__(self, net: Any) -> None:
        self._tf, self._net = load_tensorflow(), net
        self.variables: list[Any] = list(net.core.variables)
        self.trainable: list[Any] = list(net.core.trainable_variables)

    def logits(self, x: Any, *, training: bool) -> Any:
        """Outputs of segments ``(n, 5000)``."""
        logits, _ = self._net.core(x[:, None, :, None], training=training)
        return self._tf.cast(self._tf.reshape(logits, [-1, self._net.spec.n_classes]), "float32")


class LastLayer:
    """Only ``dense`` moves: a linear probe.

    Args:
        net: A Net1D.
    """

    def __init__(self, net: Any) -> None:
        self._tf, self._net = load_tensorflow(), net
        self._dense = net.core.get_layer("dense")
        self.variables: list[Any] = list(self._dense.trainable_variables)
        self.trainable: list[Any] = self.variables

    def logits(self, x: Any, *, training: bool) -> Any:
        """Outputs of pooled features ``(n, width)``."""
        del training
        logits = self._dense(x[:, None, None, :])
        return self._tf.cast(self._tf.reshape(logits, [-1, self._net.spec.n_classes]), "float32")


class FeatureReader(Reader):
    """Gives the pooled features of segments in their place; each shard's are computed once and kept on disk.

    Args:
        data: The data.
        folder: For the features.
        key: Of the data and the network; features of another key are made again.
    """

    def __init__(self, data: PreparedDataset, folder: Path, key: str) -> None:
        super().__init__(data)
        self._folder, self._key = folder, key
        self._features: OrderedDict[str, F32] = OrderedDict()
        self._feature_bytes = 0

    def compute(self, net: Any, names: list[str], replicas: Replicas, progress: TextIO | None) -> None:
        """Computes what is not there yet; of several workers each does its share, and waits for the others.

        Args:
            net: Its trunk gives the features.
            names: Shards.
            replicas: Who takes part.
            progress: Stream for the progress line, or ``None``.

        Raises:
            OutputError: A file cannot be written.
        """
        tf = load_tensorflow()
        forward = tf.function(lambda x: net.core(x[:, None, :, None], training=False)[1], reduce_retracing=True)
        mine = names[replicas.worker :: replicas.workers]
        todo = [name for name in mine if self._read(name) is None]
        bar = Progress("features", len(mine), "shards", progress, len(mine) - len(todo))
        for number, name in enumerate(todo):
            shard = self._data.shard(name)
            parts = []
            for i in range(0, len(shard), FEATURE_BATCH):
                x = shard.segments(slice(i, i + FEATURE_BATCH))
                # One shape, so one compiled function.
                x = np.concatenate([x, np.zeros((FEATURE_BATCH - len(x), x.shape[1]), np.float32)])
                found = np.asarray(forward(tf.constant(x)), np.float32).reshape(FEATURE_BATCH, -1)
                parts.append(found[: len(shard) - i])
            features = np.concatenate(parts) if parts else np.empty((0, net.spec.filter_list[-1]), np.float32)
            save_arrays(self._path(name), {"features": features, "key": np.array(self._key)})
            bar.step(len(mine) - len(todo) + number + 1)
        replicas.barrier(len(names))

    def segments(self, rows: Rows) -> F32:
        """Features, ``(n, width)``."""
        parts = {int(i): self._of(rows.names[i]) for i in np.unique(rows.shard)}
        width = next(iter(parts.values())).shape[1]
        out = np.empty((len(rows), width), np.float32)
        for i, features in parts.items():
            at = np.flatnonzero(rows.shard == i)
            out[at] = features[rows.row[at]]
        return out

    def _of(self, name: str) -> F32:
        if name not in self._features:
            found = self._read(name)
            assert found is not None, "computed before"
            self._features[name] = found
            self._feature_bytes += found.nbytes
            while self._feature_bytes > OPEN_FEATURES and len(self._features) > 1:
                self._feature_bytes -= self._features.popitem(last=False)[1].nbytes
        self._features.move_to_end(name)
        return self._features[name]

    def _path(self, name: str) -> Path:
        return self._folder / f"{name}.npz"

    def _read(self, name: str) -> F32 | None:
        try:
            with np.load(self._path(name), allow_pickle=False) as found:
                return np.asarray(found["features"]) if str(found["key"]) == self._key else None
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
            return None  # missing, torn or of something else: it is made again
