"""How often does `--drift` cry wolf, and how soon does it notice a change?

    python -m benchmarks.runtime.drift false-alarms --output benchmarks/results/drift/false_alarms.json
    python -m benchmarks.runtime.drift delays GOOD_DIR --output benchmarks/results/drift/NAME.json

`false-alarms` runs the test itself over 1,000 streams of 2,000 images each, with 199 calibration images each
of its own; all statistics are independent and normally distributed (the test sees ranks only).

`delays` fits a detector (recipe `fast`, 100 steps) on half of the good images of GOOD_DIR. The others, which
it never saw, come in a new random order in each of 200 runs: 100 as they are, and from then on each with the
change. Before that, calibration and unseen images are shuffled among each other 1,000 times, to count false
alarms on real images.
"""

import argparse
import json
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageFilter

from benchmarks.harness import onlygood, provenance, typed_command
from onlygood.runtime.images.files import find_images
from onlygood.runtime.images.resize import resize
from onlygood.runtime.model.appearance import Appearance, appearance, collected
from onlygood.runtime.model.detector import Detector
from onlygood.runtime.model.metadata import Metadata
from onlygood.runtime.rows.drift import RATE, STATISTICS, Observation, Reference, Stream

PEACE = 100  # unchanged images before the change
RUNS = 200
Change = Callable[[Image.Image], Image.Image]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("what", choices=["false-alarms", "delays"])
    parser.add_argument("good", type=Path, nargs="?")
    parser.add_argument("--streams", type=int, default=1000)
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--output", type=Path, required=True)
    options = parser.parse_args()
    paths = [path for path in (options.good,) if path is not None]
    result = {"command": typed_command(*paths), **provenance()}
    if options.what == "false-alarms":
        result |= false_alarms(options.streams, options.images)
    else:
        result |= delays(options.good, options.streams)
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))


# --- no drift, simulated


def false_alarms(streams: int, images: int) -> dict[str, Any]:
    """Alarms in simulated streams without drift."""
    alarms, first = 0, []
    for seed in range(streams):
        rng = np.random.default_rng(seed)
        known = rng.normal(size=(len(STATISTICS), 199)).tolist()
        stream = Stream(Reference(dict(zip(STATISTICS, known, strict=True))), seed, 0.1)
        for values in rng.normal(size=(images, len(STATISTICS))).tolist():
            seen = Observation(values[0], bool(rng.random() < 0.03), Appearance(*values[1:]))
            if stream.add(seen) is not None:
                alarms += 1
                first.append(stream.images)
                break
    return {
        "streams": streams,
        "images": images,
        "stated": RATE,
        "alarms": alarms,
        "rate": alarms / streams,
        "at": first,
    }


# --- real images


