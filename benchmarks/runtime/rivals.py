"""Rivals of `onlygood score` on the same images, each in a process of its own; started by scoring.py.

    python rivals.py naive MODEL IMAGES THREADS          onnxruntime in a plain loop
    python rivals.py eager RUN IMAGES THREADS BATCH      the same weights in torch eager mode

Both decode with Pillow, one image after the other, and resize as the model wants. 0 threads are the library's
default. Prints JSON: seconds of the loop alone, and the scores by file name.
"""

import json
import os
import sys
from pathlib import Path
from time import perf_counter
from typing import Any


def naive(model: Path, images: Path, threads: int) -> dict[str, Any]:
    """What one writes first: open, resize, run."""
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    import numpy as np  # noqa: PLC0415
    import onnxruntime  # noqa: PLC0415
    from PIL import Image  # noqa: PLC0415

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
    _, height, width, channels = session.get_inputs()[0].shape
    scores = {}
    begin = perf_counter()
    for path in sorted(images.iterdir()):
        gray = Image.open(path).convert("L" if channels == 1 else "RGB")
        pixels = np.asarray(gray.resize((width, height), Image.Resampling.BILINEAR))
        batch = pixels.reshape(1, height, width, channels)
        scores[path.name] = float(session.run(["score"], {"images": batch})[0][0])
    return {"seconds": perf_counter() - begin, "scores": scores}


def eager(run: Path, images: Path, threads: int, batch: int) -> dict[str, Any]:
    """The detector before its export: the trained task with the recipe's head fitted on the same images."""
    import numpy as np  # noqa: PLC0415
    import torch  # noqa: PLC0415
    from heads import load_run  # noqa: PLC0415
    from PIL import Image  # noqa: PLC0415

    from onlygood.anomaly.fit import fit_head  # noqa: PLC0415

    if threads:
        torch.set_num_threads(threads)
    trained = load_run(run)
    detector = fit_head(trained.recipe, trained.task, trained.store, trained.train_ids)
    spec = trained.spec
    shape, mode = (spec.height, spec.width, spec.channels), "L" if spec.channels == 1 else "RGB"
    paths, scores = sorted(images.iterdir()), {}
    begin = perf_counter()
    with torch.inference_mode():
        for start in range(0, len(paths), batch):
            some = paths[start : start + batch]
            opened = [
                Image.open(path).convert(mode).resize((spec.width, spec.height), Image.Resampling.BILINEAR)
                for path in some
            ]
            pixels = np.stack([np.asarray(image).reshape(shape) for image in opened])
            values = detector(torch.from_numpy(pixels))[0].tolist()
            scores |= {path.name: value for path, value in zip(some, values, strict=True)}
    return {"seconds": perf_counter() - begin, "scores": scores}


if __name__ == "__main__":
    kind, model, images, *numbers = sys.argv[1:]
    rival = {"naive": naive, "eager": eager}[kind]
    print(json.dumps(rival(Path(model), Path(images), *map(int, numbers))))
