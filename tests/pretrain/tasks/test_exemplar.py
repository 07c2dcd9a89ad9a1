"""Exemplar: where seed patches lie, how they are distorted, and that only the patch tells the class."""

import colorsys
import math
from typing import Any

import numpy as np
import pytest
import torch
from tiny import generator, seeded, settle
from torch import Tensor
from torch.nn import functional

from onlygood.pretrain.networks.registry import create_encoder
from onlygood.pretrain.tasks.exemplar import ExemplarConfig, ExemplarTask
from onlygood.pretrain.views import exemplar as exemplar_views
from onlygood.pretrain.views.exemplar import (
    ExemplarViews,
    bend,
    choose_seeds,
    cut_turned,
    exemplar_view,
    gradient_energy,
    hsv_to_rgb,
    rgb_to_hsv,
    scale_along_axes,
)
from onlygood.runtime.errors import OnlygoodError

COUNT = 32
STILL: dict[str, Any] = {"translation": 0, "scale": (1, 1), "rotation": 0}
PLAIN: dict[str, Any] = {"contrast": (1, 1), "power": (1, 1), "gain": (1, 1), "shift": 0, "hue": 0}


def make(count: int = COUNT, channels: int = 3, **options: Any) -> ExemplarTask:
    with seeded():
        config = ExemplarConfig.parse(options, "test")
        return ExemplarTask(create_encoder("small", channels), config, images=count).train()


def images(count: int = COUNT, channels: int = 3, height: int = 24, width: int = 24) -> Tensor:
    coarse = torch.rand(count, channels, 6, 6, generator=torch.Generator().manual_seed(0)) * 255
    return functional.interpolate(coarse, size=(height, width), mode="bilinear").to(torch.uint8)


# --- seed patches ---------------------------------------------------------------


def test_gradient_energy_recomputed() -> None:
    picture = images(1, 3, 9, 11)
    x, side = picture[0].double().numpy(), 5
    expected = np.zeros((5, 7))
    for top in range(5):
        for left in range(7):
            for i in range(top, top + side - 1):
                for j in range(left, left + side - 1):
                    squares = (x[:, i + 1, j] - x[:, i, j]) ** 2 + (x[:, i, j + 1] - x[:, i, j]) ** 2
                    expected[top, left] += squares.sum() / (side - 1) ** 2
    np.testing.assert_allclose(gradient_energy(picture, side)[0].numpy(), expected, rtol=1e-5)


def test_patches_are_chosen_in_proportion_to_their_gradients() -> None:
    """A uniform draw picks each patch with the share of its mean squared gradient."""
    picture, side, count = images(1, 3, 12, 10), 8, 5_000
    draws = (torch.arange(count) + 0.5) / count
    seeds = choose_seeds(picture.expand(count, -1, -1, -1), side, draws)
    energy = gradient_energy(picture, side)[0]
    found = torch.zeros(5, 3)
    found.index_put_((seeds[:, 0], seeds[:, 1]), torch.ones(()), accumulate=True)
    torch.testing.assert_close(found / count, energy / energy.sum(), atol=1e-3, rtol=0)
    assert energy.max() > 1.2 * energy.min()


def test_flat_images_have_patches_anywhere() -> None:
    draws = torch.rand(2000, generator=generator())
    seeds = choose_seeds(torch.full((2000, 1, 12, 10), 7, dtype=torch.uint8), 8, draws)
    assert seeds.amin(dim=0).tolist() == [0, 0]
    assert seeds.amax(dim=0).tolist() == [4, 2]
    assert torch.bincount(seeds[:, 0] * 3 + seeds[:, 1], minlength=15).min() > 90  # of 133


def test_patches_lie_where_the_structure_is() -> None:
    """Noise in one corner, and the rest flat."""
    task = make(64, patch=0.5)
    pictures = torch.full((64, 3, 24, 24), 90, dtype=torch.uint8)
    pictures[:, :, 14:, 14:] = torch.randint(0, 256, (64, 3, 10, 10), generator=generator()).byte()
    task(pictures, torch.arange(64), generator())
    assert task.seeds.min() > 2  # no patch misses the corner
    assert task.seeds.float().mean() > 9  # of 12
    assert len({tuple(seed) for seed in task.seeds.tolist()}) > 10


def test_a_class_is_one_patch_for_ever() -> None:
    """Chosen once, whatever the generator; ids seen twice in one batch agree; others wait."""
    task, pictures = make(40), images()
    ids = torch.arange(COUNT)
    task(pictures[:8].repeat(2, 1, 1, 1), ids[:8].repeat(2), generator(1))
    first = task.seeds.clone()
    assert ((first >= 0).all(dim=1) == (torch.arange(40) < 8)).all()
    task(pictures.flip(3), ids, generator(2))  # even if the picture changed
    assert torch.equal(task.seeds[:8], first[:8])
    assert (task.seeds[:COUNT] >= 0).all()
    assert (task.seeds[COUNT:] == -1).all()
    assert task.seeds.max() == 24 - 18


