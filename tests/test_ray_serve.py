"""`examples/ray_serve.py` answers with the rows of `score`; skipped where Ray Serve cannot be imported."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from http.client import HTTPConnection
from pathlib import Path
from threading import Timer
from typing import Any

import pytest
from typer.testing import Result

EXAMPLE = Path(__file__).parent.parent / "examples/ray_serve.py"
PATIENCE = 600  # seconds: a busy machine takes two minutes to begin; a run that hangs is ended


@pytest.fixture
def port(tiny: Path) -> Iterator[int]:
    """Where the example answers, which must end well when it is interrupted."""
    # Not imported here: tests of the extra ray want to be the first who do.
    if subprocess.run(
        [sys.executable, "-c", "import ray.serve"], capture_output=True, check=False
    ).returncode:
        pytest.skip("ray[serve] is not installed")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    kept = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    command = [sys.executable, str(EXAMPLE), str(tiny), "--port", str(port)]
    with subprocess.Popen(command, env=kept, stdout=subprocess.PIPE, text=True) as run:  # noqa: S603
        late = Timer(PATIENCE, run.kill)
        late.start()
        assert run.stdout is not None
        try:
            assert run.stdout.readline() == f"http://127.0.0.1:{port}/\n"
            yield port
        finally:
            run.send_signal(signal.SIGINT)
            code = run.wait()
            late.cancel()
        assert code == 0


def posted(port: int, body: bytes) -> tuple[int, dict[str, Any]]:
    connection = HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    connection.request("POST", "/", body)
    answer = connection.getresponse()
    return answer.status, json.loads(answer.read())


def test_the_rows_are_those_of_score(
    port: int, call: Callable[..., Result], tiny: Path, gray: Callable[[str, int], Path], tmp_path: Path
) -> None:
    broken = tmp_path / "broken.png"
    broken.write_bytes(gray("good.png", 51).read_bytes()[:40])
    files = [gray("normal.png", 51), gray("anomalous.png", 250), broken]
    rows = [json.loads(line) for line in call("score", tiny, *files, "-f", "jsonl").stdout.splitlines()]
    assert [row["status"] for row in rows] == ["normal", "anomalous", "error"]
    theirs = {"path": "image", "ms": None, "mtime_ns": None}  # of files, which a request has none of
    for row, file, code in zip(rows, files, (200, 200, 422), strict=True):
        status, answer = posted(port, file.read_bytes())
        assert (status, answer | theirs) == (code, row | theirs)
    assert posted(port, bytes((32 << 20) + 1)) == (413, {"error": "more than 33554432 bytes"})
