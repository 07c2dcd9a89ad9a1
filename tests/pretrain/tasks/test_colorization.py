"""Colorization: chance, gray inputs, targets, the prior, and that color without form cannot be told."""

import math
from functools import partial

import pytest
import torch
from tiny import generator, noise, seeded, settle
from torch import Tensor
from traps import lab_to_srgb, two_colors

from onlygood.pretrain.networks.registry import create_encoder
from onlygood.pretrain.tasks.colorization import ColorizationConfig, ColorizationTask, gray_view
from onlygood.pretrain.views.color import soft_encode, srgb_to_lab
from onlygood.runtime.errors import OnlygoodError

BATCH = 16


def make(**options: object) -> ColorizationTask:
    with seeded():
        config = ColorizationConfig.model_validate({"views": {"flip": False}, **options})
        return ColorizationTask(create_encoder("small"), config).train()


def flat(colors: Tensor, lightness: float = 60.0) -> Tensor:
    """Images of one ab color each, (B, 2), all equally light."""
    lab = torch.cat([torch.full((len(colors), 1), lightness), colors], dim=1)[:, :, None, None]
    return (lab_to_srgb(lab) * 255).round().byte().expand(-1, -1, 24, 24)


def test_the_start_is_chance() -> None:
    loss = make()(noise(BATCH), torch.arange(BATCH), generator()).loss.item()
    assert loss == pytest.approx(math.log(261), rel=0.06)


def test_the_encoder_sees_lightness_only() -> None:
    """Equally light colors look the same to it, in all three channels."""
    task = make()
    seen: list[Tensor] = []
    task.encoder.blocks[0].register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].clone()))
    task(flat(torch.rand(BATCH, 2, generator=generator()) * 40), torch.arange(BATCH), generator())
    assert seen[0].shape == (BATCH, 3, 24, 24)
    assert (seen[0] - seen[0].mean()).abs().max() <= 1.01 / 63.75  # rounded colors: one level at most
    assert seen[0].mean() == pytest.approx(60 * 2.55 / 63.75 - 2, abs=0.02)


def test_a_gray_view_is_the_gray_image_brightened_as_the_eye_does() -> None:
    ramp = torch.arange(256).byte().view(1, 1, 16, 16).expand(-1, 3, -1, -1)
    view = gray_view(srgb_to_lab(ramp / 255), 3, "fixed")
    assert view[0, 0, 0, 0] == -2
    assert view[0, 0, -1, -1] == 2
    assert view[0, 0].flatten().diff().min() >= 0


def test_the_loss_recomputed_pixel_by_pixel() -> None:
    """Of one odd-sided picture, with the weights of the counted prior."""
    task = make()
    image = torch.randint(0, 256, (2, 3, 26, 30), generator=generator()).byte()
    logits: list[Tensor] = []
    task.decoder.register_forward_hook(lambda *a: logits.append(a[2]))
    loss = task(image, torch.arange(2), generator()).loss.detach()
    lab = srgb_to_lab(image / 255)
    assert logits[0].shape == (2, 261, 7, 8)
    smoothing = torch.softmax(-(torch.cdist(task.bins, task.bins) ** 2) / 50, dim=0)
    prior = task.counts / task.counts.sum()
    weights = 1 / (0.5 * smoothing @ prior + 0.5 / 261)
    weights /= (weights * prior).sum()
    total = 0.0
    for i in range(2):
        for r in range(7):
            for c in range(8):
                ab = lab[i, 1:, 4 * r : 4 * r + 4, 4 * c : 4 * c + 4].mean(dim=(1, 2))
                index, target = soft_encode(ab[None], task.bins)
                log = torch.log_softmax(logits[0][i, :, r, c].detach(), 0)
                total -= float((log[index[0]] * target[0]).sum() * weights[index[0, 0]])
    assert loss.item() == pytest.approx(total / 112, rel=1e-4)


def test_the_prior_is_counted_over_training() -> None:
    task = make()
    warm = flat(torch.tensor([[40.0, 30.0]])).expand(BATCH, -1, -1, -1)
    cold = flat(torch.tensor([[10.0, -40.0]])).expand(BATCH, -1, -1, -1)
    for images in (warm, warm, warm, cold):
        task(images, torch.arange(BATCH), generator())
    pixels = BATCH * 36
    assert sorted(task.counts[task.counts > 0].tolist()) == [pixels, 3 * pixels]
    assert "counts" in task.state_dict()
    before = task.counts.clone()
    task.eval()(cold, torch.arange(BATCH), generator())
    assert torch.equal(task.counts, before)


def test_gray_images_among_colored_ones_count_nothing() -> None:
    task = make().eval()
    colored = flat(torch.tensor([[40.0, 30.0]])).expand(8, -1, -1, -1)
    gray = torch.full((8, 3, 24, 24), 146, dtype=torch.uint8)
    both = task(torch.cat([colored, gray]), torch.arange(16), generator()).loss
    alone = task(colored, torch.arange(8), generator()).loss
    torch.testing.assert_close(both, alone, rtol=1e-3, atol=0)


def test_gray_images_alone_are_refused() -> None:
    gray = torch.randint(0, 256, (BATCH, 1, 24, 24), generator=generator()).byte().expand(-1, 3, -1, -1)
    with pytest.raises(OnlygoodError, match="all of the first 16 images are gray"):
        make()(gray, torch.arange(BATCH), generator())
    with pytest.raises(OnlygoodError, match="these images are gray"):
        ColorizationTask(create_encoder("small", 1), ColorizationConfig())


@pytest.mark.parametrize("told", [False, True])
def test_colors_that_go_with_form_are_told_and_others_are_not(*, told: bool) -> None:
    """Fresh coin flips between two colors cost log 2 more than their soft targets at least."""
    images = partial(two_colors, count=BATCH, side=24, told=told)
    loss = settle(make(neighbours=1), images, 30, last=1 / 5)
    assert (loss < 0.4 * math.log(2)) if told else (loss > 0.9 * math.log(2))
