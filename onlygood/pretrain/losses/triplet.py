"""Triplets: an embedding is nearer to its own kind, by a margin. Pure functions, float32 inside."""

import torch
from torch import Tensor
from torch.nn import functional


def semi_hard_triplet(embeddings: Tensor, labels: Tensor, margin: float) -> Tensor:
    """Mean over all pairs of one label of ``relu(d(pair) + margin - d(negative))``.

    (FaceNet, Schroff et al. 2015, arXiv:1503.03832.) ``embeddings`` ``(N, D)`` are normalized here, d is the
    squared distance (0 to 4), ``labels`` are ``(N,)``. The negative of a pair is the nearest embedding of
    another label that is farther from the first of the pair than the second is; where there is none, it is
    the farthest. Equal embeddings give exactly ``margin``.
    """
    z = functional.normalize(embeddings.float(), dim=1)
    with torch.autocast(z.device.type, enabled=False):
        distances = 2 - 2 * z @ z.T
    same = labels[:, None] == labels
    pairs = same & ~torch.eye(len(z), dtype=torch.bool, device=z.device)
    coefficients, count = _coefficients(distances.detach(), same, pairs, margin)
    return ((distances * coefficients).sum() + margin * count) / pairs.sum().clamp(min=1)


def weighted_triplets(
    embeddings: Tensor,
    labels: Tensor,
    rng: torch.Generator,
    *,
    margin: float,
    weight: float,
    negatives: int,
) -> Tensor:
    """Mean of ``relu(weight · d(i, j) - d(i, k) + margin)``: i and j have one label, k another; 0-dim.

    ``embeddings`` ``(N, D)`` are normalized here, d is the squared distance (0 to 4); ``labels`` ``(N,)``.
    Each i has ``negatives`` random k, or all if there are fewer (JULE, Yang et al. 2016, arXiv:1604.03628).
    """
    z = functional.normalize(embeddings.float(), dim=1)
    with torch.autocast(z.device.type, enabled=False):
        distances = 2 - 2 * z @ z.T
    same = labels[:, None] == labels
    pairs = same & ~torch.eye(len(z), dtype=torch.bool, device=z.device)
    keys = torch.rand(same.shape, generator=rng, device=rng.device).masked_fill(same, -1)
    highest, places = keys.topk(min(negatives, len(z)), dim=1)
    triplets = pairs[:, :, None] & (highest >= 0)[:, None]
    terms = weight * distances[:, :, None] - distances.gather(1, places)[:, None] + margin
    return (functional.relu(terms) * triplets).sum() / triplets.sum().clamp(min=1)


def triplet_terms(distances: Tensor, margin: float) -> Tensor:
    """``(N, N)``: by how much the negative j of anchor i is too near.

    ``distances`` ``(N, N)`` are those of anchors and partners. The diagonal holds the distance of each anchor
    from its own partner, which should be smaller than the others in its row by ``margin`` (Wang & Gupta 2015,
    arXiv:1505.00687). Embeddings that are all the same cost ``margin``.
    """
    return functional.relu(distances.diagonal()[:, None] - distances + margin)


def random_negatives(terms: Tensor, others: Tensor, count: int, rng: torch.Generator) -> Tensor:
    """Mean of ``triplet_terms`` ``(N, N)`` over ``count`` different random negatives of each anchor; 0-dim.

    ``others`` ``(N, N)`` tells which are negatives; where there are fewer than ``count``, all are taken.
    """
    keys = torch.rand(terms.shape, generator=rng, device=rng.device)
    return _mean_of_first(terms, keys.masked_fill(~others, -1), count)


def hardest_negatives(terms: Tensor, others: Tensor, count: int) -> Tensor:
    """Mean of ``triplet_terms`` ``(N, N)`` over the ``count`` costliest negatives of each anchor; 0-dim."""
    return _mean_of_first(terms, terms.detach().masked_fill(~others, -1), count)


def center_triplet(z: Tensor, margin: float) -> Tensor:
    """Mean over all N M embeddings of ``relu(d(own center) + margin - d(nearest other center))``; 0-dim.

    ``z`` ``(N, M, D)`` are N embeddings of each of M kinds. A kind's center is the mean of its embeddings; d
    is the squared distance (GOAD, Bergman & Hoshen 2020, arXiv:2005.02359). Equal embeddings cost ``margin``.
    """
    z = z.float()
    centers = z.mean(dim=0)
    with torch.autocast(z.device.type, enabled=False):
        products = z @ centers.T
    distances = z.square().sum(dim=2, keepdim=True) + centers.square().sum(dim=1) - 2 * products
    own = distances.diagonal(dim1=1, dim2=2)
    itself = torch.eye(len(centers), dtype=torch.bool, device=z.device)
    others = distances.masked_fill(itself, float("inf")).amin(dim=2)
    return functional.relu(own + margin - others).mean()


def _coefficients(distances: Tensor, same: Tensor, pairs: Tensor, margin: float) -> tuple[Tensor, Tensor]:
    """How often each of the distances ``(N, N)`` counts in the sum of terms above 0, and their number.

    1 for a pair, less 1 for each pair that has it as its negative. The sums are of whole numbers, so the
    order of addition, which changes from run to run on GPUs, does not matter.
    """
    others, order = distances.masked_fill(same, float("inf")).sort(dim=1)  # nearest first, then infinities
    last = ((~same).sum(dim=1, keepdim=True) - 1).clamp(min=0)
    places = torch.searchsorted(others, distances, right=True)
    places = torch.minimum(places, last)
    active = (pairs & (distances + margin > others.gather(1, places))).float()
    coefficients = active.scatter_add(1, order.gather(1, places), -active)
    return coefficients, active.sum()


def _mean_of_first(terms: Tensor, keys: Tensor, count: int) -> Tensor:
    """Mean of the terms with the ``count`` highest keys of each row; negative keys do not count."""
    highest, places = keys.topk(min(count, keys.shape[1]), dim=1)
    counts = highest >= 0
    return (terms.gather(1, places) * counts).sum() / counts.sum().clamp(min=1)
