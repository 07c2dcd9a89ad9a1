"""How often are frames called unusable: good ones (never, it is hoped), defective ones, and spoilt ones?

    python -m benchmarks.runtime.frames DATA --output benchmarks/results/frames/all.json

DATA holds one folder per data set, in any layout that `onlygood fit` takes. The ranges come from four fifths
of the good images (MVTec-style: from train/); the rest, and the defective ones, are judged as they are, and
the rest once more with each fault of a camera.
"""

import argparse
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter

from onlygood.anomaly.data.datasets import discover
from onlygood.anomaly.recipe import load_recipe
from onlygood.pretrain.data.plan import plan_input
from onlygood.pretrain.data.store import survey_images
from onlygood.runtime.images.reader import load_image
from onlygood.runtime.images.resize import resize
from onlygood.runtime.model.frames import measure, objection, ranges

FAULTS: dict[str, Callable[[Image.Image], Image.Image]] = {
    "black": lambda image: image.point(lambda _: 0),
    "gray": lambda image: image.point(lambda _: 128),
    "white": lambda image: image.point(lambda _: 255),
    "40 levels brighter": lambda image: image.point(lambda value: min(255, value + 40)),
    "exposed twice as long": lambda image: image.point(lambda value: min(255, 2 * value)),
    "a quarter of the light": lambda image: image.point(lambda value: value // 4),
    "blurred, sigma 2 px": lambda image: image.filter(ImageFilter.GaussianBlur(2)),
    "blurred, sigma 4 px": lambda image: image.filter(ImageFilter.GaussianBlur(4)),
    "blurred, sigma 8 px": lambda image: image.filter(ImageFilter.GaussianBlur(8)),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--recipe", default="surfaces")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, required=True)
    options = parser.parse_args()
    sets = {folder.name: measured(folder, options) for folder in sorted(options.data.iterdir())}
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps({"seed": options.seed, "sets": sets}, indent=1) + "\n")


def measured(folder: Path, options: argparse.Namespace) -> dict[str, dict[str, float | int]]:
    """Share of frames that are called unusable, by kind."""
    train, test = discover(folder, "train").samples, discover(folder, "test").samples
    fresh = [sample for sample in test if sample.label == 0 and sample not in set(train)]
    if not fresh:
        order = np.random.default_rng(options.seed).permutation(len(train))
        cut = len(train) // 5
        train, fresh = [train[i] for i in order[cut:]], [train[i] for i in order[:cut]]
    recipe = load_recipe(options.recipe)
    size, stride = recipe.regions.grid
    spec, words = plan_input(
        recipe.input, survey_images([s.path for s in train], progress=False), tile=size, stride=stride
    )
    good = ranges([measure(load_image(sample.path, spec).pixels) for sample in train])

    def share(pictures: list[np.ndarray]) -> dict[str, float | int]:
        reasons = [objection(measure(pixels), good) for pixels in pictures]
        return {"images": len(reasons), "unusable": sum(map(bool, reasons)) / max(1, len(reasons))}

    mode = "L" if spec.channels == 1 else "RGB"
    found = {
        "good": share([load_image(sample.path, spec).pixels for sample in fresh]),
        "defective": share([load_image(sample.path, spec).pixels for sample in test if sample.label]),
    }
    opened = [Image.open(sample.path).convert(mode) for sample in fresh]
    for name, fault in FAULTS.items():
        found[name] = share([resize(fault(image), spec) for image in opened])
    print(folder.name, words)
    for name, row in found.items():
        print(f"  {name:<24} {row['unusable']:7.1%} of {row['images']}")
    return found


if __name__ == "__main__":
    main()
