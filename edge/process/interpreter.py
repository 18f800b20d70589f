"""Import of the LiteRT interpreter without LiteRT's second runtime, which a device does not use.

``import ai_edge_litert`` loads ``libLiteRt.so``, the runtime of LiteRT's other interface (``CompiledModel``): 1.9 of
the 60 MiB that a device may use (``docs/architecture.md``, "Where the memory goes"). The interpreter has its own
library and does not need it. Only the commands that run on a device use this; a larger program may want both
interfaces.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from types import ModuleType

_PACKAGE = "ai_edge_litert"
_INTERPRETER = "ai_edge_litert.interpreter"
_asked: list[bool] = []


def keep_interpreter_light() -> None:
    """Let :func:`import_interpreter` skip what the interpreter does not need, for the rest of the process."""
    _asked.append(True)


def import_interpreter() -> ModuleType:
    """Import ``ai_edge_litert.interpreter``.

    Returns:
        The module. Its results do not depend on the second runtime.

    Raises:
        ImportError: LiteRT is not installed, or does not load on this machine.
    """
    if _asked and _PACKAGE not in sys.modules:
        found = _import_light()
        if found is not None:
            return found
    return importlib.import_module(_INTERPRETER)


def _import_light() -> ModuleType | None:
    """Import the interpreter without the ``__init__`` of its package; return ``None`` if that fails."""
    spec = importlib.util.find_spec(_PACKAGE)
    if spec is None:
        return None
    sys.modules[_PACKAGE] = importlib.util.module_from_spec(spec)
    try:
        return importlib.import_module(_INTERPRETER)
    except ImportError:
        # Another version of LiteRT may need its whole package.
        for name in [n for n in sys.modules if n.partition(".")[0] == _PACKAGE]:
            del sys.modules[name]
        return None
