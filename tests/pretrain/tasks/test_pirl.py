"""PIRL: patches without common edges, in an order of their own, and a memory that only images write."""

import math

import pytest
import torch
from tiny import clouds, seeded, settle
from torch import Tensor
from torch.nn import functional

from onlygood.pretrain.networks.registry import create_encoder
from onlygood.pretrain.tasks.pirl import PIRLConfig, PIRLTask

COUNT = 32
PLAIN = {"flip": False}


def make(count: int = COUNT, **options: object) -> PIRLTask:
    with seeded():
        config = PIRLConfig.parse({"temperature": 0.5, "grid": 2} | options, "test")
        return PIRLTask(create_encoder("small"), config, images=count).train()


def numbered(batch: int, side: int) -> Tensor:
    """Rows of brightness r in the first channel, columns of c in the second: a patch's place can be read."""
    row = torch.arange(side).view(-1, 1).expand(side, side)
    return torch.stack([row, row.T, torch.zeros_like(row)]).byte().expand(batch, -1, -1, -1)


@pytest.mark.parametrize(("grid", "side", "patch"), [(3, 96, 24), (2, 32, 12)])
def test_patches_lie_in_cells_apart_and_in_every_order(grid: int, side: int, patch: int) -> None:
    task = make(grid=grid, views=PLAIN, puzzle_scale=(1.0, 1.0))
    # a crop of all the area may still be cut to another aspect: keep it whole
    with pytest.MonkeyPatch.context() as patches:
        patches.setattr("onlygood.pretrain.tasks.pirl.random_resized_crop", lambda x, *_: x)
        seen = task.shuffled_patches(numbered(200, side), torch.Generator().manual_seed(0))
    assert seen.shape == (200, grid**2, 3, patch, patch)
    corner = (seen[:, :, :2, 0, 0] * 63.75 + 127.5).round().long()  # (B, grid², 2): top and left
    cell, cells = side // grid, corner // (side // grid)
    assert ((corner % cell + patch) <= cell).all()  # within its cell
    assert set((corner % cell).flatten().tolist()) == set(range(cell - patch + 1))  # anywhere in it
    numbers = cells[..., 0] * grid + cells[..., 1]
    assert (numbers.sort(dim=1).values == torch.arange(grid**2)).all()  # each cell once
    share = functional.one_hot(numbers, grid**2).float().mean(dim=0)
    assert (share - 1 / grid**2).abs().max() < 5 * math.sqrt(1 / grid**2 / 200)  # in any place


def test_patches_are_recolored_one_by_one() -> None:
    """A flat image gives flat patches that differ from each other."""
    flat = torch.full((4, 3, 32, 32), 90, dtype=torch.uint8)
    patches = make(views={"brightness": 0.5}).shuffled_patches(flat, torch.Generator().manual_seed(0))
    assert patches.std(dim=(2, 3, 4)).max() < 1e-5
    assert patches.mean(dim=(2, 3, 4)).std(dim=1).min() > 0.01


def test_small_oblong_and_gray_images_have_patches() -> None:
    patches = make(grid=3).shuffled_patches(clouds(4)[:, :1, :, :20], torch.Generator())
    assert patches.shape == (4, 9, 1, 12, 12)


@pytest.mark.parametrize(("negatives", "chance"), [(4096, math.log(COUNT)), (16, math.log(17))])
def test_the_start_is_chance(negatives: int, chance: float) -> None:
    output = make(negatives=negatives)(clouds(COUNT), torch.arange(COUNT), torch.Generator().manual_seed(0))
    assert output.metrics["image"].item() == pytest.approx(chance, rel=0.06)
    assert output.metrics["patches"].item() == pytest.approx(chance, rel=0.06)


def test_the_loss_weighs_both() -> None:
    output = make(jigsaw=0.2)(clouds(COUNT), torch.arange(COUNT), torch.Generator().manual_seed(0))
    expected = 0.2 * output.metrics["patches"] + 0.8 * output.metrics["image"]
    torch.testing.assert_close(output.loss.detach(), expected)


def test_only_images_write_the_memory() -> None:
    """Other patches, same image: the same memory."""
    banks = []
    for scale in ((0.6, 0.7), (0.9, 1.0)):
        task = make(views=PLAIN, puzzle_scale=scale, momentum=0.0)
        task(clouds(COUNT), torch.arange(COUNT), torch.Generator().manual_seed(0))
        banks.append(task.bank.rows)
    assert torch.equal(banks[0], banks[1])
    made = make(views=PLAIN, momentum=0.0)
    x = (clouds(COUNT).float() - 127.5) / 63.75
    made.shuffled_patches(clouds(COUNT), torch.Generator())
    expected = functional.normalize(made.projector(made.encoder(x)), dim=1)
    torch.testing.assert_close(banks[0], expected.detach(), rtol=1e-4, atol=1e-5)


def test_patches_come_to_name_their_image() -> None:
    """And where all images are equal, nothing does."""
    different, same = clouds(COUNT), clouds(1).expand(COUNT, -1, -1, -1)
    assert settle(make(temperature=0.2), different, 20, "patches", last=1 / 4) < math.log(COUNT) - 0.5
    assert settle(make(temperature=0.2), same, 20, "patches", last=1 / 4) > math.log(COUNT) - 0.05
