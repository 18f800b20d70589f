"""The tree of errors, with the exit code of each branch.

::

    AnyEcgError                 1   a check or gate failed; base of all
    ├── UsageError              2   wrong flag, URL or config value
    ├── InputError              3   a recording or data set cannot be read or used
    ├── BundleError             4   a bundle is not valid
    ├── LinkError               5   a device or transport cannot be reached or opened
    │   ├── LocalProtocolError      the caller asked for something that the protocol forbids
    │   └── RemoteProtocolError     the device sent what the protocol forbids
    ├── MissingExtraError       6   an optional library is not installed
    │   └── MissingPackageError     the same where no extra names the library
    ├── PluginError             6   a package that extends the kit is broken, or its name is taken
    └── OutputError             7   results cannot be written (disk full, no permission)

Ctrl-C ends with 130 and SIGTERM with 143, after everything received is flushed and the summary printed. An internal
error ends with 70 and one line that names the file with the details. ``docs/exit-codes.md`` has the same table.
"""

from __future__ import annotations

from typing import ClassVar

from firmware_bridge.text import printable, shortened

EXIT_OK = 0
EXIT_INTERNAL = 70
"""EX_SOFTWARE of sysexits.h: an error in this program, not in its input."""
EXIT_SIGINT = 130
EXIT_SIGTERM = 143


MAX_LINE_CHARS = 1200
"""Longest part of a message, characters: three long paths fit; a name that somebody made long does not."""


class AnyEcgError(Exception):
    """Base of every error that a user can see.

    Args:
        what: One line: what happened, to what.
        fix: One line: what to do about it; empty if nothing helps.
    """

    exit_code: ClassVar[int] = 1

    def __init__(self, what: str, fix: str = "") -> None:
        # Names of files, devices and fields are parts of messages; none may control the terminal that shows them.
        self.what, self.fix = (shortened(printable(text), MAX_LINE_CHARS) for text in (what, fix))
        super().__init__(self.what)

    def __str__(self) -> str:
        return f"{self.what} ({self.fix})" if self.fix else self.what


class CheckFailedError(AnyEcgError):
    """A gate, budget or verification did not hold."""


class UsageError(AnyEcgError):
    """A flag, URL or configuration value is wrong."""

    exit_code = 2


class InputError(AnyEcgError):
    """A recording or data set is missing, broken or not usable."""

    exit_code = 3


class BundleError(AnyEcgError):
    """A bundle is incomplete, altered, too new or inconsistent."""

    exit_code = 4


class LinkError(AnyEcgError):
    """A device or its transport cannot be reached, opened or kept."""

    exit_code = 5


class LocalProtocolError(LinkError):
    """The caller asked for something that the protocol does not allow."""


class RemoteProtocolError(LinkError):
    """The device sent something that the protocol does not allow."""


class MissingExtraError(AnyEcgError):
    """An optional library is not installed.

    Args:
        feature: Feature that needs the library.
        extra: Extra of ``anyecg-edge`` that installs it.
    """

    exit_code = 6

    def __init__(self, feature: str, extra: str) -> None:
        super().__init__(f"{feature} needs the '{extra}' extra", f"pip install 'anyecg-edge[{extra}]'")
        self.feature = feature
        self.extra = extra

    def __reduce__(self) -> tuple[type[MissingExtraError], tuple[str, str]]:
        """Pickle the error by its own arguments, from which its message is built."""
        return type(self), (self.feature, self.extra)


class MissingPackageError(MissingExtraError):
    """A library that belongs to no extra is not installed.

    Args:
        feature: Feature that needs the library.
        package: Name of the package to install.
    """

    def __init__(self, feature: str, package: str) -> None:
        AnyEcgError.__init__(self, f"{feature} needs the package '{package}'", f"pip install {package}")
        self.feature = feature
        self.extra = ""
        self.package = package

    def __reduce__(self) -> tuple[type[MissingPackageError], tuple[str, str]]:
        """Pickle the error by its own arguments, from which its message is built."""
        return type(self), (self.feature, self.package)


class PluginError(AnyEcgError):
    """A device, source or sink of another package is broken, or its name is taken.

    Args:
        what: One line: what happened, to what.
        package: Name of the package.
    """

    exit_code = 6

    def __init__(self, what: str, package: str) -> None:
        super().__init__(what, f"update or uninstall {package}")
        self.package = package

    def __reduce__(self) -> tuple[type[PluginError], tuple[str, str]]:
        """Pickle the error by its own arguments, from which its message is built."""
        return type(self), (self.what, self.package)


class OutputError(AnyEcgError):
    """Results cannot be written."""

    exit_code = 7
