"""Losses on embeddings of two views of each image, as pure functions, float32 inside."""

import torch
from torch import Tensor
from torch.nn import functional


def cosine_distance(p: Tensor, z: Tensor) -> Tensor:
    """Mean squared distance of the normalised rows of ``p`` and ``z`` (N, D): 2 - 2 cos, from 0 to 4.

    The regression of BYOL (Grill et al. 2020).
    """
    return 2 - 2 * functional.cosine_similarity(p.float(), z.float(), dim=1).mean()


def simsiam(p1: Tensor, p2: Tensor, z1: Tensor, z2: Tensor) -> Tensor:
    """Negative cosine of each view's prediction ``p`` and the other's embedding ``z``, all (N, D); least: -1.

    No gradient goes through ``z``: without this stop, all embeddings become one (SimSiam, Chen & He 2021).
    """
    z1, z2 = z1.detach(), z2.detach()
    return (cosine_distance(p1, z2) + cosine_distance(p2, z1)) / 4 - 1


def info_nce(queries: Tensor, keys: Tensor, negatives: Tensor, temperature: float, same: Tensor) -> Tensor:
    """Each query must pick its key (both (N, D)) among ``negatives`` (K, D); all rows have length 1.

    Where ``same`` (N, K) is true, the negative shows the query's own image and does not count. Chance is
    log(1 + those that count) (MoCo, He et al. 2020).
    """
    queries, keys, negatives = queries.float(), keys.float(), negatives.float()
    positive = (queries * keys).sum(dim=1, keepdim=True)
    with torch.autocast(queries.device.type, enabled=False):
        others = (queries @ negatives.T).masked_fill(same, float("-inf"))
    logits = torch.cat([positive, others], dim=1) / temperature
    return functional.cross_entropy(logits, torch.zeros_like(logits[:, 0], dtype=torch.long))


def barlow_twins(a: Tensor, b: Tensor, off_diagonal: float) -> Tensor:
    """The cross-correlation of ``a`` and ``b`` (N, D) should be the identity (Zbontar et al. 2021).

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
    """Invariance, variance and covariance of ``a`` and ``b`` (N, D), unweighted (Bardes et al. 2022).

    Invariance is their mean squared difference; variance the mean amount by which deviations fall short of 1
    (mean of both views); covariance the sum of squared off-diagonal covariances over D (sum of both views).
    """
    a, b = a.float(), b.float()
    variance, covariance = torch.zeros_like(a[0, 0]), torch.zeros_like(a[0, 0])
    for z in (a, b):
        centred = z - z.mean(dim=0)
        with torch.autocast(z.device.type, enabled=False):
            matrix = centred.T @ centred / (len(z) - 1)
        variance = variance + functional.relu(1 - (matrix.diagonal() + 1e-4).sqrt()).mean() / 2
        off_diagonal = matrix.square().sum() - matrix.diagonal().square().sum()
        covariance = covariance + off_diagonal / z.shape[1]
    return functional.mse_loss(a, b), variance, covariance
