"""Every head against a value worked out by hand, or by another library."""

import itertools
import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.distance import mahalanobis
from sklearn.covariance import LedoitWolf
from torch import Tensor

from onlygood.anomaly.heads.base import Head
from onlygood.anomaly.heads.center import CenterDistance
from onlygood.anomaly.heads.coreset import CANDIDATES, greedy_coreset
from onlygood.anomaly.heads.ensemble import Ensemble
from onlygood.anomaly.heads.gaussian import Gaussian
from onlygood.anomaly.heads.knn import NearestNeighbors, NeighborsConfig
from onlygood.anomaly.heads.logprob import LogProbability
from onlygood.anomaly.heads.outputs import Outputs
from onlygood.anomaly.heads.registry import HeadConfig, create_head
from onlygood.runtime.errors import OnlygoodError


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def outputs(features: Tensor, logits: Tensor | None = None) -> Outputs:
    """From features ``(N, D)``: one region, one view."""
    return Outputs(features[:, None, None], None if logits is None else logits[:, None, None])


def of_logits(logits: Tensor) -> Outputs:
    return Outputs(torch.zeros(*logits.shape[:3], 2), logits)


# --- log-probability ----------------------------------------------------------


@given(st.integers(0, 1000), st.integers(1, 4), st.integers(0, 3), st.floats(0.1, 20))
def test_logprob_is_the_naive_mean(seed: int, views: int, more: int, scale: float) -> None:
    classes = max(2, views + more)
    logits = scale * noise(2, 3, views, classes, seed=seed)
    naive = -logits.double().log_softmax(dim=3)
    expected = torch.stack([naive[:, :, k, k] for k in range(views)]).mean(dim=0)
    head = LogProbability(4).fit(of_logits(logits))
    torch.testing.assert_close(head(of_logits(logits)).double(), expected, rtol=1e-4, atol=1e-6)


def test_logprob_by_hand() -> None:
    """Clean against defective at odds of 3 to 1; then two views of two classes, right and wrong."""
    logits = torch.tensor([[math.log(3.0), 0.0]])
    assert LogProbability(4)(outputs(logits, logits)).item() == pytest.approx(math.log(4 / 3))
    two = torch.tensor([[[[math.log(3.0), 0.0], [math.log(3.0), 0.0]]]])
    assert LogProbability(4)(of_logits(two)).item() == pytest.approx((math.log(4 / 3) + math.log(4)) / 2)


def test_logprob_keeps_telling_apart_where_the_classifier_is_sure() -> None:
    """Margins of 30 and 60: 1 - p is e^-30 and e^-60, which a softmax in float32 rounds to nothing."""
    margins = torch.tensor([5.0, 17.0, 30.0, 60.0, -30.0, -500.0])
    logits = torch.stack([margins, torch.zeros(6)], dim=1)
    scores = LogProbability(4)(outputs(logits, logits))[:, 0]
    expected = [math.log1p(math.exp(-m)) if m > -100 else -m for m in margins.tolist()]
    assert scores.tolist() == pytest.approx(expected, rel=1e-5)


def test_logprob_needs_a_classifier() -> None:
    with pytest.raises(OnlygoodError, match="needs logits, and the outputs hold none"):
        LogProbability(4)(outputs(noise(2, 3)))
    views = SimpleNamespace(count=1)
    task = SimpleNamespace(view_classifier=None, restores=False, locates=False, test_views=views)
    with pytest.raises(OnlygoodError, match="'logprob' needs a pretext task with a classifier"):
        create_head(HeadConfig(names=["logprob"]), 4, task)  # type: ignore[arg-type]


# --- Gaussian -----------------------------------------------------------------


def test_gaussian_is_mahalanobis_under_ledoit_wolf() -> None:
    mixing = noise(5, 5, seed=1)
    good, new = noise(40, 5) @ mixing + 3, noise(7, 5, seed=2) @ mixing * 2
    head = Gaussian(5).fit(outputs(good))
    estimate = LedoitWolf().fit(good.double().numpy())
    inverse = np.linalg.inv(estimate.covariance_)
    expected = [mahalanobis(x, estimate.location_, inverse) for x in new.double().numpy()]
    assert head(outputs(new))[:, 0].tolist() == pytest.approx(expected, rel=1e-4)


