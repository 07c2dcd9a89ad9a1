"""MAE: what is hidden stays hidden, and only that counts."""

import pytest
import torch
from torch import Tensor

from onlygood.pretrain.networks.registry import create_encoder
from onlygood.pretrain.networks.vit import sincos_positions
from onlygood.pretrain.tasks import mae
from onlygood.pretrain.tasks.mae import MAEConfig, MAETask
from onlygood.pretrain.views.views import to_float
from onlygood.runtime.errors import OnlygoodError


def make(**options: object) -> MAETask:
    return MAETask(create_encoder("vit-tiny-4", 3, seed=0), MAEConfig.parse(options, "test"))


def images(count: int = 4, height: int = 24, width: int = 24) -> Tensor:
    shape = (count, 3, height, width)
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(1))


def test_patches_row_by_row() -> None:
    x = torch.arange(16.0).view(1, 1, 4, 4)
    expected = [[0, 1, 4, 5], [2, 3, 6, 7], [8, 9, 12, 13], [10, 11, 14, 15]]
    assert mae.patchify(x, 2)[0].tolist() == expected


def test_patches_have_mean_0_and_deviation_1() -> None:
    patches = mae.normalized(torch.tensor([[[1.0, 3.0], [5.0, 5.0]]]))
    torch.testing.assert_close(patches, torch.tensor([[[-0.7071, 0.7071], [0.0, 0.0]]]), atol=1e-4, rtol=0)


def test_only_hidden_patches_count() -> None:
    predicted, target = torch.zeros(1, 3, 2), torch.tensor([[[9.0, 9.0], [1.0, 3.0], [2.0, 2.0]]])
    hidden = torch.tensor([[False, True, True]])
    assert mae.masked_error(predicted, target, hidden).item() == pytest.approx((5 + 4) / 2)


def test_positions_tell_every_place_and_nothing_else() -> None:
    positions = sincos_positions(5, 7, 16)
    assert positions.shape == (35, 16)
    assert torch.cdist(positions, positions).fill_diagonal_(1).min() > 0.1
    assert torch.equal(positions[0], torch.tensor([0.0] * 4 + [1.0] * 4 + [0.0] * 4 + [1.0] * 4))


def test_the_encoder_sees_a_quarter_of_the_patches_and_no_hidden_pixel(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whatever the hidden patches show, the predictions are the same."""
    found: list[tuple[Tensor, Tensor]] = []

    def keep(predicted: Tensor, target: Tensor, hidden: Tensor) -> Tensor:
        found.append((predicted, hidden))
        return predicted.mean()

    monkeypatch.setattr(mae, "masked_error", keep)
    monkeypatch.setattr(mae, "random_view", lambda images, *_: to_float(images, "fixed"))
    task = make().eval()
    original = images()
    task(original, torch.arange(4), torch.Generator().manual_seed(3))
    hidden = found[0][1]
    assert hidden.sum(dim=1).tolist() == [27] * 4  # of 36
    pixels = hidden.view(4, 1, 6, 6).repeat_interleave(4, dim=2).repeat_interleave(4, dim=3)
    changed = torch.where(pixels, 255 - original, original)
    task(changed, torch.arange(4), torch.Generator().manual_seed(3))
    assert torch.equal(found[1][1], hidden)
    torch.testing.assert_close(found[1][0], found[0][0])
    shown = torch.where(pixels, original, 255 - original)
    task(shown, torch.arange(4), torch.Generator().manual_seed(3))
    assert not torch.allclose(found[2][0], found[0][0])


def test_an_untrained_painter_costs_about_1_and_odd_sizes_fit() -> None:
    for height, width in ((24, 24), (27, 33)):
        loss = make()(images(8, height, width), torch.arange(8), torch.Generator().manual_seed(0)).loss
        assert 0.9 < loss.item() < 1.6


def test_one_patch_at_least_is_hidden() -> None:
    """Of the four patches of 8 px, .1 would round to none."""
    loss = make(mask=0.1)(images(8, 8, 8), torch.arange(8), torch.Generator().manual_seed(0)).loss
    assert 0.5 < loss.item() < 2
    with pytest.raises(OnlygoodError, match="images of 7 px have no patches"):
        make()(images(8, 7, 24), torch.arange(8), torch.Generator())


def test_other_encoders_are_refused() -> None:
    with pytest.raises(OnlygoodError, match=r"vit-tiny-4, not 'small'"):
        MAETask(create_encoder("small", 3), MAEConfig())
