"""AUROC of every head on a trained task: what of `one_class.py` knows detectors."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from benchmarks.anomaly.one_class_methods import Method
from onlygood.anomaly.evaluation.metrics import auroc
from onlygood.anomaly.heads.base import Head, plain_features
from onlygood.anomaly.heads.outputs import Outputs
from onlygood.anomaly.heads.registry import HeadConfig, create_head
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
    fitted, seen = outputs(task, good), outputs(task, test)
    found = {}
    for name in method.heads:
        dim = task.encoder.dim
        kde = name == "kde"
        head = (Kde(dim) if kde else create_head(HeadConfig(names=[name]), dim, task)).fit(fitted)
        with torch.no_grad():
            parts = torch.arange(len(test)).split(BATCH)
            scores = torch.cat([head(seen.take(part)) for part in parts]).squeeze(1).double().numpy()
        found[name] = round(auroc(scores[test_good], scores[~test_good]), 5)
    return found


@torch.no_grad()
def outputs(task: Task, images: NDArray[np.uint8]) -> Outputs:
    """Features and logits of whole images ``(N, H, W, C)`` under the task's test views."""
    parts = []
    for part in torch.from_numpy(images).permute(0, 3, 1, 2).split(BATCH):
        x = to_float(part, task.standardize)
        parts.append(torch.stack([task.encoder(view) for view in task.test_views(x)], dim=1)[:, None])
    features = torch.cat(parts)
    logits = task.view_classifier(features) if task.view_classifier is not None else None
    return Outputs(features, logits)


class Kde(Head):
    """Stands in until the registry has it: -1/g logsumexp(2 g cos), g = 10 / (dim var)."""

    def fit(self, outputs: Outputs) -> "Kde":
        """Keep all."""
        self.bank = functional.normalize(plain_features(outputs).flatten(0, 1).float(), dim=1)
        self.gamma = 10 / (self.bank.var().item() * self.dim)
        return self

    def forward(self, outputs: Outputs) -> Tensor:
        """``(N, R)``."""
        x = functional.normalize(plain_features(outputs).float(), dim=2)
        return -torch.logsumexp(2 * self.gamma * (x @ self.bank.T), dim=2) / self.gamma
