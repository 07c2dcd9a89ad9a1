"""A headless Chromium, driven over a pipe by its DevTools protocol: no driver, no socket, no library.

Commands go in by file descriptor 3 and answers come by 4, as JSON that ends with a null byte.
"""

import base64
import json
import os
import select
import shutil
import subprocess
import sys
import tempfile
import time
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path
from threading import Thread
from typing import Any, BinaryIO, Self

CHROMIUM = next((found for name in ("chromium", "chromium-browser") if (found := shutil.which(name))), None)
PATIENCE = 120  # seconds for an answer: machines are shared

_OPTIONS = (
    "--headless=new",
    "--no-sandbox",  # root in a container has none
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--hide-scrollbars",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--remote-debugging-pipe",
)
# The pipes' ends become 3 and 4; first out of the way, since one of them may be 3 or 4 itself.
_LAUNCH = """
import fcntl, os, sys
ends = [fcntl.fcntl(int(number), fcntl.F_DUPFD, 10) for number in sys.argv[1:3]]
for number, end in zip((3, 4), ends):
    os.dup2(end, number)
os.execv(sys.argv[3], sys.argv[3:])
"""


class Browser:
    """One page in a browser of its own, which ends with the block."""

    def __init__(self, width: int = 1200, height: int = 900, *options: str) -> None:
        assert CHROMIUM is not None
        self._home = tempfile.TemporaryDirectory()
        in_read, self._in = os.pipe()
        self._out, out_write = os.pipe()

        command = [CHROMIUM, *_OPTIONS, *options, f"--user-data-dir={self._home.name}", "about:blank"]
        self._process = subprocess.Popen(
            [sys.executable, "-IS", "-c", _LAUNCH, str(in_read), str(out_write), *command],
            pass_fds=(in_read, out_write),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(in_read)
        os.close(out_write)
        self._rest = b""
        self._number = 0
        self.events: list[dict[str, Any]] = []
        self._session: str | None = None
        (target,) = (t for t in self._call("Target.getTargets")["targetInfos"] if t["type"] == "page")
        attached = self._call("Target.attachToTarget", targetId=target["targetId"], flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self._call(f"{domain}.enable")
        self.size(width, height)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._in)
        os.close(self._out)
        shutil.rmtree(self._home.name, ignore_errors=True)
        self._home.cleanup()

    # --- what tests do

    def open(self, page: Path | str) -> None:
        """Open a file or an address, and wait until it is loaded and its program has run."""
        self.events.clear()
        url = page if isinstance(page, str) else page.absolute().as_uri()
        self._call("Page.navigate", url=url)
        while not any(event.get("method") == "Page.loadEventFired" for event in self.events):
            self.events.append(self._answer())
        if isinstance(page, str):  # its program is a module, which may wait for more
            self.wait("document.documentElement?.dataset.ready === 'true'")
        assert self.do("document.documentElement.dataset.ready") == "true", self.errors()
        self.settle()  # keys that come before the first frame is drawn are lost

    def do(self, script: str) -> Any:
        """The value of a script, which may be a promise."""
        found = self._call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, (script, found["exceptionDetails"])
        return found["result"].get("value")

    def wait(self, script: str) -> None:
        """Wait until the script is true, also if another page is loaded meanwhile."""
        until = time.monotonic() + PATIENCE
        while not self.do(script):
            assert time.monotonic() < until, script
            time.sleep(0.02)

    def settle(self) -> None:
        """Let two frames pass, so that what waits for one is drawn."""
        self.do("new Promise((r) => requestAnimationFrame(() => requestAnimationFrame(() => r(true))))")

    def mouse(self, kind: str, x: float, y: float, **more: Any) -> None:
        """``mousePressed``, ``mouseMoved``, ``mouseReleased`` or ``mouseWheel``."""
        held = {} if kind == "mouseWheel" else {"button": "left", "clickCount": 1, "buttons": 1}
        self._call("Input.dispatchMouseEvent", type=kind, x=x, y=y, **(held | more))

    def touch(self, kind: str, *points: tuple[float, float]) -> None:
        """``touchStart``, ``touchMove`` or ``touchEnd``."""
        self._call("Input.dispatchTouchEvent", type=kind, touchPoints=[{"x": x, "y": y} for x, y in points])

    def center(self, selector: str) -> tuple[float, float]:
        """The middle of an element, scrolled into view."""
        x, y = self.do(
            f"""(() => {{ const e = document.querySelector({json.dumps(selector)});
            e.scrollIntoView({{block: 'center'}}); const b = e.getBoundingClientRect();
            return [b.left + b.width / 2, b.top + b.height / 2]; }})()"""
        )
        return x, y

    def click(self, selector: str) -> None:
        """Click into the middle of an element."""
        x, y = self.center(selector)
        self.settle()
        self.mouse("mousePressed", x, y)
        self.mouse("mouseReleased", x, y)
        self.settle()

    def key(self, key: str, *, text: str = "", modifiers: int = 0) -> None:
        """Press and release a key; one that writes has its ``text``."""
        named = {"Enter": 13, "Escape": 27, "PageUp": 33, "PageDown": 34, "End": 35, "Home": 36}
        named |= {"ArrowLeft": 37, "ArrowUp": 38, "ArrowRight": 39, "ArrowDown": 40, "Tab": 9}
        text = text or (key if len(key) == 1 else "\r" if key == "Enter" else "")
        code = named.get(key, ord(key.upper()) if len(key) == 1 else 0)
        common = {"key": key, "windowsVirtualKeyCode": code, "modifiers": modifiers}
        down = "keyDown" if text else "rawKeyDown"
        self._call("Input.dispatchKeyEvent", type=down, **common, **({"text": text} if text else {}))
        self._call("Input.dispatchKeyEvent", type="keyUp", **common)
        self.settle()

    def choose(self, selector: str, value: str) -> None:
        """Choose an option, or write into a field."""
        self.do(
            f"""(() => {{
                const element = document.querySelector({json.dumps(selector)});
                element.value = {json.dumps(value)};
                for (const name of ['input', 'change']) {{
                    element.dispatchEvent(new Event(name, {{bubbles: true}}));
                }}
            }})()"""
        )
        self.settle()

    def size(self, width: int, height: int, *, phone: bool = False, scale: float = 1) -> None:
        """The size of the window, in pixels of the page."""
        self._call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=scale,
            mobile=phone,
        )
        self._call("Emulation.setTouchEmulationEnabled", enabled=phone)

    def media(self, media: str = "", **features: str) -> None:
        """Such as ``print``, or ``prefers_color_scheme="dark"``."""
        named = [{"name": name.replace("_", "-"), "value": value} for name, value in features.items()]
        self._call("Emulation.setEmulatedMedia", media=media, features=named)

    def screenshot(self, *, whole: bool = False) -> bytes:
        """A PNG of the window, or of the whole page."""
        self.settle()
        found = self._call("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        return base64.b64decode(found["data"])

    def give(self, selector: str, *files: Path) -> None:
        """Choose files in a file input."""
        root = self._call("DOM.getDocument")["root"]["nodeId"]
        found = self._call("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
        self._call("DOM.setFileInputFiles", nodeId=found, files=[str(file.absolute()) for file in files])

    def downloads_to(self, folder: Path) -> None:
        """Where files go that the page gives."""
        self._call("Page.setDownloadBehavior", behavior="allow", downloadPath=str(folder))

    def errors(self) -> list[Any]:
        """What the page complained of since it was opened."""
        self.do("0")  # what happened before has been told now
        bad = [e["params"] for e in self.events if e.get("method") == "Runtime.exceptionThrown"]
        logged = [e["params"]["entry"] for e in self.events if e.get("method") == "Log.entryAdded"]
        return bad + [entry for entry in logged if entry["level"] in ("error", "warning")]

    def cpu_seconds(self) -> float:
        """What all processes of the browser have taken of processors so far."""
        session, self._session = self._session, None  # it is asked, not the page
        found = self._call("SystemInfo.getProcessInfo")["processInfo"]
        self._session = session
        return sum(float(process["cpuTime"]) for process in found)

    def requests(self) -> list[str]:
        """Addresses that the page asked for since it was opened, without those that hold their data."""
        self.do("0")
        sent = (
            e["params"]["request"]["url"]
            for e in self.events
            if e.get("method") == "Network.requestWillBeSent"
        )
        return [url for url in sent if not url.startswith(("data:", "blob:"))]

    # --- the protocol

    def _call(self, method: str, **params: Any) -> dict[str, Any]:
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": params}
        if self._session is not None:
            message["sessionId"] = self._session
        data = json.dumps(message).encode() + b"\0"
        while data:
            data = data[os.write(self._in, data) :]
        while True:
            answer = self._answer()
            if answer.get("id") == self._number:
                assert "error" not in answer, (method, answer["error"])
                result: dict[str, Any] = answer["result"]
                return result
            self.events.append(answer)

    def _answer(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            ready, _, _ = select.select([self._out], [], [], PATIENCE)
            chunk = os.read(self._out, 1 << 20) if ready else b""
            assert chunk, "the browser does not answer"
            self._rest += chunk
        line, _, self._rest = self._rest.partition(b"\0")
        answer: dict[str, Any] = json.loads(line)
        return answer


class Site:
    """A folder at an address of its own, until it is closed."""

    def __init__(self, folder: Path) -> None:
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(folder)))
        self._server.daemon_threads = True
        self.url = f"http://localhost:{self._server.server_port}/"
        Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def close(self) -> None:
        """End it; once more does nothing."""
        self._server.shutdown()
        self._server.server_close()


class _Quiet(SimpleHTTPRequestHandler):
    def send_head(self) -> BytesIO | BinaryIO | None:
        """The file as it is: its date has whole seconds, and would hide that it was just rewritten."""
        del self.headers["If-Modified-Since"]
        return super().send_head()

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""
