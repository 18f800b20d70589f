"""The page in a real Chromium: it shows what runs, axe finds no violation, and phones get in with the token."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from helpers.chromium import DESKTOP, PHONE, Browser, axe, browser
from helpers.page_patches import PATIENTS, served

pytestmark = pytest.mark.slow

TOKEN = "correct-horse-battery"
LOADED = "document.readyState === 'complete'"
READY = "[...document.querySelectorAll('.value')].filter(v => v.textContent.includes('mmol')).length"
ECG = """(() => {
  const canvas = document.querySelectorAll('canvas')[%d];
  canvas.scrollIntoView();
  const data = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
  return new Set(new Uint32Array(data.buffer)).size > 3;
})()"""
"""Whether the ECG of a patch is drawn, once it is on the screen: the page draws no other."""


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with browser(tmp_path_factory.mktemp("profile")) as one:
        yield one


@pytest.mark.parametrize("count", [1, 3])
def test_the_page_shows_every_patch_and_axe_objects_to_nothing(chromium: Browser, count: int, tmp_path: Path) -> None:
    script = axe()
    with served(count) as server:
        for size in (PHONE, DESKTOP):
            for dark in (False, True):
                chromium.screen(size, dark=dark)
                chromium.go(server.address)
                chromium.until(f"{READY} === {count}")
                for patch in range(count):
                    chromium.until(ECG % patch)
                chromium.run("document.querySelectorAll('details').forEach(one => { one.open = true; })")
                chromium.until(f"document.querySelectorAll('.chart .curve').length >= {13 * count}")
                assert chromium.violations(script) == [], (size, dark)
                assert chromium.run("document.documentElement.scrollWidth <= innerWidth"), "it scrolls sideways"
        names = chromium.run("[...document.querySelectorAll('h2')].map(one => one.textContent)")
        assert names == [name for name, _url in PATIENTS[:count]]
        text = chromium.run("document.body.innerText")
        assert "Research software, not a medical device." in text
        assert "Potassium above 5.0\u00a0mmol/L" in text
        assert "potassium_high" not in text
        assert "% T wave" in text, "a flagged output says what it rests on"
        chromium.picture(tmp_path / "page.png")
        assert (tmp_path / "page.png").stat().st_size > 20_000
    chromium.until("document.querySelector('#connection').textContent.includes('ended')")
    assert chromium.complaints() == []


def test_the_words_of_a_table_reach_a_screen_reader(chromium: Browser) -> None:
    with served(1) as server:
        chromium.screen(PHONE)
        chromium.go(server.address)
        chromium.until(READY)
        nodes = chromium("Accessibility.getFullAXTree")["nodes"]
        roles: dict[str, list[str]] = {}
        for node in nodes:
            if not node.get("ignored"):
                role, name = node.get("role", {}).get("value", ""), node.get("name", {}).get("value", "")
                roles.setdefault(role, []).append(name)
        assert "Newest estimates of Bedroom 1" in " ".join(roles["table"])
        assert len(roles["rowheader"]) == 12
        flagged = next(name for name in roles["rowheader"] if name.startswith("Potassium above 5.0\u00a0mmol/L"))
        # Soon after the first estimates it also says what the flag rests on.
        assert re.search(r"L strong evidence($| rests on .*, \d+ s ago$)", flagged)
        assert roles["columnheader"][:3] == ["Estimate of", "Value", "Threshold"]
        assert any(name.startswith("ECG of Bedroom 1, ") for name in roles["image"])
        assert len(roles["status"]) == 1


def test_announcements_do_not_chatter(chromium: Browser) -> None:
    with served(1) as server:
        chromium.screen(DESKTOP)
        chromium.go(server.address)
        chromium.until(READY)
        chromium.until("document.querySelector('#announce').textContent.includes('flagged: potassium above')", 30)
        chromium.run(
            "window.said = 0; new MutationObserver(() => { said += 1; })"
            ".observe(document.querySelector('#announce'), {childList: true}); 0"
        )
        time.sleep(10.0)  # ten hops, none of which changes what is flagged
        assert chromium.run("said") <= 1


def test_the_ecg_can_be_paused(chromium: Browser) -> None:
    def picture() -> str:
        drawn: str = chromium.run("document.querySelector('canvas').toDataURL()")
        return drawn

    with served(1) as server:
        chromium.go(server.address)
        chromium.until(ECG % 0)
        first = picture()
        time.sleep(0.5)
        assert picture() != first
        chromium.run("document.querySelector('#pause').click()")
        time.sleep(0.2)
        still = picture()
        time.sleep(0.5)
        assert picture() == still
        assert chromium.run("document.querySelector('#pause').getAttribute('aria-pressed')") == "true"


def test_a_phone_gets_in_with_the_token_which_does_not_stay_in_the_address(chromium: Browser) -> None:
    with served(1, token=TOKEN) as server:
        chromium("Network.clearBrowserCookies")
        chromium.screen(PHONE)
        chromium.go(server.address)
        assert chromium.run("document.querySelectorAll('.patch').length") == 0
        assert chromium.violations(axe()) == []
        chromium.leave("document.querySelector('#token').value = 'wrong-wrong-wrong'; document.forms[0].submit()")
        chromium.until(f"{LOADED} && document.body.innerText.includes('This is not the token.')")
        chromium.leave(f"document.querySelector('#token').value = '{TOKEN}'; document.forms[0].submit()")
        chromium.until(READY)
        assert chromium.run("location.href") == server.address
        assert chromium.run("document.cookie") == ""  # no script can read it
        chromium("Network.clearBrowserCookies")
        chromium.go(f"{server.address}?token={TOKEN}")
        chromium.until(READY)
        assert chromium.run("location.href") == server.address
