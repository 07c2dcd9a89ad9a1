"""Deep SVDD: the objectives by hand, the guarded centre, the radius, and collapse."""

import pytest
import torch

from onlygood.anomaly.svdd import GUARD, SVDDConfig, SVDDTask, guarded, svdd_loss
from onlygood.pretrain.encoders import create_encoder
from onlygood.pretrain.views import Views


def test_one_class_objective_is_the_mean_squared_distance() -> None:
    loss = svdd_loss(torch.tensor([1.0, 2.0, 6.0]), torch.tensor(5.0), 0.1, "one-class")
    assert loss.item() == 3.0


def test_soft_boundary_by_hand() -> None:
    # R² = 4; only 6 and 9 lie outside, by 2 and 5: 4 + (0 + 2 + 5) / 3 / 0.5
    loss = svdd_loss(torch.tensor([1.0, 6.0, 9.0]), torch.tensor(2.0), 0.5, "soft-boundary")
    assert loss.item() == pytest.approx(4 + 7 / 3 / 0.5)


def test_the_centre_keeps_away_from_zero_even_where_it_is_zero() -> None:
    centre = guarded(torch.tensor([0.0, 0.03, -0.03, 0.5, -0.5]))
    assert centre.tolist() == pytest.approx([GUARD, GUARD, -GUARD, 0.5, -0.5])


def task(objective: str) -> SVDDTask:
    config = SVDDConfig.parse({"objective": objective, "nu": 0.25, "views": {"flip": False}}, "test")
    return SVDDTask(create_encoder("lenet", 1), config)


def images(count: int = 8) -> torch.Tensor:
    return torch.randint(0, 256, (count, 1, 32, 32), generator=torch.Generator().manual_seed(1)).byte()


def test_the_centre_is_the_mean_feature_and_is_fixed_once() -> None:
    svdd = task("one-class").eval()
    with torch.no_grad():
        features = svdd.embed(images())
    svdd.start_epoch(0, lambda: features)
    assert torch.equal(svdd.centre, guarded(features.mean(dim=0)))
    before = svdd.centre.clone()
    svdd.start_epoch(1, lambda: features + 7)
    assert torch.equal(svdd.centre, before)


def test_the_radius_follows_the_quantile_after_the_warm_up_only() -> None:
    svdd = task("soft-boundary").eval()
    rng = torch.Generator().manual_seed(0)
    svdd.loss(images(), torch.arange(8), rng)
    assert svdd.radius.item() == 0
    svdd.after_step(svdd.config.warmup)
    svdd.loss(images(), torch.arange(8), rng)
    with torch.no_grad():
        distances = svdd.embed(images()).square().sum(dim=1).sqrt()  # the centre is still zero
    assert svdd.radius.item() == pytest.approx(torch.quantile(distances, 0.75).item(), rel=1e-5)


def test_embedding_a_crop_needs_no_generator_of_the_caller() -> None:
    config = SVDDConfig(views=Views(crop=16, flip=False))
    svdd = SVDDTask(create_encoder("lenet", 1), config).eval()
    with torch.no_grad():
        assert torch.equal(svdd.embed(images()), svdd.embed(images()))
