"""Losses against naive ones that follow the papers' formulas term by term."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from onlygood.pretrain.losses.contrastive import nt_xent
from onlygood.pretrain.losses.measures import accuracy


def naive_nt_xent(a: Tensor, b: Tensor, temperature: float) -> float:
    """Equation 1 of Chen et al. 2020, in double precision, with loops."""
    z = [row.double() / row.double().norm() for row in [*a, *b]]
    n = len(a)
    total = 0.0
    for i in range(2 * n):
        similarity = [math.exp(float(z[i] @ z[k]) / temperature) for k in range(2 * n)]
        others = sum(value for k, value in enumerate(similarity) if k != i)
        total -= math.log(similarity[(i + n) % (2 * n)] / others)
    return total / (2 * n)


def pair(seed: int, n: int, dim: int) -> tuple[Tensor, Tensor]:
    rng = torch.Generator().manual_seed(seed)
    return torch.randn(n, dim, generator=rng), torch.randn(n, dim, generator=rng)


@given(st.integers(0, 10_000), st.integers(1, 6), st.integers(1, 5), st.floats(0.05, 2.0))
def test_nt_xent_is_the_naive_one(seed: int, n: int, dim: int, temperature: float) -> None:
    a, b = pair(seed, n, dim)
    expected = naive_nt_xent(a, b, temperature)
    assert nt_xent(a, b, temperature).item() == pytest.approx(expected, rel=1e-4, abs=1e-5)


def test_nt_xent_by_hand() -> None:
    # Two pairs, each of equal vectors, across each other: similarity 1 with the partner, 0 with the others.
    a = torch.eye(2)
    expected = -math.log(math.exp(1 / 0.5) / (math.exp(1 / 0.5) + 2))
    assert nt_xent(a, a, 0.5).item() == pytest.approx(expected)


@pytest.mark.parametrize("n", [1, 4, 16])
def test_nt_xent_of_equal_embeddings_is_chance(n: int) -> None:
    x = torch.ones(n, 3)
    assert nt_xent(x, x, 0.1).item() == pytest.approx(math.log(2 * n - 1), abs=1e-6)


def test_nt_xent_ignores_length_order_and_which_view_is_first() -> None:
    a, b = pair(0, 5, 4)
    value = nt_xent(a, b, 0.3)
    torch.testing.assert_close(nt_xent(3 * a, 0.1 * b, 0.3), value)
    torch.testing.assert_close(nt_xent(b, a, 0.3), value)
    torch.testing.assert_close(nt_xent(a.flip(0), b.flip(0), 0.3), value)
    assert abs(nt_xent(a, b.flip(0), 0.3) - value) > 0.1  # who belongs to whom matters


def test_nt_xent_is_float32_inside_and_survives_low_temperatures() -> None:
    a, b = pair(1, 4, 8)
    half = nt_xent(a.bfloat16(), b.bfloat16(), 0.5)
    assert half.dtype == torch.float32
    torch.testing.assert_close(half, nt_xent(a.bfloat16().float(), b.bfloat16().float(), 0.5))
    a.requires_grad_()
    loss = nt_xent(a, b, 1e-3)
    loss.backward()
    assert loss.isfinite()
    assert a.grad is not None
    assert a.grad.isfinite().all()


def test_accuracy_by_hand() -> None:
    logits = torch.tensor([[2.0, 1, 0], [0, 1, 2], [0, 3, 1], [9, 0, 0]], requires_grad=True)
    value = accuracy(logits, torch.tensor([0, 2, 0, 1]))
    assert value.item() == 0.5
    assert value.shape == ()
    assert not value.requires_grad
