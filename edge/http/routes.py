"""What the server answers to each request."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING

from edge.http import view
from edge.http.metrics import metrics_text
from edge.http.response import HTML, JSON, METRICS, TEXT, response
from edge.sinks.link import Pace

if TYPE_CHECKING:
    from edge.http.address import HttpAddress
    from edge.http.patch import PatchSink
    from edge.http.request import Request
    from edge.http.token import Door

FILES = {
    "/page.css": "text/css; charset=utf-8",
    "/page.js": "text/javascript; charset=utf-8",
    "/patch.js": "text/javascript; charset=utf-8",
    "/ecg.js": "text/javascript; charset=utf-8",
    "/charts.js": "text/javascript; charset=utf-8",
    "/icon.svg": "image/svg+xml",
}
"""Files that everybody may load; they hold no data."""
GUESSES, GUESS_EVERY_S = 10, 6.0
"""Wrong tokens that may follow each other at once, and the time after which one more may follow, s."""
COOKIE_S = 30 * 86400
_WRONG = "This is not the token."
_SLOW = "There were too many wrong tokens. Wait a minute."


class Stream:
    """The answer to a request for the stream of events."""


@dataclass(frozen=True, slots=True)
class Told:
    """What the server tells the routes at each request: viewers now, and updates that were dropped."""

    viewers: int
    dropped: int


class Routes:
    """Answers requests.

    Args:
        address: The address of the page.
        door: Who may see it.
        patches: Function that returns the patches.
        clock: Function that returns monotonic time, s.
    """

    def __init__(
        self,
        address: HttpAddress,
        door: Door,
        patches: Callable[[], Sequence[PatchSink]],
        clock: Callable[[], float],
    ) -> None:
        self._address, self._door, self._patches = address, door, patches
        self._guesses = Pace(GUESSES, GUESS_EVERY_S, clock)
        self._clock, self._shut_until_s = clock, -1.0
        self.port = address.port

    def answer(self, request: Request, told: Told) -> bytes | Stream:
        """Return the whole response, or `Stream`."""
        head = request.method == "HEAD"
        if not self._address.allows(request.headers["host"]):
            return response(421, b"The page is not served under this name. Use localhost.\n", head=head)
        if request.headers.get("sec-fetch-site", "none") in {"cross-site", "same-site"} and request.path != "/":
            return response(403, b"Another site may not read this.\n", head=head)
        if request.method == "POST":
            if request.path != "/login":
                return response(405, b"Only the login form is posted.\n", headers=("Allow: GET, HEAD",))
            return self._login(request.form().get("token", ""))
        if request.path == "/healthz":
            return response(200, b"ok\n", head=head)
        if request.path in FILES:
            return response(200, _file(request.path[1:]), FILES[request.path], head=head)
        if request.path == "/" and "token" in request.query and not self._door.open:
            return self._login(request.query["token"], head=head)
        known = self._known(request)
        if known is not None:
            return self._locked(request, known, head=head)
        return self._data(request, told, head=head)

    def _data(self, request: Request, told: Told, *, head: bool) -> bytes | Stream:
        if request.path == "/":
            return response(200, _page("page.html"), HTML, head=head)
        if request.path == "/events":
            return Stream() if not head else response(200, head=True)
        if request.path == "/metrics":
            text = metrics_text(self._patches(), viewers=told.viewers, dropped=told.dropped)
            return response(200, text.encode(), METRICS, head=head)
        if request.path == "/history":
            return self._history(request.query.get("patch", ""), head=head)
        return response(404, b"There is no such page.\n", head=head)

    def _history(self, number: str, *, head: bool) -> bytes:
        for patch in self._patches():
            if str(patch.number) == number:
                with patch.lock:
                    history = patch.history.as_dict()
                return response(200, view.text(history).encode(), JSON, head=head)
        return response(404, b"There is no such patch.\n", head=head)

    def _known(self, request: Request) -> str | None:
        """Return ``None`` if the request may enter, else the reason in words."""
        if self._door.open or self._door.is_cookie(request.cookie(self._cookie_name)):
            return None
        kind, _, token = request.headers.get("authorization", "").partition(" ")
        if kind.lower() != "bearer" or not token:
            return ""
        return self._guess(token)

    def _guess(self, token: str) -> str | None:
        """Return ``None`` for the right token, else why not. After many wrong ones, no token counts for a while."""
        if self._clock() < self._shut_until_s:
            return _SLOW
        if self._door.is_token(token.strip()):
            return None
        if not self._guesses.take():
            self._shut_until_s = self._clock() + GUESS_EVERY_S
            return _SLOW
        return _WRONG

    def _locked(self, request: Request, why: str, *, head: bool) -> bytes:
        if request.path == "/":
            return self._form(why, head=head)
        said = f"{why or 'This needs the token of the page.'}\n".encode()
        return response(429 if why == _SLOW else 401, said, TEXT, ("WWW-Authenticate: Bearer",), head=head)

    def _login(self, token: str, *, head: bool = False) -> bytes:
        """Replace a token by the cookie, at once and without the token in the address."""
        if self._door.open:
            return response(303, headers=("Location: /",))
        why = self._guess(token)
        if why is not None:
            return self._form(why, head=head)
        cookie = f"{self._cookie_name}={self._door.cookie}; Path=/; Max-Age={COOKIE_S}; HttpOnly; SameSite=Strict"
        return response(303, headers=("Location: /", f"Set-Cookie: {cookie}"))

    def _form(self, why: str, *, head: bool) -> bytes:
        page = _page("login.html").replace(b"<!-- why -->", why.encode())
        status = 429 if why == _SLOW else 401
        return response(status, page, HTML, ("WWW-Authenticate: Bearer",), head=head)

    @property
    def _cookie_name(self) -> str:
        # Cookies are shared by all ports of a host.
        return f"anyecg_{self.port}"


def _page(name: str) -> bytes:
    """Return a page with the head that all pages have."""
    return _file(name).replace(b"<!-- head -->\n", _file("head.html"))


def _file(name: str) -> bytes:
    return resources.files(__package__).joinpath("web", name).read_bytes()
