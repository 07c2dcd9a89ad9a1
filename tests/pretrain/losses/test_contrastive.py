"""Losses against naive ones that follow the papers' formulas term by term."""

import math
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional

from onlygood.pretrain.losses.contrastive import (
    draw_others,
    info_nce,
    instance_contrast,
    instance_cross_entropy,
    noise_contrastive,
    nt_xent,
    similarities,
)


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


# --- against a queue


def test_info_nce_recomputed() -> None:
    rng = torch.Generator().manual_seed(0)
    queries, keys = functional.normalize(torch.randn(2, 4, 8, generator=rng), dim=2)
    queue = functional.normalize(torch.randn(6, 8, generator=rng), dim=1)
    same = torch.zeros(4, 6, dtype=torch.bool)
    same[1, 2] = same[3, 5] = True
    expected = 0.0
    for i in range(4):
        positive = math.exp(float(queries[i] @ keys[i]) / 0.2)
        others = [math.exp(float(queries[i] @ queue[j]) / 0.2) for j in range(6) if not same[i, j]]
        expected -= math.log(positive / (positive + sum(others))) / 4
    torch.testing.assert_close(info_nce(queries, keys, queue, 0.2, same), torch.tensor(expected))


# --- against rows of a memory


def rows(count: int, dim: int = 8, seed: int = 0) -> Tensor:
    rng = torch.Generator().manual_seed(seed)
    return functional.normalize(torch.randn(count, dim, generator=rng), dim=1)


def test_exact_softmax_recomputed() -> None:
    z, bank, ids, others = (
        rows(3),
        rows(6, seed=1),
        torch.tensor([4, 0, 5]),
        torch.tensor([[0, 1], [2, 2], [4, 3]]),
    )
    everything = chosen = 0.0
    for i in range(3):
        p = [math.exp(float(z[i] @ row) / 0.1) for row in bank]
        own = p[int(ids[i])]
        everything -= math.log(own / sum(p)) / 3
        chosen -= math.log(own / (own + sum(p[j] for j in others[i]))) / 3
    assert instance_cross_entropy(z, bank, ids, 0.1).item() == pytest.approx(everything, rel=1e-5)
    assert instance_cross_entropy(z, bank, ids, 0.1, others).item() == pytest.approx(chosen, rel=1e-5)


@pytest.mark.parametrize("product", [0, 16])  # copies of the chosen rows, or a product with all of them
def test_similarities_of_chosen_rows(monkeypatch: pytest.MonkeyPatch, product: int) -> None:
    monkeypatch.setattr("onlygood.pretrain.losses.contrastive._PRODUCT", product)
    z, bank, chosen = rows(2), rows(6, seed=1), torch.tensor([[5, 0, 5], [1, 2, 3]])
    expected = [[float(z[i] @ bank[j]) for j in chosen[i]] for i in range(2)]
    torch.testing.assert_close(similarities(z, bank, chosen), torch.tensor(expected))


def test_noise_contrast_recomputed() -> None:
    """Equation 7 with P = exp(s)/Z; n drops out, because Z is n times the mean of exp(s) over the noise."""
    own, noise = torch.tensor([2.0, -1.0]), torch.tensor([[0.5, 1.0, -2.0], [0.1, 0.0, 3.0]])
    n, m = 50, 3
    z = n * sum(math.exp(float(s)) for s in noise.flatten()) / 6
    expected = 0.0
    for i in range(2):
        p = math.exp(float(own[i])) / z
        expected -= math.log(p / (p + m / n))
        for s in noise[i]:
            p = math.exp(float(s)) / z
            expected -= math.log(1 - p / (p + m / n))
    assert noise_contrastive(own, noise).item() == pytest.approx(expected / 2, rel=1e-5)
    chance = math.log(1 + 7) + 7 * math.log(1 + 1 / 7)
    assert noise_contrastive(torch.zeros(4), torch.zeros(4, 7)).item() == pytest.approx(chance, rel=1e-5)


def test_others_are_all_others_and_never_oneself() -> None:
    ids = torch.tensor([0, 2, 4])
    drawn = draw_others(ids, 200, 5, torch.Generator().manual_seed(0))
    assert [set(row.tolist()) for row in drawn] == [{1, 2, 3, 4}, {0, 1, 3, 4}, {0, 1, 2, 3}]


@pytest.mark.parametrize("sampled", ["noise", "softmax"])
def test_with_few_rows_the_contrast_is_exact_and_with_more_it_is_sampled(sampled: Any) -> None:
    z, bank, ids = rows(3), rows(6, seed=1), torch.tensor([4, 0, 5])
    options = {"temperature": 0.5, "sampled": sampled}
    exact = instance_contrast(z, bank, ids, torch.Generator(), negatives=6, **options)
    assert torch.equal(exact, instance_cross_entropy(z, bank, ids, 0.5))
    some = instance_contrast(z, bank, ids, torch.Generator().manual_seed(0), negatives=5, **options)
    rng = torch.Generator().manual_seed(0)
    if sampled == "softmax":
        expected = instance_cross_entropy(z, bank, ids, 0.5, draw_others(ids, 5, 6, rng))
    else:
        noise = torch.randint(0, 6, (3, 5), generator=rng)
        own = similarities(z, bank, ids[:, None])[:, 0] / 0.5
        expected = noise_contrastive(own, similarities(z, bank, noise) / 0.5)
    torch.testing.assert_close(some, expected)