def test_processes_agree_on_the_patches() -> None:
    """The batch, its order and the generator do not matter: same weights, same patches."""
    one, other, pictures, ids = make(), make(), images(), torch.arange(COUNT)
    one(pictures, ids, generator(1))
    for part in torch.split(ids.flip(0), 8):
        other(pictures[part], part, generator(2))
    assert torch.equal(one.seeds, other.seeds)


# --- distortions ----------------------------------------------------------------


def cut(x: Tensor, top: int, left: int, side: int, **given: float) -> Tensor:
    values = {"down": 0.0, "right": 0.0, "scale": 1.0, "angle": 0.0} | given
    return cut_turned(
        x,
        torch.tensor([[top, left]]).expand(len(x), -1),
        side,
        shift=torch.tensor([[values["down"], values["right"]]]).expand(len(x), -1),
        scale=torch.full((len(x),), values["scale"]),
        angle=torch.full((len(x),), values["angle"]),
    )


def test_moves_turns_and_scales_known_by_heart() -> None:
    x = images(2, 3, 24, 30).float()
    near: dict[str, Any] = {"atol": 2e-2, "rtol": 0}  # gray levels
    torch.testing.assert_close(cut(x, 3, 7, 10), x[:, :, 3:13, 7:17], **near)
    torch.testing.assert_close(cut(x, 3, 7, 10, down=0.2, right=-0.1), x[:, :, 5:15, 6:16], **near)
    quarter = x[:, :, 3:13, 7:17].rot90(1, dims=(2, 3))
    torch.testing.assert_close(cut(x, 3, 7, 10, angle=math.pi / 2), quarter, **near)
    torch.testing.assert_close(cut(x, 8, 10, 5, scale=2), x[:, :, 6:16:2, 8:18:2], **near)
    columns = [*range(22, 30), 28, 27]
    torch.testing.assert_close(cut(x, 3, 20, 10, right=0.2), x[:, :, 3:13][..., columns], **near)


def test_no_border_shows() -> None:
    """Flat images stay flat, however far a window reaches beyond them."""
    flat = torch.tensor([[200, 40, 90], [10, 250, 128]], dtype=torch.uint8)[:, :, None, None]
    pictures = flat.expand(2, 3, 24, 36).repeat(50, 1, 1, 1)
    seeds = torch.tensor([[0, 0], [6, 18]]).repeat(50, 1)
    views = ExemplarViews(translation=0.5, scale=(1, 2), rotation=180, **PLAIN)
    seen = exemplar_view(pictures, seeds, 18, views, generator())
    assert torch.equal(seen, pictures[:, :, :18, :18])
    seen = exemplar_view(pictures, seeds, 18, ExemplarViews(), generator())
    assert torch.equal(seen, seen[:, :, :1, :1].expand_as(seen))
    assert len({tuple(color) for color in seen[:, :, 0, 0].tolist()}) > 50


def test_draws_are_the_papers(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, Tensor] = {}

    def record(x: Tensor, seeds: Tensor, side: int, **given: Tensor) -> Tensor:
        seen.update(given)
        return x

    monkeypatch.setattr(exemplar_views, "cut_turned", record)
    many = torch.zeros(4000, 1, 4, 4, dtype=torch.uint8)
    exemplar_view(many, torch.zeros(4000, 2), 4, ExemplarViews(), generator())
    angle = seen["angle"].rad2deg()
    bounds = [(seen["shift"], -0.2, 0.2), (angle, -20, 20), (seen["scale"].log2(), -0.515, 0.486)]
    for values, low, high in bounds:
        assert low - 1e-3 < values.min() < low + 0.01 * (high - low)
        assert high - 0.01 * (high - low) < values.max() < high + 1e-3
    assert seen["shift"].shape == (4000, 2)


def test_colors_there_and_back() -> None:
    x = torch.rand(2, 3, 8, 8, generator=generator())
    x[0, :, 0] = 0.3  # gray
    x[1, :, 0] = 0
    hue, saturation, value = rgb_to_hsv(x)
    for b, i, j in np.ndindex(2, 8, 8):
        expected = colorsys.rgb_to_hsv(*x[b, :, i, j].double().tolist())
        actual = [float(part[b, i, j]) for part in (hue, saturation, value)]
        assert actual == pytest.approx(expected, abs=1e-5)
    torch.testing.assert_close(hsv_to_rgb(hue, saturation, value), x)
    torch.testing.assert_close(hsv_to_rgb(hue + 2, saturation, value), x, atol=1e-5, rtol=0)


def test_contrast_along_the_axes_of_color_recomputed() -> None:
    x = torch.rand(4, 3, 5, 5, generator=generator()) * torch.tensor([1.0, 0.5, 0.2]).view(1, 3, 1, 1)
    factors = torch.tensor([[1.0, 1, 1], [2, 2, 2], [0.5, 1, 2], [1, 1, 0]])
    actual = scale_along_axes(x, factors)
    pixels = x.permute(0, 2, 3, 1).reshape(-1, 3).double().numpy()
    mean = pixels.mean(axis=0)
    _, axes = np.linalg.eigh(np.cov(pixels.T, bias=True))
    for b in range(4):
        for i, j in np.ndindex(5, 5):
            projection = (x[b, :, i, j].double().numpy() - mean) @ axes
            expected = mean + axes @ (projection * factors[b].numpy())
            np.testing.assert_allclose(actual[b, :, i, j].numpy(), expected, atol=1e-5)
    torch.testing.assert_close(actual[0], x[0])


