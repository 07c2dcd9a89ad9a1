"""Clusters of feature vectors and what is learned from them: pure functions, float32 also under autocast.

All draws come from a generator on the features' device. Sums over clusters are matrix products: unlike
scattered additions on GPUs, these add in the same order in every run.
"""

import math
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from onlygood.pretrain.losses.measures import cosines

_CHUNK = 8192  # rows at once, so that no distance matrix of all images is ever in memory


def sinkhorn(scores: Tensor, epsilon: float, iterations: int = 3) -> Tensor:
    """Soft assignments ``(N, K)`` of scores ``(N, K)``: rows sum to 1, columns to about N/K.

    Entropic optimal transport by alternating normalization (Cuturi 2013, arXiv:1306.0895), as SwAV and SeLa
    use it. It works on logarithms and subtracts the largest before every exponential, so nothing overflows
    and no row vanishes.
    """
    log_q = scores.detach().float() / epsilon
    for _ in range(iterations):
        log_q = log_q - log_q.logsumexp(dim=0, keepdim=True)
        log_q = log_q - log_q.logsumexp(dim=1, keepdim=True)
    return log_q.exp()


def swapped_prediction(scores: Tensor, codes: Tensor, temperature: float) -> Tensor:
    """Every crop predicts the codes of the global crops other than itself (SwAV, Caron et al. 2020).

    ``scores`` ``(V, N, K)`` are cosines of all crops with the prototypes, global crops first. ``codes`` ``(G,
    N, K)`` are the soft assignments of the G global crops. Chance is log K.
    """
    log_p = functional.log_softmax(scores.float() / temperature, dim=2)
    with torch.autocast(scores.device.type, enabled=False):
        cross = -torch.einsum("gnk,vnk->gv", codes.float(), log_p) / scores.shape[1]
    other = ~torch.eye(*cross.shape, dtype=torch.bool, device=cross.device)
    return cross[other].mean()


def prototype_logits(z: Tensor, prototypes: Tensor, temperatures: Tensor) -> Tensor:
    """Logits ``(M, N, K)`` of ``z`` ``(N, D)`` for M sets of prototypes ``(M, K, D)``.

    Each prototype has its own temperature ``(M, K)``; temperature 0 marks one that is not in use.
    """
    logits = cosines(z, prototypes) / temperatures.clamp(min=1e-6)[:, None]
    return logits.masked_fill(temperatures[:, None] == 0, float("-inf"))


def concentration(x: Tensor, labels: Tensor, centroids: Tensor, temperature: float, alpha: float) -> Tensor:
    """Temperatures ``(K,)`` of clusters: small for tight ones, ``temperature`` on average.

    Mean distance of the points ``x`` ``(N, D)`` from their centroids ``(K, D)``, over log(size + alpha) (PCL,
    Li et al. 2021, arXiv:2005.04966). Clusters of one image count as the loosest, and the outer tenths are
    clipped. No temperature is below a tenth of ``temperature``: clusters of identical images would divide by
    zero.
    """
    k = len(centroids)
    sizes = torch.bincount(labels, minlength=k)
    distance = (x - centroids[labels]).norm(dim=1, keepdim=True)
    density = cluster_sums(distance, labels, k)[:, 0] / (sizes.clamp(min=1) * (sizes + alpha).log())
    density = torch.where(sizes > 1, density, density.max())
    density = density.clamp(density.quantile(0.1), density.quantile(0.9))
    if density.max() <= 0:
        return torch.full_like(density, temperature)
    return (temperature * density / density.mean()).clamp(min=0.1 * temperature)


def pca_whiten(x: Tensor, dims: int) -> Tensor:
    """``x`` ``(N, D)`` along its ``dims`` principal directions, each with unit variance.

    Whitening in N - 1 or more dimensions makes all points equally far from each other: choose far fewer.
    """
    x = _finite(x)
    x = x - x.mean(dim=0)
    values, vectors = torch.linalg.eigh((x.T @ x / len(x)).cpu().double())  # ascending
    values, vectors = values.flip(0)[:dims], vectors.flip(1)[:, :dims]
    floor = max(1e-6 * float(values[0]), 1e-30)
    whitened: Tensor = x @ (vectors / values.clamp(min=floor).sqrt()).to(x)
    return whitened


