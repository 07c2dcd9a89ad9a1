"""How far are pixels off where libjpeg shrinks a JPEG while decoding (`input.jpeg: reduced`)?

    python -m benchmarks.runtime.reduced DATA --output benchmarks/results/reader/reduced.json

DATA holds one folder per data set. Of each, 20 pictures of 2048 x 2048 pixels are made, mosaics of images
that are drawn at random, saved as JPEG of quality 90, and read both ways for a canvas of 224, 112 and 64.
"""

import argparse
import io
import json
from pathlib import Path

import numpy as np
from PIL import Image

from onlygood.runtime.images.files import find_images
from onlygood.runtime.images.reader import load_image
from onlygood.runtime.images.spec import InputSpec

SIDE = 2048


def mosaic(paths: list[Path], rng: np.random.Generator) -> bytes:
    picture = Image.new("RGB", (SIDE, SIDE))
    y = 0
    while y < SIDE:
        x, row = 0, SIDE
        while x < SIDE:
            with Image.open(paths[rng.integers(len(paths))]) as image:
                picture.paste(image.convert("RGB"), (x, y))
                x, row = x + image.width, min(row, image.height)
        y += row
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--pictures", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    result: dict[str, dict[str, dict[str, float]]] = {}
    for folder in sorted(path for path in arguments.data.iterdir() if path.is_dir()):
        rng = np.random.default_rng(arguments.seed)
        paths = [path for path in find_images([folder]) if "masks" not in path.parts]
        pictures = [mosaic(paths, rng) for _ in range(arguments.pictures)]
        for side in (224, 112, 64):
            full = InputSpec(height=side, width=side, channels=3)
            reduced = full.model_copy(update={"jpeg": "reduced"})
            off = np.concatenate(
                [
                    np.abs(
                        load_image(data, full).pixels.astype(int) - load_image(data, reduced).pixels
                    ).ravel()
                    for data in pictures
                ]
            )
            found = {"mean": off.mean(), "99.9 %": np.quantile(off, 0.999), "largest": off.max()}
            result.setdefault(folder.name, {})[str(side)] = {k: round(float(v), 3) for k, v in found.items()}
            print(folder.name, side, result[folder.name][str(side)], flush=True)
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    arguments.output.write_text(
        json.dumps(vars(arguments) | {"results": result}, indent=1, default=lambda path: path.name)
    )


if __name__ == "__main__":
    main()
