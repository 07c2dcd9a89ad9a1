"""Focal loss by hand, and against cross entropy."""

import math

import pytest
import torch
from torch.nn import functional

from onlygood.pretrain.losses.focal import focal


def test_by_hand() -> None:
    """Half sure costs ¼ log 2; three quarters sure costs 1/16 log 4/3."""
    labels = torch.tensor([1.0, 0.0])
    assert focal(torch.zeros(2), labels).item() == pytest.approx(math.log(2) / 4)
    sure = torch.tensor([math.log(3), -math.log(3)])
    assert focal(sure, labels).item() == pytest.approx(math.log(4 / 3) / 16, rel=1e-5)


def test_gamma_0_is_cross_entropy_and_larger_ones_forget_what_is_right() -> None:
    rng = torch.Generator().manual_seed(0)
    logits, labels = torch.randn(4, 5, 6, generator=rng), torch.rand(4, 5, 6, generator=rng).round()
    plain = functional.binary_cross_entropy_with_logits(logits, labels)
    torch.testing.assert_close(focal(logits, labels, 0.0), plain)
    right, wrong = torch.tensor([4.0]), torch.tensor([-4.0])
    one = torch.ones(1)
    ratios = [(focal(right, one, gamma) / focal(wrong, one, gamma)).item() for gamma in (0.0, 1.0, 2.0)]
    assert ratios[0] > 10 * ratios[1] > 100 * ratios[2]


def test_certain_answers_have_finite_costs_and_gradients() -> None:
    logits = torch.tensor([100.0, -100.0, 100.0, 0.0], requires_grad=True)
    loss = focal(logits, torch.tensor([1.0, 1.0, 0.0, 1.0]))
    torch.autograd.backward(loss)
    assert logits.grad is not None
    assert logits.grad.isfinite().all()
    assert loss.item() == pytest.approx((200 + math.log(2) / 4) / 4, rel=1e-5)


def test_float32_under_autocast() -> None:
    logits = torch.tensor([0.3, -0.2])
    with torch.autocast("cpu", torch.bfloat16):
        assert focal(logits.bfloat16(), torch.ones(2)).dtype == torch.float32
