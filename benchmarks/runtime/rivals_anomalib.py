"""anomalib's inferencers beside `onlygood score`, in an environment of their own; see scoring.py.

    python rivals_anomalib.py make FOLDER METHOD IMAGES       model.pt and model.xml below FOLDER/METHOD
    python rivals_anomalib.py FORMAT FOLDER METHOD IMAGES     torch or openvino: one image after the other

METHOD is padim or patchcore, on ResNet-18 at anomalib's own size and settings, with random weights: nothing
is downloaded, and speed does not depend on them. Both are fitted to a few IMAGES, but PatchCore's bank has as
many patches as its default, a tenth, is of 143 images: drawn at random, since its greedy choice takes hours
here and changes no time of an inference. Prints JSON: seconds of the loop alone, scores by file name,
versions.
"""

import importlib.metadata
import json
import os
import sys
from pathlib import Path
from time import perf_counter
from typing import Any

PACKAGES = ("anomalib", "torch", "openvino", "numpy")
LEARNED = 143  # images that a bank is as large as of, as many as onlygood's model learned from
SHOWN = 20  # images


def make(folder: Path, method: str, images: Path) -> dict[str, Any]:
    """A fitted model as anomalib exports it, for both of its inferencers."""
    import torch  # noqa: PLC0415
    from anomalib.data.utils import read_image  # noqa: PLC0415
    from anomalib.models import Padim, Patchcore  # noqa: PLC0415

    torch.manual_seed(0)
    whole = {"padim": Padim, "patchcore": Patchcore}[method](backbone="resnet18", pre_trained=False)
    inner = whole.model.train()
    read = [read_image(file, as_tensor=True) for file in sorted(images.iterdir())[:SHOWN]]
    with torch.no_grad():
        inner(torch.stack([whole.pre_processor.transform(image) for image in read]))
    if method == "padim":
        inner.fit()
    else:
        patches = torch.cat(inner.embedding_store)
        kept = round(whole.coreset_sampling_ratio * len(patches) / len(read) * LEARNED)
        inner.memory_bank = patches[torch.randint(len(patches), (kept,))]
        inner.embedding_store.clear()
    whole.eval()
    whole.to_torch(folder / method)
    whole.to_openvino(folder / method)
    return {}


def score(format: str, folder: Path, method: str, images: Path) -> dict[str, Any]:
    """Every image by the inferencer that anomalib's documentation names, from its path.

    PatchCore's export has a fixed batch of two (anomalib 2.7.0, torch 2.15), so it sees pairs.
    """
    os.environ["TRUST_REMOTE_CODE"] = "1"  # of the file that `make` wrote
    import numpy as np  # noqa: PLC0415
    from anomalib.data.utils import read_image  # noqa: PLC0415
    from anomalib.deploy import OpenVINOInferencer, TorchInferencer  # noqa: PLC0415

    weights = folder / method / "weights" / format
    if format == "torch":
        inferencer = TorchInferencer(weights / "model.pt", device="cpu")
    else:
        inferencer = OpenVINOInferencer(weights / "model.xml", device="CPU")
    paths, scores = sorted(images.iterdir()), {}
    batch = 1 if format == "torch" else inferencer.input_blob.partial_shape[0]
    at_once = batch if isinstance(batch, int) else batch.get_length() if batch.is_static else 1
    begin = perf_counter()
    for start in range(0, len(paths), at_once):
        some = paths[start : start + at_once]
        shown = some[0] if at_once == 1 else np.stack([read_image(path) for path in some])
        found = inferencer.predict(shown).pred_score
        scores |= {path.name: float(score) for path, score in zip(some, found.flatten(), strict=True)}
    return {"seconds": perf_counter() - begin, "scores": scores}


if __name__ == "__main__":
    kind, home, name, pictures = sys.argv[1:]
    arguments = (Path(home), name, Path(pictures))
    result = make(*arguments) if kind == "make" else score(kind, *arguments)
    print(json.dumps(result | {"versions": {name: importlib.metadata.version(name) for name in PACKAGES}}))
