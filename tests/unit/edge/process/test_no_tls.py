"""asyncio without TLS: what the process of a device loads, and what it can still import."""

from __future__ import annotations

import subprocess
import sys

import pytest


def python(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_asyncio_runs_without_ssl_and_ssl_can_be_imported_later() -> None:
    code = """
import sys
from edge.process.no_tls import load_asyncio
load_asyncio()
import asyncio
print(asyncio.run(asyncio.sleep(0, "ran")), "ssl" in sys.modules)
import ssl
print(ssl.create_default_context() is not None)
"""
    assert python(code).splitlines() == ["ran False", "True"]


@pytest.mark.parametrize("first", ["asyncio", "ssl"])
def test_a_program_that_has_either_keeps_it(first: str) -> None:
    code = f"""
import {first}, sys
before = sys.modules["{first}"]
from edge.process.no_tls import load_asyncio
load_asyncio()
import asyncio, ssl
print(sys.modules["{first}"] is before, asyncio.sslproto.ssl is ssl)
"""
    assert python(code) == "True True"


def test_the_run_command_loads_no_ssl() -> None:
    code = """
import sys
from edge.cli.main import main
main(["run", "--source", "sim:?speed=max&seconds=1", "--view", "none", "--out", "-"])
print("ssl" in sys.modules)
"""
    assert python(code).splitlines()[-1] == "False"
