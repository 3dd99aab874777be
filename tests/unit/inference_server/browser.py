"""A headless Chromium, driven over its DevTools protocol: just what a test of a page needs."""

from __future__ import annotations

import asyncio
import base64
import json
import shutil
import subprocess
import threading
from collections.abc import Callable
from itertools import count
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import aiohttp

PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
_SECONDS = 60.0


def find_browser() -> str | None:
    """Give the browser that is installed, if one is."""
    return next(filter(None, map(shutil.which, PROGRAMS)), None)


class Browser:
    """One browser with one page. `requests` are the addresses that it asked for, `complaints` what its console said."""

    def __init__(self, path: str, profile: Path) -> None:
        self._process = subprocess.Popen(
            [
                path,
                "--headless=new",
                "--no-sandbox",  # tests may run as root, where it has none
                "--disable-gpu",
                "--disable-dev-shm-usage",
                "--no-proxy-server",
                "--no-first-run",
                "--disable-background-networking",
                "--remote-debugging-port=0",
                f"--user-data-dir={profile}",
                "about:blank",
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self.requests: list[str] = []
        self.console_messages: list[str] = []
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        self._numbers = count(1)
        self._answers: dict[int, asyncio.Future[Any]] = {}
        self._wait(self._connect(self._port(profile / "DevToolsActivePort")))
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.call(f"{domain}.enable")

    def close(self) -> None:
        """End the browser."""
        self._wait(self._session.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()
        self._process.terminate()
        self._process.wait(20)

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Call the protocol."""
        answer = self._wait(self._call(method, parameters))
        assert "error" not in answer, answer
        return answer["result"]

    def evaluate(self, code: str) -> Any:
        """Evaluate JavaScript in the page, await it if it is a promise, and give its value."""
        result = self.call("Runtime.evaluate", expression=code, awaitPromise=True, returnByValue=True, userGesture=True)
        assert "exceptionDetails" not in result, result["exceptionDetails"]
        return result["result"].get("value")

    def wait_until(self, code: str) -> Any:
        """Evaluate JavaScript until it gives something true."""
        deadline = monotonic() + _SECONDS
        while not (value := self.evaluate(code)):
            assert monotonic() < deadline, f"never true: {code}; the console said {self.console_messages}"
        return value

    def open(self, url: str, width: int = 1280, height: int = 900, scheme: str = "light") -> None:
        """Go to a page, in a window of this size, with a colour scheme."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        self.call("Page.navigate", url=url)
        self.wait_until(f"location.href === {json.dumps(url)} && document.readyState === 'complete'")

    def press(self, key: str, code: int = 0, text: str = "") -> None:
        """Press one key, as a person does."""
        pressed = {"key": key, "code": key, "windowsVirtualKeyCode": code}
        self.call("Input.dispatchKeyEvent", type="keyDown", text=text, **pressed)
        self.call("Input.dispatchKeyEvent", type="keyUp", **pressed)

    def picture(self) -> bytes:
        """Take a picture of the whole page, as PNG."""
        size = self.call("Page.getLayoutMetrics")["cssContentSize"]
        clip = {"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1}
        return base64.b64decode(self.call("Page.captureScreenshot", clip=clip, captureBeyondViewport=True)["data"])

    def _wait(self, call: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(call, self._loop).result(_SECONDS)

    def _port(self, announced: Path) -> str:
        deadline = monotonic() + _SECONDS
        while not announced.exists() or "\n" not in announced.read_text():
            assert self._process.poll() is None, "the browser ended"
            assert monotonic() < deadline, "the browser doesn't start"
            sleep(0.05)
        return announced.read_text().splitlines()[0]

    async def _connect(self, port: str) -> None:
        self._session = aiohttp.ClientSession()
        pages: list[dict[str, str]] = []
        while not pages:
            async with self._session.get(f"http://127.0.0.1:{port}/json/list") as response:
                pages = [page for page in await response.json() if page["type"] == "page"]
        self._socket = await self._session.ws_connect(pages[0]["webSocketDebuggerUrl"], max_msg_size=0)
        self._reading = self._loop.create_task(self._read())

    async def _read(self) -> None:
        hear: dict[str, Callable[[dict[str, Any]], None]] = {
            "Network.requestWillBeSent": lambda event: self.requests.append(event["request"]["url"]),
            "Log.entryAdded": lambda event: self.console_messages.append(event["entry"]["text"]),
            "Runtime.exceptionThrown": lambda event: self.console_messages.append(
                json.dumps(event["exceptionDetails"])
            ),
        }
        async for message in self._socket:
            event = message.json()
            if future := self._answers.pop(event.get("id"), None):
                future.set_result(event)
            elif event.get("method") in hear:
                hear[event["method"]](event["params"])

    async def _call(self, method: str, parameters: dict[str, Any]) -> Any:
        number = next(self._numbers)
        future = self._answers[number] = self._loop.create_future()
        await self._socket.send_json({"id": number, "method": method, "params": parameters})
        return await future
