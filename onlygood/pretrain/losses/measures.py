"""What is measured on logits and embeddings. Pure functions, float32 inside."""

import math

import torch
from torch import Tensor
from torch.nn import functional


def accuracy(logits: Tensor, labels: Tensor) -> Tensor:
    """Share of rows whose largest logit is the label; 0-dim."""
    return (logits.detach().argmax(dim=1) == labels).float().mean()


def spread(features: Tensor) -> Tensor:
    """1 where ``features`` ``(N, D)`` of length 1 would fill the sphere, 0 where all are the same; 0-dim.

    It is the standard deviation of each dimension after L2 normalization, averaged and divided by 1/√D
    (SimSiam, Chen & He 2021, arXiv:2011.10566).
    """
    unit = functional.normalize(features.detach().float(), dim=1)
    return unit.std(dim=0, correction=0).mean() * math.sqrt(features.shape[1])


def cosines(a: Tensor, b: Tensor) -> Tensor:
    """Cosines ``(…, N, K)`` of the rows of ``a`` ``(…, N, D)`` and ``b`` ``(…, K, D)``."""
    with torch.autocast(a.device.type, enabled=False):
        return torch.matmul(
            functional.normalize(a.float(), dim=-1), functional.normalize(b.float(), dim=-1).mT
        )
