"""Triplet losses: an embedding is nearer to its own kind than to others, by a margin; float32 inside."""

import torch
from torch import Tensor
from torch.nn import functional


def semi_hard_triplet(embeddings: Tensor, labels: Tensor, margin: float) -> Tensor:
    """Mean over all pairs of one label of ``relu(d(pair) + margin - d(negative))`` (FaceNet, Schroff 2015).

    ``embeddings`` (N, D) are normalised here, d is the squared distance (0 to 4), ``labels`` are (N,). The
    negative of a pair is the nearest embedding of another label that is farther from the first of the pair
    than the second is, and where there is none, the farthest. Equal embeddings give exactly ``margin``.
    """
    z = functional.normalize(embeddings.float(), dim=1)
    with torch.autocast(z.device.type, enabled=False):
        distances = 2 - 2 * z @ z.T
    same = labels[:, None] == labels
    pairs = same & ~torch.eye(len(z), dtype=torch.bool, device=z.device)
    coefficients, count = _coefficients(distances.detach(), same, pairs, margin)
    return ((distances * coefficients).sum() + margin * count) / pairs.sum().clamp(min=1)


def _coefficients(distances: Tensor, same: Tensor, pairs: Tensor, margin: float) -> tuple[Tensor, Tensor]:
    """How often each of the distances ``(N, N)`` counts in the sum of terms above 0, and their number.

    1 for a pair, less 1 for each pair that has it as its negative. Whole numbers are the same in whatever
    order they are added, which on GPUs is not that of the run before.
    """
    others, order = distances.masked_fill(same, float("inf")).sort(dim=1)  # nearest first, then infinities
    last = ((~same).sum(dim=1, keepdim=True) - 1).clamp(min=0)
    places = torch.searchsorted(others, distances, right=True)
    places = torch.minimum(places, last)
    active = (pairs & (distances + margin > others.gather(1, places))).float()
    coefficients = active.scatter_add(1, order.gather(1, places), -active)
    return coefficients, active.sum()
