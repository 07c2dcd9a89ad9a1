"""What one writes without onlygood to score images on Ray, which `on_ray.py` compares with.

    python -m benchmarks.deploy.ray_peer MODEL FOLDER OUT

Ray Data reads the files; two actors decode and resize with Pillow to the size of the model's input and run
onnxruntime; JSON Lines are written. No limits, no p-value, no check of the frame, no row for an image that
cannot be read, no resume.
"""

import io
import json
import os
import sys
from pathlib import Path
from typing import Any

os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "ORT_DISABLE_TELEMETRY": "1", "RAY_AUTH_MODE": "disabled"}
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

import numpy as np
import onnxruntime as ort
import ray
from PIL import Image


class Scorer:
    """A session in an actor."""

    def __init__(self, model: str) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = ort.InferenceSession(model, options)
        said = json.loads(self.session.get_modelmeta().custom_metadata_map["onlygood"])
        self.mode = "L" if said["input"]["channels"] == 1 else "RGB"
        self.size = (said["input"]["width"], said["input"]["height"])
        self.threshold = max(said["calibration"]["scores"])

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Score a batch of images."""
        scores = []
        for data in batch["bytes"]:
            image = Image.open(io.BytesIO(data)).convert(self.mode).resize(self.size)
            pixels = np.asarray(image).reshape(1, *self.size[::-1], -1)
            (score,) = self.session.run(["score"], {"images": pixels})[0]
            scores.append(float(score))
        return {
            "path": batch["path"],
            "score": np.array(scores),
            "anomalous": np.array(scores) > self.threshold,
        }


def main() -> None:
    model, folder, out = sys.argv[1:]
    ray.init("local", num_cpus=3, include_dashboard=False, log_to_driver=False)  # two actors, and the readers
    ray.data.DataContext.get_current().enable_progress_bars = False
    images = ray.data.read_binary_files(folder, include_paths=True)
    scored = images.map_batches(
        Scorer,
        fn_constructor_args=(str(Path(model).resolve()),),
        batch_size=32,
        num_cpus=1,
        compute=ray.data.ActorPoolStrategy(size=2),
    )
    scored.write_json(out)


if __name__ == "__main__":
    main()
