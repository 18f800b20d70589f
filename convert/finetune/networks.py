"""Trainable networks: a whole network, or a new last layer on a frozen network."""

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
"""Number of segments in a batch when the features are computed."""

OPEN_FEATURES = 1 << 29
"""Maximum size of the features in memory, bytes."""


class WholeNetwork:
    """A network in which every weight is trained.

    Args:
        net: A Net1D.
    """

    def __init__(self, net: Any) -> None:
        self._tf, self._net = load_tensorflow(), net
        self.variables: list[Any] = list(net.core.variables)
        self.trainable: list[Any] = list(net.core.trainable_variables)

    def logits(self, x: Any, *, training: bool) -> Any:
        """Return the outputs of segments ``(n, 5000)``."""
        logits, _ = self._net.core(x[:, None, :, None], training=training)
        return self._tf.cast(self._tf.reshape(logits, [-1, self._net.spec.n_classes]), "float32")


class LastLayer:
    """A network in which only ``dense`` is trained: a linear probe.

    Args:
        net: A Net1D.
    """

    def __init__(self, net: Any) -> None:
        self._tf, self._net = load_tensorflow(), net
        self._dense = net.core.get_layer("dense")
        self.variables: list[Any] = list(self._dense.trainable_variables)
        self.trainable: list[Any] = self.variables

    def logits(self, x: Any, *, training: bool) -> Any:
        """Return the outputs of pooled features ``(n, width)``."""
        del training
        logits = self._dense(x[:, None, None, :])
        return self._tf.cast(self._tf.reshape(logits, [-1, self._net.spec.n_classes]), "float32")


class FeatureReader(Reader):
    """A reader that returns pooled features instead of segments. They are computed once and kept on disk by shard.

    Args:
        data: The prepared data set.
        folder: Folder of the features.
        key: Fingerprint of data and network; features with another key are computed again.
    """

    def __init__(self, data: PreparedDataset, folder: Path, key: str) -> None:
        super().__init__(data)
        self._folder, self._key = folder, key
        self._features: OrderedDict[str, F32] = OrderedDict()
        self._feature_bytes = 0

    def compute(self, net: Any, names: list[str], replicas: Replicas, progress: TextIO | None) -> None:
        """Compute the missing features. Each worker computes its share and waits for the others.

        Args:
            net: Network whose pooled features are computed.
            names: Names of the shards.
            replicas: Workers that train.
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
                # Padded to one shape, so that only one function is compiled.
                x = np.concatenate([x, np.zeros((FEATURE_BATCH - len(x), x.shape[1]), np.float32)])
                found = np.asarray(forward(tf.constant(x)), np.float32).reshape(FEATURE_BATCH, -1)
                parts.append(found[: len(shard) - i])
            features = np.concatenate(parts) if parts else np.empty((0, net.spec.filter_list[-1]), np.float32)
            save_arrays(self._path(name), {"features": features, "key": np.array(self._key)})
            bar.step(len(mine) - len(todo) + number + 1)
        replicas.barrier(len(names))

    def segments(self, rows: Rows) -> F32:
        """Return the features, ``(n, width)`` float32."""
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
            assert found is not None, "compute() makes the features of all shards"
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
            return None  # missing, damaged or with another key: it is computed again
