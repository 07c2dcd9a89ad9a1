"""A service of the hand-made model, called in this process, without a network."""

import asyncio
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path
from typing import Any

import pytest

from onlygood.deploy.serve.app import Service, app
from onlygood.deploy.serve.desk import Desk
from onlygood.deploy.serve.log import Log
from onlygood.deploy.serve.models import Models, loader
from onlygood.runtime.images.reader import ReadOptions

load = loader(threads=1, provider="cpu", rate=None, bit_depth=None, any_frame=False)


@dataclass
class Answer:
    code: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Client:
    """Sends requests to an ASGI application."""

    service: Service
    application: Any
    words: StringIO
    sent: list[Answer] = field(default_factory=list)

    def __call__(self, *what: Any, **how: Any) -> Answer:
        return asyncio.run(self.ask(*what, **how))

    async def ask(
        self,
        method: str,
        path: str,
        body: bytes | Sequence[bytes] = b"",
        headers: dict[str, str] | None = None,
        *,
        stall: bool = False,
    ) -> Answer:
        """One request, whose ``body`` comes in pieces; with ``stall`` its last piece never comes."""
        path, _, query = path.partition("?")
        pieces = [body] if isinstance(body, bytes) else list(body)
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": path,
            "raw_path": path.encode(),
            "query_string": query.encode(),
            "root_path": "",
            "headers": [(name.lower().encode(), value.encode()) for name, value in (headers or {}).items()],
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 80),
            "state": {},
        }

        async def receive() -> dict[str, Any]:
            if pieces:
                piece = pieces.pop(0)
                return {"type": "http.request", "body": piece, "more_body": bool(pieces) or stall}
            if stall:
                await asyncio.Event().wait()
            return {"type": "http.disconnect"}

        answer = Answer(0, {}, b"")

        async def send(message: dict[str, Any]) -> None:
            if message["type"] == "http.response.start":
                answer.code = message["status"]
                answer.headers = {name.decode(): value.decode() for name, value in message["headers"]}
            else:
                answer.body += message.get("body", b"")

        await self.application(scope, receive, send)
        return answer

    def lines(self) -> list[dict[str, Any]]:
        """The log so far."""
        return [json.loads(line) for line in self.words.getvalue().splitlines()]


@pytest.fixture
def serve(tiny: Path) -> Iterator[Callable[..., Client]]:
    """``serve(queue=0, token="…")`` puts the hand-made model behind an application."""
    made: list[Service] = []

    def make(
        *paths: Path,
        workers: int = 1,
        queue: int = 4,
        seconds: float = 60,
        token: str | None = None,
        max_bytes: int = 10**6,
        max_pixels: int = 10**6,
        most_images: int = 8,
    ) -> Client:
        words = StringIO()
        service = Service(
            Models(paths or [tiny], load),
            Desk(workers, queue),
            reader=ReadOptions(max_pixels),
            seconds=seconds,
            most_images=most_images,
            log=Log(words),
        )
        made.append(service)
        return Client(service, app(service, token=token, max_bytes=max_bytes), words)

    yield make
    for service in made:
        service.desk.close()


@pytest.fixture
def form() -> Callable[..., tuple[bytes, dict[str, str]]]:
    """``form(("a.png", data))``: the body of a form, and its header."""

    def make(*files: tuple[str, bytes]) -> tuple[bytes, dict[str, str]]:
        parts = [
            f'--xx\r\nContent-Disposition: form-data; name="f"; filename="{name}"\r\n\r\n'.encode()
            + data
            + b"\r\n"
            for name, data in files
        ]
        return b"".join(parts) + b"--xx--\r\n", {"Content-Type": "multipart/form-data; boundary=xx"}

    return make
