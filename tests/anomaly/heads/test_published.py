"""Heads of published methods against values worked out by hand, naive code or another library."""

import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import digamma
from scipy.stats import dirichlet
from sklearn.svm import OneClassSVM as Solver
from torch import Tensor
from torch.nn import functional

from onlygood.anomaly.heads.csi import CSI, CSIConfig
from onlygood.anomaly.heads.dense import (
    DenseConfig,
    DenseProbability,
    ReconstructionConfig,
    ReconstructionError,
)
from onlygood.anomaly.heads.dirichlet import Dirichlet, fit_dirichlet, inverse_digamma
from onlygood.anomaly.heads.gaussian import Gaussian
from onlygood.anomaly.heads.goad import GOAD, GOADConfig
from onlygood.anomaly.heads.kernels import (
    KernelConfig,
    KernelDensity,
    OneClassSVM,
    OneClassSVMConfig,
    kernel_width,
)
from onlygood.anomaly.heads.knn import NearestNeighbors, NeighborsConfig
from onlygood.anomaly.heads.logprob import LogProbability, Probability
from onlygood.anomaly.heads.outputs import Outputs
from onlygood.anomaly.heads.padim import PaDiM, PaDiMConfig
from onlygood.anomaly.heads.ssd import ClusterGaussians, SSDConfig


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def rows(x: Tensor) -> Outputs:
    """Features ``(N, D)`` as those of images of one region and one view."""
    return Outputs(x[:, None, None])


def with_classes(head: Any, *classes: int) -> Any:
    head.prepare(SimpleNamespace(test_views=SimpleNamespace(classes=classes)))
    return head


# --- confidence ---------------------------------------------------------------


def test_probability_is_one_minus_the_naive_mean() -> None:
    logits = noise(4, 2, 3, 3)
    naive = 1 - logits.softmax(dim=3).diagonal(dim1=2, dim2=3).mean(dim=2)
    torch.testing.assert_close(Probability(2)(Outputs(logits=logits)), naive)
    sure = torch.tensor([[[[40.0, 0.0]]]])  # 1 - p is e^-40, which a softmax rounds to 0
    assert Probability(2)(Outputs(logits=sure)).item() == pytest.approx(math.exp(-40), rel=1e-5)


def test_several_views_may_have_one_class() -> None:
    """Two crops of each of two turns: the true classes are 0, 0, 1, 1."""
    logits = noise(5, 1, 4, 2)
    expected = -logits.log_softmax(dim=3)[:, :, [0, 1, 2, 3], [0, 0, 1, 1]].mean(dim=2)
    head = with_classes(LogProbability(2), 0, 0, 1, 1)
    torch.testing.assert_close(head(Outputs(logits=logits)), expected)


# --- Dirichlet ----------------------------------------------------------------


@given(st.floats(1e-3, 1e3))
def test_inverse_digamma(x: float) -> None:
    y = torch.tensor(digamma(x), dtype=torch.float64)
    assert inverse_digamma(y).item() == pytest.approx(x, rel=1e-6)


def test_dirichlet_parameters_are_found_again_for_each_view() -> None:
    truth = np.array([[2.0, 5.0, 0.7], [1.0, 1.0, 9.0]])
    rng = np.random.default_rng(0)
    samples = np.stack([rng.dirichlet(alpha, 20_000) for alpha in truth], axis=1)
    found = fit_dirichlet(torch.from_numpy(np.log(samples.clip(1e-300))))
    assert found.numpy() == pytest.approx(truth, rel=0.03)


def test_dirichlet_score_is_the_density_but_for_a_constant() -> None:
    """-1/K Σ_k Σ_c (α_kc - 1) log p_c is -log of scipy's densities without their norms."""
    logits = noise(200, 1, 2, 3)
    head = Dirichlet(1).fit(Outputs(logits=logits))
    alphas = head.weights.double() + 1
    p = logits.double().softmax(dim=3)[:5, 0]
    p /= p.sum(dim=2, keepdim=True)
    densities = np.array(
        [[dirichlet(alphas[k].numpy()).logpdf(p[n, k].numpy()) for k in range(2)] for n in range(5)]
    )
    scores = head(Outputs(logits=logits[:5]))[:, 0].double().numpy()
    offsets = scores + densities.mean(axis=1)
    assert offsets == pytest.approx(np.full(5, offsets[0]), abs=1e-4)


