"""The queue of commands that all tests of this folder share."""

from __future__ import annotations

import pytest
from jobs import Jobs, queue


@pytest.fixture(scope="session")
def jobs(tmp_path_factory, request):
    """Commands run once for all tests, two at a time."""
    found = Jobs(tmp_path_factory.mktemp("arm"))
    queue(found, request.session.items)
    yield found
    found.close()
