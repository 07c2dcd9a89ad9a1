"""Contrast: an embedding must pick its partner among others. Pure functions, float32 inside."""

import math
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

# Up to so many rows for each chosen one, a product with all rows is cheaper than copies of the chosen ones.
_PRODUCT = 16


def nt_xent(a: Tensor, b: Tensor, temperature: float) -> Tensor:
    """Normalized temperature-scaled cross entropy of two views, ``a`` and ``b``, each ``(N, D)``.

    Every embedding must pick its partner among the other 2N - 1 (SimCLR, Chen et al. 2020, arXiv:2002.05709).
    Chance is log(2N - 1).
    """
    n = a.shape[0]
    z = functional.normalize(torch.cat([a, b]).float(), dim=1)
    with torch.autocast(z.device.type, enabled=False):  # which would multiply in bfloat16
        logits = z @ z.T / temperature
    logits.fill_diagonal_(float("-inf"))
    partner = torch.arange(2 * n, device=z.device).roll(n)
    return functional.cross_entropy(logits, partner)


def info_nce(queries: Tensor, keys: Tensor, negatives: Tensor, temperature: float, same: Tensor) -> Tensor:
    """Each query must pick its own key, both ``(N, D)``, among ``negatives`` ``(K, D)``; all have length 1.

    Where ``same`` ``(N, K)`` is true, the negative shows the query's own image and does not count. Chance is
    log(1 + n) for n negatives that count (MoCo, He et al. 2020, arXiv:1911.05722).
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

    It looks among all rows where there are at most ``negatives``. Where there are more, a sample of
    ``negatives`` rows is drawn for each embedding: "softmax" picks the right row among them (PIRL, Misra &
    van der Maaten 2020, arXiv:1912.01991), "noise" is the noise-contrastive estimate (Wu et al. 2018,
    arXiv:1805.01978).
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
    """Each of ``embeddings`` ``(B, D)`` must pick row ``ids`` ``(B,)`` of ``rows`` ``(n, D)``; lengths are 1.

    It picks among all rows, or among its own row and the rows ``others`` ``(B, m)``: chance is log n or log(1
    + m).
    """
    if others is None:
        with torch.autocast(rows.device.type, enabled=False):
            return functional.cross_entropy(embeddings.float() @ rows.clone().T / temperature, ids)
    logits = similarities(embeddings, rows, torch.cat([ids[:, None], others], dim=1)) / temperature
    return functional.cross_entropy(logits, torch.zeros_like(ids))


def noise_contrastive(own: Tensor, noise: Tensor) -> Tensor:
    """Is it the image itself, or noise drawn uniformly from all n? Mean over B (Wu et al. 2018, eq. 7).

    ``own`` ``(B,)`` and ``noise`` ``(B, m)`` are similarities over temperature. P is their exponential over a
    constant Z, which is estimated from ``noise``. The odds are P against m/n. Chance (all P = 1/n) is log(1 +
    m) + m log(1 + 1/m).

    The paper keeps the Z of the first batch. That fails for small sets: their memory soon holds embeddings
    that are much alike, for which this Z is far too small. Then the loss pushes all embeddings away together,
    and they learn nothing.
    """
    own, noise = own.float(), noise.float()
    log_mean = noise.detach().logsumexp(dim=(0, 1)) - math.log(noise.numel())
    log_odds = math.log(noise.shape[1]) + log_mean  # log(m/n) + log Z, where Z is n times the mean
    return (functional.softplus(log_odds - own) + functional.softplus(noise - log_odds).sum(dim=1)).mean()


def draw_others(ids: Tensor, count: int, images: int, rng: torch.Generator) -> Tensor:
    """For each image of ``ids`` ``(B,)``, uniform draws of other images, ``(B, count)``."""
    drawn = torch.randint(0, images - 1, (len(ids), count), generator=rng, device=ids.device)
    return drawn + (drawn >= ids[:, None])


def similarities(embeddings: Tensor, rows: Tensor, chosen: Tensor) -> Tensor:
    """Dot products ``(B, m)`` of ``embeddings`` ``(B, D)`` with ``chosen`` ``(B, m)`` of ``rows`` ``(n, D)``.

    A matrix product with all rows is cheaper than a copy of the chosen ones, unless there are many more rows.
    """
    with torch.autocast(embeddings.device.type, enabled=False):
        z = embeddings.float()
        if len(rows) <= _PRODUCT * chosen.shape[1]:
            return (z @ rows.clone().T).gather(1, chosen)
        return torch.einsum("bd,bmd->bm", z, rows[chosen])
