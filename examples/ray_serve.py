"""A model behind Ray Serve: post an image, and the row of `onlygood score -f jsonl` comes back.

python ray_serve.py model.onnx --port 8000               on a Ray of this machine alone, which ends with it
serve run ray_serve:build model=model.onnx replicas=4    on the Ray that runs here, or at --address

Needs onlygood and ray[serve], of one version on all machines. The model file is read once, and travels with
the deployment. Serve shares requests among the replicas, begins those anew that die, and answers 503 where
too many wait.
"""

import argparse
import asyncio
from contextlib import suppress
from functools import partial
from pathlib import Path
from threading import Event
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from onlygood import Detector
from onlygood.deploy.cluster import connected
from onlygood.runtime import jsontext
from onlygood.runtime.images.reader import ReadOptions
from onlygood.runtime.rows.stream import row_of
from onlygood.runtime.rows.verdicts import Settings, Status, as_json

LARGEST = 32 << 20  # bytes of a request; `ReadOptions` bounds what a decoder makes of them


class Judge:
    """A replica, with one model."""

    def __init__(self, detector: Detector) -> None:
        spec, threshold = detector.metadata.input, detector.threshold()
        self._settings = Settings(detector.file.sha256[:12], threshold, spec.bit_depth, any_frame=False)
        self._judged = partial(
            row_of, Path("image"), detector=detector, threshold=threshold, spec=spec, options=ReadOptions()
        )

    async def __call__(self, request: Request) -> Response:
        """200 and a row; 422 and a row that says why, if the image cannot be read; 413 if it is too large."""
        image = bytearray()
        async for piece in request.stream():
            image += piece
            if len(image) > LARGEST:
                return JSONResponse({"error": f"more than {LARGEST} bytes"}, 413)
        row = await asyncio.to_thread(self._judged, bytes(image))  # Serve goes on asking whether we are well
        code = 422 if row.status is Status.ERROR else 200
        return Response(jsontext.dumps(as_json(row, self._settings)), code, media_type="application/json")


def build(arguments: dict[str, str]) -> Any:
    """The application, of the arguments `model=FILE` and `replicas=NUMBER`."""
    from ray import serve  # noqa: PLC0415 - after `connected` has said what Ray may do

    judge = serve.deployment(
        Judge,
        num_replicas=int(arguments.get("replicas", "1")),
        max_ongoing_requests=2,  # of a replica: one is scored, one comes in
        max_queued_requests=32,  # more are answered 503
        ray_actor_options={"num_cpus": 1},
    )
    return judge.bind(Detector.load(arguments["model"]))


def main() -> None:
    """Serve on this machine alone until an interrupt; nothing is sent home."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model")
    parser.add_argument("--port", type=int, default=8000)
    given = parser.parse_args()
    with suppress(KeyboardInterrupt), connected("local"):
        from ray import serve  # noqa: PLC0415 - as in `build`

        serve.start(http_options={"host": "127.0.0.1", "port": given.port, "request_timeout_s": 60})
        try:
            serve.run(build({"model": given.model}))
            print(f"http://127.0.0.1:{given.port}/", flush=True)  # noqa: T201 - it is a program
            Event().wait()
        finally:
            serve.shutdown()


if __name__ == "__main__":
    main()
