"""The simplest FastAPI scripts around the same model, which `serving.py` compares with.

    MODEL=model.onnx uvicorn benchmarks.deploy.serving_peers:raw
    MODEL=model.onnx uvicorn benchmarks.deploy.serving_peers:threads

No limits, no queue, no log of ours, no reload: read the image, run the session, answer the score. ``raw``
works on the event loop, as many a script does; ``threads`` in the pool of Starlette.
"""

import os
from pathlib import Path

from fastapi import Body, FastAPI, Request

from onlygood import Detector
from onlygood.runtime.images.reader import load_image

detector = Detector.load(Path(os.environ["MODEL"]))
limit = detector.threshold()
raw, threads = FastAPI(), FastAPI()


def judged(data: bytes) -> dict[str, float | bool]:
    """The score of one image."""
    image = load_image(data, detector.metadata.input)
    score = float(detector.infer(image.pixels[None])[0][0])
    return {"score": score, "anomalous": score > limit}


@raw.post("/score")
async def score(request: Request) -> dict[str, float | bool]:
    return judged(await request.body())


@threads.post("/score")
def score_in_a_thread(image: bytes = Body(media_type="application/octet-stream")) -> dict[str, float | bool]:
    return judged(image)
