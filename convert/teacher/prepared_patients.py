"""The patients of a prepared data set as the hashes of :mod:`convert.teacher.patients`.

A patient has the same hash here, in a bundle that was distilled from the same cohort, and in the patient list of
``anyecg finetune``, so no patient is used both to train and to judge by mistake.
"""

from __future__ import annotations

from collections.abc import Iterator

from convert.datasets.mcmed import Part, token_of_mrn
from convert.datasets.mimic.dataset import token_of_subject
from convert.datasets.prepared import MANIFEST, PreparedDataset
from convert.teacher.patients import Aliases, Identifiers, aliases_of, tokens_of_recording
from firmware_bridge.errors import InputError

_TOKENS = {"mcmed": token_of_mrn, "simulated": token_of_mrn, "mimic": token_of_subject}


def prepared_hashes(dataset: PreparedDataset, part: Part) -> frozenset[bytes]:
    """Return the hashes of the patients with segments in a part.

    A data set from a folder of recordings gives one hash for each recording, because patient identifiers such as ``1``
    are not unique across data sets.

    Args:
        dataset: The prepared data set.
        part: Part of the split.

    Raises:
        InputError: A shard cannot be read, or the manifest does not say where the recordings come from.
    """
    return frozenset(prepared_aliases(dataset, part))


def prepared_aliases(dataset: PreparedDataset, part: Part) -> Aliases:
    """Return the patients with segments in a part with all hashes under which a list may have them.

    Args:
        dataset: As for :func:`prepared_hashes`.
        part: As for :func:`prepared_hashes`.

    Raises:
        InputError: As for :func:`prepared_hashes`.
    """
    return aliases_of(_tokens(dataset, part))


def _tokens(dataset: PreparedDataset, part: Part) -> Iterator[Identifiers]:
    try:
        origin = dataset.manifest["origin"]
        kind = origin["kind"]
        if kind == "records":
            sizes = {str(name): int(size) for name, size in origin["sizes"].items()}
            contents = origin.get("contents", {})
            for shard in dataset.shards(part):
                for name in set(shard.recording.tolist()):
                    yield tokens_of_recording(name, sizes[name], contents.get(name))
            return
        token, seed = _TOKENS[kind], origin.get("seed")
        for shard in dataset.shards(part):
            yield from ((token(patient, seed),) for patient in set(shard.patient.tolist()))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(
            f"{dataset.folder / MANIFEST} does not say where the recordings come from",
            "rerun 'anyecg prepare' with this version; finished shards are kept",
        ) from error
