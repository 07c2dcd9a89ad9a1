"""anomalib's side of rivals.py: its own torch models, in an environment of its own, without onlygood.

    python rivals_anomalib.py fit FOLDER            on train.bin, with net.safetensors, into rival.pt
    python rivals_anomalib.py score FOLDER COUNT    so many of test.bin, image by image

Prints JSON.
"""

import importlib.metadata
import json
import resource
import sys
from pathlib import Path
from time import process_time
from typing import Any

import numpy as np
import torch
from anomalib.models.image.padim.torch_model import PadimModel
from anomalib.models.image.patchcore.torch_model import PatchcoreModel
from safetensors.torch import load_file
from torch import Tensor

MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # ImageNet's
BATCH = 32  # while fitting
WARM_UP = 10  # images before the clock starts
SAME = 1e-4  # the largest relative difference of the maps that both encoders give
PACKAGES = ("anomalib", "timm", "torch", "numpy")


def build(settings: dict[str, Any]) -> Any:
    """The model as anomalib makes it, without its pretrained weights."""
    common = {"backbone": "tf_efficientnet_lite0", "layers": settings["layers"], "pre_trained": False}
    if settings["method"] == "padim":
        return PadimModel(**common, n_features=settings["features"])
    return PatchcoreModel(**common, num_neighbors=settings["neighbors"])


def images(pixels: np.ndarray[Any, Any]) -> Tensor:
    """uint8 ``(N, H, W, C)`` to what the network sees, ``(N, 3, H, W)``."""
    x = torch.from_numpy(pixels).permute(0, 3, 1, 2).float().div(255)
    mean, deviation = (torch.tensor(values).view(1, 3, 1, 1) for values in (MEAN, DEVIATION))
    return (x.expand(-1, 3, -1, -1) - mean) / deviation


def fit(folder: Path, settings: dict[str, Any], plan: dict[str, Any]) -> dict[str, Any]:
    """Fill the memory bank or the Gaussians, as anomalib's fit does after an epoch."""
    model = build(settings)
    extractor = model.feature_extractor.feature_extractor
    missing = extractor.load_state_dict(load_file(folder / "net.safetensors"), strict=False).missing_keys
    if missing:
        sys.exit(f"the weights lack {missing[0]}")
    check_maps(model, folder, plan)
    model.train()
    every = np.fromfile(folder / "train.bin", np.uint8).reshape(-1, *plan["shape"])
    with torch.no_grad():
        for start in range(0, len(every), BATCH):
            model(images(every[start : start + BATCH]))
        if settings["method"] == "padim":
            model.fit()
        else:
            rows = sum(len(part) for part in model.embedding_store)
            model.subsample_embedding((settings["coreset"] + 0.5) / rows)
    torch.save(model.state_dict(), folder / "rival.pt")
    return {"versions": {name: importlib.metadata.version(name) for name in PACKAGES}}


def check_maps(model: Any, folder: Path, plan: dict[str, Any]) -> None:
    """Both encoders say the same of the first test image."""
    first = np.fromfile(folder / "test.bin", np.uint8, int(np.prod(plan["shape"])))
    with torch.no_grad():
        theirs = list(model.eval().feature_extractor(images(first.reshape(1, *plan["shape"]))).values())
    ours = load_file(folder / "maps.safetensors")
    for number, maps in enumerate(theirs):
        other = ours[str(number)]
        if maps.shape != other.shape or (maps - other).abs().max() > SAME * other.abs().max():
            sys.exit(f"layer {number}: the encoders differ")


def score(folder: Path, settings: dict[str, Any], plan: dict[str, Any], count: int) -> dict[str, Any]:
    """CPU-ms an image; the scores, where all images are scored, go to a file."""
    imports = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
    model = build(settings)
    model.load_state_dict(torch.load(folder / "rival.pt", weights_only=True))
    model.eval()
    scores, spent = [], []
    with (folder / "test.bin").open("rb") as file, torch.inference_mode():
        for _ in range(count):
            pixels = np.fromfile(file, np.uint8, int(np.prod(plan["shape"]))).reshape(1, *plan["shape"])
            begin = process_time()
            scores.append(float(model(images(pixels)).pred_score))
            spent.append(process_time() - begin)
    if count == len(plan["labels"]):
        (folder / "rival.json").write_text(json.dumps(scores), encoding="utf-8")
    return {"ms": 1000 * float(np.mean(spent[WARM_UP:])), "imports_mb": round(imports, 1)}


if __name__ == "__main__":
    torch.set_num_threads(1)
    step, home, *counts = sys.argv[1:]
    known = [json.loads((Path(home) / f"{name}.json").read_text("utf-8")) for name in ("settings", "plan")]
    if step == "fit":
        torch.manual_seed(known[0]["seed"])
    print(json.dumps({"fit": fit, "score": score}[step](Path(home), *known, *map(int, counts))))
