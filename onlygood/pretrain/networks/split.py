"""An encoder in two halves that see different channels (Zhang et al. 2017, arXiv:1611.09842)."""

from itertools import pairwise

import torch
from torch import Tensor, nn

from onlygood.pretrain.networks.base import BasicBlock, Encoder
from onlygood.pretrain.networks.renamed import read_older_names
from onlygood.pretrain.views.color import LUMA
from onlygood.runtime.errors import OnlygoodError


class SplitBlock(nn.Module):
    """Two blocks side by side, each on its own channels; the first ``inputs`` belong to the first."""

    def __init__(self, light: nn.Module, color: nn.Module, inputs: int) -> None:
        super().__init__()
        self.light = light
        self.color = color
        self.inputs = inputs
        read_older_names(self, {"colour": "color"})

    def forward(self, x: Tensor) -> Tensor:
        """``(N, C, H, W)`` to ``(N, C', H', W')``, the first block's channels first."""
        return torch.cat([self.light(x[:, : self.inputs]), self.color(x[:, self.inputs :])], dim=1)


class LumaFirst(nn.Module):
    """RGB to luma and two color differences: linear, so they stay apart however RGB is standardized."""

    def forward(self, x: Tensor) -> Tensor:
        """``(N, 3, H, W)`` to ``(N, 3, H, W)``."""
        red, green, blue = x[:, :1], x[:, 1:2], x[:, 2:]
        luma = LUMA[0] * red + LUMA[1] * green + LUMA[2] * blue
        return torch.cat([luma, red - luma, blue - luma], dim=1)


class SplitEncoder(Encoder):
    """Two encoders that share nothing: one sees luma, the other two color differences of an RGB image.

    Their maps lie side by side, the luma half's first, so it is used like any other encoder.
    """

    def __init__(self, name: str, light: Encoder, color: Encoder) -> None:
        dims = [a + b for a, b in zip(light.stage_dims, color.stage_dims, strict=True)]
        pairs = zip(light.blocks, color.blocks, [1, *light.stage_dims[:-1]], strict=True)
        first, *later = [SplitBlock(*pair) for pair in pairs]
        super().__init__(name, 3, [nn.Sequential(LumaFirst(), first), *later], dims, light.stride)
        self.light_dim = light.dim


def split_small(channels: int) -> SplitEncoder:
    """The encoder "small" in two halves of half its width.

    Raises:
        OnlygoodError: the images do not have three channels.
    """
    if channels != 3:
        raise OnlygoodError("encoder 'split-small' splits colors and these images are gray; use 'small'")

    def half(inputs: int) -> Encoder:
        dims = [16, 32, 64, 128]
        stem = nn.Sequential(nn.Conv2d(inputs, 16, 3, 2, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU())
        return Encoder("half", inputs, [stem, *(BasicBlock(a, b, 2) for a, b in pairwise(dims))], dims, 16)

    return SplitEncoder("split-small", half(1), half(2))
