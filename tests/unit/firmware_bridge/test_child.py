"""Child processes get no secrets: neither the broker's password nor any other variable that is named like one."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

from firmware_bridge.child import child_environment, module_environment
from helpers.import_graph import sources

SECRETS = ("ANYECG_MQTT_PASSWORD", "CREDENTIALS_DIRECTORY", "AWS_SECRET_ACCESS_KEY", "GITHUB_TOKEN", "broker_passwd")
OTHERS = ("ANYECG_SAMPLES", "HOME_OF_KEYS", "KEYMAP", "LD_LIBRARY_PATH", "PYTHONHASHSEED", "TOKENIZERS_PARALLELISM")
STARTERS = {"run", "Popen", "call", "check_call", "check_output"}


def test_a_child_sees_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*SECRETS, *OTHERS):
        monkeypatch.setenv(name, "0")
    code = "import os; print(*os.environ, sep='\\n')"
    for environment in (child_environment(ADDED="1"), module_environment() | {"ADDED": "1"}):
        said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment).stdout
        seen = set(said.split())
        assert seen >= {*OTHERS, "ADDED"}
        assert not seen & set(SECRETS)


def test_a_module_of_the_kit_is_found_in_any_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", "/elsewhere")
    environment = module_environment()
    assert environment["PYTHONPATH"].split(os.pathsep)[1:] == ["/elsewhere"]
    code = "import firmware_bridge.child"
    assert subprocess.run([sys.executable, "-P", "-c", code], cwd=tmp_path, env=environment).returncode == 0


def test_every_child_process_gets_this_environment() -> None:
    """Read from the code, so that a new child process is found, too."""
    found = []
    for name, path in sources().items():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
                continue
            if ast.unparse(node.func.value) == "subprocess" and node.func.attr in STARTERS:
                given = next((ast.unparse(k.value) for k in node.keywords if k.arg == "env"), "")
                found.append((name, given.partition("(")[0]))
    assert len(found) >= 8
    assert {one for one in found if one[1] not in {"child_environment", "module_environment"}} == set()
