"""Weighted nearest neighbors (Wu et al. 2018, arXiv:1805.01978): nothing is trained, so nothing is tuned."""

import torch
from pydantic import Field
from torch import Tensor
from torch.nn.functional import normalize

from onlygood.pretrain.probe.features import Pool, Setup
from onlygood.pretrain.probe.result import Measurement, accuracy_row
from onlygood.runtime.strict import Strict


class KnnConfig(Strict):
    """``k`` neighbors by cosine, weighted exp(similarity / T)."""

    pool: Pool = "mean"
    dimensions: int = Field(default=9000, ge=1)  # of max-pooled features, about
    k: int = Field(default=200, ge=1)  # all training images where there are fewer
    temperature: float = Field(default=0.1, gt=0)  # T
    chunk: int = Field(default=512, ge=1)  # test images compared at once; does not change the results


def knn_votes(
    bank: Tensor, labels: Tensor, queries: Tensor, classes: int, *, k: int, temperature: float
) -> Tensor:
    """Votes ``(Q, classes)`` of the nearest in ``bank`` ``(N, D)`` for each of ``queries`` ``(Q, D)``.

    ``labels`` ``(N,)`` are the classes of ``bank``. Queries and bank must be L2-normalized. Weights are
    exp((similarity - 1) / T): the common factor keeps them finite.
    """
    similarity, index = (queries @ bank.T).topk(min(k, len(bank)), dim=1)
    votes = torch.zeros(len(queries), classes, device=bank.device)
    return votes.scatter_add(1, labels[index], ((similarity - 1) / temperature).exp())


def knn(setup: Setup, config: KnnConfig) -> list[Measurement]:
    """Test accuracy for every stage."""
    data, device = setup.data, setup.encoder.device
    labels = torch.from_numpy(data.train.labels).to(device)
    truth = torch.from_numpy(data.test.labels).to(device)
    rows = []
    for stage, train, test in zip(
        setup.encoder.stages, *setup.both(config.pool, config.dimensions), strict=True
    ):
        bank, queries = normalize(train.to(device), dim=1), normalize(test.to(device), dim=1)
        correct = 0
        for chunk, target in zip(
            torch.split(queries, config.chunk), torch.split(truth, config.chunk), strict=True
        ):
            votes = knn_votes(
                bank, labels, chunk, len(data.classes), k=config.k, temperature=config.temperature
            )
            correct += int((votes.argmax(dim=1) == target).sum())
        rows.append(accuracy_row(stage, correct, len(data.test), {"neighbours": min(config.k, len(bank))}))
    return rows