def test_one_extreme_answer_does_not_decide_the_densities() -> None:
    """Where a probability is below e^-50, how far below does not matter: not in fitting, not in scoring."""

    def fitted(extreme: float) -> Dirichlet:
        last = torch.tensor([extreme, -extreme]).expand(1, 1, 1, 2)
        return Dirichlet(1).fit(Outputs(logits=torch.cat([noise(50, 1, 1, 2), last])))

    torch.testing.assert_close(fitted(30.0).weights, fitted(3e4).weights)
    far = torch.tensor([30.0, -30.0]).expand(1, 1, 1, 2)
    head = fitted(30.0)
    torch.testing.assert_close(head(Outputs(logits=far)), head(Outputs(logits=1e4 * far)))


# --- kernels ------------------------------------------------------------------


def test_kernel_width_by_hand() -> None:
    """Entries 1, 0, 0, 1 have variance 1/4, two dimensions: 10 / (2 · 1/4) = 20; squared distance 2."""
    unit = torch.eye(2)
    assert kernel_width(unit, "variance") == pytest.approx(20)
    assert kernel_width(unit, "median") == pytest.approx(0.5)
    assert kernel_width(unit, 3.0) == 3.0


def test_kde_is_the_naive_density() -> None:
    good, new = noise(30, 4), noise(6, 4, seed=1)
    head = KernelDensity(4, KernelConfig(gamma=2.0)).fit(rows(good))
    x, y = functional.normalize(new, dim=1).double(), functional.normalize(good, dim=1).double()
    density = torch.exp(2 * 2.0 * (x @ y.T - 1)).mean(dim=1)
    assert head(rows(new))[:, 0].tolist() == pytest.approx((-density.log() / 2).tolist(), rel=1e-5)


def test_kde_of_a_coreset_weighs_clusters_by_their_size() -> None:
    """Two directions, 30 and 10 times: two centers give the density of all forty."""
    good = torch.cat([torch.tensor([[1.0, 0]]).repeat(30, 1), torch.tensor([[0, 1.0]]).repeat(10, 1)])
    few, every = (KernelDensity(2, KernelConfig(gamma=1.0, size=size)).fit(rows(good)) for size in (2, 100))
    new = noise(8, 2)
    assert few.bank.shape == (2, 2)
    torch.testing.assert_close(few(rows(new)), every(rows(new)))


@pytest.mark.parametrize("nu", [0.1, 0.5])
def test_ocsvm_is_that_of_scikit_learn(nu: float) -> None:
    good, new = noise(80, 5), noise(9, 5, seed=1)
    head = OneClassSVM(5, OneClassSVMConfig(nu=nu)).fit(rows(good))
    unit = functional.normalize(good, dim=1)
    solver = Solver(kernel="rbf", gamma=kernel_width(unit, "variance"), nu=nu).fit(unit.double().numpy())
    expected = -solver.decision_function(functional.normalize(new, dim=1).double().numpy())
    assert head(rows(new))[:, 0].tolist() == pytest.approx(expected.tolist(), abs=1e-4)


@pytest.mark.parametrize("head", [KernelDensity, OneClassSVM])
def test_kernels_tell_regions_apart_that_are_nearly_alike(head: type[KernelDensity | OneClassSVM]) -> None:
    """Features that differ in the fourth digit: float32 tells them apart as the plain formula in float64."""
    middle = noise(1, 16, seed=2).abs() + 1
    good, new = (middle + 1e-3 * noise(n, 16, seed=n) for n in (80, 9))
    fitted = head(16).fit(rows(good))
    fitted.gamma.fill_(2.0)
    bank = (fitted.bank.double() + fitted.middle.double()).numpy()
    away = functional.normalize(new, dim=1).double().numpy()[:, None] - bank
    kernels = np.exp(-2.0 * (away**2).sum(axis=2))
    if isinstance(fitted, OneClassSVM):
        expected = -kernels @ fitted.alphas.double().numpy()  # but for a constant
    else:
        expected = -np.log(kernels.mean(axis=1)) / 2
    expected -= expected.mean()
    found = fitted(rows(new))[:, 0].double().numpy()
    assert found - found.mean() == pytest.approx(expected, abs=0.02 * np.abs(expected).max())


