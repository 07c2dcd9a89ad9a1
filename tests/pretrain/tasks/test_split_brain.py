"""Split-brain: the halves see and learn nothing of each other's input."""

import math
from functools import partial

import pytest
import torch
from tiny import generator, noise, seeded, settle
from traps import two_colors

from onlygood.pretrain.networks.registry import create_encoder
from onlygood.pretrain.networks.split import split_small
from onlygood.pretrain.tasks.split_brain import SplitBrainConfig, SplitBrainTask
from onlygood.pretrain.views.color import soft_encode, srgb_to_lab
from onlygood.runtime.errors import OnlygoodError

BATCH = 16


def make() -> SplitBrainTask:
    with seeded():
        config = SplitBrainConfig.model_validate({"views": {"flip": False}})
        return SplitBrainTask(split_small(3), config).train()


def test_the_start_is_chance() -> None:
    output = make()(noise(BATCH), torch.arange(BATCH), generator())
    assert output.metrics["colour"].item() == pytest.approx(math.log(261), rel=0.06)
    assert output.metrics["light"].item() == pytest.approx(math.log(100), rel=0.06)
    assert output.loss == output.metrics["colour"] + output.metrics["light"]


def test_halves_see_luma_and_differences_only() -> None:
    """Adding gray changes the light half alone; changing colors of one luma, the color half alone."""
    encoder = split_small(3).eval()
    x = torch.randn(4, 3, 24, 24, generator=generator())
    luma = torch.tensor([0.299, 0.587, 0.114])
    turn = torch.randn(4, 3, 24, 24, generator=generator(1))
    turn -= torch.einsum("c,bchw->bhw", luma, turn)[:, None]
    with torch.no_grad():
        plain, brighter, turned = encoder(x), encoder(x + 0.5), encoder(x + turn)
    torch.testing.assert_close(brighter[:, 128:], plain[:, 128:], atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(turned[:, :128], plain[:, :128], atol=1e-4, rtol=1e-4)
    assert (brighter[:, :128] - plain[:, :128]).abs().max() > 1e-2
    assert (turned[:, 128:] - plain[:, 128:]).abs().max() > 1e-2


def test_it_is_an_encoder_as_wide_as_small() -> None:
    split, small = split_small(3), create_encoder("small")
    x = torch.randn(2, 3, 33, 40, generator=generator())
    shapes = [[tuple(m.shape) for m in encoder.stages(x)] for encoder in (split, small)]
    assert shapes[0] == shapes[1]
    assert (split.dim, split.stride, split.stage_dims) == (small.dim, small.stride, small.stage_dims)
    torch.testing.assert_close(split(x), split.stages(x)[-1].mean(dim=(2, 3)), rtol=1e-4, atol=1e-5)


def test_no_gradient_crosses() -> None:
    """Each half is taught by its own target."""
    task = make()
    task(noise(BATCH), torch.arange(BATCH), generator()).loss.backward()
    light = next(p for name, p in task.encoder.named_parameters() if ".light." in name)
    assert light.grad is not None
    before = light.grad.clone()
    task.zero_grad()
    for parameter in task.to_light.parameters():
        parameter.data.mul_(3)
    task(noise(BATCH), torch.arange(BATCH), generator()).loss.backward()
    torch.testing.assert_close(light.grad, before)


def test_targets_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    """Decoders that know the answers cost nothing."""
    task = make()
    lab = torch.nn.functional.avg_pool2d(srgb_to_lab(noise(BATCH) / 255), 4)
    index, _ = soft_encode(lab[:, 1:].permute(0, 2, 3, 1).reshape(-1, 2), task.bins)
    colors = torch.nn.functional.one_hot(index[:, 0].view(BATCH, 6, 6), 261).permute(0, 3, 1, 2)
    levels = torch.nn.functional.one_hot(lab[:, 0].floor().long(), 100).permute(0, 3, 1, 2)
    monkeypatch.setattr(task.to_color, "forward", lambda maps, size: 50.0 * colors)
    monkeypatch.setattr(task.to_light, "forward", lambda maps, size: 50.0 * levels)
    assert task(noise(BATCH), torch.arange(BATCH), generator()).loss < 0.1


@pytest.mark.parametrize("told", [False, True])
def test_colors_that_go_with_form_are_told_and_others_are_not(*, told: bool) -> None:
    """Fresh coin flips between two colors cost log 2 at least."""
    images = partial(two_colors, count=BATCH, side=24, told=told)
    color = settle(make(), images, 24, "colour", last=1 / 4)
    assert (color < 0.4 * math.log(2)) if told else (color > 0.9 * math.log(2))


def test_other_encoders_and_gray_images_are_refused() -> None:
    with pytest.raises(OnlygoodError, match="needs the encoder 'split-small', not 'small'"):
        SplitBrainTask(create_encoder("small"), SplitBrainConfig())
    with pytest.raises(OnlygoodError, match="these images are gray"):
        split_small(1)
