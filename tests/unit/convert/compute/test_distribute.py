"""Replicas of a training: the environment is checked first, and rows are shared without gap or overlap."""

from __future__ import annotations

import json
import os

import numpy as np
import pytest

from convert.compute.replicas import Replicas, _cluster, open_replicas
from firmware_bridge.errors import UsageError


def described(role: str = "worker", index: object = 1, **cluster: object) -> str:
    return json.dumps({"cluster": cluster or {"worker": ["a:1", "b:2"]}, "task": {"type": role, "index": index}})


def test_a_single_worker_has_no_strategy():
    assert _cluster("") is None
    assert _cluster(described(index=0, worker=["a:1"])) is None


def test_workers_are_numbered_after_the_chief():
    assert _cluster(described()) == (2, 1)
    assert _cluster(described("chief", 0, chief=["a:1"], worker=["b:2"])) == (2, 0)
    assert _cluster(described("worker", 1, chief=["a:1"], worker=["b:2", "c:3"])) == (3, 2)


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        "{}",
        '{"cluster": 1, "task": 2}',
        "[" * 100_000,
        described("ps", 0),
        described(index=2),
        described(index="0"),
        described(index=-1),
        described(index=0, worker=["a", "b"]),
    ],
)
def test_a_malformed_description_gives_a_one_line_error(text, monkeypatch):
    monkeypatch.setenv("TF_CONFIG", text)
    with pytest.raises(UsageError, match="TF_CONFIG"):
        open_replicas()


def test_rows_are_shared_without_gap_or_overlap():
    alone = Replicas()
    assert alone.rows(7, 0) == slice(0, 7)
    alone.count = 3
    rows = [np.arange(12)[alone.rows(12, r)] for r in range(3)]
    np.testing.assert_array_equal(np.concatenate(rows), np.arange(12))
    with pytest.raises(UsageError, match="3 replicas"):
        alone.rows(7, 0)


def test_a_single_replica_sees_the_whole_batch():
    alone = Replicas()
    x = np.arange(6, dtype=np.float32)
    total = alone.summed(alone._tf.reduce_sum)(*alone.values(lambda _: (x,)))
    assert float(total) == x.sum()
    np.testing.assert_array_equal(alone.gathered(lambda a: 2 * a)(*alone.values(lambda _: (x,))), 2 * x)
    alone.barrier(3)


def test_an_empty_description_means_a_single_worker(monkeypatch):
    monkeypatch.setenv("TF_CONFIG", " ")
    assert open_replicas().workers == 1
    assert "TF_CONFIG" not in os.environ
