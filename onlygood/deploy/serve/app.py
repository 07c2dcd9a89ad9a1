"""The paths of the service."""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Annotated, Any

from fastapi import FastAPI, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.telemetry import TelemetryConfig
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import ASGIApp

from onlygood import __version__
from onlygood.deploy.heatmaps import Boxes
from onlygood.deploy.serve.desk import Desk, Ticket
from onlygood.deploy.serve.guard import FAULT, Guard, Life, Refused, failure
from onlygood.deploy.serve.log import Log
from onlygood.deploy.serve.models import Models, Served
from onlygood.deploy.serve.numbers import CONTENT_TYPE, Numbers
from onlygood.deploy.serve.schema import BODY, ErrorAnswer, ModelAnswer, ScoreAnswer
from onlygood.runtime import jsontext
from onlygood.runtime.errors import OnlygoodError
from onlygood.runtime.images.reader import ReadOptions
from onlygood.runtime.rows.stream import row_of
from onlygood.runtime.rows.verdicts import Row, Status, as_json

# FastAPI can send traces to whom the environment names.
_SILENT: TelemetryConfig = {
    "tracing": False,
    "metrics": False,
    "logs": False,
    "operation_spans": False,
    "auto_configure": False,
}
_RAW = ("image/", "application/octet-stream")
_ERRORS: dict[int | str, dict[str, Any]] = {
    code: {"model": ErrorAnswer, "description": words}
    for code, words in {
        400: "no image in the request, or a model that must be named",
        404: "no such model",
        408: "the request did not come in time",
        413: "too large",
        415: "neither an image nor a form",
        429: "too many requests at once; try again",
        504: "not scored in time",
    }.items()
}


class Service:
    """Models, the threads that score, and what bounds them; `app` puts it behind HTTP."""

    def __init__(
        self,
        models: Models,
        desk: Desk,
        *,
        reader: ReadOptions,
        seconds: float,
        most_images: int,
        log: Log,
    ) -> None:
        self.models, self.desk, self.log = models, desk, log
        self.numbers, self.life = Numbers(), Life()
        self._reader, self._seconds, self._most_images = reader, seconds, most_images
        self.numbers.taken.set_function(lambda: desk.taken)
        self.numbers.serving(models.all())

    def refresh(self, *, at_once: bool = False) -> None:
        """Load the model files that have changed; blocks."""
        fresh, wrong = self.models.refresh(at_once=at_once)
        for served in fresh:
            self.numbers.reloads.labels("loaded").inc()
            self.log("model", name=served.name, sha256=served.detector.file.sha256)
        for words in wrong:
            self.numbers.reloads.labels("failed").inc()
            self.log("model", "error", error=words)
        if fresh:
            self.numbers.serving(self.models.all())

    async def answer(self, request: Request, name: str | None, boxes: bool) -> Response:
        """Judge the images of a request."""
        served = self.models.find(name)
        if served is None:
            known = ", ".join(model.name for model in self.models.all())
            if name is None:
                raise Refused(400, f"several models are served: say ?model=NAME, one of {known}")
            raise Refused(404, f"no model {name!r} is served; there are: {known}")
        ticket = self.desk.enter()
        if ticket is None:
            words = f"{self.desk.room} requests are being read, wait or are scored already: try again"
            raise Refused(429, words, {"Retry-After": "1"})
        images: list[tuple[str, bytes]] | None = None
        try:
            async with asyncio.timeout(self._seconds):
                images = await self._images(request)
                rows = await self._judged(ticket, served, images, boxes)
        except TimeoutError:
            if images is None:
                raise Refused(408, f"the request did not come within {self._seconds:g} s") from None
            raise Refused(504, f"not scored within {self._seconds:g} s: too much is asked for") from None
        finally:
            ticket.give_back()
        return self._answered(request, served, rows)

    async def _images(self, request: Request) -> list[tuple[str, bytes]]:
        """Names and contents of the images that were sent."""
        kind = (
            request.headers.get("content-type", "application/octet-stream").partition(";")[0].strip().lower()
        )
        try:
            if kind == "multipart/form-data":
                async with request.form(max_files=self._most_images, max_fields=100) as form:
                    files = [value for _, value in form.multi_items() if isinstance(value, UploadFile)]
                    images = [(file.filename or "image", await file.read()) for file in files]
            elif kind.startswith(_RAW):
                body = await request.body()
                images = [("image", body)] if body else []
            else:
                raise Refused(
                    415, f"{kind!r}: send an image as it is (image/…), or files as multipart/form-data"
                )
        except ClientDisconnect:
            raise Refused(400, "the connection ended before the request did") from None
        if not images:
            raise Refused(
                400, "the request holds no image: send one as it is, or files as multipart/form-data"
            )
        return images

    async def _judged(
        self, ticket: Ticket, served: Served, images: Sequence[tuple[str, bytes]], boxes: bool
    ) -> list[Row]:
        detector = served.detector
        judge = partial(
            row_of,
            detector=detector,
            threshold=served.threshold,
            spec=served.spec,
            options=self._reader,
            any_frame=served.settings.any_frame,
            also=[Boxes(detector.heat_threshold(), detector.inside)] if boxes else [],
        )
        jobs = ticket.hand_in([partial(judge, Path(name), content) for name, content in images])
        return await asyncio.gather(*(_result(job) for job in jobs))

    def _answered(self, request: Request, served: Served, rows: list[Row]) -> Response:
        for row in rows:
            self.numbers.images.labels(served.name, row.status.value).inc()
        flagged = sum(row.status is Status.ANOMALOUS for row in rows)
        request.scope["noted"] = {"model": served.name, "images": len(rows), "anomalous": flagged}
        body = {
            "model": served.name,
            "sha256": served.detector.file.sha256,
            "request_id": request.scope["request_id"],
            "rows": [as_json(row, served.settings) for row in rows],
        }
        unread = all(row.status is Status.ERROR for row in rows)
        return Response(jsontext.dumps(body), 422 if unread else 200, media_type="application/json")


