"""Redundancy: the dimensions of embeddings do not repeat each other. Pure functions, float32 inside."""

import torch
from torch import Tensor
from torch.nn import functional


def barlow_twins(a: Tensor, b: Tensor, off_diagonal: float) -> Tensor:
    """How far the cross-correlation of ``a`` and ``b`` ``(N, D)`` is from the identity (Zbontar et al. 2021).

    Squared errors are summed, with weight ``off_diagonal`` on correlations of different dimensions. Collapsed
    embeddings cost D, about as much as random ones.
    """
    n = len(a)
    a, b = (functional.batch_norm(z.float(), None, None, training=True) for z in (a, b))
    with torch.autocast(a.device.type, enabled=False):
        correlation = a.T @ b / n
    diagonal = correlation.diagonal()
    rest = correlation.square().sum() - diagonal.square().sum()
    return (1 - diagonal).square().sum() + off_diagonal * rest


def vicreg_terms(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Invariance, variance and covariance of ``a`` and ``b`` ``(N, D)``, unweighted (Bardes et al. 2022).

    Invariance is their mean squared difference. Variance is the mean amount by which deviations fall short of
    1 (mean of both views). Covariance is the sum of squared off-diagonal covariances over D (sum of both
    views).
    """
    a, b = a.float(), b.float()
    variance, covariance = torch.zeros_like(a[0, 0]), torch.zeros_like(a[0, 0])
    for z in (a, b):
        centered = z - z.mean(dim=0)
        with torch.autocast(z.device.type, enabled=False):
            matrix = centered.T @ centered / (len(z) - 1)
        variance = variance + functional.relu(1 - (matrix.diagonal() + 1e-4).sqrt()).mean() / 2
        off_diagonal = matrix.square().sum() - matrix.diagonal().square().sum()
        covariance = covariance + off_diagonal / z.shape[1]
    return functional.mse_loss(a, b), variance, covariance