def test_gaussian_of_regions_pools_all_of_them() -> None:
    x = noise(20, 6, 1, 4)
    regions, flat = Gaussian(4).fit(Outputs(x)), Gaussian(4).fit(outputs(x.reshape(-1, 4)))
    assert regions(Outputs(x)).shape == (20, 6)
    torch.testing.assert_close(regions(Outputs(x)), flat(Outputs(x)))


def test_gaussian_does_not_care_about_units() -> None:
    """Features of millions or millionths, moved anywhere: the same scores."""
    good, new = noise(60, 4), noise(5, 4, seed=1)
    expected = Gaussian(4).fit(outputs(good))(outputs(new))
    for factor in (1e3, 1e-3):
        head = Gaussian(4).fit(outputs(good * factor))
        torch.testing.assert_close(head(outputs(new * factor)), expected, rtol=1e-3, atol=1e-4)


def test_gaussian_survives_dead_units_and_few_images() -> None:
    good = noise(3, 8)
    good[:, 5:] = 0.0
    head = Gaussian(8).fit(outputs(good))
    scores = head(outputs(torch.cat([good, 10 * noise(2, 8, seed=1)])))[:, 0]
    assert scores.isfinite().all()
    assert scores[3:].min() > scores[:3].max()


# --- nearest neighbours -------------------------------------------------------


@pytest.mark.parametrize("neighbours", [1, 3])
def test_knn_is_the_naive_mean_distance_on_the_sphere(neighbours: int) -> None:
    good, new = 5 * noise(30, 4), noise(6, 4, seed=1)
    head = NearestNeighbors(4, NeighborsConfig(size=100, neighbors=neighbours)).fit(outputs(good))
    unit = [x / np.linalg.norm(x) for x in good.numpy()]
    expected = [
        np.mean(sorted(np.linalg.norm(x / np.linalg.norm(x) - y) for y in unit)[:neighbours])
        for x in new.numpy()
    ]
    assert head(outputs(new))[:, 0].tolist() == pytest.approx(expected, rel=1e-4)


def test_knn_by_hand() -> None:
    good = torch.tensor([[1.0, 0], [0, 2]])
    head = NearestNeighbors(2, NeighborsConfig(size=2)).fit(outputs(good))
    new = torch.tensor([[3.0, 0], [1, 1], [-1, 0], [0, -1]])
    expected = [0.0, math.sqrt(2 - math.sqrt(2)), math.sqrt(2), math.sqrt(2)]
    assert head(outputs(new))[:, 0].tolist() == pytest.approx(expected, abs=1e-3)


def test_knn_with_fewer_good_regions_than_neighbors_takes_all() -> None:
    good = torch.tensor([[1.0, 0], [0, 1]])
    head = NearestNeighbors(2, NeighborsConfig(size=10, neighbors=5)).fit(outputs(good))
    assert head(outputs(torch.tensor([[1.0, 0]]))).item() == pytest.approx(math.sqrt(2) / 2, abs=1e-3)


def test_coreset_by_hand() -> None:
    """From 0: farthest is 10, then 4 (the middle), then 7, ties to the first."""
    points = torch.tensor([[0.0], [1.0], [4.0], [7.0], [10.0]])
    assert greedy_coreset(points, 4).tolist() == [0, 4, 2, 3]
    assert greedy_coreset(points, 2, start=3).tolist() == [3, 0]


def test_coreset_covers_within_twice_the_optimum() -> None:
    points = noise(12, 2)
    chosen = greedy_coreset(points, 3)

    def radius(ids: tuple[int, ...]) -> float:
        return float(torch.cdist(points, points[list(ids)]).min(dim=1).values.max())

    best = min(radius(ids) for ids in itertools.combinations(range(12), 3))
    assert best <= radius(tuple(chosen.tolist())) <= 2 * best
    assert len(set(chosen.tolist())) == 3


