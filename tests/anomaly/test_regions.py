"""Tiles against plain slicing, cells against tiles, heatmaps by hand."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from onlygood.anomaly.layers import Layers
from onlygood.anomaly.recipe import FeaturesConfig, RegionsConfig
from onlygood.anomaly.regions import Cells, Regions, Tiles, WholeImage, create_regions
from onlygood.pretrain.networks.base import Encoder
from onlygood.pretrain.networks.registry import create_encoder
from onlygood.pretrain.views.fixed import FixedView, FixedViews, geometric_views
from onlygood.runtime.errors import OnlygoodError


def patches(stride: int, dim: int = 5) -> Encoder:
    """An encoder that looks at patches of ``stride`` px one by one, and so never across a border."""
    convolution = nn.Conv2d(3, dim, stride, stride)
    nn.init.normal_(convolution.weight, generator=torch.Generator().manual_seed(1))
    stages = [nn.Sequential(convolution, nn.ReLU())]
    return Encoder("patches", 3, stages, [dim], stride).eval().requires_grad_(False)


def last(encoder: Encoder) -> Layers:
    return Layers(encoder, FeaturesConfig())


def create(height: int, width: int, encoder: Encoder | None = None, **config: Any) -> Regions:
    return create_regions(RegionsConfig.parse(config, "test"), height, width, last(encoder or patches(4)))


def turned(turn: int) -> FixedViews:
    return FixedViews([FixedView(turn=turn)])


def tiles(size: int, stride: int, height: int, width: int) -> Tiles:
    return Tiles(RegionsConfig(kind="tiles", size=size, stride=stride), height, width)


def noise(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


# --- where the encoder looks --------------------------------------------------


@pytest.mark.parametrize(
    ("size", "stride", "height", "width"), [(8, 4, 16, 24), (8, 8, 16, 8), (12, 3, 18, 12), (8, 2, 8, 8)]
)
def test_tiles_are_slices_row_by_row(size: int, stride: int, height: int, width: int) -> None:
    x = noise(2, 3, height, width)
    regions = tiles(size, stride, height, width)
    expected = [
        x[:, :, top : top + size, left : left + size]
        for top in range(0, height - size + 1, stride)
        for left in range(0, width - size + 1, stride)
    ]
    assert regions.count == len(expected)
    assert torch.equal(regions.cut(x), torch.stack(expected, dim=1))


@pytest.mark.parametrize("turn", range(4))
def test_tiles_go_through_the_encoder_one_by_one(turn: int) -> None:
    encoder, x, regions = create_encoder("small").eval(), noise(2, 3, 32, 40), tiles(16, 8, 32, 40)
    with torch.no_grad():
        features = regions.encode(x, last(encoder), turned(turn))[:, :, 0]
        one = x[1:, :, 8:24, 16:32].rot90(turn, (2, 3))  # second row, third column, of four
        torch.testing.assert_close(features[1:, 1 * 4 + 2], encoder(one), atol=1e-5, rtol=1e-4)
    assert features.shape == (2, 12, 256)


@pytest.mark.parametrize("turn", range(4))
@pytest.mark.parametrize(
    ("size", "stride", "height", "width"), [(16, 8, 32, 40), (8, 4, 8, 24), (12, 12, 24, 36)]
)
def test_cells_are_tiles_where_the_encoder_does_not_look_across(
    turn: int, size: int, stride: int, height: int, width: int
) -> None:
    x, encoder = noise(2, 3, height, width), patches(4)
    config = {"size": size, "stride": stride}
    cells = create(height, width, encoder, kind="cells", **config)
    cut = create(height, width, encoder, kind="tiles", **config)
    layers, views = last(encoder), turned(turn)
    torch.testing.assert_close(cells.encode(x, layers, views), cut.encode(x, layers, views))
    assert cells.count == cut.count


def test_cells_are_means_over_windows_of_the_last_map() -> None:
    encoder, x = create_encoder("small").eval(), noise(1, 3, 64, 96)
    with torch.no_grad():
        features = create(64, 96, encoder, kind="cells", size=32, stride=16)
        features = features.encode(x, last(encoder), FixedViews())[:, :, 0]
        maps = encoder.stages(x)[-1]  # one value every 16 px: 4 × 6; windows of 2 × 2
        torch.testing.assert_close(features[0, 1 * 5 + 3], maps[0, :, 1:3, 3:5].mean(dim=(1, 2)))
    assert features.shape == (1, 3 * 5, 256)


@pytest.mark.parametrize("turn", range(4))
def test_the_whole_image_is_one_region(turn: int) -> None:
    x, encoder = noise(2, 3, 16, 24), create_encoder("small").eval()
    with torch.no_grad():
        features = create(16, 24, encoder).encode(x, last(encoder), turned(turn))[:, :, 0]
        torch.testing.assert_close(features, encoder(x.rot90(turn, (2, 3)))[:, None])
    assert WholeImage().heatmap(torch.tensor([[3.0], [4.0]])).tolist() == [[[3.0]], [[4.0]]]


def test_all_views_are_encoded_as_one_by_one() -> None:
    """72 views of tiles, and turns of an oblong, whose shapes differ: as batches, and each by itself."""
    encoder = create_encoder("small").eval()
    x = noise(2, 3, 16, 24)
    views = geometric_views(flips=True, shift=4, turns=True)
    with torch.no_grad():
        for kind, options in (("whole", {}), ("tiles", {"size": 16, "stride": 8})):
            regions = create(16, 24, encoder, kind=kind, **options)
            together = regions.encode(x, last(encoder), views)
            assert together.shape == (2, regions.count, 72, 256)
            for index in (0, 5, 40, 71):
                alone = regions.encode(x, last(encoder), FixedViews([views.views[index]]))[:, :, 0]
                torch.testing.assert_close(together[:, :, index], alone, atol=1e-5, rtol=1e-4)


def test_stages_are_averaged_and_joined_in_cells() -> None:
    encoder, x = create_encoder("small").eval(), noise(2, 3, 64, 96)
    layers = Layers(encoder, FeaturesConfig(stages=[3, 2], average=3))
    assert (layers.dim, layers.stride) == (64 + 128, 4)
    with torch.no_grad():
        fine, coarse = layers.maps(x)
        _, second, third, _ = encoder.stages(x)
        cells = {
            size: create_regions(RegionsConfig(kind="cells", size=size, stride=4), 64, 96, layers)
            .encode(x, layers, FixedViews())[:, :, 0]
            .transpose(1, 2)
            for size in (4, 8)
        }
        both = [second.mean(dim=(2, 3)), third.mean(dim=(2, 3))]
        torch.testing.assert_close(layers.pooled(x), torch.cat(both, dim=1))
    torch.testing.assert_close(fine[1, :, 5, 6], second[1, :, 4:7, 5:8].mean(dim=(1, 2)))
    torch.testing.assert_close(coarse, functional.avg_pool2d(third, 3, 1, 1))
    enlarged = functional.interpolate(coarse, size=(16, 24), mode="bilinear")  # a value every 4 px, as cells
    joined = torch.cat([fine, enlarged], dim=1)
    torch.testing.assert_close(cells[4].unflatten(2, (16, 24)), joined)
    torch.testing.assert_close(cells[8].unflatten(2, (15, 23)), functional.avg_pool2d(joined, 2, 1))


def test_cells_as_large_as_those_of_a_map_take_its_values() -> None:
    """Whatever finer map stands beside it."""
    encoder, x = create_encoder("small").eval(), noise(1, 3, 64, 96)
    layers = Layers(encoder, FeaturesConfig(stages=[2, 3]))
    regions = create_regions(RegionsConfig(kind="cells", size=8, stride=8), 64, 96, layers)
    with torch.no_grad():
        features = regions.encode(x, layers, FixedViews())[0, :, 0].T.unflatten(1, (8, 12))
        _, second, third, _ = encoder.stages(x)
    torch.testing.assert_close(features, torch.cat([functional.avg_pool2d(second, 2), third], dim=1)[0])


def test_a_stage_that_is_not_there_is_refused() -> None:
    for stage in (0, 5, -5):
        with pytest.raises(OnlygoodError, match=r"has no stage .* 1 to 4"):
            Layers(create_encoder("small"), FeaturesConfig(stages=[stage]))


def test_dense_maps_are_cut_as_their_pixels_are() -> None:
    x = noise(2, 3, 16, 24)

    def coarse(images: Tensor) -> Tensor:
        return functional.avg_pool2d(images, 4)

    for kind in ("tiles", "cells"):
        regions = create(16, 24, kind=kind, size=8, stride=4)
        torch.testing.assert_close(
            regions.dense(x, coarse), coarse(regions.cut(x).flatten(0, 1)).view(2, 15, 3, 2, 2)
        )
    with pytest.raises(OnlygoodError, match="8 px every 4 px do not fit a map with one value every 8 px"):
        create(16, 24, kind="cells", size=8, stride=4).dense(
            x, lambda images: functional.avg_pool2d(images, 8)
        )


# --- what does not fit --------------------------------------------------------


@pytest.mark.parametrize("kind", ["tiles", "cells"])
@pytest.mark.parametrize(("height", "width"), [(15, 16), (16, 18), (4, 16), (16, 4)])
def test_an_image_that_is_not_covered_is_refused(kind: str, height: int, width: int) -> None:
    message = f"{kind} of 8 px every 4 px .*{height}×{width}: each side must be 8 plus"
    with pytest.raises(OnlygoodError, match=message):
        create(height, width, kind=kind, size=8, stride=4)


@pytest.mark.parametrize(
    ("encoder", "message"), [("small", "one value every 16 px"), ("lenet", "has no map")]
)
def test_cells_must_fit_the_encoder(encoder: str, message: str) -> None:
    with pytest.raises(OnlygoodError, match=f"cells of 32 px every 8 px do not fit .*{message}.*tiles"):
        create(64, 64, create_encoder(encoder), kind="cells", size=32, stride=8)


def test_regions_must_be_multiples_of_the_stride() -> None:
    with pytest.raises(OnlygoodError, match="size 64 must be a multiple of stride 24"):
        RegionsConfig.parse({"size": 64, "stride": 24}, "test")


@pytest.mark.parametrize("kind", ["whole", "tiles", "cells"])
def test_the_grid_of_a_config_fits(kind: str) -> None:
    config = RegionsConfig.parse({"kind": kind, "size": 16, "stride": 8}, "test")
    first, step = config.grid
    regions = create_regions(config, first + 2 * step, first, last(patches(4)))
    assert regions.count == (1 if kind == "whole" else 3)


# --- heatmaps -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("size", "stride", "height", "width"), [(8, 4, 16, 24), (8, 8, 16, 8), (12, 3, 18, 12), (64, 16, 96, 64)]
)
def test_a_constant_gives_a_constant(size: int, stride: int, height: int, width: int) -> None:
    regions = tiles(size, stride, height, width)
    heatmap = regions.heatmap(torch.full((2, regions.count), 3.7))
    assert heatmap.shape == (2, height // stride, width // stride)
    torch.testing.assert_close(heatmap, torch.full_like(heatmap, 3.7))


def test_tiles_side_by_side_are_the_cells() -> None:
    regions = tiles(8, 8, 16, 24)
    scores = torch.arange(6.0)[None]
    torch.testing.assert_close(regions.heatmap(scores), scores.view(1, 2, 3))


def test_overlapping_tiles_by_hand() -> None:
    """Three tiles of two cells in a row of four cells: cells share tiles with equal weights."""
    regions = tiles(8, 4, 8, 16)
    heatmap = regions.heatmap(torch.tensor([[1.0, 2.0, 6.0]]))
    torch.testing.assert_close(heatmap, torch.tensor([[[1.0, 1.5, 4.0, 6.0]] * 2]))


def test_nearer_tiles_weigh_more_by_hand() -> None:
    """Four cells a tile, at -1.5, -0.5, 0.5, 1.5 strides from its centre, Gaussian of one stride."""
    regions = tiles(16, 4, 16, 20)
    near, far = math.exp(-0.5 * 0.5**2), math.exp(-0.5 * 1.5**2)
    heatmap = regions.heatmap(torch.tensor([[0.0, 1.0]]))[0]
    # Cell 1 is near to the first tile's centre and at the far end of the second's; and so on.
    row = [0.0, far / (near + far), 0.5, near / (near + far), 1.0]
    torch.testing.assert_close(heatmap, torch.tensor([row] * 4))


def test_the_hottest_cells_are_in_the_middle_of_the_hot_tile() -> None:
    regions = tiles(16, 4, 48, 40)
    ny, nx = regions.grid
    for tile in range(regions.count):
        scores = torch.zeros(1, regions.count)
        scores[0, tile] = 1.0
        heatmap = regions.heatmap(scores)[0]
        top, left = divmod(tile, nx)
        row, column = divmod(int(heatmap.argmax()), heatmap.shape[1])
        assert top <= row < top + 4
        assert left <= column < left + 4
        if 3 <= top < ny - 3 and 3 <= left < nx - 3:  # at the borders, cells have fewer tiles to share with
            hottest = heatmap == heatmap.max()
            assert hottest[top + 1 : top + 3, left + 1 : left + 3].all()
            assert hottest.sum() == 4
        assert not heatmap[:top].any()
        assert not heatmap[top + 4 :].any()


def test_heatmaps_are_linear_and_of_each_image_alone() -> None:
    regions = tiles(12, 4, 20, 24)
    a, b = noise(3, regions.count), noise(3, regions.count).flip(0)
    torch.testing.assert_close(
        regions.heatmap(2 * a + b), 2 * regions.heatmap(a) + regions.heatmap(b), atol=1e-5, rtol=1e-5
    )
    torch.testing.assert_close(regions.heatmap(a)[1:2], regions.heatmap(a[1:2]))


def test_cells_and_tiles_draw_alike() -> None:
    config = RegionsConfig(size=16, stride=4)
    scores = noise(2, 5 * 3)
    torch.testing.assert_close(
        Cells(config, 32, 24, last(patches(4))).heatmap(scores), tiles(16, 4, 32, 24).heatmap(scores)
    )
