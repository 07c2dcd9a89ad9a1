"""A memory of every training image's embedding, and losses that pick an image out of it, float32 inside.

Non-parametric instance discrimination (Wu et al. 2018); PIRL (Misra & van der Maaten 2020) uses it too.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

_PRODUCT = 16  # rows for each chosen one, up to which a product with all of them is cheaper


class MemoryBank(nn.Module):
    """``rows`` (n, D) of length 1, at first random; row i is image i."""

    def __init__(self, images: int, dim: int, momentum: float) -> None:
        super().__init__()
        self.momentum = momentum
        self.register_buffer("rows", functional.normalize(torch.randn(images, dim), dim=1))
        self.rows: Tensor

    @torch.no_grad()
    def update(self, ids: Tensor, embeddings: Tensor) -> None:
        """Move the rows ``ids`` towards normalised ``embeddings`` (B, D)."""
        mixed = self.momentum * self.rows[ids] + (1 - self.momentum) * embeddings.float()
        self.rows[ids] = functional.normalize(mixed, dim=1)


def draw_others(ids: Tensor, count: int, images: int, rng: torch.Generator) -> Tensor:
    """For each image of ``ids`` (B,), ``count`` uniform draws of other images, (B, count)."""
    drawn = torch.randint(0, images - 1, (len(ids), count), generator=rng, device=ids.device)
    return drawn + (drawn >= ids[:, None])


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


def similarities(embeddings: Tensor, rows: Tensor, chosen: Tensor) -> Tensor:
    """Dot products (B, m) of ``embeddings`` (B, D) with the ``chosen`` (B, m) of ``rows`` (n, D).

    A matrix product with all rows is cheaper than copying the chosen ones, unless there are many more.
    """
    with torch.autocast(embeddings.device.type, enabled=False):
        z = embeddings.float()
        if len(rows) <= _PRODUCT * chosen.shape[1]:
            return (z @ rows.clone().T).gather(1, chosen)
        return torch.einsum("bd,bmd->bm", z, rows[chosen])


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