def changes(seed: int) -> dict[str, Change]:
    """What may happen to a camera, a lamp and the material."""
    rng = np.random.default_rng(seed)

    def brighter(by: int) -> Change:
        return lambda image: image.point(lambda value: min(255, max(0, value + by)))

    def blurred(sigma: float) -> Change:
        return lambda image: image.filter(ImageFilter.GaussianBlur(sigma))

    def shifted(by: int) -> Change:
        def change(image: Image.Image) -> Image.Image:
            pixels = np.asarray(image)
            return Image.fromarray(pixels[:, np.maximum(np.arange(pixels.shape[1]) - by, 0)])

        return change

    def grain(share: float) -> Change:
        """Material whose reflectance varies over a few pixels."""

        def change(image: Image.Image) -> Image.Image:
            noise = Image.fromarray(rng.normal(size=image.size[::-1]).astype(np.float32))
            smooth = np.asarray(noise.filter(ImageFilter.BoxBlur(1)))
            smooth = smooth / smooth.std()
            pixels = np.asarray(image, np.float32)
            plane = smooth if pixels.ndim == 2 else smooth[..., None]
            return Image.fromarray((pixels * (1 + share * plane)).clip(0, 255).astype(np.uint8))

        return change

    return {
        "2 gray levels brighter": brighter(2),
        "5 gray levels brighter": brighter(5),
        "10 gray levels brighter": brighter(10),
        "20 gray levels darker": brighter(-20),
        "blurred, sigma 0.5 px": blurred(0.5),
        "blurred, sigma 1 px": blurred(1),
        "blurred, sigma 2 px": blurred(2),
        "shifted by 1 % of the width": lambda image: shifted(max(1, image.width // 100))(image),
        "shifted by 3 %": lambda image: shifted(3 * image.width // 100)(image),
        "shifted by 10 %": lambda image: shifted(image.width // 10)(image),
        "new material: grain of 3 %": grain(0.03),
        "new material: grain of 10 %": grain(0.10),
    }


def delays(good: Path, shuffles: int) -> dict[str, Any]:
    """Images between a change and the alarm, on images that the model never saw."""
    paths = list(find_images([good]))
    order = np.random.default_rng(0).permutation(len(paths))
    half = len(paths) // 2
    with tempfile.TemporaryDirectory() as folder:
        for i in order[:half]:
            (Path(folder) / paths[i].name).symlink_to(paths[i].resolve())
        model = Path(folder) / "model.onnx"
        fit = ["fit", folder, "-o", str(model), "--recipe", "fast", "--steps", "100", "--all-good", "-q"]
        subprocess.run(onlygood(*fit), check=True)
        detector = Detector.load(model)
    metadata, limit = detector.metadata, detector.threshold()
    unseen = [paths[i] for i in order[half:]]
    mode = "L" if metadata.input.channels == 1 else "RGB"
    opened = [Image.open(path).convert(mode) for path in unseen]

    def seen(change: Change) -> list[Observation]:
        return [_observe(detector, resize(change(image), metadata.input), limit) for image in opened]

    plain = seen(lambda image: image)
    result: dict[str, Any] = {
        "data": good.name,
        "calibration": len(metadata.calibration.scores),
        "unseen": len(unseen),
        "size of the files": opened[0].size,
        "size of the model's input": (metadata.input.width, metadata.input.height),
        "flagged, unchanged": float(np.mean([one.flagged for one in plain])),
        "shuffled": shuffled(metadata, limit, plain, shuffles),
        "changes": {},
    }
    for name, change in changes(1).items():
        result["changes"][name] = _delays(metadata, limit, plain, seen(change))
        print(name, result["changes"][name], flush=True)
    return result


def _observe(detector: Detector, pixels: np.ndarray, limit: float) -> Observation:
    score = float(detector.infer(pixels[None])[0][0])
    flagged = score > limit or bool(detector.objection(pixels))
    return Observation(score, flagged, appearance(pixels))


def _delays(
    metadata: Metadata, limit: float, plain: list[Observation], changed: list[Observation]
) -> dict[str, Any]:
    found, early, named = [], 0, []
    for run in range(RUNS):
        order = np.random.default_rng([2, run]).permutation(len(plain))
        stream = Stream(Reference.of(metadata, limit), run, 0.1)
        images = [plain[i] for i in order[:PEACE]] + [changed[i] for i in order[PEACE:]]
        alarm = next((alarm for one in images if (alarm := stream.add(one))), None)
        if alarm is not None and alarm.image <= PEACE:
            early += 1
        else:
            found.append(float("inf") if alarm is None else alarm.image - PEACE)
            named.append("" if alarm is None else alarm.statistics[0])
    middle, late = np.quantile(found, [0.5, 0.9], method="higher")
    most = max(set(named), key=named.count)
    return {
        "runs": RUNS,
        "alarms before the change": early,
        "noticed": float(np.mean(np.isfinite(found))),
        "images until then, median": None if np.isinf(middle) else int(middle),
        "90 % of runs": None if np.isinf(late) else int(late),
        "named first": f"{most} ({named.count(most) / max(1, len(named)):.0%})" if most else None,
        "flagged of the changed": float(np.mean([one.flagged for one in changed])),
    }


def shuffled(metadata: Metadata, limit: float, plain: list[Observation], shuffles: int) -> dict[str, Any]:
    """Alarms where some unseen images are the calibration and the others the stream, in random order."""
    count = min(len(metadata.calibration.scores), len(plain) // 2)
    unflagged = [one for one in plain if not one.flagged]
    alarms = 0
    for run in range(shuffles):
        order = np.random.default_rng([3, run]).permutation(len(unflagged))
        first, rest = [unflagged[i] for i in order[:count]], [unflagged[i] for i in order[count:]]
        looks = collected([one.appearance for one in first]).model_dump()
        stream = Stream(Reference({"score": sorted(one.score for one in first)} | looks), run, 0.1)
        alarms += any(stream.add(one) is not None for one in rest)
    return {
        "streams": shuffles,
        "images": len(unflagged) - count,
        "alarms": alarms,
        "rate": alarms / shuffles,
    }


if __name__ == "__main__":
    main()
