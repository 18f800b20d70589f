"""Whose segments a prepared data set holds, as the hashes of :mod:`convert.teacher.patients`.

A patient has the same hash here, in a bundle that was distilled from the same cohort, and in what ``anyecg finetune``
writes beside its teacher, so nobody is learnt from and judged on by mistake.
"""

from __future__ import annotations

from collections.abc import Iterator

from convert.datasets.mcmed import Part
from convert.datasets.prepared import MANIFEST, PreparedDataset
from convert.teacher.patients import hash_of, token_of_mrn, token_of_recording
from firmware_bridge.errors import InputError


def prepared_hashes(dataset: PreparedDataset, part: Part) -> frozenset[bytes]:
    """The hashes of those who have segments in a part.

    Of a folder of recordings it is one hash a recording: identifiers such as ``1`` and ``2`` would make strangers of
    two data sets the same person.

    Args:
        dataset: As it was prepared.
        part: Of the split.

    Raises:
        InputError: A shard cannot be read, or the manifest does not say whose recordings these are.
    """
    return frozenset(hash_of(token) for token in _tokens(dataset, part))


def _tokens(dataset: PreparedDataset, part: Part) -> Iterator[str]:
    try:
        origin = dataset.manifest["origin"]
        kind = origin["kind"]
        if kind == "records":
            sizes = {str(name): int(size) for name, size in origin["sizes"].items()}
            for shard in dataset.shards(part):
                yield from (token_of_recording(name, sizes[name]) for name in set(shard.recording.tolist()))
            return
        seed = {"mcmed": None, "simulated": origin.get("seed")}[kind]
        for shard in dataset.shards(part):
            yield from (token_of_mrn(mrn, seed) for mrn in set(shard.patient.tolist()))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(
            f"{dataset.folder / MANIFEST} does not say whose recordings these are",
            "start 'anyecg prepare' again with this version: shards that are there are kept",
        ) from error
