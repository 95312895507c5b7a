"""A headless Chromium, driven over its DevTools protocol: what pages say, load, and look like."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from websockets.sync.client import ClientConnection, connect

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
START_LIMIT_S = 60.0
ANSWER_LIMIT_S = 60.0


def found() -> str | None:
    """Return the path of a browser; None without one."""
    return next((path for name in BROWSERS if (path := shutil.which(name))), None)


class Tab:
    """One tab. `said`: what console and network complained of; `asked_for`: what it loaded."""

    def __init__(self, link: ClientConnection) -> None:
        self._link = link
        self._number = 0
        self.said: list[str] = []
        self.asked_for: list[str] = []
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: object) -> dict[str, Any]:
        """Send a command and return its result; raises RuntimeError if it failed."""
        self._number += 1
        command = {"id": self._number, "method": method, "params": parameters}
        self._link.send(json.dumps(command))
        while True:
            message = json.loads(self._link.recv(ANSWER_LIMIT_S))
            if message.get("id") == self._number:
                if "error" in message:
                    raise RuntimeError(f"{method}: {message['error']}")
                result: dict[str, Any] = message["result"]
                return result
            self._note(message)

    def _note(self, message: dict[str, Any]) -> None:
        about = message.get("params", {})
        match message.get("method"):
            case "Runtime.consoleAPICalled" if about["type"] in ("error", "warning", "assert"):
                self.said.append(json.dumps(about["args"]))
            case "Runtime.exceptionThrown":
                self.said.append(json.dumps(about["exceptionDetails"]))
            case "Log.entryAdded" if about["entry"]["level"] in ("error", "warning"):
                self.said.append(about["entry"]["text"])
            case "Network.requestWillBeSent":
                self.asked_for.append(about["request"]["url"])

    def look_like(self, *, width: int = 1280, dark: bool = False, printed: bool = False) -> None:
        """Set the window's width and the medium that pages are shown on."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=900,
            deviceScaleFactor=1,
            mobile=False,
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        medium = "print" if printed else "screen"
        self.call("Emulation.setEmulatedMedia", media=medium, features=[scheme])

    def open(self, url: str) -> None:
        """Load a page and wait until it is complete."""
        self.call("Page.navigate", url=url)
        deadline = time.monotonic() + ANSWER_LIMIT_S
        while self.run("document.readyState + location.href") != f"complete{url}":
            if time.monotonic() > deadline:
                raise TimeoutError(f"{url} was not loaded in {ANSWER_LIMIT_S:g} s")
            time.sleep(0.05)

    def run(self, script: str) -> Any:  # noqa: ANN401
        """Evaluate an expression, or a promise; raises RuntimeError with what it threw."""
        result = self.call(
            "Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True
        )
        if "exceptionDetails" in result:
            raise RuntimeError(json.dumps(result["exceptionDetails"]))
        return result["result"].get("value")

    def picture(self, path: Path) -> None:
        """Write the whole page as PNG."""
        shot = self.call("Page.captureScreenshot", captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(shot["data"]))


@contextlib.contextmanager
def tab(browser: str, profile: Path) -> Iterator[Tab]:
    """Start a browser that reaches nothing beyond this machine; it ends with the block."""
    port_file = profile / "DevToolsActivePort"
    process = subprocess.Popen(
        [
            browser,
            *("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--hide-scrollbars"),
            *("--disable-background-networking", "--disable-component-update"),
            "--proxy-server=127.0.0.1:9",
            "--remote-debugging-port=0",
            f"--user-data-dir={profile}",
            "about:blank",
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        deadline = time.monotonic() + START_LIMIT_S
        while not port_file.exists() or not port_file.read_text().count("\n"):
            if time.monotonic() > deadline or process.poll() is not None:
                raise RuntimeError(f"{browser} did not come up in {START_LIMIT_S:g} s")
            time.sleep(0.05)
        port, path = port_file.read_text().splitlines()[:2]
        with _linked(f"ws://127.0.0.1:{port}{path}") as link:
            page = _first_page(link)
        with _linked(f"ws://127.0.0.1:{port}/devtools/page/{page}") as link:
            yield Tab(link)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _linked(address: str) -> ClientConnection:
    """Connect, without pings: pongs come behind what nobody reads between two commands."""
    return connect(
        address, max_size=None, proxy=None, open_timeout=ANSWER_LIMIT_S, ping_interval=None
    )


def _first_page(link: ClientConnection) -> str:
    link.send(json.dumps({"id": 0, "method": "Target.getTargets"}))
    targets = json.loads(link.recv(ANSWER_LIMIT_S))["result"]["targetInfos"]
    found: str = next(target["targetId"] for target in targets if target["type"] == "page")
    return found