def test_power_then_factor_then_sum() -> None:
    x = torch.tensor([[[0.0, 0.25, 0.5]]])
    exact = {**PLAIN, "power": (2, 2), "gain": (1.2, 1.2)}
    expected = [0.0, 0.075, 0.3]
    assert bend(x, ExemplarViews(**exact), generator())[0, 0].tolist() == pytest.approx(expected)
    many = torch.full((2000, 1, 1), 0.5)
    moved = bend(many, ExemplarViews(**{**PLAIN, "shift": 0.1}), generator())
    assert [float(moved.min()), float(moved.max())] == pytest.approx([0.4, 0.6], abs=1e-3)
    assert bend(many, ExemplarViews(), generator()).median() == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize("channels", [1, 3])
def test_gray_stays_gray_and_varies(channels: int) -> None:
    gray = images(COUNT, 1).expand(-1, channels, -1, -1)
    still = ExemplarViews(**STILL)
    seen = exemplar_view(gray, torch.zeros(COUNT, 2), 24, still, generator())
    assert seen.shape == gray.shape
    assert int((seen.amax(dim=1).int() - seen.amin(dim=1).int()).max()) <= 1  # rounded
    change = (seen.float() - gray.float()).mean(dim=(1, 2, 3))
    assert change.std() > 10


def test_nothing_drawn_is_the_patch_itself() -> None:
    pictures = images(4, 3, 24, 30)
    seeds = torch.tensor([[0, 0], [6, 12], [3, 5], [1, 2]])
    seen = exemplar_view(pictures, seeds, 18, ExemplarViews(**STILL, **PLAIN), generator())
    for picture, view, (top, left) in zip(pictures, seen, seeds.tolist(), strict=True):
        off = view.int() - picture[:, top : top + 18, left : left + 18].int()
        assert off.abs().max() <= 1


# --- the task -------------------------------------------------------------------


def test_the_loss_is_the_cross_entropy_of_the_image() -> None:
    task, ids = make(), torch.tensor([5, 0, 31])
    output = task(images(3), ids, generator())
    assert output.features is not None
    weight, bias = task.surrogate_classifier.weight, task.surrogate_classifier.bias
    logits = (output.features @ weight.T + bias).double()
    expected = -sum(
        math.log(math.exp(row[i]) / sum(math.exp(v) for v in row))
        for row, i in zip(logits.tolist(), ids.tolist(), strict=True)
    )
    assert output.loss.item() == pytest.approx(expected / 3, rel=1e-5)
    right = (logits.argmax(dim=1) == ids).double().mean()
    assert output.metrics["accuracy"].item() == pytest.approx(right.item())


@pytest.mark.parametrize("count", [32, 500])
def test_the_start_is_chance(count: int) -> None:
    task = make(count)
    assert task.classes == count
    losses = [task(images(), torch.arange(COUNT), generator(seed)).loss.item() for seed in range(2)]
    assert np.mean(losses) == pytest.approx(math.log(count), rel=0.05)


@pytest.mark.parametrize(("channels", "height", "width"), [(1, 24, 24), (3, 24, 40)])
def test_what_the_encoder_sees(channels: int, height: int, width: int) -> None:
    task, pictures = make(channels=channels), images(4, channels, height, width)
    shapes: list[tuple[int, ...]] = []
    task.encoder.register_forward_pre_hook(lambda _, inputs: shapes.append(tuple(inputs[0].shape)))
    task(pictures, torch.arange(4), generator())
    assert shapes == [(4, channels, 18, 18)]
    assert (task.seeds[:4] <= torch.tensor([height, width]) - 18).all()


def test_images_are_told_apart() -> None:
    assert settle(make(), images(), 20, last=1 / 4) < 0.8 * math.log(COUNT)


def test_equal_patches_stay_at_chance() -> None:
    """The place in the batch is no cue; nor is the place of the patch where all are flat."""
    same = images(1).expand(COUNT, -1, -1, -1)
    assert settle(make(patch=1.0), same, 20, last=0.4) > math.log(COUNT) - 0.05
    flat = torch.full((COUNT, 3, 24, 24), 130, dtype=torch.uint8)
    assert settle(make(), flat, 20, last=0.4) > math.log(COUNT) - 0.05


def test_color_alone_is_a_poor_cue() -> None:
    """Flat images of 32 shades of gray: told apart where nothing is drawn, hardly with the distortions."""
    shades = torch.arange(0, 256, 8, dtype=torch.uint8)[:, None, None, None].expand(-1, 3, 24, 24)
    opened = settle(make(views={**STILL, **PLAIN}), shades, 24)
    closed = settle(make(), shades, 24)
    assert opened < closed - 0.3
    assert closed > math.log(COUNT) - 0.6


def test_patches_too_small_to_show_anything() -> None:
    with pytest.raises(OnlygoodError, match="patches of 2 px"):
        make(patch=0.1)(images(4), torch.arange(4), generator())
