"""Accuracy, cosines and spread, by hand and by what they ignore."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from onlygood.pretrain.losses.measures import accuracy, cosines, spread


def test_accuracy_by_hand() -> None:
    logits = torch.tensor([[2.0, 1, 0], [0, 1, 2], [0, 3, 1], [9, 0, 0]], requires_grad=True)
    value = accuracy(logits, torch.tensor([0, 2, 0, 1]))
    assert value.item() == 0.5
    assert value.shape == ()
    assert not value.requires_grad


def test_spread_by_hand() -> None:
    # ±1 on both axes: each dimension is (1, -1, 0, 0), deviation 1/√2, times √2.
    cross = torch.tensor([[3.0, 0], [-0.5, 0], [0, 1], [0, -7]])
    assert spread(cross).item() == pytest.approx(1.0)
    # Unit vectors (1, 0) and (0, 1): deviation 1/2 in each dimension, times √2.
    assert spread(torch.eye(2)).item() == pytest.approx(math.sqrt(2) / 2)
    assert spread(torch.ones(5, 3)).item() == pytest.approx(0.0, abs=1e-6)


@given(st.integers(0, 1000), st.floats(0.01, 100))
def test_spread_ignores_length_and_order(seed: int, factor: float) -> None:
    rng = torch.Generator().manual_seed(seed)
    x = torch.randn(6, 3, generator=rng)
    value = spread(x).item()
    assert 0 <= value <= 1 + 1e-6
    assert spread(factor * x.flip(0)).item() == pytest.approx(value, rel=1e-4)


def test_cosines_by_hand_and_in_float32_under_autocast() -> None:
    a, b = torch.tensor([[3.0, 0.0], [1.0, 1.0]]), torch.tensor([[0.5, 0.0], [-2.0, 2.0]])
    half = math.sqrt(0.5)
    with torch.autocast("cpu", torch.bfloat16):
        found = cosines(a, b)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, torch.tensor([[1.0, -half], [half, 0.0]]))
