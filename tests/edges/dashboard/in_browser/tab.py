"""A real Chromium for tests: where it is, what one does in it, and what it must not find on a page."""

import asyncio
import os
import re
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from playwright.async_api import Browser, ConsoleMessage, Download, Page, async_playwright

import dev

AXE: Final = Path(__file__).parents[3] / "data" / "vendor" / "axe.min.js"
RULES: Final = ("wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice")
PHONE: Final = (375, 800)
WIDE: Final = (1440, 900)
PATIENCE_MS: Final = 15_000
# Onto the console, which is heard from the first page to the last: a page that is left takes its own notes with it.
LISTEN: Final = """
document.addEventListener('securitypolicyviolation',
    (event) => console.error(`blocked: ${event.effectiveDirective}: ${event.blockedURI} ${event.sourceFile}`));
"""


class NoBrowser(Exception):
    """There is no Chromium on this machine; the message says what to install."""


def find_browser() -> str:
    """The browser's program. NoBrowser."""
    if chosen := os.environ.get("GATEWAY_BROWSER"):
        if shutil.which(chosen) is None:
            raise NoBrowser(f"GATEWAY_BROWSER names {chosen!r}, which is no program")
        return chosen
    for name in (*dev.BROWSERS, dev.MAC_BROWSER):
        if found := shutil.which(name):
            return found
    raise NoBrowser(
        "the dashboard's tests need a Chromium: apt-get install chromium (Debian, Ubuntu), dnf install chromium "
        "(Fedora), brew install --cask google-chrome (macOS), or name one in GATEWAY_BROWSER"
    )


@asynccontextmanager
async def running_browser() -> AsyncIterator[Browser]:
    """One browser, without a window. NoBrowser."""
    program = find_browser()
    # Chromium keeps its sandbox from root; what it opens here are our own pages.
    arguments = ["--disable-gpu", *(["--no-sandbox"] if os.geteuid() == 0 else [])]
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=program, args=arguments)
        yield browser
        await browser.close()


