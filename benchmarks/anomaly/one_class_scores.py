"""AUROC of every head on a trained task: what of `one_class.py` knows detectors."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from onlygood.anomaly.branch import Branch
from onlygood.anomaly.evaluation.metrics import auroc
from onlygood.anomaly.heads.base import Head
from onlygood.anomaly.heads.outputs import Outputs, joined
from onlygood.anomaly.recipe import BranchConfig
from onlygood.pretrain.tasks.base import Task
from onlygood.pretrain.views.views import to_float

BATCH = 256  # views: larger ones make the kernel hand out new memory all the time
# All good images are kept, as in the papers; CSI reads embeddings.
ALL = 6000
BRANCHES: dict[str, dict[str, Any]] = {
    "kde": {"head": {"options": {"kde": {"size": ALL}}}},
    "ocsvm": {"head": {"options": {"ocsvm": {"size": ALL}}}},
    "knn": {"head": {"options": {"knn": {"size": ALL}}}},
    "csi": {"features": {"projected": True}, "head": {"options": {"csi": {"size": ALL}}}},
}


def areas(
    task: Task,
    heads: tuple[str, ...],
    good: NDArray[np.uint8],
    test: NDArray[np.uint8],
    test_good: NDArray[np.bool_],
) -> dict[str, float]:
    """AUROC by head, fitted to the images ``good`` ``(n, H, W, C)``; of ``test``, ``test_good`` are good.

    Heads that read the same share one pass of the images.
    """
    seen: dict[str, tuple[Outputs, Outputs]] = {}
    found = {}
    for name in heads:
        branch = _branch(task, name, test)
        reads = f"{sorted(branch.head.reads)} {branch.views.count} {branch.projector is not None}"
        if reads not in seen:
            seen[reads] = _outputs(branch, task, good), _outputs(branch, task, test)
        fitted, asked = seen[reads]
        branch.head.fit(fitted)
        scores = _scores(branch.head, asked)
        found[name] = round(auroc(scores[test_good], scores[~test_good]), 5)
    return found


def _branch(task: Task, name: str, images: NDArray[np.uint8]) -> Branch:
    """The whole image under one head."""
    given = BRANCHES.get(name, {})
    config = given | {"head": {"names": [name], **given.get("head", {})}}
    return Branch(task, BranchConfig.parse(config, f"head {name}"), *images.shape[1:3]).eval()


@torch.no_grad()
def _outputs(branch: Branch, task: Task, images: NDArray[np.uint8]) -> Outputs:
    """What the head reads of ``images``."""
    parts = torch.from_numpy(images).permute(0, 3, 1, 2).split(max(1, BATCH // branch.views.count))
    return joined([branch.outputs(to_float(part, task.standardize)) for part in parts])


@torch.no_grad()
def _scores(head: Head, outputs: Outputs) -> NDArray[np.float64]:
    parts = torch.arange(len(outputs)).split(BATCH)
    return torch.cat([head(outputs.take(part)) for part in parts]).squeeze(1).double().numpy()