# --- Gaussians ----------------------------------------------------------------


def test_padim_is_mahalanobis_at_each_place() -> None:
    good, new = noise(30, 4, 1, 3) * torch.arange(1, 5).view(1, 4, 1, 1), noise(5, 4, 1, 3, seed=1)
    head = PaDiM(3, PaDiMConfig(ridge=0.1)).fit(Outputs(good))
    for place in range(4):
        x = good[:, place, 0].double().numpy()
        inverse = np.linalg.inv(np.cov(x.T) + 0.1 * np.eye(3))
        away = new[:, place, 0].double().numpy() - x.mean(axis=0)
        expected = np.sqrt(np.einsum("nd,de,ne->n", away, inverse, away))
        assert head(Outputs(new))[:, place].tolist() == pytest.approx(expected.tolist(), rel=1e-4)


def test_padim_of_low_rank_takes_the_other_directions_as_equal() -> None:
    """Variances 9, 1 and 1: one direction is enough, whatever the rotation."""
    turn, _ = torch.linalg.qr(noise(3, 3))
    x = noise(4000, 1, 1, 3)
    x = functional.normalize(x - x.mean(0), dim=-1) * 3**0.5  # directions alike, so that variances are near 1
    good = Outputs((x * torch.tensor([3.0, 1, 1])) @ turn)
    new = Outputs(noise(6, 1, 1, 3, seed=1))
    full = PaDiM(3, PaDiMConfig(ridge=1e-6)).fit(good)
    low = PaDiM(3, PaDiMConfig(ridge=1e-6, rank=1)).fit(good)
    assert low.directions.shape == (1, 3, 1)
    torch.testing.assert_close(low(new), full(new), rtol=0.05, atol=0.05)


def test_padim_draws_some_features_of_many() -> None:
    head = PaDiM(50, PaDiMConfig(dim=7)).fit(Outputs(noise(20, 2, 1, 50)))
    others = (head.projection == 0).all(dim=1)
    assert others.sum() == 43
    changed = noise(3, 2, 1, 50, seed=1)
    before = head(Outputs(changed))
    changed[..., others] = 99.0
    assert torch.equal(head(Outputs(changed)), before)


def test_padim_whitened_does_not_depend_on_the_units_of_features() -> None:
    good, new = noise(40, 3, 1, 5), noise(6, 3, 1, 5, seed=1)
    mixed = torch.tensor(
        [[3.0, 1, 0, 0, 0], [0, 0.1, 0, 0, 0], [0, 0, 1, 0, 2], [0, 0, 0, 9, 0], [1, 0, 0, 0, 1]]
    )
    config = PaDiMConfig(dim=5, take="whitened", ridge=0.1)
    before = PaDiM(5, config).fit(Outputs(good))(Outputs(new))
    after = PaDiM(5, config).fit(Outputs(good @ mixed))(Outputs(new @ mixed))
    torch.testing.assert_close(before, after, atol=1e-3, rtol=1e-3)


def test_padim_whitened_takes_what_varies_within_places_and_not_between_them() -> None:
    good = noise(40, 3, 1, 4) * torch.tensor([1.0, 1, 0.01, 0.01])
    good[..., 3] += torch.tensor([-50.0, 0, 50])[None, :, None]  # tells places apart, and nothing of an image
    head = PaDiM(4, PaDiMConfig(dim=2, take="whitened")).fit(Outputs(good))
    taken = head.projection.abs().sum(dim=1)
    assert taken[:2].min() > 0.5
    assert taken[2:].max() < 0.5


def test_ssd_of_one_cluster_is_the_gaussian_of_directions() -> None:
    good, new = noise(60, 4) + 1, noise(5, 4, seed=1)
    expected = Gaussian(4).fit(rows(functional.normalize(good, dim=1)))
    head = ClusterGaussians(4).fit(rows(good))
    torch.testing.assert_close(head(rows(new)), expected(rows(functional.normalize(new, dim=1))))


