"""A real Chromium for tests: where it is, and what it must not find on a page."""

import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from playwright.async_api import Browser, BrowserContext, ConsoleMessage, Page, async_playwright

AXE: Final = Path(__file__).parents[2] / "data" / "vendor" / "axe.min.js"
NAMES: Final = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "microsoft-edge")
ON_MACOS: Final = "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome"
RULES: Final = ("wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice")
LISTEN: Final = """
window.violations = [];
document.addEventListener('securitypolicyviolation',
    (event) => window.violations.push(`${event.effectiveDirective}: ${event.blockedURI} ${event.sourceFile}`));
"""


class NoBrowser(Exception):
    """There is no Chromium on this machine; the message says what to install."""


def find_browser() -> str:
    """The browser's program. NoBrowser."""
    if chosen := os.environ.get("GATEWAY_BROWSER"):
        if shutil.which(chosen) is None:
            raise NoBrowser(f"GATEWAY_BROWSER names {chosen!r}, which is no program")
        return chosen
    for name in (*NAMES, ON_MACOS):
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
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=program, args=arguments)
        yield browser
        await browser.close()


@dataclass
class Tab:
    """A page of the browser, which notes everything that a browser complains about."""

    page: Page
    base: str
    complaints: list[str] = field(default_factory=list)

    async def open(self, path: str) -> None:
        """Go there."""
        await self.page.goto(self.base + path)

    async def trouble(self) -> list[str]:
        """What the browser complained of so far, and blocked of this page."""
        blocked: list[str] = await self.page.evaluate("window.violations || []")
        return self.complaints + blocked

    async def scrolls_sideways(self) -> bool:
        """Whether the page is wider than its window."""
        wide: bool = await self.page.evaluate("document.documentElement.scrollWidth > window.innerWidth")
        return wide

    async def inaccessible(self, *, only: str = "") -> list[str]:
        """What axe finds, one line each; by all its rules, or one."""
        if not await self.page.evaluate("'axe' in window"):
            await self.page.evaluate(AXE.read_text())
        found: dict[str, Any] = await self.page.evaluate(
            "(rules) => axe.run(document, {runOnly: rules, resultTypes: ['violations']})",
            {"type": "rule", "values": [only]} if only else {"type": "tag", "values": list(RULES)},
        )
        return [
            f"{one['id']}: {one['help']}: {node['html'][:160]} {node.get('failureSummary', '')[:300]}"
            for one in found["violations"]
            for node in one["nodes"]
        ]


async def new_tab(context: BrowserContext, base: str) -> Tab:
    """A tab that listens from the start."""
    page = await context.new_page()
    tab = Tab(page, base)

    def heard(message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            tab.complaints.append(f"{message.type}: {message.text}")

    page.on("console", heard)
    page.on("pageerror", lambda error: tab.complaints.append(f"error: {error}"))
    return tab


async def sign_in(tab: Tab, key: str) -> None:
    """As a person would."""
    await tab.open("/settings/billing")
    await tab.page.get_by_label("API key").fill(key)
    await tab.page.get_by_role("button", name="Sign in").click()
    await tab.page.wait_for_url("**/settings/billing")
