"""A real browser for the tests: headless Chromium, spoken to in its DevTools protocol through a pair of pipes."""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

PATIENCE = 120.0
NAMES = ("chromium", "chromium-browser", "google-chrome")
# A browser reads fd 3 and writes fd 4 when it is asked to speak through pipes.
_THROUGH_PIPES = 'exec "${@:3}" 3<&"$1" 4>&"$2"'


class Page:
    """One tab. All that the browser tells of it is kept in ``events``."""

    def __init__(self, asks: int, answers: int) -> None:
        self._asks, self._answers = asks, answers
        self._heard = b""
        self._count = 0
        self._session: str | None = None
        self.events: list[dict[str, Any]] = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **given: Any) -> dict[str, Any]:
        """Ask for something and return the answer."""
        self._count += 1
        asked = {"id": self._count, "method": method, "params": given}
        if self._session:
            asked["sessionId"] = self._session
        sent = json.dumps(asked).encode() + b"\0"
        while sent:
            sent = sent[os.write(self._asks, sent) :]
        while True:
            told = self._next()
            if told.get("id") == self._count:
                assert "error" not in told, f"{method}: {told['error']}"
                return dict(told["result"])
            self.events.append(told)

    def open(
        self, url: str, *, dark: bool = False, media: str = "", width: int = 1280, height: int = 900, scale: float = 1
    ) -> None:
        """Load a page and wait until all of it is there."""
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", media=media, features=[scheme])
        size = {"width": width, "height": height, "deviceScaleFactor": scale, "mobile": width < 600}
        self.call("Emulation.setDeviceMetricsOverride", **size)
        self.events.clear()
        self.call("Page.navigate", url=url)
        while not any(event.get("method") == "Page.loadEventFired" for event in self.events):
            self.events.append(self._next())

    def value(self, expression: str) -> Any:
        """Return what an expression of JavaScript is in the page."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def complaints(self) -> list[str]:
        """Return what the page's console and log said, and what it asked of the network."""
        found = [json.dumps(event["params"]) for event in self.events if event.get("method") in _COMPLAINTS]
        asked = (event["params"] for event in self.events if event.get("method") == "Network.requestWillBeSent")
        urls = [told["request"]["url"] for told in asked]
        return found + [url for url in urls[1:] if not url.startswith("data:")]

    def picture(self) -> bytes:
        """Return the whole page as PNG."""
        return base64.b64decode(self.call("Page.captureScreenshot", captureBeyondViewport=True)["data"])

    def printed(self) -> bytes:
        """Return the page printed on A4, as PDF."""
        size = {"paperWidth": 8.27, "paperHeight": 11.69, "preferCSSPageSize": True}
        return base64.b64decode(self.call("Page.printToPDF", **size)["data"])

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._heard:
            assert select.select([self._answers], [], [], PATIENCE)[0], f"the browser said nothing for {PATIENCE} s"
            more = os.read(self._answers, 2**16)
            assert more, "the browser ended"
            self._heard += more
        told, _, self._heard = self._heard.partition(b"\0")
        return dict(json.loads(told))


_COMPLAINTS = ("Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded", "Network.loadingFailed")


@contextmanager
def page(folder: Path) -> Iterator[Page]:
    """Start a browser with an empty profile in a folder, and end it."""
    found = next((path for name in NAMES if (path := shutil.which(name))), None)
    assert found, f"a browser is needed: Debian's package chromium, or any of {', '.join(NAMES)} on the PATH"
    options = ["--headless=new", "--no-sandbox", "--disable-gpu", "--remote-debugging-pipe", "--no-first-run"]
    options += ["--disable-dev-shm-usage", f"--user-data-dir={folder}"]
    read, asks = os.pipe()
    answers, write = os.pipe()
    wrapped = ["bash", "-c", _THROUGH_PIPES, "bash", str(read), str(write), found, *options]
    with (folder.parent / "chromium.log").open("wb") as log:
        process = subprocess.Popen(
            wrapped, pass_fds=(read, write), stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )
    os.close(read)
    os.close(write)
    try:
        tab = Page(asks, answers)
        yield tab
        tab._session = None
        tab.call("Browser.close")
        process.wait(timeout=30)
    finally:
        os.close(asks)
        os.close(answers)
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(timeout=30)
