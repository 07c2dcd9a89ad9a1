"""onlygood's side of rivals.py, each step in a process of its own.

    python -m benchmarks.anomaly.rivals_ours prepare FOLDER        what the rival is given: pixels and weights
    python -m benchmarks.anomaly.rivals_ours score FOLDER COUNT    the model file, image by image
    python -m benchmarks.anomaly.rivals_ours compare FOLDER        both scores, as JSON

Scoring imports no torch, as on the edge.
"""

import json
import sys
from pathlib import Path
from time import process_time
from typing import Any

import numpy as np

WARM_UP = 10  # images before the clock starts


def prepare(folder: Path) -> None:
    """Pixels of the images learned from and of the test images; the encoder's state, by timm's names."""
    import torch  # noqa: PLC0415
    from safetensors.torch import save_file  # noqa: PLC0415

    from benchmarks.anomaly.heads import load_run  # noqa: PLC0415
    from onlygood.anomaly.data.datasets import discover  # noqa: PLC0415
    from onlygood.anomaly.layers import Layers  # noqa: PLC0415
    from onlygood.pretrain.data.store import ImageStore  # noqa: PLC0415
    from onlygood.pretrain.views.views import to_float  # noqa: PLC0415
    from onlygood.runtime.model.modelfile import load_model  # noqa: PLC0415

    run = load_run(folder)
    samples = discover(folder / "test.csv", "test").samples
    store = ImageStore.build([sample.path for sample in samples], run.spec, progress=False)
    if store.bad:
        sys.exit(f"{store.bad[0][0]}: not readable")
    by_path = {sample.path: sample.label for sample in samples}
    labels = [int(by_path[path]) for path in store.paths]
    run.store.batch(run.train_ids).tofile(folder / "train.bin")
    store.batch(np.arange(len(store))).tofile(folder / "test.bin")
    net: Any = run.task.encoder
    state = {name: value.contiguous() for name, value in net.net.state_dict().items()}
    save_file(state, folder / "net.safetensors")
    first = torch.from_numpy(store.batch(np.arange(1))).permute(0, 3, 1, 2)
    numbers = Layers(run.task.encoder, run.recipe.features).numbers
    with torch.no_grad():
        stages = run.task.encoder.stages(to_float(first, run.task.standardize))
    maps = {str(place): stages[number].contiguous() for place, number in enumerate(numbers)}
    save_file(maps, folder / "maps.safetensors")
    metadata = load_model(folder / "model.onnx").metadata
    plan = {
        "train": len(run.train_ids),
        "test_good": labels.count(0),
        "test_anomalous": labels.count(1),
        "labels": labels,
        "shape": [run.spec.height, run.spec.width, run.spec.channels],
        "weights_sha256": metadata.provenance["encoder_weights"],
    }
    (folder / "plan.json").write_text(json.dumps(plan), encoding="utf-8")


def score(folder: Path, count: int) -> dict[str, Any]:
    """CPU-ms an image; the scores, where all images are scored, go to a file."""
    from onlygood.runtime.model.detector import Detector  # noqa: PLC0415

    plan = json.loads((folder / "plan.json").read_text("utf-8"))
    detector = Detector.load(folder / "model.onnx", threads=1)
    scores, spent = [], []
    with (folder / "test.bin").open("rb") as file:
        for _ in range(count):
            image = np.fromfile(file, np.uint8, int(np.prod(plan["shape"]))).reshape(1, *plan["shape"])
            begin = process_time()
            scores.append(float(detector.infer(image)[0][0]))
            spent.append(process_time() - begin)
    if count == len(plan["labels"]):
        (folder / "ours.json").write_text(json.dumps(scores), encoding="utf-8")
    return {"ms": 1000 * float(np.mean(spent[WARM_UP:]))}


def compare(folder: Path) -> dict[str, float]:
    """Image AUROC of both, and how alike they order the images."""
    from scipy.stats import spearmanr  # noqa: PLC0415

    from onlygood.anomaly.evaluation.metrics import auroc  # noqa: PLC0415

    bad = np.array(json.loads((folder / "plan.json").read_text("utf-8"))["labels"]) == 1
    ours, theirs = (
        np.array(json.loads((folder / f"{name}.json").read_text("utf-8"))) for name in ("ours", "rival")
    )
    return {
        "ours": auroc(ours[~bad], ours[bad]),
        "rival": auroc(theirs[~bad], theirs[bad]),
        "rank_correlation": float(spearmanr(ours, theirs).statistic),
    }


if __name__ == "__main__":
    step, home, *counts = sys.argv[1:]
    steps = {"prepare": prepare, "score": score, "compare": compare}
    print(json.dumps(steps[step](Path(home), *map(int, counts))))
