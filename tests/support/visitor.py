"""A visitor of the page for users, in the machine's Chromium driven by Playwright: acts, waits, times, and has axe-core
look at what is shown."""

import asyncio
import base64
import json
import os
import time
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any

from playwright.async_api import ConsoleMessage, Page, async_playwright, expect

from tests.support.parts import need_chromium
from tests.support.patience import PATIENCE

GRAVE = {"serious", "critical"}
"""The impacts that no page may have."""

RUN_AXE = """axe.run(document, {resultTypes: ["violations"]}).then((found) => JSON.stringify(found.violations))"""

SETTLED = """document.getAnimations().every((each) =>
  each.playState !== "running" || each.effect.getTiming().iterations === Infinity)"""

CALLED = """(({activeElement: one}) =>
  one.getAttribute("aria-label") ?? one.labels?.[0]?.textContent ?? one.textContent)(document)"""


@dataclass
class Visitor:
    """`errors` are what the console and the scripts reported; `seconds` is how long each act took, from the key or the
    click until the page showed what follows from it."""

    page: Page
    pictures: Path
    name: str
    errors: list[str] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)

    def heard(self, said: ConsoleMessage) -> None:
        if said.type == "error":
            self.errors.append(said.text)

    async def timed(self, what: str, act: Awaitable[Any], shown: str) -> None:
        """Act, wait until the expression `shown` is true, and note the seconds."""
        began = time.perf_counter()
        await act
        await self.until(shown)
        self.seconds[what] = round(time.perf_counter() - began, 3)

    async def until(self, shown: str) -> None:
        await self.page.wait_for_function(f"() => {shown}", timeout=PATIENCE * 1000)

    async def read(self, selector: str) -> list[str]:
        return await self.page.locator(selector).all_text_contents()

    async def looks_right(self, state: str) -> None:
        """Take a picture, and have axe-core find nothing serious or critical."""
        await self.until(SETTLED)
        cdp = await self.page.context.new_cdp_session(self.page)
        taken = await cdp.send("Page.captureScreenshot", {"format": "webp", "quality": 80})
        (self.pictures / f"{self.name}-{state}.webp").write_bytes(base64.b64decode(taken["data"]))
        # Over the protocol: the page's policy lets no script in that is not its own.
        if not await self.page.evaluate("typeof axe === 'object'"):
            await cdp.send("Runtime.evaluate", {"expression": axe()})
        ran = await cdp.send("Runtime.evaluate", {"expression": RUN_AXE, "awaitPromise": True, "returnByValue": True})
        await cdp.detach()
        assert "exceptionDetails" not in ran, ran["exceptionDetails"]
        grave = [
            (each["id"], each["help"], [node["html"][:200] for node in each["nodes"]])
            for each in json.loads(ran["result"]["value"])
            if each["impact"] in GRAVE
        ]
        assert not grave, f"{state}: {grave}"
        wide = "document.documentElement.scrollWidth > document.documentElement.clientWidth"
        assert not await self.page.evaluate(wide), f"{state} is wider than the window"
        assert not self.errors, f"{state}: {self.errors}"

    async def press_until(self, name: str) -> None:
        """Press Tab until the name of what has the keyboard begins so."""
        for _ in range(120):
            await self.page.keyboard.press("Tab")
            if (await self.page.evaluate(CALLED)).strip().startswith(name):
                return
        raise AssertionError(f"Tab does not reach {name}")

    async def sees(self, selector: str, text: str) -> None:
        await expect(self.page.locator(selector)).to_contain_text(text, timeout=PATIENCE * 1000)


def _folder(default: Path) -> Path:
    folder = Path(os.environ.get("OUZEL_PICTURES") or default)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def axe() -> str:
    return files("axe_playwright_python").joinpath("axe.min.js").read_text()


@asynccontextmanager
async def visiting(
    address: str, pictures: Path, name: str, *, phone: bool = False, dark: bool = False
) -> AsyncIterator[Visitor]:
    """A visitor in a new window, at a desk or on a phone. Skips the test where there is no Chromium.

    Pictures go to `pictures`, or to the folder that OUZEL_PICTURES names.
    """
    folder = await asyncio.to_thread(_folder, pictures)
    path = need_chromium()
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        try:
            page = await browser.new_page(
                viewport={"width": 390, "height": 844} if phone else {"width": 1280, "height": 900},
                color_scheme="dark" if dark else "light",
                has_touch=phone,
                reduced_motion="reduce",
            )
            page.set_default_timeout(PATIENCE * 1000)
            visitor = Visitor(page, folder, name)
            page.on("console", visitor.heard)
            page.on("pageerror", lambda error: visitor.errors.append(str(error)))
            await page.goto(address)
            yield visitor
        finally:
            await browser.close()