def test_ssd_of_two_clusters_takes_the_nearer_one() -> None:
    """Two tight bunches, one a tenth as wide: what is far by its measure is near by one Gaussian's."""
    a, b = torch.tensor([1.0, 0.3]), torch.tensor([0.3, 1.0])
    good = rows(torch.cat([a + 0.1 * noise(50, 2), b + 0.01 * noise(50, 2, seed=1)]))
    new = rows(torch.stack([a, b, b + torch.tensor([0.1, 0.0])]))
    one, two = (ClusterGaussians(2, SSDConfig(clusters=k)).fit(good)(new)[:, 0] for k in (1, 2))
    assert one[2] < 2 * one[:2].max()
    assert two[2] > 5 * two[:2].max()


# --- nearest neighbors --------------------------------------------------------


def test_euclidean_neighbors_by_hand() -> None:
    good = torch.tensor([[0.0, 0], [3, 4], [0, 10]])
    head = NearestNeighbors(2, NeighborsConfig(metric="euclidean", neighbors=2)).fit(rows(good))
    # (0, 4) is 4 from the first, 3 from the second, 6 from the third.
    assert head(rows(torch.tensor([[0.0, 4]]))).item() == pytest.approx(3.5)


def test_neighbors_far_from_zero_are_found_exactly() -> None:
    good, new = (3000 + noise(count, 64, seed=count) for count in (400, 50))
    head = NearestNeighbors(64, NeighborsConfig(metric="euclidean")).fit(rows(good))
    expected = torch.cdist(new.double(), good.double()).amin(dim=1)
    torch.testing.assert_close(head(rows(new))[:, 0].double(), expected, rtol=1e-4, atol=0)


def test_patchcores_weight_by_hand() -> None:
    """On a line, bank 0, 1, 5: of 0 the two nearest are 0 and 1. At -1 d = 1 and weight 1 - e / (e + e²)."""
    good = torch.tensor([[0.0], [1.0], [5.0]])
    config = NeighborsConfig(metric="euclidean", reweight=2)
    head = NearestNeighbors(1, config).fit(rows(good))
    expected = 1 * (1 - math.e / (math.e + math.e**2))
    assert head(rows(torch.tensor([[-1.0]]))).item() == pytest.approx(expected, rel=1e-5)


def test_neighbors_within_reach() -> None:
    """A row of three places, whose good values are 0, 10 and 20."""
    good = Outputs(torch.tensor([0.0, 10, 20]).view(1, 3, 1, 1), grid=(1, 3))
    new = Outputs(torch.tensor([20.0, 20, 20]).view(1, 3, 1, 1), grid=(1, 3))

    def scores(reach: int | None) -> list[float]:
        config = NeighborsConfig(metric="euclidean", reach=reach)
        return NearestNeighbors(1, config).fit(good)(new)[0].tolist()

    assert scores(None) == pytest.approx([0, 0, 0], abs=1e-5)
    assert scores(1) == pytest.approx([10, 0, 0], abs=1e-5)
    assert scores(0) == pytest.approx([20, 10, 0], abs=1e-5)


def test_reach_counts_rows_and_columns_and_falls_back_to_all() -> None:
    """Four places of a square; a bank of one region, at the first place."""
    good = Outputs(torch.tensor([0.0, 1, 2, 3]).view(1, 4, 1, 1), grid=(2, 2))
    head = NearestNeighbors(1, NeighborsConfig(metric="euclidean", reach=0, size=1)).fit(good)
    assert head.far is not None
    assert head.far[:, 0].tolist() == [0, 1, 1, 1]
    assert head(good)[0].tolist() == pytest.approx([0, 1, 2, 3], abs=1e-5)


# --- CSI, GOAD ----------------------------------------------------------------


def csi_naive(features: Tensor, logits: Tensor, good_features: Tensor, good_logits: Tensor) -> list[float]:
    shifts = features.shape[1]
    centered, good_centered = (x - x.mean(dim=2, keepdim=True) for x in (logits, good_logits))
    scores = []
    for n in range(len(features)):
        total = 0.0
        for k in range(shifts):
            axes = functional.normalize(good_features[:, k], dim=1)
            nearest = float((axes @ features[n, k]).max())
            confidence = float(centered[n, k, k]) / float(good_centered[:, k, k].mean())
            total += nearest / float(good_features[:, k].norm(dim=1).mean()) + confidence
        scores.append(-total / shifts)
    return scores


