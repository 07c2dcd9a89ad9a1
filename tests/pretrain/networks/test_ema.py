"""Slow copies, and the keys that they give in shuffled groups."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from onlygood.pretrain.networks.ema import ema_copy, ema_update, groups, rising_momentum, shuffled_keys


def test_the_copy_follows_ever_more_slowly() -> None:
    assert rising_momentum(0.9, 0.0) == pytest.approx(0.9)
    assert rising_momentum(0.9, 0.5) == pytest.approx(0.95)
    assert rising_momentum(0.9, 1.0) == 1.0
    source = nn.Linear(2, 1, bias=False)
    nn.init.constant_(source.weight, 1.0)
    target = ema_copy(source)
    nn.init.constant_(source.weight, 2.0)
    ema_update(target, source, 0.75)
    (weight,) = target.parameters()
    assert weight.tolist() == [[1.25, 1.25]]
    assert not weight.requires_grad


def test_no_group_has_less_than_four_images() -> None:
    assert [len(group) for group in groups(torch.zeros(18, 2), 4)] == [5, 5, 4, 4]
    assert [len(group) for group in groups(torch.zeros(11, 2), 4)] == [6, 5]
    assert [len(group) for group in groups(torch.zeros(3, 2), 4)] == [3]


def test_keys_are_those_of_their_images_in_shuffled_groups() -> None:
    """Identity of the images through the shuffle; every group is standardized by itself."""
    network = nn.Sequential(nn.Linear(6, 5), nn.BatchNorm1d(5))
    x, seen = torch.randn(18, 6, generator=torch.Generator().manual_seed(0)), list[Tensor]()
    hook = network.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    first = shuffled_keys(network, x, 4, torch.Generator().manual_seed(0))
    hook.remove()
    assert [len(group) for group in seen] == [5, 5, 4, 4]
    assert not torch.equal(torch.cat(seen), x)
    other = shuffled_keys(network, x, 4, torch.Generator().manual_seed(1))
    assert not torch.allclose(other, first, atol=1e-3)
    assert not first.requires_grad
    plain = functional.normalize(network.eval()(x), dim=1)
    torch.testing.assert_close(shuffled_keys(network, x, 4, torch.Generator()), plain.detach())
