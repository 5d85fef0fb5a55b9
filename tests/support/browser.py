"""Chromium, driven over its DevTools protocol: a tab that a test clicks, types into, measures and takes pictures of."""

import asyncio
import base64
import itertools
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import aiohttp

from tests.support.parts import need_chromium
from tests.support.patience import PATIENCE

OPTIONS = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"),
    *("--disable-background-networking", "--disable-extensions", "--disable-sync", "--remote-debugging-port=0"),
)

KEYS = {"Tab": 9, "Enter": 13, " ": 32, "Escape": 27}

FOCUS = """(() => {
  const element = document.activeElement;
  return [element.tagName, element.getAttribute("aria-label") ?? element.textContent.trim(), element.id];
})()"""


class Tab:
    """A tab. `errors` are what its console and its scripts reported."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.errors: list[str] = []
        self._socket = socket
        self._session = ""
        self._numbers = itertools.count(1)
        self._asked: dict[int, asyncio.Future[Any]] = {}

    async def begin(self) -> None:
        target = await self.call("Target.createTarget", url="about:blank")
        attached = await self.call("Target.attachToTarget", targetId=target["targetId"], flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            await self.call(f"{domain}.enable")

    async def listen(self) -> None:
        """Take what Chromium says, until cancelled."""
        async for message in self._socket:
            said = json.loads(message.data)
            answer = self._asked.pop(said.get("id", 0), None)
            if answer is not None and not answer.done():
                answer.set_result(said)
                continue
            params = said.get("params", {})
            if said.get("method") == "Runtime.exceptionThrown":
                details = params["exceptionDetails"]
                self.errors.append(details.get("exception", {}).get("description", details["text"]))
            elif said.get("method") == "Log.entryAdded" and params["entry"]["level"] == "error":
                self.errors.append(f"{params['entry']['text']} {params['entry'].get('url', '')}")
            elif said.get("method") == "Runtime.consoleAPICalled" and params["type"] == "error":
                self.errors.append(str(params["args"]))

    async def call(self, method: str, **params: Any) -> Any:
        number = next(self._numbers)
        answer = self._asked[number] = asyncio.get_running_loop().create_future()
        asked = {"id": number, "method": method, "params": params}
        await self._socket.send_json({**asked, "sessionId": self._session} if self._session else asked)
        async with asyncio.timeout(PATIENCE):
            said = await answer
        assert "error" not in said, f"{method}: {said['error']}"
        return said["result"]

    async def go(self, address: str) -> None:
        await self.call("Page.navigate", url=address)
        await self.until("document.readyState === 'complete'", "the page is loaded")

    async def look(self, *, width: int = 1280, height: int = 900, dark: bool = False, calm: bool = False) -> None:
        """Set the window's size, the colour scheme, and whether motion is to be reduced."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        await self.call("Emulation.setDeviceMetricsOverride", **size)
        await self.call(
            "Emulation.setEmulatedMedia",
            features=[
                {"name": "prefers-color-scheme", "value": "dark" if dark else "light"},
                {"name": "prefers-reduced-motion", "value": "reduce" if calm else "no-preference"},
            ],
        )

    async def run(self, script: str) -> Any:
        """The value of an expression in the page, awaited if it is a promise."""
        found = await self.call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    async def until(self, script: str, what: str, seconds: float = PATIENCE) -> Any:
        """The value of an expression, once it is true. Raises AssertionError after `seconds`."""
        deadline = time.monotonic() + seconds
        while not (found := await self.run(script)):
            assert time.monotonic() < deadline, f"{what}: not within {seconds:g} s. {self.errors}"
            await asyncio.sleep(0.02)
        return found

    async def click(self, selector: str) -> None:
        """Click the middle of the first element that a selector finds, with the mouse, once it does not move."""
        quoted = json.dumps(selector)
        await self.until(f"document.querySelector({quoted}) !== null", f"{selector} is there")
        place = f"""(() => {{
          const element = document.querySelector({quoted});
          for (let each = element; each; each = each.parentElement)
            if (each.getAnimations().some((one) => one.playState === "running")) return null;
          element.scrollIntoView({{block: "center"}});
          const box = element.getBoundingClientRect();
          const at = [box.left + box.width / 2, box.top + box.height / 2];
          const hit = document.elementFromPoint(...at);
          return element === hit || element.contains(hit) ? at : null;
        }})()"""
        x, y = await self.until(place, f"{selector} is not covered")
        for kind in ("mousePressed", "mouseReleased"):
            await self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    async def press(self, key: str) -> None:
        named = {"key": key, "code": key, "windowsVirtualKeyCode": KEYS[key]}
        text = {"Enter": "\r", " ": " "}.get(key)
        await self.call("Input.dispatchKeyEvent", type="keyDown", **named, **({"text": text} if text else {}))
        await self.call("Input.dispatchKeyEvent", type="keyUp", **named)

    async def write(self, text: str) -> None:
        await self.call("Input.insertText", text=text)

    async def focus(self) -> tuple[str, str, str]:
        """The tag, the name and the id of the element that has the keyboard."""
        tag, name, own = await self.run(FOCUS)
        return tag, name, own

    async def picture(self, path: Path, *, whole: bool = False) -> None:
        """Write a picture of the window, or of the whole page, as PNG."""
        taken = await self.call("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(taken["data"]))  # noqa: ASYNC240 - a small file, in a test


@asynccontextmanager
async def browser(folder: Path) -> AsyncIterator[Tab]:
    """A tab of a new Chromium with its profile in `folder`. Skips the test where there is none."""
    process = await asyncio.create_subprocess_exec(
        need_chromium(),
        *OPTIONS,
        f"--user-data-dir={folder}",
        "about:blank",
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        port, path = await _address(folder / "DevToolsActivePort", process)
        async with (
            aiohttp.ClientSession() as session,
            session.ws_connect(f"ws://127.0.0.1:{port}{path}", max_msg_size=0) as socket,
        ):
            tab = Tab(socket)
            listening = asyncio.create_task(tab.listen())
            try:
                await tab.begin()
                yield tab
            finally:
                listening.cancel()
    finally:
        with suppress(ProcessLookupError):
            process.terminate()
        await process.wait()


async def _address(file: Path, process: asyncio.subprocess.Process) -> tuple[str, str]:
    """The port and the path under which Chromium listens, once it has written them."""
    deadline = time.monotonic() + PATIENCE
    while len(lines := _lines(file)) < 2:
        assert process.returncode is None, f"Chromium ended with {process.returncode}"
        assert time.monotonic() < deadline, "Chromium does not listen"
        await asyncio.sleep(0.05)
    return lines[0], lines[1]


def _lines(file: Path) -> list[str]:
    return file.read_text().splitlines() if file.exists() else []
