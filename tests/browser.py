"""A real Chromium, driven over its debugging pipe: opens pages, clicks, and notes all it asks for and shows."""

import base64
import json
import os
import selectors
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import REQUIRED

WAIT_S = 30
OPTIONS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--no-default-browser-check",
    "--window-size=1100,1400",
    "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1",  # what leaves is noted, and gets nowhere
    "--remote-debugging-pipe",
)


def find_chromium() -> str | None:
    return shutil.which("chromium") or shutil.which("chromium-browser")


class Page:
    """One tab. `requests` are the addresses it asked for, `dialogs` what popped up, `refused` what its CSP blocked."""

    def __init__(self, to_browser: int, from_browser: int) -> None:
        self._to, self._from = to_browser, from_browser
        self._last_id = 0
        self._session: str | None = None
        self._buffer = b""
        self._loads = 0
        self.requests: list[str] = []
        self.dialogs: list[str] = []
        self.refused: list[str] = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Network", "Runtime", "Log"):
            self.call(f"{domain}.enable")

    def open(self, url: str) -> None:
        loads = self._loads
        self.call("Page.navigate", url=url)
        self._wait(lambda: self._loads > loads)

    def follow(self, expression: str) -> None:
        """Run what leads to another page, and wait until it is there."""
        loads = self._loads
        self.evaluate(expression)
        self._wait(lambda: self._loads > loads)

    def evaluate(self, expression: str) -> Any:
        """Run our own script in the page, which a CSP does not keep a debugger from."""
        result = self.call("Runtime.evaluate", expression=expression, returnByValue=True, userGesture=True)
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    def settle(self, seconds: float = 0.5) -> None:
        """Give the page time to do what it should not."""
        ends = time.monotonic() + seconds
        while (left := ends - time.monotonic()) > 0:
            self._read(left)

    def screenshot(self, path: Path) -> None:
        picture = self.call("Page.captureScreenshot", captureBeyondViewport=True)["data"]
        path.write_bytes(base64.b64decode(picture))

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        number = self._send(method, parameters)
        answers: list[dict[str, Any]] = []
        self._wait(lambda: bool(answers), lambda m: answers.append(m) if m.get("id") == number else None)
        assert "error" not in answers[0], answers[0]
        return dict(answers[0]["result"])

    def _send(self, method: str, parameters: dict[str, Any]) -> int:
        self._last_id += 1
        message: dict[str, Any] = {"id": self._last_id, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._to, json.dumps(message).encode() + b"\0")
        return self._last_id

    def _wait(self, is_done: Any, look: Any = lambda _message: None) -> None:
        ends = time.monotonic() + WAIT_S
        while not is_done():
            assert time.monotonic() < ends, "the browser did not answer"
            for message in self._read(1):
                look(message)

    def _read(self, wait_s: float) -> list[dict[str, Any]]:
        with selectors.DefaultSelector() as selector:
            selector.register(self._from, selectors.EVENT_READ)
            if not selector.select(wait_s):
                return []
        self._buffer += os.read(self._from, 1 << 20)
        *whole, self._buffer = self._buffer.split(b"\0")
        messages = [json.loads(part) for part in whole]
        for message in messages:
            self._note(message.get("method"), message.get("params", {}))
        return messages

    def _note(self, method: str | None, said: dict[str, Any]) -> None:
        if method == "Page.loadEventFired":
            self._loads += 1
        elif method == "Network.requestWillBeSent":
            self.requests.append(said["request"]["url"])
        elif method == "Page.javascriptDialogOpening":
            self.dialogs.append(said["message"])
            self._send("Page.handleJavaScriptDialog", {"accept": True})
        elif method == "Log.entryAdded" and said["entry"]["source"] == "security":
            self.refused.append(said["entry"]["text"])


@contextmanager
def running_browser(folder: Path) -> Iterator[Page]:
    """Start Chromium with a profile of its own; yield a tab; end it by its pid. Without one the test is skipped."""
    program = find_chromium()
    if program is None:
        (pytest.fail if REQUIRED else pytest.skip)("chromium is not installed")
    to_read, to_write = os.pipe()
    from_read, from_write = os.pipe()
    command = f'exec "$0" "$@" 3<&{to_read} 4>&{from_write}'
    profile = f"--user-data-dir={folder / 'profile'}"
    process = subprocess.Popen(
        ["bash", "-c", command, program, *OPTIONS, profile],
        pass_fds=(to_read, from_write),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={"PATH": os.defpath, "HOME": str(folder)},
    )
    os.close(to_read)
    os.close(from_write)
    try:
        yield Page(to_write, from_read)
    finally:
        os.close(to_write)
        os.close(from_read)
        process.terminate()
        process.wait(timeout=15)