async def _result(job: Future[Row]) -> Row:
    """What a job gives; leaving off waiting does not cancel it, whose ticket knows of it."""
    return await asyncio.shield(asyncio.wrap_future(job))


def app(
    service: Service,
    *,
    token: str | None,
    max_bytes: int,
    lifespan: Callable[[FastAPI], AbstractAsyncContextManager[None]] | None = None,
) -> ASGIApp:
    """The service as an ASGI application."""
    api = FastAPI(
        title="onlygood",
        version=__version__,
        description="Verdicts on images, by models that learned from good images alone.",
        docs_url=None,  # the pages of FastAPI load their programs from elsewhere
        redoc_url=None,
        telemetry=_SILENT,
        lifespan=lifespan,
    )

    @api.exception_handler(HTTPException)
    async def refused(request: Request, error: HTTPException) -> Response:
        headers = dict(error.headers or {})
        return failure(error.status_code, str(error.detail), request.scope["request_id"], headers)

    @api.exception_handler(RequestValidationError)
    async def mistyped(request: Request, error: RequestValidationError) -> Response:
        words = "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors())
        return failure(400, words, request.scope["request_id"])

    @api.exception_handler(Exception)  # the guard logs it
    async def fault(request: Request, error: Exception) -> Response:
        words = str(error) if isinstance(error, OnlygoodError) else FAULT
        return failure(500, words, request.scope["request_id"])

    unread = {"model": ScoreAnswer, "description": "no image could be read; the rows say why"}

    @api.post("/score", response_model=ScoreAnswer, responses={422: unread, **_ERRORS}, openapi_extra=BODY)
    async def score(
        request: Request,
        model: Annotated[
            str | None, Query(description="Which model; of a single one, none is needed.")
        ] = None,
        boxes: Annotated[bool, Query(description="Say where anomalous regions are.")] = False,
    ) -> Response:
        """Judge one image, sent as it is, or several, sent as files of a form."""
        return await service.answer(request, model, boxes)

    @api.get("/models")
    async def models() -> list[ModelAnswer]:
        """The models that are served."""
        return [_described(served) for served in service.models.all()]

    @api.get("/healthz")
    async def healthz() -> dict[str, str]:
        """Whether the process answers."""
        return {"status": "ok"}

    @api.get("/readyz")
    async def readyz() -> JSONResponse:
        """Whether it takes requests: not while it stops."""
        stopping = service.life.stopping
        return JSONResponse({"status": "stopping" if stopping else "ready"}, 503 if stopping else 200)

    @api.get("/metrics")
    async def metrics() -> Response:
        """Numbers for Prometheus."""
        return Response(service.numbers.text(), headers={"Content-Type": CONTENT_TYPE})

    return Guard(
        api,
        token=token,
        max_bytes=max_bytes,
        life=service.life,
        log=service.log,
        numbers=service.numbers,
    )


def _described(served: Served) -> ModelAnswer:
    metadata = served.detector.metadata
    recipe = metadata.recipe.get("name")
    return ModelAnswer(
        name=served.name,
        sha256=served.detector.file.sha256,
        recipe=recipe if isinstance(recipe, str) else None,
        input=metadata.input.model_dump(),
        threshold=served.threshold,
        max_false_alarms=metadata.calibration.max_false_alarms,
        calibration_images=len(metadata.calibration.scores),
        loaded=datetime.fromtimestamp(served.loaded, UTC).isoformat(timespec="seconds"),
    )
