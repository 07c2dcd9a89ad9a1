"""Clusterings and the losses against clusters: known values, naive recomputations, hard cases."""

import math

import pytest
import torch
from tiny import generator
from torch import Tensor

from onlygood.pretrain.losses.clustering import (
    concentration,
    fill_empty,
    kmeans,
    nmi,
    pca_whiten,
    prototype_logits,
    sinkhorn,
    swapped_prediction,
)


def blobs(sizes: list[int], dim: int = 5, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Well separated clusters and their labels, shuffled."""
    rng = generator(seed)
    labels = torch.arange(len(sizes)).repeat_interleave(torch.tensor(sizes))
    labels = labels[torch.randperm(len(labels), generator=rng)]
    centers = 10 * torch.eye(len(sizes), dim)
    return centers[labels] + 0.1 * torch.randn(len(labels), dim, generator=rng), labels


# --- assignments --------------------------------------------------------------


def test_sinkhorn_is_alternating_normalization() -> None:
    scores = torch.rand(6, 4, generator=generator()) * 2 - 1
    q = [[math.exp(value / 0.05) for value in row] for row in scores.tolist()]
    for _ in range(3):
        columns = [sum(row[k] for row in q) for k in range(4)]
        q = [[row[k] / columns[k] for k in range(4)] for row in q]
        q = [[value / sum(row) for value in row] for row in q]
    torch.testing.assert_close(sinkhorn(scores, 0.05), torch.tensor(q), atol=1e-5, rtol=1e-4)


def test_sinkhorn_shares_prototypes_equally_whatever_the_scores() -> None:
    """Also where one prototype is everybody's favorite, and where exponentials leave float32."""
    scores = torch.randn(40, 8, generator=generator())
    scores[:, 0] += 3
    codes = sinkhorn(scores, 0.5, 200)
    torch.testing.assert_close(codes.sum(dim=1), torch.ones(40))
    torch.testing.assert_close(codes.sum(dim=0), torch.full((8,), 5.0), atol=1e-2, rtol=0)
    assert sinkhorn(100 * scores, 0.05).isfinite().all()
    assert torch.equal(sinkhorn(scores.bfloat16(), 0.05), sinkhorn(scores.bfloat16().float(), 0.05))


def test_swapped_prediction_recomputed() -> None:
    rng = generator()
    scores = torch.randn(3, 4, 5, generator=rng)
    codes = torch.randn(2, 4, 5, generator=rng).softmax(dim=2)
    terms = []
    for g in range(2):
        for v in range(3):
            for n in range(4):
                if v != g:
                    log_p = (scores[v, n] / 0.1).log_softmax(dim=0)
                    terms.append(-sum(float(codes[g, n, k] * log_p[k]) for k in range(5)))
    assert swapped_prediction(scores, codes, 0.1).item() == pytest.approx(sum(terms) / len(terms), rel=1e-5)
    flat = swapped_prediction(torch.zeros(3, 4, 5), codes, 0.1)
    assert flat.item() == pytest.approx(math.log(5), rel=1e-6)


def test_prototype_logits_recomputed_and_unused_prototypes_are_never_picked() -> None:
    rng = generator()
    z, prototypes = torch.randn(3, 4, generator=rng), torch.randn(2, 5, 4, generator=rng)
    temperatures = torch.rand(2, 5, generator=rng) + 0.1
    temperatures[1, 3:] = 0
    with torch.autocast("cpu", torch.bfloat16):
        logits = prototype_logits(z, prototypes, temperatures)
    assert logits.shape == (2, 3, 5)
    for m in range(2):
        for n in range(3):
            for k in range(5):
                cosine = torch.cosine_similarity(z[n], prototypes[m, k], dim=0)
                used = temperatures[m, k] > 0
                expected = (cosine / temperatures[m, k]).item() if used else -math.inf
                assert logits[m, n, k].item() == pytest.approx(expected, rel=1e-4, abs=1e-5)


def test_concentration_is_that_of_the_paper() -> None:
    """Distances 1 and 3 in a cluster of two; 2, 2, 2 in one of three; both scaled to mean .2."""
    x = torch.tensor([[1.0, 0.0], [-3.0, 0.0], [10.0, 2.0], [10.0, -2.0], [12.0, 0.0]])
    labels = torch.tensor([0, 0, 1, 1, 1])
    centroids = torch.tensor([[0.0, 0.0], [10.0, 0.0]])
    raw = torch.tensor([4 / (2 * math.log(12)), 6 / (3 * math.log(13))])
    clipped = raw.clamp(raw.quantile(0.1), raw.quantile(0.9))
    expected = 0.2 * clipped / clipped.mean()
    torch.testing.assert_close(concentration(x, labels, centroids, 0.2, 10), expected)


def test_concentration_of_single_and_identical_images() -> None:
    """One image says nothing of its cluster's width; identical images must not divide by zero."""
    x = torch.tensor([[0.0, 0.0], [0.1, 0.0], [5.0, 0.0], [7.0, 0.0], [20.0, 0.0]])
    labels = torch.tensor([0, 0, 1, 1, 2])
    centroids = torch.tensor([[0.05, 0.0], [6.0, 0.0], [20.0, 0.0]])
    phi = concentration(x, labels, centroids, 0.2, 10)
    assert phi[0] < phi[1] == phi[2]
    same = concentration(torch.ones(6, 2), torch.arange(6) % 3, torch.ones(3, 2), 0.2, 10)
    torch.testing.assert_close(same, torch.full((3,), 0.2))
    pairs = torch.arange(12) % 6
    x = torch.zeros(12, 2)
    x[[4, 5, 10, 11], 0] = torch.tensor([9.0, 19.0, 11.0, 21.0])
    mixed = concentration(x, pairs, torch.tensor([[0.0, 0.0]] * 4 + [[10.0, 0.0], [20.0, 0.0]]), 0.2, 10)
    torch.testing.assert_close(mixed, torch.tensor([0.02] * 4 + [0.6] * 2))


# --- k-means ------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(5))
def test_kmeans_finds_separated_clusters_of_unequal_size(seed: int) -> None:
    x, truth = blobs([50, 7, 20, 3], seed=seed)
    labels, centroids = kmeans(x, 4, generator(seed))
    assert nmi(labels, truth) == pytest.approx(1)
    for k in range(4):
        torch.testing.assert_close(centroids[k], x[labels == k].mean(dim=0))


def test_kmeans_ends_where_no_point_has_a_nearer_centroid() -> None:
    x = torch.randn(200, 3, generator=generator())
    labels, centroids = kmeans(x, 6, generator(), iterations=200, init="random")
    assert torch.equal(torch.cdist(x, centroids).argmin(dim=1), labels)


def test_kmeans_depends_on_its_generator_alone() -> None:
    x = torch.randn(60, 3, generator=generator())
    before = torch.random.get_rng_state()
    first, _ = kmeans(x, 5, generator(1), iterations=2)
    again, _ = kmeans(x, 5, generator(1), iterations=2)
    other, _ = kmeans(x, 5, generator(2), iterations=2)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(torch.random.get_rng_state(), before)


@pytest.mark.parametrize("init", ["k-means++", "random"])
@pytest.mark.parametrize("spherical", [False, True])
def test_no_cluster_is_empty_even_of_identical_points(init: str, *, spherical: bool) -> None:
    x = torch.ones(20, 4)
    labels, centroids = kmeans(x, 7, generator(), init=init, spherical=spherical)  # type: ignore[arg-type]
    assert torch.bincount(labels, minlength=7).min() > 0
    assert centroids.isfinite().all()


def test_more_clusters_than_points_are_as_many_as_points() -> None:
    labels, centroids = kmeans(torch.randn(5, 3, generator=generator()), 100, generator())
    assert sorted(labels.tolist()) == [0, 1, 2, 3, 4]
    assert centroids.shape == (5, 3)


def test_spherical_clusters_are_of_directions() -> None:
    """Lengths are no matter, where plain k-means would split by them."""
    rng = generator()
    angle = torch.tensor([0.0, 1.0, 2.0, 3.0]).repeat(10) + 0.02 * torch.randn(40, generator=rng)
    length = torch.rand(40, 1, generator=rng) * 100 + 1
    x = torch.stack([angle.cos(), angle.sin()], dim=1) * length
    labels, centroids = kmeans(x, 4, rng, spherical=True)
    assert nmi(labels, torch.arange(4).repeat(10)) == pytest.approx(1)
    torch.testing.assert_close(centroids.norm(dim=1), torch.ones(4))
    plain, _ = kmeans(x, 4, rng)
    assert nmi(plain, torch.arange(4).repeat(10)) < 0.9


def test_an_empty_cluster_gets_half_of_the_largest() -> None:
    x = torch.tensor([[0.0], [1.0], [2.0], [10.0], [50.0]])
    labels = fill_empty(x, torch.tensor([0, 0, 0, 0, 2]), 3)
    assert labels.tolist() == [0, 0, 1, 1, 2]


def test_features_that_are_no_numbers_do_not_end_the_clustering() -> None:
    x = torch.full((10, 3), float("nan"))
    labels, centroids = kmeans(pca_whiten(x, 2), 3, generator())
    assert torch.bincount(labels, minlength=3).min() > 0
    assert centroids.isfinite().all()


# --- whitening, agreement -----------------------------------------------------


def test_whitened_features_have_unit_covariance_along_the_principal_directions() -> None:
    rng = generator()
    scales = torch.tensor([9.0, 4.0, 1.0, 0.1])
    x = torch.randn(500, 4, generator=rng) * scales + 7
    white = pca_whiten(x, 3)
    torch.testing.assert_close(white.T @ white / 500, torch.eye(3), atol=1e-3, rtol=0)
    for dim in range(3):
        pair = torch.corrcoef(torch.stack([white[:, dim], x[:, dim]]))
        assert pair[0, 1].abs() > 0.9


def test_whitening_of_constant_features_is_finite() -> None:
    assert pca_whiten(torch.full((10, 4), 3.0), 2).isfinite().all()


def test_nmi_of_known_labelings() -> None:
    a = torch.tensor([0, 0, 1, 1])
    assert nmi(a, 1 - a) == pytest.approx(1)
    assert nmi(a, torch.tensor([0, 1, 0, 1])) == pytest.approx(0, abs=1e-6)
    halves = torch.tensor([0, 1, 2, 3])  # H = log 4, I = log 2: log 2 / sqrt(log 2 · log 4)
    assert nmi(a, halves) == pytest.approx(math.sqrt(0.5))
    assert nmi(a * 0, a * 0) == 1
    assert nmi(a, a * 0) == 0
