"""Messages name only options that the command in use has.

A message in code that several commands reach must not name an option that one of them lacks: advice that cannot be
followed is worse than none. Which commands reach a module is read from the imports, which says too much; what no user
can see is listed in `ONLY_WHERE_GIVEN`, each with its reason.
"""

from __future__ import annotations

import ast
import re
import runpy
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

from helpers.import_graph import ROOT, import_graph, sources

OPTION = re.compile(r"(?<![\w-])--[a-z][a-z0-9-]*")
COMMAND = re.compile(r"anyecg ((?:bundle|calibrate|convert) [a-z]+|[a-z][a-z-]*)")
OTHER_PROGRAMS = re.compile(r"systemctl|journalctl|pip install|timedatectl|python -m")

ONLY_WHERE_GIVEN = {
    "calibration.validate.labelled": {"--one-recording-a-patient", "--split"},  # 'evaluate' reads prepared data
    "convert.checkpoint.choose": {"--key"},  # says "a command with --key", or answers to a key that was given
    "convert.checkpoint.describe": {"--bn"},  # printed by 'convert inspect'
    "convert.checkpoint.reader": {"--key"},  # answers to a key that was given
    "convert.compute.schedule": {"--scheduler"},  # answers to the option
    "convert.distil.run": {"--disturbed"},  # 'train-demo' checks its options before
    "convert.foundation.contents": {"--accept-loss"},  # says that it was given
    "convert.foundation.quantize": {"--form", "--tune", "--accept-loss"},  # 'convert foundation' alone quantizes so
    "convert.foundation.run": {"--form", "--tune"},  # the same
    "convert.labels.plan": {"--labels"},  # 'prepare' alone takes a plan by name
    "convert.teacher.place": {"--outputs"},  # every command that takes a bare checkpoint has it
    "convert.teacher.soft_labels": {"--hop", "--windows"},  # 'convert micro' alone lets the user choose windows
    "convert.teacher.open": {"--outputs", "--stride", "--bn", "--key", "--licence"},  # names those that were given
    "edge.doctor.bluetooth": {"--version"},  # of another program
    "edge.http.address": {"--http"},  # answers to the option; 'service' checks those of a run
    "edge.sessions.page": {"--record"},  # says how the session was run
    "edge.sinks.jsonl": {"--out"},  # answers to the option
    "edge.sinks.live.svg": {"--force"},  # writes the file of --picture
    "edge.sinks.lsl": {"--lsl"},  # answers to the option
    "edge.sinks.mqtt.sink": {"--mqtt"},  # answers to the option
    "edge.sinks.plugin": {"--sink"},  # answers to the option
    "edge.store.forecast": {"--keep"},  # about a run
    "edge.store.keep": {"--keep"},  # answers to the option
    "edge.store.storage": {"--keep"},  # says why files were removed
}


@pytest.fixture(scope="module")
def completion() -> dict:
    pytest.importorskip("scipy", reason="the convert extra is not installed")
    return runpy.run_path(str(ROOT / "packaging" / "completion.py"))


@pytest.fixture(scope="module")
def options(completion) -> dict[str, set[str]]:
    """Return the options of every command and action."""
    return {
        name: {option for one in parser._actions for option in one.option_strings}
        for name, parser in completion["commands"]().items()
    }


def texts(path: Path) -> Iterator[str]:
    """Yield the texts of a module, each f-string as one, without docstrings."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    skip = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            skip.update(id(part) for part in node.values)
            yield "".join(str(part.value) if isinstance(part, ast.Constant) else "{}" for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in skip:
            yield node.value


def test_an_option_that_is_named_with_a_command_is_one_of_it(options):
    wrong = []
    for module, path in sources().items():
        for text in texts(path):
            named = list(COMMAND.finditer(text))
            for at, found in enumerate(named):
                command = found[1] if found[1] in options else found[1].partition(" ")[0]
                if command in options and not OTHER_PROGRAMS.search(text):
                    end = named[at + 1].start() if at + 1 < len(named) else len(text)
                    words = re.split(r"['`;.)](?:\s|$)", text[found.start() : end])[0]
                    wrong += [f"{module}: {command} {o}" for o in OPTION.findall(words) if o not in options[command]]
    assert not wrong


def users(completion) -> dict[str, set[str]]:
    """Return the commands that reach each module; a package's face stands for the modules that are imported from it."""
    graph, faces = import_graph(), {name for name, path in sources().items() if path.name == "__init__.py"}
    targets = {name: command.target for name, command in completion["COMMANDS"].items()}
    for name, actions in completion["ACTIONS"].items():
        targets |= {f"{name} {action}": target for action, (target, _) in actions.items()}
    found: dict[str, set[str]] = defaultdict(set)
    for command, target in targets.items():
        waiting, seen = [target.partition(":")[0]], {"edge.cli.main"}
        while waiting:
            module = waiting.pop()
            if module not in seen:
                seen.add(module)
                found[module].add(command)
                # The face of a command's own folder leads to it; others name everything in their folder.
                waiting += graph[module] if module not in faces or module.split(".")[1:2] == ["cli"] else ()
    return found


def test_shared_code_names_no_option_that_a_command_lacks(options, completion):
    reached, every, wrong = users(completion), set[str]().union(*options.values()), set()
    for module, path in sources().items():
        if ".cli." in module or "add_argument" in path.read_text(encoding="utf-8"):
            continue  # the file of one command, or of the options of several
        for text in texts(path):
            if "anyecg " in text or OTHER_PROGRAMS.search(text):
                continue  # checked above
            for option in every.intersection(OPTION.findall(text)):
                lacking = {name for name in reached[module] if option not in options.get(name, {option})}
                if lacking and option not in ONLY_WHERE_GIVEN.get(module, ()):
                    wrong.add(f"{module}: {option} is not an option of {', '.join(sorted(lacking))}")
    assert not wrong
