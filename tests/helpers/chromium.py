"""A real Chromium, driven over a pipe by its DevTools protocol: no driver and no library besides the browser."""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome")
PHONE = (390, 844, 2.0, True)
DESKTOP = (1360, 900, 1.0, False)
"""Width and height in CSS pixels, pixels for each, and whether it is a touch screen."""

LEFT = ("Inspected target navigated or closed", "Execution context was destroyed", "Cannot find context")
"""Errors of an expression whose page is left before the answer is sent."""


class PageLeftError(Exception):
    """The page was left while an expression was evaluated, so that its value is not known."""


def program() -> str:
    """Return the path of the browser; skip the test if there is none."""
    for name in NAMES:
        found = shutil.which(name)
        if found:
            return found
    pytest.skip("chromium is not installed (Debian: chromium)")


def axe() -> str:
    """Return the script of axe-core, which finds what hinders people with disabilities; skip the test without it."""
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "anyecg-edge/axe"
    for path in sorted(cache.rglob("axe.min.js")):
        return path.read_text(encoding="utf-8")
    pytest.skip("axe-core is not installed (.ci/install-slow)")


class Browser:
    """A headless browser with one tab.

    Args:
        profile: Folder for its files.
    """

    def __init__(self, profile: Path) -> None:
        to_read, self._to = os.pipe()
        self._from, from_write = os.pipe()
        command = [
            program(), "--headless=new", "--no-first-run", "--disable-gpu", "--no-sandbox", "--disable-dev-shm-usage",
            "--hide-scrollbars", "--force-color-profile=srgb", f"--user-data-dir={profile}", "--remote-debugging-pipe",
            "about:blank",
        ]  # fmt: skip
        # The browser reads commands from descriptor 3 and writes answers to descriptor 4.
        shell = 'exec "$@" 3<&"$IN" 4>&"$OUT"'
        self._process = subprocess.Popen(
            ["bash", "-c", shell, "bash", *command],
            pass_fds=(to_read, from_write),
            env=os.environ | {"IN": str(to_read), "OUT": str(from_write)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(to_read)
        os.close(from_write)
        self._data = b""
        self._number = 0
        self._session: str | None = None
        self.events: list[dict[str, Any]] = []
        """Events of the protocol, such as messages on the console."""
        tabs = self("Target.getTargets")["targetInfos"]
        target = next(tab["targetId"] for tab in tabs if tab["type"] == "page")
        self._session = self("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self(f"{domain}.enable")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, where: TracebackType | None
    ) -> None:
        self._process.terminate()
        self._process.wait(20.0)
        os.close(self._to)
        os.close(self._from)

    def __call__(self, method: str, **params: Any) -> dict[str, Any]:
        """Call a method of the protocol and return its result."""
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._to, json.dumps(message).encode() + b"\0")
        until_s = time.monotonic() + 60.0
        while time.monotonic() < until_s:
            answer = self._receive(1.0)
            if answer is None:
                continue
            if answer.get("id") == self._number:
                if answer.get("error", {}).get("message", "").startswith(LEFT):
                    raise PageLeftError(method)
                assert "error" not in answer, answer
                result: dict[str, Any] = answer["result"]
                return result
            self.events.append(answer)
        raise AssertionError(f"{method}: the browser does not answer")

    def _receive(self, wait_s: float) -> dict[str, Any] | None:
        while b"\0" not in self._data:
            if not select.select([self._from], [], [], wait_s)[0]:
                return None
            got = os.read(self._from, 1 << 20)
            assert got, "the browser has ended"
            self._data += got
        line, _, self._data = self._data.partition(b"\0")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def screen(self, size: tuple[int, int, float, bool], *, dark: bool = False) -> None:
        """Set the size of the screen and the colour scheme."""
        width, height, ratio, touch = size
        self("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=ratio, mobile=touch)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self("Emulation.setEmulatedMedia", features=[scheme])

    def go(self, url: str) -> None:
        """Open an address."""
        self("Page.navigate", url=url)
        self.until("document.readyState === 'complete'")

    def run(self, script: str) -> Any:
        """Return the value of an expression, or of the promise that it gives."""
        got = self._evaluate(script)
        assert "exceptionDetails" not in got, got["exceptionDetails"]
        return got["result"].get("value")

    def leave(self, script: str) -> None:
        """Evaluate an expression that leaves the page, whether or not it is answered before."""
        with suppress(PageLeftError):
            self.run(script)

    def until(self, script: str, seconds: float = 60.0) -> None:
        """Wait until an expression is true. It may fail before, because the page is being left or has no body yet."""
        until_s = time.monotonic() + seconds
        while not self._holds(script):
            assert time.monotonic() < until_s, f"not in time: {script}"
            time.sleep(0.1)

    def _holds(self, script: str) -> bool:
        try:
            got = self._evaluate(script)
        except PageLeftError:
            return False
        return "exceptionDetails" not in got and bool(got["result"].get("value"))

    def _evaluate(self, script: str) -> Any:
        return self("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)

    def picture(self, path: Path, *, whole: bool = False) -> None:
        """Write what the screen shows as PNG.

        Args:
            path: The file.
            whole: Whether to take the whole page instead of the part on the screen.
        """
        got = self("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(got["data"]))

    def violations(self, script: str) -> list[str]:
        """Return what axe finds, as lines.

        Args:
            script: What `axe` returns.
        """
        self("Runtime.evaluate", expression=script)
        found = self.run("axe.run(document, {resultTypes: ['violations']})")
        return [
            f"{one['id']} ({one['impact']}): {one['help']}: {node['html'][:200]}"
            for one in found["violations"]
            for node in one["nodes"]
        ]

    def complaints(self) -> list[str]:
        """Return errors of scripts, refused resources and failed requests so far."""
        out = []
        for event in self.events:
            params = event.get("params", {})
            if event.get("method") == "Runtime.exceptionThrown":
                out.append(json.dumps(params["exceptionDetails"])[:500])
            if event.get("method") == "Log.entryAdded" and params["entry"]["level"] == "error":
                out.append(params["entry"]["text"])
        return out


@contextmanager
def browser(profile: Path) -> Iterator[Browser]:
    """Run a browser."""
    with Browser(profile) as one:
        yield one
