"""Structural similarity (SSIM, Wang et al. 2004, IEEE TIP 13, 600). Pure functions, float32 inside."""

import torch
from torch import Tensor
from torch.nn import functional


def ssim(a: Tensor, b: Tensor, window: int = 11, span: float = 4.0) -> Tensor:
    """SSIM ``(N, H, W)`` at each pixel of ``a`` and ``b`` ``(N, C, H, W)``, the mean over channels.

    It is at most 1. The window is Gaussian with the paper's proportions (deviation 1.5 px at 11 px), and is
    cut off at the border. ``span`` is the distance from black to white: 4 in the units of "fixed".
    """
    c1, c2 = (0.01 * span) ** 2, (0.03 * span) ** 2
    with torch.autocast(a.device.type, enabled=False):
        a, b = a.float(), b.float()
        smooth = _smooth(torch.cat([a, b, a * a, b * b, a * b], dim=1), window)
        mean_a, mean_b, aa, bb, ab = smooth.chunk(5, dim=1)
        both = mean_a * mean_b
        squares = mean_a.square() + mean_b.square()
        same = (2 * both + c1) * (2 * (ab - both) + c2)
        ratio: Tensor = same / ((squares + c1) * (aa + bb - squares + c2))
        return ratio.mean(dim=1)


def _smooth(x: Tensor, window: int) -> Tensor:
    """Weighted means ``(N, C, H, W)`` of ``x`` in Gaussian windows of odd side ``window``."""
    reach, channels = window // 2, x.shape[1]
    offsets = torch.arange(-reach, reach + 1, device=x.device, dtype=x.dtype)
    kernel = torch.softmax(-0.5 * (offsets * 11 / (1.5 * window)) ** 2, dim=0)
    kernel = kernel.expand(channels, 1, 1, -1)  # channels as groups: on a CPU 7 times faster than as images

    def weighted(x: Tensor) -> Tensor:
        rows = functional.conv2d(x, kernel.mT, padding=(reach, 0), groups=channels)
        return functional.conv2d(rows, kernel, padding=(0, reach), groups=channels)

    # Not a border repeated before: on GPUs, the gradient of padding adds in another order in every run.
    return weighted(x) / weighted(torch.ones_like(x[:1]))