def test_knn_tells_small_distances_exactly() -> None:
    """2 - 2 cos of an angle of a thousandth has three digits left in float32; the difference has six."""
    angle = torch.tensor([[1e-3], [1e-2]], dtype=torch.float64)
    new = torch.cat([angle.cos(), angle.sin()], dim=1).float()
    head = NearestNeighbors(2, NeighborsConfig(size=1)).fit(outputs(torch.tensor([[1.0, 0]])))
    expected = (2 * (angle / 2).sin()).flatten().tolist()
    assert head(outputs(new)).flatten().tolist() == pytest.approx(expected, rel=1e-5)


def test_knn_keeps_only_the_coreset() -> None:
    """Two tight bunches and one outlier: three members remember them all."""
    bunches = torch.cat(
        [torch.tensor([[1.0, 0, 0]]).repeat(20, 1), torch.tensor([[0, 1.0, 0]]).repeat(20, 1)]
    )
    good = torch.cat([bunches + 0.01 * noise(40, 3), torch.tensor([[0, 0, 1.0]])])
    head = NearestNeighbors(3, NeighborsConfig(size=3)).fit(outputs(good))
    assert head.bank.shape == (3, 3)
    assert head(outputs(good)).max() < 0.1
    assert head(outputs(torch.tensor([[-1.0, -1, -1]]))).item() > 1


def test_knn_chooses_among_a_bounded_number_spread_over_all() -> None:
    angle = torch.linspace(0, math.pi, CANDIDATES + 5000)
    good = torch.stack([angle.cos(), angle.sin()], dim=1)
    head = NearestNeighbors(2, NeighborsConfig(size=5)).fit(outputs(good))
    covered = head(outputs(good[::500])).max()
    assert covered < 2 * math.sin(math.pi / 8) + 1e-3  # quarter, half, quarter: five cover a half circle


# --- center -------------------------------------------------------------------


def test_center_by_hand() -> None:
    good = torch.tensor([[0.0, 0], [2, 4]])
    new = outputs(torch.tensor([[1.0, 2], [4, 6]]))
    assert CenterDistance(2).fit(outputs(good))(new).flatten().tolist() == [0, 25]
    given = towards(torch.tensor([4.0, 5])).fit(outputs(good))
    assert given(new).flatten().tolist() == [18, 1]


def test_a_trained_center_is_copied() -> None:
    center = torch.ones(2)
    head = towards(center)
    center.zero_()
    assert head.center.tolist() == [1, 1]


def towards(center: Tensor) -> CenterDistance:
    """The head of a task that pulled features there."""
    head = CenterDistance(len(center))
    head.prepare(SimpleNamespace(center=center))  # type: ignore[arg-type]
    return head


# --- ensemble -----------------------------------------------------------------


def test_ensemble_by_hand() -> None:
    """Good scores 0, 1, …, 100 by both, one of them a hundred times larger: medians 50, 99 % at 99."""
    good = torch.arange(101.0).sqrt().repeat_interleave(2)[:, None]  # each half of the images has them all
    head = Ensemble([Scaled(1.0), Scaled(100.0)]).fit(outputs(good))
    new = outputs(torch.tensor([[50.0], [99.0], [148.0]]).sqrt())
    assert head(new).flatten().tolist() == pytest.approx([0, 1, 2], abs=1e-4)


def test_the_spread_is_that_of_regions_which_a_head_has_not_seen() -> None:
    """A bank that remembers every good region gives these a distance of 0, which is nobody's spread."""
    good, new = outputs(noise(200, 4)), outputs(noise(2000, 4, seed=1))
    head = Ensemble([NearestNeighbors(4, NeighborsConfig(size=1000))]).fit(good)
    middle, tail = torch.quantile(head(new), torch.tensor([0.5, 0.99]))
    assert -0.5 < middle < 0  # a bank twice as large is a little nearer
    assert 0.3 < tail < 1.3


def test_the_members_of_an_ensemble_learn_from_all_images() -> None:
    good = Outputs(noise(20, 3, 1, 4))
    (member,) = Ensemble([Gaussian(4)]).fit(good).heads
    torch.testing.assert_close(member(good), Gaussian(4).fit(good)(good))


def test_the_spread_of_many_regions_is_measured_on_some_of_them() -> None:
    good = Outputs(noise(60, 2000, 1, 1))
    seen: list[int] = []

    class Watched(CenterDistance):
        def forward(self, outputs: Outputs) -> Tensor:
            seen.append(len(outputs.rows()))
            return super().forward(outputs)

    Ensemble([Watched(1)]).fit(good)
    assert seen == [20_000]


