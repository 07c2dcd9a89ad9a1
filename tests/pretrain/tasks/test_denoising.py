"""Denoising: what is corrupted, what is asked for, and that noise itself cannot be restored."""

from functools import partial

import pytest
import torch
from tiny import generator, noise, seeded, settle, waves
from torch import Tensor

from onlygood.pretrain.networks.registry import create_encoder
from onlygood.pretrain.tasks.denoising import DenoisingConfig, DenoisingTask, mask_pixels
from onlygood.pretrain.views.views import to_float
from onlygood.runtime.errors import OnlygoodError

BATCH = 16


def make(channels: int = 3, encoder: str = "small", **options: object) -> DenoisingTask:
    with seeded():
        config = DenoisingConfig.model_validate({"views": {"flip": False}, **options})
        return DenoisingTask(create_encoder(encoder, channels), config).train()


def test_the_share_of_masked_pixels() -> None:
    """Whole pixels, not channels; each image its own; the others untouched."""
    x = torch.rand(8, 3, 50, 40, generator=generator()) + 1
    masked = mask_pixels(x, 0.25, generator())
    gone = masked == 0
    assert torch.equal(gone.all(dim=1), gone.any(dim=1))
    assert gone[:, 0].float().mean(dim=(1, 2)).tolist() == pytest.approx([0.25] * 8, abs=0.04)
    assert not torch.equal(gone[0], gone[1])
    assert torch.equal(masked[~gone], x[~gone])


@pytest.mark.parametrize("corruption", ["masking", "gaussian", "none"])
def test_the_clean_view_is_the_target(corruption: str) -> None:
    """A decoder that gives zeros costs the mean square of the clean view; the encoder saw the other."""
    task = make(corruption=corruption, share=0.5, sigma=0.7)
    clean = noise(BATCH).float() / 63.75 - 2
    seen: list[Tensor] = []
    task.encoder.blocks[0].register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].clone()))

    class Zeros(torch.nn.Module):
        def forward(self, maps: Tensor, size: torch.Size) -> Tensor:
            return torch.zeros(BATCH, 3, *size)

    task.decoder = Zeros()  # type: ignore[assignment]
    loss = task(noise(BATCH), torch.arange(BATCH), generator()).loss
    assert loss.item() == pytest.approx(clean.square().mean().item(), rel=1e-5)
    change = (seen[0] - clean).square().mean().item()
    expected = {"masking": 0.5 * clean.square().mean().item(), "gaussian": 0.7**2, "none": 0.0}
    assert change == pytest.approx(expected[corruption], rel=0.05)


@pytest.mark.parametrize("encoder", ["small", "wrn16-4"])
def test_any_stride_gives_back_every_pixel(encoder: str) -> None:
    """Oblong images whose sides no stride divides."""
    task = make(encoder=encoder)
    sizes: list[tuple[int, ...]] = []
    task.decoder.register_forward_hook(lambda *a: sizes.append(tuple(a[2].shape)))
    task(noise(2, 0, 27, 33), torch.arange(2), generator())
    assert sizes == [(2, 3, 27, 33)]


def test_an_encoder_without_a_map() -> None:
    with pytest.raises(OnlygoodError, match="'lenet' has no map"):
        make(encoder="lenet")


def test_a_stranger_is_restored_worse_than_what_was_learned() -> None:
    """`restore` takes the images uncorrupted; what it cannot paint is what an anomaly score reads."""
    task = make(corruption="none")
    settle(task, partial(waves, BATCH), 40)
    task.eval()
    known, stranger = (to_float(x, "fixed") for x in (waves(BATCH, seed=1), noise(BATCH)))
    with torch.no_grad():
        errors = [(task.restore(x) - x).square().mean() / x.var() for x in (known, stranger)]
    assert errors[0] < 0.5
    assert errors[1] > 0.95


def test_smooth_images_are_restored_and_noise_is_not() -> None:
    """Fresh white noise passed through a map 16 times coarser: no better than its variance."""
    variance = (255**2 / 12) / 63.75**2
    assert settle(make(), partial(noise, BATCH), 20) > 0.95 * variance
    smooth = (waves(BATCH).float() / 63.75 - 2).var().item()
    assert settle(make(), partial(waves, BATCH), 40, last=1 / 8) < 0.5 * smooth
