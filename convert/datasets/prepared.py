"""Reader of a prepared data set; ``docs/prepared-format.md`` describes the format.

::

    data = PreparedDataset(folder)
    for shard in data.shards("train"):
        x = shard.segments(slice(0, 64))     # (64, 5000) float32, z-scored by ecgfounder/1
        y = shard.targets()                  # (n, len(data.heads)) float32, NaN where unknown

Targets of value heads are scaled: ``(value - median) / iqr`` of the training part.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
from numpy.typing import NDArray

from convert.datasets.mcmed import Part
from convert.datasets.shards import read_shard
from firmware_bridge.errors import InputError
from firmware_bridge.reading import open_regular, parse_json, read_limited

SCHEMA = "anyecg.prepared/1"
MANIFEST = "manifest.json"
MAX_MANIFEST_BYTES = 256 << 20
SHARDS = "shards"
UNKNOWN = 255


@dataclass(frozen=True, slots=True)
class PreparedHead:
    """One output for which the data have labels.

    Attributes:
        key: Name, unique in the data set, such as ``potassium_high``.
        lab: Key of the lab.
        loinc: LOINC code.
        unit: UCUM unit; ``"1"`` for a probability.
        kind: ``"probability"`` or ``"value"``.
        direction: ``"low"``, ``"high"``, ``"abnormal"``; ``None`` for a value.
        horizon_min: Minutes from the ECG to the result; ``None`` for an estimate of the present.
        column: Column in the ``binary`` or ``values`` array of a shard.
        median: Median of a value head over the training part, in ``unit``; 0 for a probability.
        iqr: Interquartile range over the training part, in ``unit``, never 0; 1 for a probability.
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
    """One shard. Its segments are read from disk on demand.

    Args:
        folder: Folder of the shards.
        name: Name of the shard.
        heads: Heads of the data set.

    Attributes:
        name: Name of the shard.
        start_s: Start of each segment, seconds since 1970 UTC, ``(n,)``.
        visit: Visit of each segment, ``(n,)``.
        patient: Identifier of each segment's patient, ``(n,)`` text.
        recording: Name of each segment's recording, ``(n,)`` text.
        age: Age of the patient, years, NaN where unknown, ``(n,)``.
        sex: Sex of the patient as the data set writes it, ``(n,)`` text.
        sd_mv: Standard deviation before the z-score, mV, NaN where the scale is unknown, ``(n,)``.
    """

    def __init__(self, folder: Path, name: str, heads: tuple[PreparedHead, ...]) -> None:
        self.name = name
        try:
            open_regular(folder / f"{name}.npy").close()  # numpy would wait for a pipe
            self._numbers = np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False)
            with open_regular(folder / f"{name}.npz") as file, np.load(file, allow_pickle=False) as arrays:
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
            raise InputError(f"the shard {folder / name} cannot be read: {error}", "rerun 'anyecg prepare'") from error
        self._heads = heads

    def __len__(self) -> int:
        return len(self._scale)

    def segments(self, which: slice | NDArray[np.intp]) -> NDArray[np.float32]:
        """Return segments after the front end ``ecgfounder/1``, ``(k, 5000)`` float32."""
        scale: NDArray[np.float32] = self._scale[which, None]
        return np.asarray(self._numbers[which], dtype=np.float32) * scale

    def targets(self) -> NDArray[np.float32]:
        """Return the targets, ``(n, heads)``: 0 or 1, or the scaled value; NaN where unknown."""
        out = np.empty((len(self), len(self._heads)), dtype=np.float32)
        for j, head in enumerate(self._heads):
            if head.kind == "value":
                out[:, j] = (self._values[:, head.column] - np.float32(head.median)) / np.float32(head.iqr)
            else:
                label = self._binary[:, head.column]
                out[:, j] = np.where(label == UNKNOWN, np.float32(np.nan), label)
        return out

    def values(self) -> NDArray[np.float32]:
        """Return the values of the value heads in their own units, ``(n, value heads)``, in the order of the heads."""
        columns = [h.column for h in self._heads if h.kind == "value"]
        return np.asarray(self._values[:, columns], dtype=np.float32)


class PreparedDataset:
    """A prepared data set.

    Args:
        folder: Folder that ``anyecg prepare --out`` wrote.

    Attributes:
        folder: Path of the folder.
        heads: Outputs for which the data have labels.
        manifest: Content of the manifest.

    Raises:
        InputError: The folder is not a prepared data set, is not finished, or has another version.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        path = self.folder / MANIFEST
        try:
            self.manifest: dict[str, Any] = parse_json(read_limited(path, MAX_MANIFEST_BYTES))
        except OSError as error:
            fix = "rerun 'anyecg prepare' to finish it: the manifest is written last"
            raise InputError(f"{self.folder} is not a prepared data set: no {MANIFEST} in it", fix) from error
        except ValueError as error:
            raise InputError(f"{path} is damaged", "rerun 'anyecg prepare'") from error
        if not isinstance(self.manifest, dict) or self.manifest.get("schema") != SCHEMA:
            raise InputError(f"{path} does not have the format {SCHEMA}", "prepare the data with this version")
        names = {f.name for f in fields(PreparedHead)}
        try:
            kept = [head for head in self.manifest["heads"] if head["kept"]]
            self.heads = tuple(PreparedHead(**{k: v for k, v in head.items() if k in names}) for head in kept)
            self._names = {part: [s["name"] for s in self.manifest["shards"] if s["part"] == part] for part in _PARTS}
        except (KeyError, TypeError) as error:
            raise InputError(f"{path} is damaged", "rerun 'anyecg prepare'") from error

    @property
    def simulated(self) -> bool:
        """Whether the simulator made the recordings."""
        return bool(self.manifest.get("simulated"))

    def names(self, part: Part) -> list[str]:
        """Return the names of the shards of a part."""
        return list(self._names[part])

    def shard(self, name: str) -> PreparedShard:
        """Return a shard by its name.

        Raises:
            InputError: The shard cannot be read.
        """
        return PreparedShard(self.folder / SHARDS, name, self.heads)

    def shards(self, part: Part) -> Iterator[PreparedShard]:
        """Yield the shards of a part that hold segments."""
        for name in self._names[part]:
            shard = self.shard(name)
            if len(shard):
                yield shard

    def size(self, part: Part) -> int:
        """Return the number of segments of a part."""
        return sum(cast("int", s["segments"]) for s in self.manifest["shards"] if s["part"] == part)

    def verify(self) -> None:
        """Compare every shard with its checksums.

        Raises:
            InputError: A shard is missing or altered; the message names it.
        """
        for entry in self.manifest["shards"]:
            content = read_shard(self.folder / SHARDS, entry["name"], self.manifest["key"])
            if content is None or content["sha256"] != entry["sha256"]:
                raise InputError(f"the shard {entry['name']} of {self.folder} is damaged", "rerun 'anyecg prepare'")


_PARTS: tuple[Part, ...] = ("train", "val", "test")
