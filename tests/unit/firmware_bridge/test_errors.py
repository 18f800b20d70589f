"""Errors keep their data when a worker of a pool or a cluster raises them in another process."""

from __future__ import annotations

import copy
import importlib
import inspect
import pickle
import pkgutil

import pytest

from firmware_bridge.errors import AnyEcgError, MissingExtraError


def every_error() -> list[type[AnyEcgError]]:
    """All errors of the tree, in every module that needs no heavy library."""
    for package in ("firmware_bridge", "edge", "edge.sinks", "edge.sources", "firmware_bridge.transports"):
        module = importlib.import_module(package)
        for found in pkgutil.iter_modules(module.__path__, f"{package}."):
            if "error" in found.name:
                importlib.import_module(found.name)
    found, todo = [], [AnyEcgError]
    while todo:
        found.append(todo.pop())
        todo += found[-1].__subclasses__()
    return sorted(set(found), key=lambda kind: kind.__qualname__)


@pytest.mark.parametrize("kind", every_error(), ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_an_error_survives_another_process_unchanged(kind, protocol):
    names = list(inspect.signature(kind).parameters)
    error = kind(*(f"some {name}" for name in names))
    error.add_note("seen by a worker")
    for back in (pickle.loads(pickle.dumps(error, protocol)), copy.copy(error)):
        assert type(back) is kind
        assert (str(back), back.what, back.fix) == (str(error), error.what, error.fix)
        assert vars(back) | {"__notes__": []} == vars(error) | {"__notes__": []}
        assert back.exit_code == error.exit_code


def test_the_tree_was_found():
    assert len(every_error()) >= 10
    assert MissingExtraError in every_error()
