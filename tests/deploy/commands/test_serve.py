import http.client
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result

Gray = Callable[[str, int], Path]
Call = Callable[..., Result]
# With these FastAPI would export traces, or end because it lacks what that needs.
TELEMETRY = {"FASTAPI_OTEL_AUTO_CONFIGURE": "true", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"}


class Served:
    """`onlygood serve` as a process, on a free port."""

    def __init__(self, log: Path, *arguments: Any) -> None:
        command = [sys.executable, "-m", "onlygood", "serve", "--port", "0", *map(str, arguments)]
        with log.open("wb") as words:  # a pipe that nobody reads would stop the server
            self.child = subprocess.Popen(command, stderr=words, env=os.environ | TELEMETRY)  # noqa: S603
        self.log = log
        self.port = int(self.come("listening")["url"].rpartition(":")[2])

    def come(self, event: str) -> dict[str, Any]:
        """The first line of the log of this kind."""
        for _ in range(6000):
            for line in self.log.read_text().splitlines():
                if line.startswith("{") and line.endswith("}") and json.loads(line)["event"] == event:
                    return dict(json.loads(line))
            time.sleep(0.01)
        raise AssertionError(f"no {event}: {self.log.read_text()}")

    def post(self, body: bytes) -> Any:
        connection = http.client.HTTPConnection("127.0.0.1", self.port)
        connection.request("POST", "/score", body)
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Served]]:
    begun = []

    def begin(*arguments: Any) -> Served:
        begun.append(Served(tmp_path / "log", *arguments))
        return begun[-1]

    yield begin
    for served in begun:
        served.child.kill()
        served.child.wait()


def test_a_process_answers_reloads_and_stops_without_losing_a_request(
    start: Callable[..., Served],
    tiny: Path,
    make_tiny: Callable[..., Path],
    metadata_with: Any,
    gray: Gray,
) -> None:
    served = start(tiny, "--reload-every", 0.05, "--drain", 0.3)
    body = gray("a.png", 51).read_bytes()
    code, first = served.post(body)
    assert (code, first["rows"][0]["status"]) == (200, "normal")
    make_tiny(metadata=metadata_with(name="other")).replace(tiny)
    assert served.come("model")["name"] == "tiny"
    assert served.post(body)[1]["sha256"] != first["sha256"]
    seen: list[int] = []

    def knock() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", served.port)
        while True:
            try:
                connection.connect()
            except OSError:
                return  # the door is shut: nothing was taken
            try:
                connection.request("POST", "/score", body)
                seen.append(connection.getresponse().read().count(b'"normal"'))
            except ConnectionResetError:
                return  # the kernel had let it in when the door shut; of all others see test_server.py
            connection.close()

    clients = [threading.Thread(target=knock) for _ in range(3)]
    for client in clients:
        client.start()
    served.child.send_signal(signal.SIGTERM)
    for client in clients:
        client.join()
    served.child.wait()
    assert seen
    assert set(seen) == {1}
    assert served.child.returncode == 143


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["{tiny}", "--token-file", "{tmp}/none"], "cannot be read"),
        (["{tiny}", "--token-file", "{tmp}/short"], "openssl rand"),
        (["{tiny}", "{tiny}"], "same name"),
        (["{tmp}/short"], "short"),
        (["{tiny}", "--host", "no.such.host.invalid"], "cannot listen"),
        (["{tiny}", "--max-false-alarms", "0.001"], "0.05"),
    ],
)
def test_what_cannot_be_served_is_refused(
    tiny: Path, tmp_path: Path, call: Call, arguments: list[str], words: str
) -> None:
    (tmp_path / "short").write_text("secret")
    result = call("serve", *(text.format(tiny=tiny, tmp=tmp_path) for text in arguments))
    assert result.exit_code == 2
    assert words in result.stderr


def test_a_missing_library_is_named_with_its_remedy(
    tiny: Path, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "fastapi", None)
    for name in [name for name in sys.modules if name.startswith("onlygood.deploy.serve")]:
        monkeypatch.delitem(sys.modules, name)
    result = call("serve", tiny)
    assert result.exit_code == 2
    assert "pip install 'onlygood[serve]'" in result.stderr


def test_nothing_heavy_is_imported_and_nothing_goes_home(tiny: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    code = (
        "import sys; from onlygood.deploy.serve import app, server, models, desk\n"
        "heavy = {'torch', 'sklearn', 'matplotlib', 'scipy', 'cv2', 'rich'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env=os.environ | {"HOME": str(home)})  # noqa: S603
    assert list(home.iterdir()) == []
