"""Contrast: an embedding must pick its partner among others. Pure functions, float32 inside."""

import math
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

# A product with all rows is cheaper than copies of the chosen ones, up to so many rows for each chosen one.
_PRODUCT = 16


def nt_xent(a: Tensor, b: Tensor, temperature: float) -> Tensor:
    """Normalized temperature-scaled cross entropy of two views, ``a`` and ``b`` each ``(N, D)``.

    Every embedding must pick its partner among the other 2N - 1 (SimCLR, Chen et al. 2020). Chance is
    log(2N - 1).
    """
    n = a.shape[0]
    z = functional.normalize(torch.cat([a, b]).float(), dim=1)
    with torch.autocast(z.device.type, enabled=False):  # which would multiply in bfloat16
        logits = z @ z.T / temperature
    logits.fill_diagonal_(float("-inf"))
    partner = torch.arange(2 * n, device=z.device).roll(n)
    return functional.cross_entropy(logits, partner)


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


def instance_contrast(
    embeddings: Tensor,
    rows: Tensor,
    ids: Tensor,
    rng: torch.Generator,
    *,
    temperature: float,
    negatives: int,
    sampled: Literal["noise", "softmax"],
) -> Tensor:
    """Each of ``embeddings`` ``(B, D)`` must find row ``ids`` ``(B,)`` of ``rows`` ``(n, D)``; lengths are 1.

    It looks among all rows where there are at most ``negatives``. Where there are more, so many are drawn:
    "softmax" picks among them (Misra & van der Maaten 2020), "noise" is the noise-contrastive estimate (Wu et
    al. 2018).
    """
    if len(rows) <= negatives:
        return instance_cross_entropy(embeddings, rows, ids, temperature)
    if sampled == "softmax":
        others = draw_others(ids, negatives, len(rows), rng)
        return instance_cross_entropy(embeddings, rows, ids, temperature, others)
    noise = torch.randint(0, len(rows), (len(ids), negatives), generator=rng, device=ids.device)
    own = (embeddings * rows[ids]).sum(dim=1) / temperature
    return noise_contrastive(own, similarities(embeddings, rows, noise) / temperature)


def instance_cross_entropy(
    embeddings: Tensor, rows: Tensor, ids: Tensor, temperature: float, others: Tensor | None = None
) -> Tensor:
    """Each of ``embeddings`` (B, D) must pick row ``ids`` of ``rows`` (n, D), all rows of length 1.

    Among all rows, or among the rows ``others`` (B, m) and its own: chance is log n or log(1 + m). This is
    the exact softmax of instance discrimination, and with ``others`` the contrast of PIRL.
    """
    if others is None:
        with torch.autocast(rows.device.type, enabled=False):
            return functional.cross_entropy(embeddings.float() @ rows.clone().T / temperature, ids)
    logits = similarities(embeddings, rows, torch.cat([ids[:, None], others], dim=1)) / temperature
    return functional.cross_entropy(logits, torch.zeros_like(ids))


def noise_contrastive(own: Tensor, noise: Tensor) -> Tensor:
    """Is it the image itself, or noise drawn uniformly of all n? Mean over B (Wu et al. 2018, eq. 7).

    ``own`` (B,) and ``noise`` (B, m) are similarities over temperature. P is their exponential over a
    constant Z, estimated from ``noise``, and the odds are P against m/n. Chance (all P = 1/n) is
    log(1 + m) + m log(1 + 1/m).

    The paper takes the Z of the first batch for ever. In small sets the memory soon holds like embeddings
    of an untrained network, to which that Z is far too small, and all are pushed away together, in vain.
    """
    own, noise = own.float(), noise.float()
    log_mean = noise.detach().logsumexp(dim=(0, 1)) - math.log(noise.numel())
    log_odds = math.log(noise.shape[1]) + log_mean  # log(m/n) + log Z, where Z is n times the mean
    return (functional.softplus(log_odds - own) + functional.softplus(noise - log_odds).sum(dim=1)).mean()


def draw_others(ids: Tensor, count: int, images: int, rng: torch.Generator) -> Tensor:
    """For each image of ``ids`` (B,), ``count`` uniform draws of other images, (B, count)."""
    drawn = torch.randint(0, images - 1, (len(ids), count), generator=rng, device=ids.device)
    return drawn + (drawn >= ids[:, None])


def similarities(embeddings: Tensor, rows: Tensor, chosen: Tensor) -> Tensor:
    """Dot products (B, m) of ``embeddings`` (B, D) with the ``chosen`` (B, m) of ``rows`` (n, D).

    A matrix product with all rows is cheaper than copying the chosen ones, unless there are many more.
    """
    with torch.autocast(embeddings.device.type, enabled=False):
        z = embeddings.float()
        if len(rows) <= _PRODUCT * chosen.shape[1]:
            return (z @ rows.clone().T).gather(1, chosen)
        return torch.einsum("bd,bmd->bm", z, rows[chosen])
