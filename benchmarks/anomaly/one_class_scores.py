"""AUROC of every head on a trained task: what of `one_class.py` knows detectors."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from benchmarks.anomaly.one_class_methods import Method
from onlygood.anomaly.branch import Branch
from onlygood.anomaly.evaluation.metrics import auroc
from onlygood.anomaly.heads.base import Head
from onlygood.anomaly.heads.ensemble import Ensemble
from onlygood.anomaly.heads.outputs import Outputs, joined
from onlygood.anomaly.heads.registry import HeadConfig
from onlygood.anomaly.recipe import BranchConfig
from onlygood.pretrain.tasks.base import Task
from onlygood.pretrain.views.views import to_float

BATCH = 500  # images


def areas(
    task: Task,
    method: Method,
    good: NDArray[np.uint8],
    test: NDArray[np.uint8],
    test_good: NDArray[np.bool_],
) -> dict[str, float]:
    """AUROC by head, fitted to the images ``good`` ``(n, H, W, C)``; of ``test``, ``test_good`` are good."""
    names = [name for name in method.heads if name != "kde"]
    branch = Branch(task, BranchConfig(head=HeadConfig(names=names)), *good.shape[1:3]).eval()
    several = isinstance(branch.head, Ensemble)
    heads = dict(zip(names, branch.head.heads if several else [branch.head], strict=True))
    if "kde" in method.heads:
        heads["kde"] = Kde(task.encoder.dim)
    fitted, seen = outputs(branch, good), outputs(branch, test)
    found = {}
    for name in method.heads:
        head = heads[name].fit(fitted)
        with torch.no_grad():
            parts = torch.arange(len(test)).split(BATCH)
            scores = torch.cat([head(seen.take(part)) for part in parts]).squeeze(1).double().numpy()
        found[name] = round(auroc(scores[test_good], scores[~test_good]), 5)
    return found


@torch.no_grad()
def outputs(branch: Branch, images: NDArray[np.uint8]) -> Outputs:
    """What the heads read of whole images ``(N, H, W, C)``."""
    parts = torch.from_numpy(images).permute(0, 3, 1, 2).split(BATCH)
    return joined([branch.outputs(to_float(part, branch.task.standardize)) for part in parts])


class Kde(Head):
    """Stands in until the registry has it: -1/g logsumexp(2 g cos), g = 10 / (dim var)."""

    def fit(self, outputs: Outputs) -> "Kde":
        """Keep all."""
        self.bank = functional.normalize(outputs.rows(), dim=1)
        self.gamma = 10 / (self.bank.var().item() * self.dim)
        return self

    def forward(self, outputs: Outputs) -> Tensor:
        """``(N, R)``."""
        x = functional.normalize(outputs.plain(), dim=2)
        return -torch.logsumexp(2 * self.gamma * (x @ self.bank.T), dim=2) / self.gamma
