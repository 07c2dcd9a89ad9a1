"""The model file in OpenVINO by itself, without onnxruntime: does it say the same?

    python -m benchmarks.runtime.openvino_alone MODEL IMAGES        in an environment with openvino too

Images are prepared by onlygood's reader. Prints the largest relative difference of scores and of heatmaps, of
the default precision and of float32, and the verdicts that differ. Exits with 1 where float32 is beyond the
tolerance of the model's own self-test.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import openvino
from numpy.typing import NDArray

from onlygood import Detector
from onlygood.runtime.images.files import find_images
from onlygood.runtime.images.reader import load_image


def difference(pairs: NDArray[np.float32]) -> float:
    """The largest difference of ``(N, 2, …)``, ours and theirs, as a share of our largest value."""
    return float(np.abs(pairs[:, 0] - pairs[:, 1]).max() / np.abs(pairs[:, 0]).max())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("images", type=Path)
    parser.add_argument("--count", type=int, default=20)
    options = parser.parse_args()
    detector, core = Detector.load(options.model), openvino.Core()
    paths = list(find_images([options.images]))[: options.count]
    pixels = [load_image(path, detector.metadata.input).pixels[None] for path in paths]
    ours = [detector.infer(image) for image in pixels]
    result: dict[str, Any] = {"images": len(paths), "openvino": openvino.__version__}
    limit, wrong = detector.threshold(), False
    for name, hint in (("default", {}), ("float32", {"INFERENCE_PRECISION_HINT": "f32"})):
        compiled = core.compile_model(core.read_model(options.model), "CPU", hint)
        theirs = [compiled({"images": image}) for image in pixels]
        scores = np.array([[one[0][0], other["score"][0]] for one, other in zip(ours, theirs, strict=True)])
        heats = np.array([[one[1], other["heatmap"]] for one, other in zip(ours, theirs, strict=True)])
        result[name] = {
            "scores_off": difference(scores),
            "heatmaps_off": difference(heats),
            "other_verdicts": int(((scores > limit)[:, 0] != (scores > limit)[:, 1]).sum()),
        }
        wrong = name == "float32" and difference(scores) > detector.metadata.self_test.tolerance
    print(json.dumps(result, indent=1))
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
