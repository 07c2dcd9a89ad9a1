"""Means and covariances of many features, a part of the rows at a time."""

from collections.abc import Iterator

import torch
from torch import Tensor

_CHUNK = 20_000  # rows that are float64 at once


def shrunk_covariance(x: Tensor) -> tuple[Tensor, Tensor]:
    """Mean ``(D,)`` and covariance ``(D, D)`` of rows ``(n, D)``, float64, shrunk as Ledoit & Wolf (2004).

    The covariance is drawn towards a multiple of the identity, which keeps it well-conditioned with many
    features and few rows.
    """
    n, dim = x.shape
    mean = torch.stack([part.sum(dim=0) for part in _parts(x)]).sum(dim=0) / n
    gram, fourth = x.new_zeros(dim, dim, dtype=torch.float64), x.new_zeros((), dtype=torch.float64)
    for part in _parts(x):
        centered = part - mean
        gram += centered.T @ centered
        fourth += centered.square().sum(dim=1).square().sum()
    covariance = gram / n
    size = covariance.diagonal().mean()
    squares = covariance.square().sum()
    distance = (squares - dim * size**2) / dim
    noise = torch.minimum((fourth / n - squares) / (dim * n), distance)
    share = float(noise / distance) if noise > 0 else 0.0
    return mean, (1 - share) * covariance + share * size * torch.eye(
        dim, dtype=torch.float64, device=x.device
    )


def whitening(covariance: Tensor, least: float) -> Tensor:
    """A matrix ``W`` ``(D, D)`` with ``‖x W‖²`` the Mahalanobis distance; ``least`` bounds variances.

    Where features vary little compared with their size, the variation is rounding, not information. Whitening
    would enlarge it, and scores would differ between machines. Dead units do not vary at all.
    """
    values, vectors = torch.linalg.eigh(covariance)
    floor = max(least, 1e-6 * float(values[-1]), 1e-12)
    whiten: Tensor = vectors / values.clamp(min=floor).sqrt()
    return whiten


def mean_square(x: Tensor) -> float:
    """The mean square of all values of ``x`` ``(n, D)``."""
    return float(sum(part.square().sum() for part in _parts(x))) / max(1, x.numel())


def _parts(x: Tensor) -> Iterator[Tensor]:
    for part in torch.split(x, _CHUNK):
        yield part.double()
