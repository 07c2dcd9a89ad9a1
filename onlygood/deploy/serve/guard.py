"""What every request goes through: its id, the token, the limit of its size, the log, the numbers."""

import asyncio
import hmac
import re
from collections.abc import MutableMapping
from contextlib import suppress
from dataclasses import dataclass
from time import perf_counter
from typing import Any
from uuid import uuid4

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from onlygood.deploy.serve.log import Log
from onlygood.deploy.serve.numbers import Numbers
from onlygood.runtime import jsontext

OPEN = ("/healthz", "/readyz")  # to whom has no token
_PATHS = (*OPEN, "/score", "/models", "/metrics", "/openapi.json")
_ID = re.compile(r"[\w.:-]{1,64}", re.ASCII)
FAULT = "a fault in onlygood, which its log tells of under this id"
_REST = 2**26  # bytes of a refused body that are read, so that its sender gets to read why
_PATIENCE = 10.0  # seconds that this may take


class Refused(HTTPException):
    """A request that is answered by an error; ``detail`` is for people."""


@dataclass
class Life:
    """Whether the service is on its way out."""

    stopping: bool = False


def failure(
    code: int, words: str, request_id: str, headers: MutableMapping[str, str] | None = None
) -> Response:
    """The answer to what cannot be done."""
    body = jsontext.dumps({"error": words, "request_id": request_id})
    return Response(body, code, headers, "application/json")


class Guard:
    """ASGI middleware; no request and no fault of ours gets past it unlogged."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        token: str | None,
        max_bytes: int,
        life: Life,
        log: Log,
        numbers: Numbers,
    ) -> None:
        self._app = app
        self._token = None if token is None else token.encode()
        self._max_bytes = max_bytes
        self._life, self._log, self._numbers = life, log, numbers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request, or pass on what is none."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        start, headers = perf_counter(), Headers(scope=scope)
        given = headers.get("x-request-id", "")
        request_id = scope["request_id"] = given if _ID.fullmatch(given) else uuid4().hex
        code, begun = 500, False

        async def answer(message: Message) -> None:
            nonlocal code, begun
            if message["type"] == "http.response.start":
                begun, code = True, message["status"]
                changed = MutableHeaders(scope=message)
                changed["X-Request-ID"] = request_id
                if self._life.stopping:
                    changed["Connection"] = "close"
            await send(message)

        try:
            refusal = self._refusal(scope["path"], headers, request_id)
            if refusal is not None:
                with suppress(TimeoutError):
                    async with asyncio.timeout(_PATIENCE):
                        await _read_on(receive, headers)
                await refusal(scope, receive, answer)
            else:
                await self._app(scope, self._limited(receive), answer)
        except Exception as error:
            self._log.fault(error, request_id=request_id)
            if not begun:
                await failure(500, FAULT, request_id)(scope, receive, answer)
        finally:
            self._note(scope, code, perf_counter() - start)

    def _refusal(self, path: str, headers: Headers, request_id: str) -> Response | None:
        if self._token is not None and path not in OPEN:
            kind, _, token = headers.get("authorization", "").partition(" ")
            if kind.lower() != "bearer" or not hmac.compare_digest(token.strip().encode(), self._token):
                words = "a bearer token is needed: Authorization: Bearer TOKEN"
                return failure(401, words, request_id, {"WWW-Authenticate": "Bearer"})
        length = headers.get("content-length", "0")
        if length.isdecimal() and int(length) > self._max_bytes:
            return failure(413, self._too_large(), request_id)
        return None

    def _limited(self, receive: Receive) -> Receive:
        seen = 0

        async def counted() -> Message:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > self._max_bytes:
                raise Refused(413, self._too_large())
            return message

        return counted

    def _too_large(self) -> str:
        return f"the request is larger than {self._max_bytes} bytes"

    def _note(self, scope: Scope, code: int, seconds: float) -> None:
        path = scope["path"]
        known = path if path in _PATHS else "other"
        self._numbers.requests.labels(known, code).inc()
        if known == "/score":
            self._numbers.seconds.observe(seconds)
        more: dict[str, Any] = scope.get("noted", {})
        client = scope.get("client")
        self._log(
            "request",
            "info" if code < 500 else "error",
            request_id=scope["request_id"],
            client=client[0] if client else None,
            method=scope["method"],
            path=path,
            code=code,
            ms=round(1000 * seconds, 1),
            **more,
        )


async def _read_on(receive: Receive, headers: Headers) -> None:
    """Read a refused body, within reason: who is cut off while sending does not see the answer."""
    if headers.get("expect", "").lower() == "100-continue":
        return
    left = _REST
    while left > 0:
        message = await receive()
        left -= len(message.get("body", b""))
        if message["type"] != "http.request" or not message.get("more_body", False):
            return
