"""Ranking losses on distances, as pure functions, float32 inside."""

import torch
from torch import Tensor
from torch.nn import functional


def cosine_distances(a: Tensor, b: Tensor) -> Tensor:
    """``(N, M)``: 1 - cos of each row of ``a`` (N, D) with each of ``b`` (M, D), from 0 to 2."""
    a, b = (functional.normalize(z.float(), dim=1) for z in (a, b))
    with torch.autocast(a.device.type, enabled=False):  # which would multiply in bfloat16
        return 1 - a @ b.T


def triplet_terms(distances: Tensor, margin: float) -> Tensor:
    """``(N, N)``: by how much the negative j of anchor i is too near.

    ``distances`` (N, N) are those of anchors and partners; each on the diagonal, of an anchor with its own
    partner, should be smaller than the others in its row by ``margin`` (Wang & Gupta 2015). Embeddings that
    are all the same cost ``margin``.
    """
    return functional.relu(distances.diagonal()[:, None] - distances + margin)


def random_negatives(terms: Tensor, others: Tensor, count: int, rng: torch.Generator) -> Tensor:
    """Mean of ``triplet_terms`` (N, N) over ``count`` different random negatives of each anchor; 0-dim.

    ``others`` (N, N) tells which are negatives; where there are fewer than ``count``, all are taken.
    """
    keys = torch.rand(terms.shape, generator=rng, device=rng.device)
    return _mean_of_first(terms, keys.masked_fill(~others, -1), count)


def hardest_negatives(terms: Tensor, others: Tensor, count: int) -> Tensor:
    """Likewise over the ``count`` negatives of each anchor that cost most."""
    return _mean_of_first(terms, terms.detach().masked_fill(~others, -1), count)


def _mean_of_first(terms: Tensor, keys: Tensor, count: int) -> Tensor:
    """Mean of the terms with the ``count`` highest keys of each row; negative keys do not count."""
    highest, places = keys.topk(min(count, keys.shape[1]), dim=1)
    counts = highest >= 0
    return (terms.gather(1, places) * counts).sum() / counts.sum().clamp(min=1)
