"""One frame of noise among 240 good plates: what is still detected, and is the frame named?

    python -m benchmarks.anomaly.contamination --output benchmarks/results/contamination/plates.json

Renders the demo's plates, replaces one good one by noise that the split puts into the calibration part (or
the training part), fits the recipe `fast` with fewer steps, and measures the share of defective plates that
are detected: at the largest calibration score, a threshold that hangs on one image as it used to for so few
images; at the threshold that `fit` chooses; and at that without the suspects. Last, sets of 120 scores are
drawn from plates without any fault: how often is one of them named?
"""

import argparse
import hashlib
import json
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from onlygood.anomaly.data.datasets import discover, split_good
from onlygood.anomaly.evaluation.metrics import image_metrics
from onlygood.anomaly.evaluation.scores import score_samples
from onlygood.anomaly.plan import plan_split
from onlygood.anomaly.recipe import load_recipe
from onlygood.deploy.commands import fit
from onlygood.deploy.demo.dataset import Counts, write
from onlygood.deploy.demo.plate import SIZE, expose, make_plate, shade
from onlygood.deploy.options.training import FitOptions
from onlygood.runtime.model.calibration import rank, threshold, without
from onlygood.runtime.model.detector import Detector
from onlygood.runtime.model.outliers import distances

GOOD = 240
FRESH, DRAWN, DRAWS = 400, 120, 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--output", type=Path, required=True)
    options = parser.parse_args()
    began, runs, named = time.process_time(), [], {}
    with tempfile.TemporaryDirectory() as folder:
        for seed in options.seeds:
            work = Path(folder) / str(seed)
            write(work / "clean", seed, Counts(GOOD, 60, 20))
            model = work / "model.onnx"
            for where in ("nowhere", "calibration", "train"):
                data = work / "clean" if where == "nowhere" else contaminated(work, where, seed)
                runs.append({"seed": seed, "noise in": where} | measured(data, model, seed, options.steps))
                print(json.dumps(runs[-1]), flush=True)
                if where == "nowhere":
                    named[seed] = named_among_good(model, seed)
                    print(f"seed {seed}: {named[seed]:.1%} of sets of good plates have a suspect", flush=True)
    result = {
        "steps": options.steps,
        "runs": runs,
        "sets of good plates with a suspect": named,
        "cpu_seconds": round(time.process_time() - began),
    }
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps(result, indent=1) + "\n")


def contaminated(work: Path, where: str, seed: int) -> Path:
    """The data with one good plate replaced by noise that the split of `fit` puts into this part."""
    data = work / where
    shutil.copytree(work / "clean", data)
    files = sorted((data / "train" / "good").iterdir())
    split = plan_split(load_recipe("fast"), GOOD, None)
    for attempt in range(1000):
        noise = np.random.default_rng([seed, attempt]).integers(0, 256, (SIZE, SIZE), dtype=np.uint8)
        Image.fromarray(noise).save(files[GOOD // 2])
        hashes = [hashlib.sha256(file.read_bytes()).hexdigest() for file in files]
        trained, _ = split_good(hashes, [split.train, split.calibration], seed)
        if (GOOD // 2 in trained) == (where == "train"):
            return data
    raise RuntimeError(f"no noise came into the part {where}")


def measured(data: Path, model: Path, seed: int, steps: int) -> dict[str, Any]:
    """Fit, and what three thresholds detect of the defective and flag of the good test plates."""
    shutil.rmtree(model.with_suffix(".work"), ignore_errors=True)
    fit.run(
        FitOptions(
            good_dir=data / "train" / "good",
            output=model,
            recipe="fast",
            steps=steps,
            seed=seed,
            overrides=["training.threads=1"],
            quiet=True,
        )
    )
    detector = Detector.load(model)
    suspects, rate = detector.metadata.suspects, detector.metadata.calibration.max_false_alarms
    held_out = np.array(detector.metadata.calibration.scores)
    rest = held_out[
        without(held_out, [suspect.score for suspect in suspects if suspect.part == "calibration"])
    ]
    thresholds = {
        "hangs on one image": held_out[-1],
        "as fit chooses": threshold(held_out, rate),
        "without suspects": rest[-rank(len(held_out), rate)],
    }
    scores = score_samples(detector, discover(data, "test").samples)
    good, bad = scores.of(0), scores.of(1)
    return {
        "max_false_alarms": rate,
        "calibration images": len(held_out),
        "thresholds": {name: float(value) for name, value in thresholds.items()},
        "detected": {name: float((bad > value).mean()) for name, value in thresholds.items()},
        "false alarms": {name: float((good > value).mean()) for name, value in thresholds.items()},
        "image AUROC": image_metrics(good, bad, seed=seed).auroc.value,
        "suspects": [suspect.model_dump() for suspect in suspects],
    }


def named_among_good(model: Path, seed: int) -> float:
    """The share of sets of DRAWN fresh good plates in which one is far outside."""
    detector, rng = Detector.load(model), np.random.default_rng([seed, 1])
    plates = (expose(rng, shade(make_plate(rng))) for _ in range(FRESH))
    scores = np.array([detector.score(plate).score for plate in plates])
    draws = (rng.choice(scores, DRAWN, replace=False) for _ in range(DRAWS))
    return sum(bool((distances(draw) > 1).any()) for draw in draws) / DRAWS


if __name__ == "__main__":
    main()
