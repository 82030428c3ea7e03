"""A headless Chromium for tests of pages, driven through its DevTools protocol.

    with chromium(tmp_path) as browser:
        browser.open("http://127.0.0.1:18767")
        browser.wait("document.body.innerText.includes('Runs')")
        browser.picture(tmp_path / "page.png")
        assert browser.beyond_loopback() == []

Protocol: https://chromedevtools.github.io/devtools-protocol/
"""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import websocket  # websocket-client, which moto's Docker client brings

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--hide-scrollbars", "--disable-dev-shm-usage"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-default-apps", "--disable-extensions"),
    *("--remote-debugging-port=0", "--remote-allow-origins=*", "--window-size=1400,1000", "--force-color-profile=srgb"),
)
START_SECONDS = 30


def found() -> str | None:
    """The browser's program on this machine's PATH, or None."""
    return next((path for name in NAMES if (path := shutil.which(name))), None)


@contextmanager
def chromium(folder: Path) -> Iterator[Browser]:
    """A browser with a profile of its own in `folder`, gone afterwards."""
    program = found()
    assert program, f"none of {', '.join(NAMES)} is on PATH"
    profile = folder / "profile"
    with (folder / "chromium.log").open("wb") as log:
        process = subprocess.Popen([program, *FLAGS, f"--user-data-dir={profile}", "about:blank"], stdout=log, stderr=log)
    try:
        yield Browser(devtools_port(profile, process, folder / "chromium.log"))
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()


def devtools_port(profile: Path, process: subprocess.Popen[bytes], log: Path) -> int:
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until and process.poll() is None:
        try:
            return int((profile / "DevToolsActivePort").read_text().split("\n")[0])
        except (OSError, ValueError):
            time.sleep(0.05)
    raise AssertionError(f"the browser did not start in {START_SECONDS} s: {log.read_text(errors='replace')[-2000:]}")


class Browser:
    """One page of the browser, and every address it has asked for."""

    def __init__(self, port: int) -> None:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/json/list", timeout=10) as answer:
            page = next(target for target in json.load(answer) if target["type"] == "page")
        self.socket = websocket.create_connection(page["webSocketDebuggerUrl"], timeout=60, suppress_origin=True)
        self.requested: list[str] = []
        self.complaints: list[str] = []
        self.number = 0
        for domain in ("Page", "Runtime", "Network"):
            self.send(f"{domain}.enable")

    def send(self, method: str, **params: Any) -> dict[str, Any]:
        """One command and its answer; what is told meanwhile is kept."""
        self.number += 1
        self.socket.send(json.dumps({"id": self.number, "method": method, "params": params}))
        while True:
            said = json.loads(self.socket.recv())
            if said.get("id") == self.number:
                assert "error" not in said, f"{method}: {said['error']}"
                return said["result"]
            self.heard(said)

    def heard(self, event: dict[str, Any]) -> None:
        params = event.get("params", {})
        match event.get("method"):
            case "Network.requestWillBeSent":
                self.requested.append(params["request"]["url"])
            case "Network.webSocketCreated":
                self.requested.append(params["url"])
            case "Runtime.exceptionThrown":
                self.complaints.append(str(params["exceptionDetails"].get("exception", {}).get("description") or params["exceptionDetails"]["text"]))

    def open(self, url: str) -> None:
        self.send("Page.navigate", url=url)

    def evaluate(self, script: str) -> Any:
        """The value of a JavaScript expression in the page."""
        said = self.send("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in said, said["exceptionDetails"]
        return said["result"].get("value")

    def wait(self, script: str, seconds: float = 30) -> None:
        """Until the expression is true; what the page shows, if it never is."""
        until = time.monotonic() + seconds
        while not self.evaluate(f"Boolean({script})"):
            assert time.monotonic() < until, f"not true after {seconds} s: {script}\nthe page says: {self.text()[:2000]}"
            time.sleep(0.05)

    def text(self) -> str:
        """What a reader sees as text; what is drawn in a canvas is not among it."""
        return self.evaluate("document.body ? document.body.innerText : ''")

    def type(self, text: str) -> None:
        """Letters into the field that has the focus, and Enter."""
        self.send("Input.insertText", text=text)
        for kind, more in (("keyDown", {"text": "\r"}), ("keyUp", {})):
            self.send("Input.dispatchKeyEvent", type=kind, key="Enter", code="Enter", windowsVirtualKeyCode=13, **more)

    def size(self, width: int, height: int) -> None:
        self.send("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)

    def picture(self, file: Path) -> Path:
        """A PNG of what the window shows."""
        file.write_bytes(base64.b64decode(self.send("Page.captureScreenshot", format="png")["data"]))
        return file

    def beyond_loopback(self) -> list[str]:
        """Addresses asked for that are not on this machine."""
        hosts = {url: urlsplit(url).hostname for url in self.requested if urlsplit(url).scheme in ("http", "https", "ws", "wss", "ftp")}
        return sorted(url for url, host in hosts.items() if host not in ("127.0.0.1", "localhost", "::1"))
