"""Pages and pictures as PNG, by a Chromium that is there already.

In: the text of a page (HTML) or of a picture (SVG). Out: the bytes of a PNG, as wide as asked for and as tall as all of it; or of
a PDF, as the page prints. The browser runs without a window, with a profile of its own in a folder that goes away, finds no host on
any network, and reads no file: it is given the text over a pipe (Chrome DevTools Protocol, version 1.3).

    png(page("Dots", figure(dot)), width=400, dark=True)
"""

from __future__ import annotations

import base64
import json
import math
import os
import shutil
import signal
import subprocess
import tempfile
import threading
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

from minicc import config
from minicc.errors import ConfigError, RunError, printable

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "microsoft-edge")
FLAGS = (
    "--headless", "--remote-debugging-pipe", "--disable-gpu", "--hide-scrollbars", "--no-first-run", "--no-default-browser-check",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-extensions", "--disable-quic",
    "--host-resolver-rules=MAP * ~NOTFOUND", "--disable-breakpad", "--disable-dev-shm-usage",
)  # fmt: skip
PIPES = 'exec "$0" "$@" 3<&0 4>&1 </dev/null >/dev/null'  # the browser is asked at 3, and answers at 4
LIMIT = 120.0  # seconds that a browser may take
WIDTH, TALLEST = 1280, 16384  # pixels: of a page, if nothing else is asked for; the most that Chromium draws at once


def find_browser(call: str) -> str:
    """The path of a Chromium: MINICC_BROWSER, or what PATH has. Raises ConfigError, which names the call, where there is none."""
    named = config.browser()
    found = shutil.which(named) if named else next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        got = f"{named!r}, which is no program" if named else f"none of {', '.join(NAMES)} on PATH"
        hint = "install chromium, or set MINICC_BROWSER to the path of one; .svg and .html need none"
        where = "environment variable MINICC_BROWSER" if named else ""
        raise ConfigError(call, f"expected a Chromium, got {got}", where, hint)
    return found


def png(text: str, width: float = WIDTH, dark: bool = False, scale: float = 1) -> bytes:
    """A PNG of a page or a picture of `width` CSS pixels, light or dark, `scale` dots each. Raises ConfigError where there is no
    browser, or the page is too tall for one, RunError when it fails."""
    call = f"png(width={width:g})"
    with Browser(call) as browser:
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        still = {
            "name": "prefers-reduced-motion",
            "value": "reduce",
        }  # an animation shows all of it, not its first moment
        browser.size(width, scale)
        browser.tell("Emulation.setEmulatedMedia", features=[scheme, still])
        browser.show(text)
        height = math.ceil(browser.run("document.documentElement.getBoundingClientRect().height"))
        if height * scale > TALLEST or width * scale > TALLEST:
            problem = f"expected at most {TALLEST:,} dots each way, got {width * scale:,.0f} by {height * scale:,.0f}"
            raise ConfigError(call, problem, hint="save it as .html or .svg, or fold or leave out some of it")
        clip = {"x": 0, "y": 0, "width": round(width), "height": max(height, 1), "scale": 1}
        made = browser.tell("Page.captureScreenshot", format="png", clip=clip, captureBeyondViewport=True)
    return base64.b64decode(made["data"])


def pdf(text: str) -> bytes:
    """A PDF of a page as it prints. Raises what `png` does."""
    with Browser("pdf(...)") as browser:
        browser.show(text)
        return base64.b64decode(browser.tell("Page.printToPDF", printBackground=True)["data"])


class Browser:
    """A browser with one empty page, as long as the block lasts."""

    def __init__(self, call: str) -> None:
        self._call, self._program, self._number, self._page, self._rest = call, find_browser(call), 0, "", b""

    def __enter__(self) -> Browser:
        self._folder = tempfile.TemporaryDirectory(prefix="minicc-browser-", ignore_cleanup_errors=True)
        root = ("--no-sandbox",) if os.geteuid() == 0 else ()  # the superuser gets no sandbox of Chromium
        command = [self._program, *FLAGS, *root, f"--user-data-dir={self._folder.name}/profile", "about:blank"]
        with (Path(self._folder.name) / "messages").open("wb") as messages:
            self._child = subprocess.Popen(
                ["/bin/sh", "-c", PIPES, *command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=messages, start_new_session=True, cwd=self._folder.name
            )  # fmt: skip
        self._timer = threading.Timer(LIMIT, self._kill)
        self._timer.daemon = True
        self._timer.start()
        try:
            self._target = self.tell("Target.createTarget", url="about:blank")["targetId"]
            self._page = self.tell("Target.attachToTarget", targetId=self._target, flatten=True)["sessionId"]
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._timer.cancel()
        self._kill()
        self._child.communicate()
        self._folder.cleanup()

    def _kill(self) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self._child.pid, signal.SIGKILL)

    def size(self, width: float, scale: float = 1) -> None:
        """Make the window so many CSS pixels wide, of `scale` dots each."""
        size = {"width": round(width), "height": 800, "deviceScaleFactor": scale, "mobile": False}
        self.tell("Emulation.setDeviceMetricsOverride", **size)

    def show(self, text: str) -> None:
        """Put a page, or a picture as a page of its own, into the window."""
        held = (
            text
            if text.lstrip()[:9].lower() == "<!doctype"
            else f"<!doctype html><body style='margin: 0; line-height: 0'>{text}"
        )
        self.tell("Page.setDocumentContent", frameId=self._target, html=held.encode("utf-8", "replace").decode())
        self.run("document.fonts.ready.then(() => 0)")

    def run(self, script: str) -> Any:
        """The value of an expression of ours in the page."""
        return self.tell("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)["result"][
            "value"
        ]

    def tell(self, method: str, **parameters: Any) -> dict[str, Any]:
        """What the browser answers to a method of its protocol. Raises RunError when it answers with an error, or ends."""
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": parameters}
        if self._page:
            message["sessionId"] = self._page
        assert self._child.stdin is not None
        with suppress(BrokenPipeError):  # then there is no answer
            self._child.stdin.write(json.dumps(message).encode() + b"\0")
            self._child.stdin.flush()
        while (reply := self._heard()).get("id") != self._number:
            pass  # an event
        if "error" in reply:
            raise self._failed(f"{method}: {reply['error'].get('message', reply['error'])}")
        result: dict[str, Any] = reply["result"]
        return result

    def _heard(self) -> dict[str, Any]:
        """The next message of the browser."""
        assert self._child.stdout is not None
        parts = [self._rest]
        while b"\0" not in parts[-1]:
            if not (more := os.read(self._child.stdout.fileno(), 1 << 20)):
                raise self._failed("it ended, or took longer than it may")
            parts.append(more)
        message, _, self._rest = b"".join(parts).partition(b"\0")
        found: dict[str, Any] = json.loads(message)
        return found

    def _failed(self, why: str) -> RunError:
        said = (Path(self._folder.name) / "messages").read_text(errors="replace").strip().splitlines()
        last = next((line for line in said if "FATAL" in line), said[-1] if said else "no word of it")
        where = f"{self._program}: {printable(last)}"
        hint = "does it run by itself, as in `chromium --headless --dump-dom about:blank`? MINICC_BROWSER names another"
        return RunError(self._call, f"expected a picture from the browser, got: {why}", where, hint)
