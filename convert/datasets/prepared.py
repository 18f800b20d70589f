"""Reader of a prepared data set; ``docs/prepared-format.md`` has the format.

::

    data = PreparedDataset(folder)
    for shard in data.shards("train"):
        x = shard.segments(slice(0, 64))     # (64, 5000) float32, z-scored by ecgfounder/1
        y = shard.targets()                  # (n, len(data.heads)) float32, NaN where nobody knows

Targets of value heads are scaled: ``(value - median) / iqr`` of the training part.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
from numpy.typing import NDArray

from convert.datasets.mcmed import Part
from convert.datasets.shards import read_shard
from firmware_bridge.errors import InputError

SCHEMA = "anyecg.prepared/1"
MANIFEST = "manifest.json"
SHARDS = "shards"
UNKNOWN = 255


@dataclass(frozen=True, slots=True)
class PreparedHead:
    """One output that the data support.

    Attributes:
        key: Unique, such as ``potassium_high``.
        lab: Key of the lab.
        loinc: LOINC code.
        unit: UCUM unit; ``"1"`` for a probability.
        kind: ``"probability"`` or ``"value"``.
        direction: ``"low"``, ``"high"``, ``"abnormal"``; ``None`` for a value.
        horizon_min: Minutes ahead; ``None`` for an estimate of now.
        column: In the shard's ``binary`` or ``values``.
        median: Of a value head in the training part, in the unit; 0 for a probability.
        iqr: Its distance of quartiles, never 0; 1 for a probability.
    """

    key: str
    lab: str
    loinc: str
    unit: str
    kind: Literal["probability", "value"]
    direction: Literal["low", "high", "abnormal"] | None
    horizon_min: int | None
    column: int
    median: float
    iqr: float


class PreparedShard:
    """One shard; segments stay on the disk until they are asked for.

    Args:
        folder: Of the shards.
        name: Of the shard.
        heads: Of the data set.

    Attributes:
        name: Of the shard.
        start_s: Begin of each segment, seconds since 1970 UTC, ``(n,)``.
        visit: Visit of each, ``(n,)``.
        patient: Identifier of each one's patient, ``(n,)`` text.
        recording: Name of each one's recording, ``(n,)`` text.
        age: Years, NaN where unknown, ``(n,)``.
        sex: As the data set writes it, ``(n,)`` text.
        sd_mv: Standard deviation before the z-score, NaN where the scale is unknown, ``(n,)``.
    """

    def __init__(self, folder: Path, name: str, heads: tuple[PreparedHead, ...]) -> None:
        self.name = name
        try:
            self._numbers = np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False)
            with np.load(folder / f"{name}.npz", allow_pickle=False) as arrays:
                self._scale = arrays["scale"]
                self.start_s: NDArray[np.float64] = arrays["start_s"]
                self.visit: NDArray[np.int64] = arrays["visit"]
                self.patient: NDArray[np.str_] = arrays["patients"][arrays["patient"]]
                self.recording: NDArray[np.str_] = arrays["recordings"][arrays["recording"]]
                self.age: NDArray[np.float32] = arrays["age"]
                self.sex: NDArray[np.str_] = arrays["sex"]
                self.sd_mv: NDArray[np.float32] = arrays["sd_mv"]
                self._binary, self._values = arrays["binary"], arrays["values"]
        except (OSError, ValueError, KeyError, IndexError) as error:
            raise InputError(f"the shard {folder / name} cannot be read: {error}", "prepare the data again") from error
        self._heads = heads

    def __len__(self) -> int:
        return len(self._scale)

    def segments(self, which: slice | NDArray[np.intp]) -> NDArray[np.float32]:
        """Segments as the front end ``ecgfounder/1`` gave them, ``(k, 5000)`` float32."""
        scale: NDArray[np.float32] = self._scale[which, None]
        return np.asarray(self._numbers[which], dtype=np.float32) * scale

    def targets(self) -> NDArray[np.float32]:
        """Targets, ``(n, heads)``: 0 or 1, or the scaled value; NaN where unknown."""
        out = np.empty((len(self), len(self._heads)), dtype=np.float32)
        for j, head in enumerate(self._heads):
            if head.kind == "value":
                out[:, j] = (self._values[:, head.column] - np.float32(head.median)) / np.float32(head.iqr)
            else:
                label = self._binary[:, head.column]
                out[:, j] = np.where(label == UNKNOWN, np.float32(np.nan), label)
        return out

    def values(self) -> NDArray[np.float32]:
        """The value heads in their own units, ``(n, value heads)``, in the order of the heads."""
        columns = [h.column for h in self._heads if h.kind == "value"]
        return np.asarray(self._values[:, columns], dtype=np.float32)


class PreparedDataset:
    """A prepared data set.

    Args:
        folder: As ``anyecg prepare --out`` wrote it.

    Attributes:
        folder: Where it is.
        heads: Outputs that the data support.
        manifest: All that the manifest says.

    Raises:
        InputError: It is none, or not finished, or of another version.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        path = self.folder / MANIFEST
        try:
            self.manifest: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            fix = "'anyecg prepare' writes it last; start that again where it was interrupted"
            raise InputError(f"{self.folder} is no prepared data set: no {MANIFEST} in it", fix) from error
        except ValueError as error:
            raise InputError(f"{path} is damaged", "start 'anyecg prepare' again") from error
        if not isinstance(self.manifest, dict) or self.manifest.get("schema") != SCHEMA:
            raise InputError(f"{path} is not of the form {SCHEMA}", "prepare the data with this version")
        names = {f.name for f in fields(PreparedHead)}
        try:
            kept = [head for head in self.manifest["heads"] if head["kept"]]
            self.heads = tuple(PreparedHead(**{k: v for k, v in head.items() if k in names}) for head in kept)
            self._names = {part: [s["name"] for s in self.manifest["shards"] if s["part"] == part] for part in _PARTS}
        except (KeyError, TypeError) as error:
            raise InputError(f"{path} is damaged", "start 'anyecg prepare' again") from error

    @property
    def simulated(self) -> bool:
        """Whether the simulator made the recordings."""
        return bool(self.manifest.get("simulated"))

    def names(self, part: Part) -> list[str]:
        """Names of the shards of a part."""
        return list(self._names[part])

    def shard(self, name: str) -> PreparedShard:
        """One shard by name.

        Raises:
            InputError: It cannot be read.
        """
        return PreparedShard(self.folder / SHARDS, name, self.heads)

    def shards(self, part: Part) -> Iterator[PreparedShard]:
        """The shards of a part that hold segments, one after the other."""
        for name in self._names[part]:
            shard = self.shard(name)
            if len(shard):
                yield shard

    def size(self, part: Part) -> int:
        """Segments of a part."""
        return sum(cast("int", s["segments"]) for s in self.manifest["shards"] if s["part"] == part)

    def verify(self) -> None:
        """Compares every shard with its checksums.

        Raises:
            InputError: One is missing or altered; the message names it.
        """
        for entry in self.manifest["shards"]:
            content = read_shard(self.folder / SHARDS, entry["name"], self.manifest["key"])
            if content is None or content["sha256"] != entry["sha256"]:
                raise InputError(
                    f"the shard {entry['name']} of {self.folder} is damaged", "start 'anyecg prepare' again"
                )


_PARTS: tuple[Part, ...] = ("train", "val", "test")
