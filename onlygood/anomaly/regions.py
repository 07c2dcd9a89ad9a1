"""Regions of an image: the whole image, tiles of it, or windows of the encoder's feature map."""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional

from onlygood.anomaly.layers import Layers
from onlygood.anomaly.recipe import RegionsConfig
from onlygood.pretrain.views.fixed import FixedView, FixedViews
from onlygood.runtime.errors import OnlygoodError

Function = Callable[[Tensor], Tensor]  # of batches of images


class WholeImage(nn.Module):
    """One region: the image itself."""

    count = 1
    grid = (1, 1)

    def encode(self, x: Tensor, layers: Layers, views: FixedViews) -> Tensor:
        """Features ``(N, 1, K, D)`` of images ``(N, C, H, W)`` under K views."""
        return _pooled(x, layers, views)[:, None]

    def cut(self, x: Tensor) -> Tensor:
        """``(N, C, H, W)`` to ``(N, 1, C, H, W)``."""
        return x[:, None]

    def dense(self, x: Tensor, function: Function) -> Tensor:
        """What a function says of each place, images ``(N, C, H, W)`` to ``(N, 1, E, h, w)``."""
        return function(x)[:, None]

    def heatmap(self, scores: Tensor) -> Tensor:
        """Region scores ``(N, 1)`` to a map ``(N, 1, 1)``."""
        return scores[:, :, None]

    def lying_in(self, _inside: Tensor, _shrink: int) -> None:
        """The image counts, whatever part of it is blank."""

    def partial_heatmap(self, scores: Tensor, _kept: Tensor) -> Tensor:
        """As `heatmap`."""
        return self.heatmap(scores)


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
        self.size, self.stride, self.height = size, stride, height
        self.grid = ((height - size) // stride + 1, (width - size) // stride + 1)
        self.count = self.grid[0] * self.grid[1]
        span = size // stride
        center = torch.arange(span) - (span - 1) / 2
        bump = torch.exp(-0.5 * (center / max(span / 4, 0.5)) ** 2)
        self.register_buffer("kernel", (bump[:, None] * bump)[None, None])
        self.register_buffer(
            "coverage", functional.conv_transpose2d(torch.ones(1, 1, *self.grid), self.kernel)
        )

    def cut(self, x: Tensor) -> Tensor:
        """``(N, C, H, W)`` to each region's own pixels ``(N, R, C, size, size)``.

        Also of maps, where the values of ``(N, C, H / s, W / s)`` are ``s`` px apart. By two gathers with
        small index vectors, which every ONNX runtime supports.

        Raises:
            OnlygoodError: squares begin or end between values of the map.
        """
        (ny, nx), apart = self.grid, self.height // x.shape[2]
        if self.size % apart or self.stride % apart:
            raise OnlygoodError(
                f"regions of {self.size} px every {self.stride} px do not fit a map with one value every "
                f"{apart} px; choose multiples of that"
            )
        size, step = self.size // apart, self.stride // apart
        rows, columns = (
            (torch.arange(count)[:, None] * step + torch.arange(size)).flatten().to(x.device)
            for count in self.grid
        )
        found = x[:, :, rows][:, :, :, columns].reshape(-1, x.shape[1], ny, size, nx, size)
        return found.permute(0, 2, 4, 1, 3, 5).reshape(-1, self.count, x.shape[1], size, size)

    def heatmap(self, scores: Tensor) -> Tensor:
        """Region scores ``(N, R)`` to a map of stride-sized squares ``(N, H/stride, W/stride)``.

        Each square is the mean of the regions that cover it; regions with a near center weigh more.
        """
        grid = scores.reshape(-1, 1, *self.grid)
        return (functional.conv_transpose2d(grid, self.kernel) / self.coverage)[:, 0]

    def lying_in(self, inside: Tensor, shrink: int) -> tuple[int, ...]:
        """Numbers of the regions of which half or more lies in ``inside`` ``(1, 1, H, W)``, of 1 and 0.

        Raises:
            OnlygoodError: there are none.
        """
        shares = functional.avg_pool2d(inside, self.size * shrink, self.stride * shrink).flatten()
        kept = tuple(torch.nonzero(shares >= 0.5).flatten().tolist())
        if not kept:
            raise OnlygoodError(
                f"no square of {self.size * shrink} px lies by half or more in what --roi and --ignore leave "
                "of the image: let them leave more, or crop the images"
            )
        return kept

    def partial_heatmap(self, scores: Tensor, kept: Tensor) -> Tensor:
        """Scores ``(N, k)`` of the regions ``kept`` ``(k,)`` to a map; where none is, the lowest."""
        slots = torch.full((self.count,), len(kept), device=kept.device)
        slots[kept] = torch.arange(len(kept), device=kept.device)
        there = (slots < len(kept)).float().reshape(1, 1, *self.grid)
        coverage = functional.conv_transpose2d(there, self.kernel)[:, 0]
        nothing = scores.new_zeros(1).expand(len(scores), 1)
        grid = torch.cat([scores, nothing], dim=1).index_select(1, slots).reshape(-1, 1, *self.grid)
        heat = functional.conv_transpose2d(grid, self.kernel)[:, 0] / coverage.clamp(min=1e-6)
        return torch.where(coverage > 1e-6, heat, scores.amin(dim=1)[:, None, None])


class Tiles(_Grid):
    """Tiles that go through the encoder one by one, so that no feature depends on pixels outside its tile."""

    def encode(self, x: Tensor, layers: Layers, views: FixedViews) -> Tensor:
        """Features ``(N, R, K, D)``; each tile is seen under K views of its own."""
        features = _pooled(self.cut(x).flatten(0, 1), layers, views)
        return features.reshape(-1, self.count, views.count, layers.dim)

    def dense(self, x: Tensor, function: Function) -> Tensor:
        """What a function says of each place of each tile, ``(N, R, E, h, w)``."""
        found = function(self.cut(x).flatten(0, 1))
        return found.reshape(-1, self.count, *found.shape[1:])


class Cells(_Grid):
    """Means over windows of the feature map: the image goes through the encoder once.

    A window of ``size`` px covers what a tile of that size covers, but its features also depend on pixels
    outside. It costs ``(size / stride)²`` times less. Of several stages each gives means of its own map,
    those side by side; maps with fewer values than there are cells are enlarged (bilinear).
    """

    def __init__(self, config: RegionsConfig, height: int, width: int, layers: Layers) -> None:
        super().__init__(config, height, width)
        apart = layers.stride
        if not apart or self.stride % apart or self.size % apart:
            raise OnlygoodError(
                f"cells of {self.size} px every {self.stride} px do not fit this encoder, "
                + (f"whose map has one value every {apart} px" if apart else "which has no map")
                + "; choose multiples of that, or regions of kind tiles"
            )

    def encode(self, x: Tensor, layers: Layers, views: FixedViews) -> Tensor:
        """Features ``(N, R, K, D)``; the map of a view is put back, so that regions keep their places."""
        found: dict[int, Tensor] = {}
        for which, batch in _batches(x, views):
            stages = [maps.unflatten(0, (-1, len(which))) for maps in layers.maps(batch)]  # type: ignore[no-untyped-call]
            for place, number in enumerate(which):
                means = [self._means(views.restore(maps[:, place], number)) for maps in stages]
                found[number] = torch.cat(means, dim=1).flatten(2).transpose(1, 2)
        return torch.stack([found[number] for number in range(views.count)], dim=2)

    def _means(self, maps: Tensor) -> Tensor:
        """A map of the whole image ``(N, D, h, w)`` to its mean over each cell, ``(N, D, *grid)``."""
        apart = self.height // maps.shape[2]
        if apart > self.stride:
            finer = [side * apart // self.stride for side in maps.shape[2:]]
            maps = functional.interpolate(maps, size=finer, mode="bilinear", align_corners=False)
            apart = self.stride
        return functional.avg_pool2d(maps, self.size // apart, self.stride // apart)

    def dense(self, x: Tensor, function: Function) -> Tensor:
        """What a function says of each place, the image seen whole, cut into regions ``(N, R, E, h, w)``."""
        return self.cut(function(x))


Regions = WholeImage | Tiles | Cells


def create_regions(config: RegionsConfig, height: int, width: int, layers: Layers) -> Regions:
    """The regions of images of one size."""
    if config.kind == "whole":
        return WholeImage()
    if config.kind == "tiles":
        return Tiles(config, height, width)
    return Cells(config, height, width, layers)


def _batches(x: Tensor, views: FixedViews) -> Iterator[tuple[list[int], Tensor]]:
    """Views of one shape as one batch ``(N · k, C, H, W)``, with their numbers."""
    if views.views == (FixedView(),):
        yield [0], x
        return
    for which in views.groups(x.shape[2], x.shape[3]):
        yield which, views(x, which).flatten(0, 1)


def _pooled(x: Tensor, layers: Layers, views: FixedViews) -> Tensor:
    """Features ``(N, K, D)`` of images ``(N, C, H, W)`` under K views."""
    order, found = [], []
    for which, batch in _batches(x, views):
        order += which
        found.append(layers.pooled(batch).reshape(-1, len(which), layers.dim))
    if len(found) == 1:
        return found[0]
    places = torch.tensor([order.index(number) for number in range(views.count)], device=x.device)
    return torch.cat(found, dim=1).index_select(1, places)
