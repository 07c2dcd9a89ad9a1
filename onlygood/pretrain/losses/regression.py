"""Regression: an embedding predicts another one. Pure functions, float32 inside."""

import torch
from torch import Tensor
from torch.nn import functional


def cosine_distance(p: Tensor, z: Tensor) -> Tensor:
    """Mean squared distance of ``p`` and ``z`` ``(N, D)`` at length 1: 2 - 2 cos, from 0 to 4.

    The regression of BYOL (Grill et al. 2020, arXiv:2006.07733).
    """
    return 2 - 2 * functional.cosine_similarity(p.float(), z.float(), dim=1).mean()


def simsiam(p1: Tensor, p2: Tensor, z1: Tensor, z2: Tensor) -> Tensor:
    """Negative cosine of each view's prediction ``p`` and the other's embedding ``z``, all ``(N, D)``.

    The least value is -1. No gradient goes through ``z``: without this stop, all embeddings become one
    (SimSiam, Chen & He 2021, arXiv:2011.10566).
    """
    z1, z2 = z1.detach(), z2.detach()
    return (cosine_distance(p1, z2) + cosine_distance(p2, z1)) / 4 - 1


def mean_distance(a: Tensor, b: Tensor) -> Tensor:
    """Mean Euclidean distance of the rows of ``a`` and ``b``, ``(N, D)``, not squared; 0-dim.

    It pulls neighboring patches together (Patch SVDD, Yi & Yoon 2020, arXiv:2006.16067). Where two rows are
    equal, no gradient goes through them.
    """
    distances: Tensor = torch.linalg.vector_norm(a.float() - b.float(), dim=1)
    return distances.mean()