def kmeans(
    x: Tensor,
    k: int,
    rng: torch.Generator,
    *,
    iterations: int = 20,
    init: Literal["k-means++", "random"] = "k-means++",
    spherical: bool = False,
) -> tuple[Tensor, Tensor]:
    """Labels ``(N,)`` and centroids ``(K, D)`` of points ``(N, D)``; K is ``k``, or N where that is less.

    No cluster is ever empty. ``spherical`` clusters directions: points and centroids have length 1.
    """
    x = _finite(x)
    if spherical:
        x = functional.normalize(x, dim=1)
    k = min(k, len(x))
    centroids = _seeds(x, k, init, rng)
    labels = torch.full((len(x),), -1, device=x.device)
    for _ in range(iterations):
        before = labels
        labels = fill_empty(x, _nearest(x, centroids), k)
        centroids = cluster_sums(x, labels, k) / torch.bincount(labels, minlength=k)[:, None]
        if spherical:
            centroids = functional.normalize(centroids, dim=1)
        if torch.equal(labels, before):
            break
    return labels, centroids


def fill_empty(x: Tensor, labels: Tensor, k: int) -> Tensor:
    """Labels ``(N,)`` without empty clusters: each empty one gets half of the largest one at that moment.

    The halves lie on the two sides of that cluster's mean, along the line to its farthest point of ``x``
    ``(N, D)``.
    """
    labels = labels.clone()
    sizes = torch.bincount(labels, minlength=k)
    for empty in (sizes == 0).nonzero()[:, 0].tolist():
        members = (labels == sizes.argmax()).nonzero()[:, 0]
        offsets = x[members] - x[members].mean(dim=0)
        farthest = offsets[offsets.square().sum(dim=1).argmax()]
        order = (offsets @ farthest).argsort(descending=True, stable=True)
        labels[members[order[: len(members) // 2]]] = empty
        sizes = torch.bincount(labels, minlength=k)
    return labels


def cluster_sums(x: Tensor, labels: Tensor, k: int) -> Tensor:
    """Sums ``(K, D)`` of the points ``(N, D)`` of each cluster."""
    total = x.new_zeros(k, x.shape[1])
    for part, names in zip(torch.split(x, _CHUNK), torch.split(labels, _CHUNK), strict=True):
        total += functional.one_hot(names, k).to(x).T @ part
    return total


def nmi(a: Tensor, b: Tensor) -> Tensor:
    """Normalized mutual information of two labelings ``(N,)``, 0-dim: 1 the same up to names, 0 unrelated.

    Divided by the geometric mean of the entropies (DeepCluster). Two labelings of one class each agree.
    """
    width = int(b.max()) + 1
    joint = torch.bincount(a * width + b, minlength=(int(a.max()) + 1) * width).float().view(-1, width)
    joint = joint / joint.sum()
    rows, columns = _entropy(joint.sum(dim=1)), _entropy(joint.sum(dim=0))
    shared = (rows + columns - _entropy(joint.flatten())).clamp(min=0)
    scale = (rows * columns).sqrt()
    same = ((rows < 1e-6) & (columns < 1e-6)).float()
    return torch.where(scale < 1e-6, same, shared / scale.clamp(min=1e-6))


def _entropy(p: Tensor) -> Tensor:
    """Nats, 0-dim, of probabilities ``(K,)``."""
    return -torch.xlogy(p, p).sum()


def _finite(x: Tensor) -> Tensor:
    """Float32 without NaN or infinity: the trainer, not this function, stops a training that diverged."""
    return x.float().nan_to_num(0.0, 0.0, 0.0)


def _nearest(x: Tensor, centroids: Tensor) -> Tensor:
    """Labels ``(N,)``: the nearest centroid of each point."""
    half = centroids.square().sum(dim=1) / 2
    return torch.cat([(half - part @ centroids.T).argmin(dim=1) for part in torch.split(x, _CHUNK)])


def _seeds(x: Tensor, k: int, init: str, rng: torch.Generator) -> Tensor:
    """First centroids ``(K, D)``: random, or each far from those before (Arthur & Vassilvitskii 2007)."""
    if init == "random":
        return x[torch.randperm(len(x), generator=rng, device=x.device)[:k]]
    seeds = [x[torch.randint(len(x), (1,), generator=rng, device=x.device)]]
    distance = torch.full((len(x),), math.inf, device=x.device)
    for _ in range(k - 1):
        distance = torch.minimum(distance, (x - seeds[-1]).square().sum(dim=1))
        weights = torch.where(distance.sum() > 0, distance, 1.0)
        seeds.append(x[torch.multinomial(weights, 1, generator=rng)])
    return torch.cat(seeds)
