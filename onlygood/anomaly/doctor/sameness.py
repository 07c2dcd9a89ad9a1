"""Does the detector see what the training saw? The same pixels of a file, and the same numbers of pixels."""

from collections.abc import Iterator

import numpy as np
import torch

from onlygood.anomaly.detector import Detector
from onlygood.anomaly.doctor.findings import Finding, Material
from onlygood.pretrain.tasks.base import Task
from onlygood.runtime.errors import ImageError
from onlygood.runtime.images.area import blanked
from onlygood.runtime.images.reader import load_image

_FILES = 8


def examine_sameness(material: Material, task: Task, detector: Detector) -> Iterator[Finding]:
    """Findings about preprocessing that differs between training and scoring."""
    store = material.store
    ids = np.unique(np.linspace(0, len(store) - 1, _FILES).astype(int))
    other = []
    for i in ids:
        try:
            pixels = blanked(load_image(store.paths[i], store.spec).pixels, store.inside)
        except ImageError:
            pixels = np.empty(0, np.uint8)
        if not np.array_equal(pixels, store.batch(np.array([i]))[0]):
            other.append(int(i))
    if other:
        yield Finding(
            "pixels",
            "problem",
            f"{len(other)} of {len(ids)} files, read as for scoring, have other pixels than were "
            "kept to train on",
            "the model would be trained on one image and judge another",
            "if files changed meanwhile, start again; else delete the cache of decoded images",
            material.names(other),
            len(other),
        )
    images = torch.from_numpy(store.batch(ids)).permute(0, 3, 1, 2)
    task.eval()
    with torch.no_grad():
        trained, scored = task.embed(images), task.encoder(detector.prepared(images))
    scale = float(trained.abs().mean()) + 1e-12
    gap = float((trained - scored).abs().mean()) / scale
    if not gap <= 1e-5:
        yield Finding(
            "preprocessing",
            "problem",
            f"features of the same pixels differ by {gap:.1%} between training and scoring",
            "the detector standardizes images in another way than the task did",
            "give task and detector the same `standardize`",
        )
