"""``anyecg virtual-patch`` and ``python -m firmware_bridge.virtual``: a virtual patch in Python or in C."""

from __future__ import annotations

import sys

from firmware_bridge.errors import AnyEcgError, LinkError


def run(arguments: list[str] | None = None) -> int:
    """Run a virtual patch until it ends.

    Args:
        arguments: Command-line arguments; ``None`` for those of the process. ``--c`` selects the example patch in C.

    Returns:
        The exit code.

    Raises:
        AnyEcgError: The patch cannot be created or served.
    """
    given = sys.argv[1:] if arguments is None else arguments
    if "--c" in given:
        from firmware_bridge.virtual import c_patch

        return c_patch.run([one for one in given if one != "--c"])
    from firmware_bridge.virtual import process

    return process.run(given)


def main() -> None:
    """Run the module as a program: errors become one line on stderr and an exit code."""
    try:
        sys.exit(run())
    except AnyEcgError as error:
        sys.stderr.write(f"virtual patch: {error}\n")
        sys.exit(error.exit_code)
    except OSError as error:
        sys.stderr.write(f"virtual patch: {error}\n")
        sys.exit(LinkError.exit_code)
