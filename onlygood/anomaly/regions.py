"""Regions of an image: the whole image, tiles of it, or windows of the encoder's last feature map."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from onlygood.anomaly.recipe import RegionsConfig
from onlygood.pretrain.networks.base import Encoder
from onlygood.runtime.errors import OnlygoodError


class WholeImage(nn.Module):
    """One region: the image itself."""

    count = 1

    def encode(self, x: Tensor, encoder: Encoder, turn: int = 0) -> Tensor:
        """Features ``(N, 1, D)`` of images ``(N, C, H, W)`` after ``turn`` quarter turns."""
        features: Tensor = encoder(x.rot90(turn, (2, 3)) if turn else x)
        return features[:, None]

    def heatmap(self, scores: Tensor) -> Tensor:
        """Region scores ``(N, 1)`` to a map ``(N, 1, 1)``."""
        return scores[:, :, None]


class _Grid(nn.Module):
    """Overlapping squares of ``size`` px every ``stride`` px, numbered row by row."""

    kernel: Tensor
    coverage: Tensor

    def __init__(self, config: RegionsConfig, height: int, width: int) -> None:
        super().__init__()
        size, stride = config.size, config.stride
        if min(height, width) < size or (height - size) % stride or (width - size) % stride:
            raise OnlygoodError(
                f"{config.kind} of {size} px every {stride} px do not cover an image of {height}×{width}: "
                f"each side must be {size} plus a multiple of {stride}"
            )
        self.size, self.stride = size, stride
        self.grid = ((height - size) // stride + 1, (width - size) // stride + 1)
        self.count = self.grid[0] * self.grid[1]
        span = size // stride
        center = torch.arange(span) - (span - 1) / 2
        bump = torch.exp(-0.5 * (center / max(span / 4, 0.5)) ** 2)
        self.register_buffer("kernel", (bump[:, None] * bump)[None, None])
        self.register_buffer(
            "coverage", functional.conv_transpose2d(torch.ones(1, 1, *self.grid), self.kernel)
        )

    def heatmap(self, scores: Tensor) -> Tensor:
        """Region scores ``(N, R)`` to a map of stride-sized squares ``(N, H/stride, W/stride)``.

        Each square is the mean of the regions that cover it; regions with a near center weigh more.
        """
        grid = scores.reshape(-1, 1, *self.grid)
        return (functional.conv_transpose2d(grid, self.kernel) / self.coverage)[:, 0]


class Tiles(_Grid):
    """Tiles that go through the encoder one by one, so that no feature depends on pixels outside its tile.

    They are cut by two gathers with small index vectors, which every ONNX runtime supports.
    """

    rows: Tensor
    columns: Tensor

    def __init__(self, config: RegionsConfig, height: int, width: int) -> None:
        super().__init__(config, height, width)
        ny, nx = self.grid
        offsets = torch.arange(self.size)
        self.register_buffer("rows", (torch.arange(ny)[:, None] * self.stride + offsets).flatten())
        self.register_buffer("columns", (torch.arange(nx)[:, None] * self.stride + offsets).flatten())

    def forward(self, x: Tensor) -> Tensor:
        """``(N, C, H, W)`` to ``(N, R, C, size, size)``."""
        (ny, nx), size = self.grid, self.size
        cut = x[:, :, self.rows][:, :, :, self.columns].reshape(-1, x.shape[1], ny, size, nx, size)
        return cut.permute(0, 2, 4, 1, 3, 5).reshape(-1, self.count, x.shape[1], size, size)

    def encode(self, x: Tensor, encoder: Encoder, turn: int = 0) -> Tensor:
        """Features ``(N, R, D)`` of the tiles; each tile is turned by itself."""
        tiles = self(x).flatten(0, 1)
        features: Tensor = encoder(tiles.rot90(turn, (2, 3)) if turn else tiles)
        return features.reshape(-1, self.count, features.shape[1])


class Cells(_Grid):
    """Means over windows of the last feature map: the image goes through the encoder once.

    A window of ``size`` px covers what a tile of that size covers, but its features also depend on pixels
    outside. It costs ``(size / stride)²`` times less.
    """

    def __init__(self, config: RegionsConfig, height: int, width: int, encoder_stride: int) -> None:
        super().__init__(config, height, width)
        if not encoder_stride or self.stride % encoder_stride or self.size % encoder_stride:
            raise OnlygoodError(
                f"cells of {self.size} px every {self.stride} px do not fit this encoder, "
                + (
                    f"whose map has one value every {encoder_stride} px"
                    if encoder_stride
                    else "which has no map"
                )
                + "; choose multiples of that, or regions of kind tiles"
            )
        self.window, self.step = self.size // encoder_stride, self.stride // encoder_stride

    def encode(self, x: Tensor, encoder: Encoder, turn: int = 0) -> Tensor:
        """Features ``(N, R, D)``; the map of a turned image is turned back, so regions keep their places."""
        last = encoder.stages(x.rot90(turn, (2, 3)) if turn else x)[-1]
        pooled = functional.avg_pool2d(last.rot90(-turn, (2, 3)) if turn else last, self.window, self.step)
        return pooled.flatten(2).transpose(1, 2)


Regions = WholeImage | Tiles | Cells


def create_regions(config: RegionsConfig, height: int, width: int, encoder: Encoder) -> Regions:
    """The regions of images of one size."""
    if config.kind == "whole":
        return WholeImage()
    if config.kind == "tiles":
        return Tiles(config, height, width)
    return Cells(config, height, width, encoder.stride)
