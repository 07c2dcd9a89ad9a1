"""The network that compares an image with its restoration: where its values lie and what they see."""

import pytest
import torch

from onlygood.pretrain.networks.discriminator import discriminator


@pytest.mark.parametrize(("height", "width"), [(24, 32), (27, 33)])
def test_a_value_every_4_px_that_sees_63_px(height: int, width: int) -> None:
    network = discriminator(6).eval()
    assert network(torch.zeros(2, 6, height, width)).shape == (2, 1, -(-height // 4), -(-width // 4))
    x = torch.zeros(1, 6, 128, 128, requires_grad=True)
    for p in network.parameters():
        torch.nn.init.constant_(p, 0.01)  # so that no ReLU is shut
    torch.autograd.backward(network(x)[0, 0, 16, 16])
    assert x.grad is not None
    seen = x.grad[0, 0].nonzero()
    assert (seen.amax(dim=0) - seen.amin(dim=0) + 1).tolist() == [63, 63]
    assert (seen.float().mean(dim=0) - (16 * 4 + 0.5)).abs().max() <= 1
