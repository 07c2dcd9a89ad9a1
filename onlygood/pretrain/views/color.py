"""sRGB and CIE Lab (D65), and colors as classes (Zhang et al. 2016, arXiv:1603.08511); float32 inside."""

from collections.abc import Sequence
from functools import lru_cache

import torch
from torch import Tensor

_XYZ = (
    (0.4124564, 0.3575761, 0.1804375),
    (0.2126729, 0.7151522, 0.0721750),
    (0.0193339, 0.1191920, 0.9503041),
)
_WHITE = tuple(sum(row) for row in _XYZ)
_KNEE = 6 / 29

# Rows: luma and the two color differences of NTSC.
YIQ = ((0.299, 0.587, 0.114), (0.5959, -0.2746, -0.3213), (0.2115, -0.5227, 0.3112))
LUMA = YIQ[0]
STRIDE = 4  # px between the colors that tasks ask for


def _mix(rows: Sequence[Sequence[float]], channels: Sequence[Tensor]) -> list[Tensor]:
    """A 3×3 matrix times three channels; by hand, because autocast would multiply in bfloat16."""
    x, y, z = channels
    return [a * x + b * y + c * z for a, b, c in rows]


def srgb_to_lab(rgb: Tensor) -> Tensor:
    """``(B, 3, H, W)``, sRGB in [0, 1], to Lab: L in [0, 100], a and b about -108 to 98."""
    rgb = rgb.float()
    linear = torch.where(rgb <= 0.04045, rgb / 12.92, ((rgb.clamp(min=0.04045) + 0.055) / 1.055) ** 2.4)
    xyz = _mix(_XYZ, linear.unbind(1))
    x, y, z = (
        torch.where(v > _KNEE**3, v.clamp(min=_KNEE**3) ** (1 / 3), v / (3 * _KNEE**2) + 4 / 29)
        for v in (v / white for v, white in zip(xyz, _WHITE, strict=True))
    )
    return torch.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], dim=1)


def as_rows(maps: Tensor) -> Tensor:
    """The pixels of ``(B, C, H, W)`` as rows ``(B · H · W, C)``."""
    return maps.permute(0, 2, 3, 1).flatten(0, 2)


@lru_cache(maxsize=1)
def _gamut() -> Tensor:
    """The bins nearest to some sRGB color: of all colors without gray in them, and of a coarse cube."""
    fine, coarse = torch.arange(256) / 255, torch.linspace(0, 1, 33)
    face = torch.cartesian_prod(torch.zeros(1), fine, fine)
    cube = torch.cartesian_prod(coarse, coarse, coarse)
    colors = torch.cat([face, face.roll(1, 1), face.roll(2, 1), cube])
    ab = srgb_to_lab(colors[:, :, None, None])[:, 1:, 0, 0]
    bins: Tensor = torch.unique((ab / 10).round().long(), dim=0)
    return bins.float() * 10


def gamut_bins() -> Tensor:
    """Centers ``(261, 2)`` of the squares of side 10 in the ab plane into which sRGB colors fall.

    The paper's file has 313; no sRGB color reaches some of those.
    """
    return _gamut().clone()


def soft_encode(ab: Tensor, bins: Tensor, neighbors: int = 5, sigma: float = 5.0) -> tuple[Tensor, Tensor]:
    """Colors ``(P, 2)`` as their nearest bins, ``(P, k)`` nearest first, and Gaussian weights of sum 1."""
    distances = torch.cdist(ab.float(), bins.float(), compute_mode="donot_use_mm_for_euclid_dist")
    distance, index = distances.topk(neighbors, dim=1, largest=False)
    return index, torch.softmax(-distance.square() / (2 * sigma**2), dim=1)


def soft_cross_entropy(logits: Tensor, index: Tensor, weight: Tensor) -> Tensor:
    """Cross entropies ``(P,)`` of ``logits`` ``(P, Q)`` against sparse distributions ``(P, k)``."""
    return -(torch.log_softmax(logits.float(), dim=1).gather(1, index) * weight).sum(dim=1)


def rebalancing_weights(prior: Tensor, bins: Tensor, uniform: float = 0.5, sigma: float = 5.0) -> Tensor:
    """Weights ``(Q,)`` of colors, large for rare ones, whose mean under ``prior`` ``(Q,)`` is 1.

    The prior is smoothed over the ab plane, mixed with the uniform distribution and inverted.
    """
    kernel = torch.cdist(bins, bins, compute_mode="donot_use_mm_for_euclid_dist").square()
    kernel = torch.softmax(-kernel / (2 * sigma**2), dim=0)  # column j: where the mass of bin j goes
    smooth = (kernel * prior).sum(dim=1)
    weights = 1 / ((1 - uniform) * smooth + uniform / len(bins))
    return weights / (prior * weights).sum()