@dataclass
class Tab:
    """A page of the browser, which notes everything that a browser complains about.

    `base` is the gateway that its addresses are of; `scripted` whether pages may run their scripts.
    """

    page: Page
    scripted: bool
    base: str = ""
    complaints: list[str] = field(default_factory=list)

    async def open(self, path: str, status: int = 200) -> None:
        """Go there; the answer, where redirects lead, is of this status."""
        answer = await self.page.goto(self.base + path)
        assert answer is not None
        assert answer.status == status, f"{path}: {answer.status}"
        if status >= 400:
            await self.was_refused(status)

    async def says(self, text: str) -> None:
        """Waits until the page shows this."""
        await self.page.get_by_text(text).first.wait_for()

    async def press(self, name: str) -> None:
        """The one button of this name."""
        await self.page.get_by_role("button", name=name, exact=True).click()

    async def follow(self, name: str, *, first: bool = False) -> None:
        """The one link of this name, or the first of them."""
        found = self.page.get_by_role("link", name=name, exact=True)
        await (found.first if first else found).click()

    async def type(self, label: str, text: str) -> None:
        """Into the field of this label, over what is in it."""
        await self.page.get_by_label(label, exact=True).fill(text)

    async def tick(self, label: str, *, off: bool = False) -> None:
        """The box or the choice of this label."""
        await self.page.get_by_label(label).set_checked(not off)

    async def takes(self, name: str, *, first: bool = False) -> tuple[str, bytes]:
        """The file that a link of this name gives, and its name."""
        async with self.page.expect_download() as coming:
            await self.follow(name, first=first)
        download: Download = await coming.value
        return download.suggested_filename, await asyncio.to_thread(Path(await download.path()).read_bytes)

    async def tab_to(self, name: str) -> None:
        """Presses Tab until what has this name is focused, at most a hundred times."""
        for _ in range(100):
            await self.page.keyboard.press("Tab")
            if await self.page.evaluate(_FOCUSED) == name:
                return
        raise AssertionError(f"the keyboard alone does not reach {name!r}")

    async def was_refused(self, status: int) -> None:
        """A browser notes each answer of this kind as an error: one was due."""
        noted = f"status of {status} "
        due = [said for said in await self.trouble() if noted in said]
        assert due, f"no answer of {status}"
        self.complaints.remove(due[0])

    async def trouble(self) -> list[str]:
        """What the browser complained of so far, what it blocked with it."""
        # What was said before this is heard after it.
        await self.page.evaluate("0")
        return self.complaints

    async def sticks_out(self) -> list[str]:
        """What is wider than its window, so that the whole page scrolls sideways; nothing: it fits."""
        found: list[str] = await self.page.evaluate(_STICKS_OUT)
        return found

    async def inaccessible(self, *, only: str = "") -> list[str]:
        """What axe finds, one line each; by all its rules, or one."""
        if not await self.page.evaluate("'axe' in window"):
            # The last word is what is sent back: a number, and not the whole library.
            await self.page.evaluate(AXE.read_text() + ";0")
        found: list[dict[str, Any]] = await self.page.evaluate(
            "(asked) => axe.run(document, asked).then((found) => found.violations)",
            {
                "runOnly": {"type": "rule", "values": [only]} if only else {"type": "tag", "values": list(RULES)},
                "resultTypes": ["violations"],
            },
        )
        return [
            f"{one['id']}: {one['help']}: {node['html'][:160]} {node.get('failureSummary', '')[:300]}"
            for one in found
            for node in one["nodes"]
        ]

    async def faultless(self) -> None:
        """Nothing to complain of, in either size and by day and night. Without scripts the page is the same one."""
        for width, height in (WIDE, PHONE):
            await self.page.set_viewport_size({"width": width, "height": height})
            out = await self.sticks_out()
            assert not out, f"{width} wide: {out}"
            if not self.scripted:
                continue
            await self.page.emulate_media(color_scheme="light")
            found = await self.inaccessible()
            assert not found, f"{width} wide, light: {found}"
            # By night the page is the same but for its colours.
            await self.page.emulate_media(color_scheme="dark")
            found = await self.inaccessible(only="color-contrast")
            assert not found, f"{width} wide, dark: {found}"
        assert not await self.trouble()
        await self.page.set_viewport_size({"width": WIDE[0], "height": WIDE[1]})


_STICKS_OUT: Final = """
(() => {
  const root = document.documentElement;
  if (root.scrollWidth <= window.innerWidth) return [];
  const wide = [...document.querySelectorAll('body *')].filter((one) => one.getBoundingClientRect().right > innerWidth);
  return [`${root.scrollWidth} wide`, ...wide.slice(-4).map((one) => one.outerHTML.slice(0, 160))];
})()
"""
# The name that the focused thing is told by: its label, its words, or what is around it.
_FOCUSED: Final = """
(() => {
  const one = document.activeElement;
  const label = one.labels && one.labels[0];
  const words = one.getAttribute('aria-label') || (label || one).innerText || '';
  return words.trim().split('\\n')[0];
})()
"""


@asynccontextmanager
async def opened_tab(browser: Browser, *, scripted: bool = True, **options: Any) -> AsyncIterator[Tab]:
    """A window of its own, which listens from the start."""
    context = await browser.new_context(
        java_script_enabled=scripted,
        reduced_motion="reduce",
        accept_downloads=True,
        viewport={"width": WIDE[0], "height": WIDE[1]},
        **options,
    )
    context.set_default_timeout(PATIENCE_MS)
    await context.add_init_script(LISTEN)
    tab = Tab(await context.new_page(), scripted)

    def heard(message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            tab.complaints.append(f"{message.type}: {message.text} ")

    tab.page.on("console", heard)
    tab.page.on("pageerror", lambda error: tab.complaints.append(f"error: {error}"))
    yield tab
    await context.close()


def pattern(text: str) -> re.Pattern[str]:
    """For a link's name that begins so."""
    return re.compile(f"^{re.escape(text)}")
