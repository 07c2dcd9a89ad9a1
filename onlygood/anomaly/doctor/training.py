"""The examination of the network: images as it sees them, the recipe's task, a short training."""

from collections.abc import Iterator

import numpy as np
import torch

from onlygood.anomaly.detector import create_detector
from onlygood.anomaly.doctor.findings import Finding, Material
from onlygood.anomaly.doctor.network import IMAGES, examine_network
from onlygood.anomaly.doctor.outliers import examine_outliers
from onlygood.anomaly.doctor.sameness import examine_sameness
from onlygood.anomaly.fit import begin, build_task
from onlygood.anomaly.suspects import Judged
from onlygood.pretrain.tasks.base import Task


def examine_training(material: Material, found: Judged) -> Iterator[Finding]:
    """Findings about outliers, by the scores ``found`` of `judged`, and about the recipe's network."""
    recipe, store = material.recipe, material.store
    yield from examine_outliers(material, found)
    start = begin(recipe, store.spec.channels)
    chosen = recipe.input.model_copy(update={"standardize": start.standardize or "image"})
    recipe = recipe.model_copy(update={"input": chosen})
    task = build_task(recipe, store.spec.channels, len(store), start)
    detector = create_detector(recipe, task, store.spec.height, store.spec.width, store.inside)
    yield from examine_sameness(material, task, detector)
    if not task.trains or recipe.training.steps == 0:
        return
    ids = material.unique[np.unique(np.linspace(0, len(material.unique) - 1, IMAGES).astype(int))]
    images = torch.from_numpy(np.ascontiguousarray(store.batch(ids).transpose(0, 3, 1, 2)))

    def build() -> Task:
        return build_task(recipe, store.spec.channels, len(store), begin(recipe, store.spec.channels))

    yield from examine_network(build, images, recipe.training)
