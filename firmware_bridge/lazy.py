"""Package faces that load their modules on first use.

``import edge.bundle`` must not load numpy, yet ``edge.bundle.load_bundle`` must work. So a face names its public
objects and the module of each, and loads a module on the first access to one of its names (PEP 562).
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping

__all__ = ["lazy_face"]


def lazy_face(package: str, modules: Mapping[str, str]) -> tuple[Callable[[str], object], Callable[[], list[str]]]:
    """Return the ``__getattr__`` and ``__dir__`` of a package.

    Args:
        package: The package's ``__name__``.
        modules: Public name -> module that defines it, relative to the package (``"reader"``) or a full name in
            ``firmware_bridge``, which every package may import.

    Returns:
        The two functions, to be assigned in the package's ``__init__``.
    """

    def get(name: str) -> object:
        module = modules.get(name)
        if module is None:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        path = module if module.startswith("firmware_bridge.") else f".{module}"
        value: object = getattr(importlib.import_module(path, package), name)
        # The next access finds the object itself and does not reach this function.
        setattr(sys.modules[package], name, value)
        return value

    def listing() -> list[str]:
        return sorted({*vars(sys.modules[package]), *modules})

    return get, listing