def test_csi_is_the_naive_sum() -> None:
    good, new = noise(20, 4, 6), noise(5, 4, 6, seed=1)
    sure = 3 * torch.eye(4)
    good_logits, new_logits = sure + noise(20, 4, 4), sure + noise(5, 4, 4, seed=1)
    head = CSI(6).fit(Outputs(good[:, None], good_logits[:, None]))
    scores = head(Outputs(new[:, None], new_logits[:, None]))[:, 0]
    assert scores.tolist() == pytest.approx(csi_naive(new, new_logits, good, good_logits), rel=1e-4)


def test_csi_averages_the_views_of_a_shift() -> None:
    """Two crops of each of two shifts are their means."""
    features, logits = noise(8, 1, 4, 5), 2 * noise(8, 1, 4, 2)
    logits = logits + torch.tensor([[3.0, 0], [3, 0], [0, 3], [0, 3]])
    four = with_classes(CSI(5), 0, 0, 1, 1).fit(Outputs(features, logits))
    means = Outputs(features.view(8, 1, 2, 2, 5).mean(dim=3), logits.view(8, 1, 2, 2, 2).mean(dim=3))
    torch.testing.assert_close(four(Outputs(features, logits)), CSI(5).fit(means)(means))


def test_csi_keeps_few_axes_and_survives_a_blind_classifier() -> None:
    blind = Outputs(noise(40, 1, 2, 3), -5 * torch.eye(2).expand(40, 1, 2, 2))
    head = CSI(3, CSIConfig(size=4)).fit(blind)
    assert head.axes.shape == (2, 4, 3)
    assert head(blind).isfinite().all()


def test_goad_by_hand() -> None:
    """Two transforms with centers 0 and 2; at 0 and 2 each is 4 from the other's."""
    good = Outputs(torch.tensor([[[[-1.0], [1.0]]], [[[1.0], [3.0]]]]))
    head = GOAD(1, GOADConfig(doubt=1e-9)).fit(good)
    assert head.centers.flatten().tolist() == [0, 2]
    new = Outputs(torch.tensor([[[[0.0], [2.0]]], [[[2.0], [0.0]]], [[[90.0], [90.0]]]]))
    right, wrong = -math.log(1 / (1 + math.exp(-4))), -math.log(math.exp(-4) / (1 + math.exp(-4)))
    assert head(new)[:, 0].tolist() == pytest.approx([right, wrong, math.log(2)], rel=1e-4)


# --- dense --------------------------------------------------------------------


def test_dense_probability_by_hand() -> None:
    logits = torch.tensor([0.0, math.log(3.0)]).view(1, 1, 1, 2)
    assert DenseProbability(1)(Outputs(dense=logits)).item() == pytest.approx((0.5 + 0.75) / 2)
    largest = DenseProbability(1, DenseConfig(over="max"))
    assert largest(Outputs(dense=logits)).item() == pytest.approx(0.75)


def test_reconstruction_error_by_hand() -> None:
    pixels = torch.zeros(1, 2, 3, 12, 12)
    restored = pixels.clone()
    restored[0, 1, :, :6] = 2.0  # half of the pixels of the second region are off by 2
    seen = Outputs(pixels=pixels, restored=restored)
    assert ReconstructionError(1)(seen).tolist() == [[0.0, 2.0]]
    first, second = ReconstructionError(1, ReconstructionConfig(measure="ssim"))(seen)[0].tolist()
    assert first == pytest.approx(0, abs=1e-6)
    assert 0.3 < second < 0.9


def test_the_nearest_of_a_dense_bank_is_the_nearest() -> None:
    """Rows that differ in the third digit: products of float32 mistake the nearest ones, distances do not."""
    around = functional.normalize(torch.ones(1, 64) + 2e-3 * noise(500, 64), dim=1)
    new = functional.normalize(torch.ones(1, 64) + 2e-3 * noise(40, 64, seed=1), dim=1)
    head = NearestNeighbors(64, NeighborsConfig(size=500)).fit(rows(around))
    exact = torch.cdist(new.double(), head.bank.double()).amin(dim=1)
    found = head(rows(new))[:, 0].double()
    assert ((found - exact) / exact).max() < 1e-4
