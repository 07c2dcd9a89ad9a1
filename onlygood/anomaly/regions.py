"""Where the encoder looks: the whole image, or tiles that slide over it at native scale."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from onlygood.anomaly.recipe import RegionsConfig
from onlygood.deploy.runtime.errors import OnlygoodError


class WholeImage(nn.Module):
    """One region: the image itself."""

    count = 1
    grid = (1, 1)

    def forward(self, x: Tensor) -> Tensor:
        """``(N, C, H, W)`` to ``(N, 1, C, H, W)``."""
        return x[:, None]

    def heatmap(self, scores: Tensor) -> Tensor:
        """Region scores ``(N, 1)`` to a map ``(N, 1, 1)``."""
        return scores[:, :, None]


class Tiles(nn.Module):
    """Overlapping square tiles.

    Two gathers with small index vectors cut them, which every ONNX runtime has. They are numbered row by row.
    """

    rows: Tensor
    columns: Tensor
    kernel: Tensor
    coverage: Tensor

    def __init__(self, config: RegionsConfig, height: int, width: int) -> None:
        super().__init__()
        size, stride = config.size, config.stride
        if min(height, width) < size or (height - size) % stride or (width - size) % stride:
            raise OnlygoodError(
                f"tiles of {size} px every {stride} px do not cover an image of {height}×{width}: "
                f"each side must be {size} plus a multiple of {stride}"
            )
        self.size = size
        self.stride = stride
        ny, nx = (height - size) // stride + 1, (width - size) // stride + 1
        self.tile_grid = (ny, nx)
        self.count = ny * nx
        offsets = torch.arange(size)
        self.register_buffer("rows", (torch.arange(ny)[:, None] * stride + offsets).flatten())
        self.register_buffer("columns", (torch.arange(nx)[:, None] * stride + offsets).flatten())
        cells = size // stride
        centre = torch.arange(cells) - (cells - 1) / 2
        bump = torch.exp(-0.5 * (centre / max(cells / 4, 0.5)) ** 2)
        self.register_buffer("kernel", (bump[:, None] * bump)[None, None])
        coverage = functional.conv_transpose2d(torch.ones(1, 1, ny, nx), self.kernel)
        self.register_buffer("coverage", coverage)
        self.grid = (ny + cells - 1, nx + cells - 1)

    def forward(self, x: Tensor) -> Tensor:
        """``(N, C, H, W)`` to ``(N, R, C, size, size)``."""
        ny, nx = self.tile_grid
        cut = x[:, :, self.rows][:, :, :, self.columns]
        cut = cut.reshape(-1, x.shape[1], ny, self.size, nx, self.size)
        return cut.permute(0, 2, 4, 1, 3, 5).reshape(-1, self.count, x.shape[1], self.size, self.size)

    def heatmap(self, scores: Tensor) -> Tensor:
        """Tile scores ``(N, R)`` to a map of stride-sized cells ``(N, H/stride, W/stride)``.

        Each cell is the mean of the tiles that cover it, weighted towards tiles whose centre is near.
        """
        grid = scores.reshape(-1, 1, *self.tile_grid)
        return (functional.conv_transpose2d(grid, self.kernel) / self.coverage)[:, 0]


def create_regions(config: RegionsConfig, height: int, width: int) -> WholeImage | Tiles:
    """The regions of images of one size."""
    return WholeImage() if config.kind == "whole" else Tiles(config, height, width)
