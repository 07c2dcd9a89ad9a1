"""Triplets with hardest and random negatives and with centers, recomputed.

Semi-hard ones are in `test_exemplar_triplet.py`.
"""

import numpy as np
import pytest
import torch
from torch import Tensor

from onlygood.pretrain.losses.measures import cosines
from onlygood.pretrain.losses.triplet import (
    center_triplet,
    hardest_negatives,
    random_negatives,
    triplet_terms,
    weighted_triplets,
)

MARGIN = 0.5


def distances(n: int = 7, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    a, b = torch.randn(2, n, 5, generator=torch.Generator().manual_seed(seed))
    return a, b, 1 - cosines(a, b)


def naive(a: Tensor, b: Tensor) -> list[list[float]]:
    """Costs of all negatives of each anchor, one by one."""

    def distance(x: Tensor, y: Tensor) -> float:
        return 1 - float(x @ y / (x.norm() * y.norm()))

    every = range(len(a))
    return [
        [max(0.0, distance(a[i], b[i]) - distance(a[i], b[j]) + MARGIN) for j in every if j != i]
        for i in every
    ]


def others(n: int) -> Tensor:
    return ~torch.eye(n, dtype=torch.bool)


def test_hardest_negatives_recomputed() -> None:
    a, b, d = distances()
    expected = np.mean([sorted(costs)[-4:] for costs in naive(a, b)])
    loss = hardest_negatives(triplet_terms(d, MARGIN), others(7), 4)
    assert loss.item() == pytest.approx(expected, rel=1e-5)


def test_all_negatives_recomputed() -> None:
    """With as many random ones as there are, or asked for more, all count once."""
    a, b, d = distances()
    for count in (6, 7, 50):
        loss = random_negatives(triplet_terms(d, MARGIN), others(7), count, torch.Generator())
        assert loss.item() == pytest.approx(np.mean(naive(a, b)), rel=1e-5)


def test_random_negatives_are_different_and_as_many_as_asked_for() -> None:
    """Costs 2^j tell which were taken."""
    powers = (2.0 ** torch.arange(8)).expand(8, 8)
    rng = torch.Generator().manual_seed(0)
    seen = set()
    for _ in range(200):
        total = round(8 * 3 * random_negatives(powers, others(8) & (torch.arange(8) != 7), 3, rng).item())
        assert 8 * (1 + 2 + 4) <= total <= 8 * (16 + 32 + 64)
        seen.add(total)
    assert len(seen) > 100
    one = torch.zeros(8, 8)
    one[0] = powers[0]
    drawn = [round(8 * 3 * random_negatives(one, others(8), 3, rng).item()) for _ in range(300)]
    assert all(total.bit_count() == 3 and not total & 1 for total in drawn)
    rates = [np.mean([total >> j & 1 for total in drawn]) for j in range(1, 8)]
    assert rates == pytest.approx([3 / 7] * 7, abs=0.12)


def test_embeddings_apart_by_the_margin_cost_nothing() -> None:
    z = torch.eye(6)
    terms = triplet_terms(1 - cosines(z, z), MARGIN)
    assert hardest_negatives(terms, others(6), 4) == 0
    assert hardest_negatives(triplet_terms(1 - cosines(z, z), 1.5), others(6), 4).item() == 0.5


def test_the_loss_in_bfloat16_is_computed_in_float32() -> None:
    _, _, expected = distances()
    with torch.autocast("cpu", torch.bfloat16):
        _, _, d = distances()
    assert d.dtype == torch.float32
    assert torch.equal(d, expected)


# --- triplets of centers


def test_centers_by_hand() -> None:
    """Two images of two kinds on a line: 0 and 2 around 1, 10 and 12 around 11."""
    z = torch.tensor([[[0.0], [10.0]], [[2.0], [12.0]]])
    assert center_triplet(z, 1.0) == 0
    # Own 1; others 121, 81, 81, 121: of these margins two are violated, by 20 each.
    assert center_triplet(z, 100.0).item() == pytest.approx((20 + 20) / 4)


def test_centers_recomputed() -> None:
    z = torch.randn(5, 4, 3, generator=torch.Generator().manual_seed(0))
    centers = [sum(z[i, k] for i in range(5)) / 5 for k in range(4)]
    expected = 0.0
    for i in range(5):
        for k in range(4):
            own, *rest = [float((z[i, k] - centers[j]).square().sum()) for j in (k, *({0, 1, 2, 3} - {k}))]
            expected += max(0.0, own + 2.0 - min(rest)) / 20
    assert center_triplet(z, 2.0).item() == pytest.approx(expected, rel=1e-5)


def test_centers_of_equal_embeddings_cost_the_margin_and_a_shift_changes_nothing() -> None:
    z = torch.randn(5, 4, 3, generator=torch.Generator().manual_seed(0))
    assert center_triplet(z[:1, :1].expand(5, 4, -1), 0.7).item() == pytest.approx(0.7, abs=1e-5)
    torch.testing.assert_close(center_triplet(z + 2, 1.0), center_triplet(z, 1.0))


def test_centers_in_bfloat16_are_computed_in_float32() -> None:
    z = torch.randn(5, 4, 3, generator=torch.Generator().manual_seed(0))
    with torch.autocast("cpu", torch.bfloat16):
        found = center_triplet(z, 1.0)
    assert torch.equal(found, center_triplet(z, 1.0))


# --- triplets of clusters


def test_weighted_triplets_recomputed() -> None:
    z = torch.randn(6, 3, generator=torch.Generator().manual_seed(0))
    labels = torch.tensor([0, 1, 0, 2, 1, 0])
    unit = z / z.norm(dim=1, keepdim=True)
    squares = (unit[:, None] - unit).square().sum(dim=2).tolist()
    every, terms = range(6), []
    for i in every:
        for j in (j for j in every if j != i and labels[j] == labels[i]):
            terms += [
                max(0.0, 2 * squares[i][j] - squares[i][k] + 0.3) for k in every if labels[k] != labels[i]
            ]
    loss = weighted_triplets(z, labels, torch.Generator(), margin=0.3, weight=2.0, negatives=20)
    assert loss.item() == pytest.approx(np.mean(terms), rel=1e-5)


def test_weighted_triplets_of_some_negatives_and_of_none() -> None:
    z = torch.randn(40, 3, generator=torch.Generator().manual_seed(0))
    labels, options = torch.arange(40) % 8, {"margin": 0.3, "weight": 1.0}
    whole = weighted_triplets(z, labels, torch.Generator(), **options, negatives=40)
    some = [
        weighted_triplets(z, labels, torch.Generator().manual_seed(seed), **options, negatives=2)
        for seed in range(200)
    ]
    assert torch.stack(some).mean().item() == pytest.approx(whole.item(), rel=0.03)
    assert torch.stack(some).std() > 0.01
    one_kind = weighted_triplets(z, 0 * labels, torch.Generator(), **options, negatives=2)
    alone = weighted_triplets(z, torch.arange(40), torch.Generator(), **options, negatives=2)
    assert (one_kind, alone) == (0, 0)
    alike = weighted_triplets(torch.ones(40, 3), labels, torch.Generator(), **options, negatives=2)
    assert alike.item() == pytest.approx(0.3, abs=1e-5)