def knn_options(names: list[str], size: int) -> dict[str, dict[str, int]]:
    return {"knn": {"size": size}} if "knn" in names else {}


class Scaled(CenterDistance):
    """``factor · x²``."""

    def __init__(self, factor: float) -> None:
        super().__init__(1)
        self.given = True
        self.factor = factor

    def forward(self, outputs: Outputs) -> Tensor:
        return self.factor * super().forward(outputs)


def test_ensemble_of_constant_scores_stays_finite() -> None:
    good = torch.ones(10, 2)
    head = Ensemble([CenterDistance(2), CenterDistance(2)]).fit(outputs(good))
    assert head(outputs(good)).flatten().tolist() == [0.0] * 10


def test_ensemble_reads_logits_only_where_a_member_does() -> None:
    def head(*names: str) -> Head:
        return create_head(HeadConfig.parse({"names": names}, "test"), 4)

    assert head("gaussian", "knn").reads == head("gaussian").reads == {"features"}
    assert head("gaussian", "logprob").reads == {"features", "logits"}
    assert head("logprob").reads == {"logits"}


# --- all ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "names", [["logprob"], ["gaussian"], ["knn"], ["centre"], ["gaussian", "knn", "logprob"]]
)
def test_what_was_fitted_is_in_the_buffers(names: list[str]) -> None:
    """Another head with the same buffers gives the same scores; scores are of each region alone."""
    config = HeadConfig.parse({"names": names, "options": knn_options(names, 12)}, "test")
    good = Outputs(noise(8, 3, 1, 4), noise(8, 3, 1, 2))
    new = Outputs(noise(5, 3, 1, 4, seed=1), noise(5, 3, 1, 2, seed=1))
    head, other = create_head(config, 4).fit(good).eval(), create_head(config, 4).eval()
    other.load_state_dict(head.state_dict())
    scores = head(new)
    assert scores.shape == (5, 3)
    assert torch.equal(other(new), scores)
    other_order = Outputs(new.get("features").flip(0, 1), noise(5, 3, 1, 2, seed=1).flip(0, 1))
    torch.testing.assert_close(head(other_order), scores.flip(0, 1))


@pytest.mark.parametrize("name", ["gaussian", "knn", "centre"])
def test_feature_heads_look_at_the_untransformed_view(name: str) -> None:
    config = HeadConfig.parse({"names": [name], "options": knn_options([name], 6)}, "test")
    features = noise(8, 2, 4, 3)
    head = create_head(config, 3).fit(Outputs(features))
    plain = Outputs(features[:, :, :1])
    torch.testing.assert_close(head(Outputs(features)), create_head(config, 3).fit(plain)(plain))


def test_an_unknown_head_is_refused() -> None:
    with pytest.raises(OnlygoodError, match="no head 'gausian'; did you mean 'gaussian'"):
        HeadConfig.parse({"names": ["gausian"]}, "test")


def test_older_recipes_name_the_options_of_knn_beside_the_heads() -> None:
    config = HeadConfig.parse({"names": ["gaussian", "knn"], "size": 7, "neighbours": 2}, "test")
    assert config.options == {"knn": {"size": 7, "neighbors": 2}}
    assert HeadConfig.parse({"names": ["gaussian"], "size": 7}, "test").options == {}  # nobody heard of it


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"gausian": {}}, "'gausian', which is not among the heads; did you mean 'gaussian'"),
        ({"knn": {"size": 3}}, "'knn', which is not among the heads"),
    ],
)
def test_options_of_no_head_are_refused(options: dict[str, dict[str, int]], message: str) -> None:
    with pytest.raises(OnlygoodError, match=message):
        HeadConfig.parse({"names": ["gaussian"], "options": options}, "test")


def test_an_option_that_a_head_does_not_know_is_named_with_the_nearest() -> None:
    with pytest.raises(OnlygoodError, match=r"head 'knn': unknown key 'sise'; did you mean 'size'"):
        create_head(HeadConfig(names=["knn"], options={"knn": {"sise": 3}}), 4)
