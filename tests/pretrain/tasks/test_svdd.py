"""Deep SVDD: objectives and radius by hand, the guarded center, and a collapse that does not go unnoticed."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from onlygood.anomaly.heads.outputs import Outputs
from onlygood.anomaly.heads.registry import HeadConfig, create_head
from onlygood.pretrain.networks.base import Encoder
from onlygood.pretrain.networks.registry import create_encoder
from onlygood.pretrain.tasks.svdd import SVDDConfig, SVDDTask, guarded, svdd_loss
from onlygood.pretrain.training.config import TrainConfig
from onlygood.pretrain.training.trainer import TrainResult, train


class Store:
    fingerprint = "noise"

    def __init__(self, count: int = 24, side: int = 16) -> None:
        self.images = np.random.default_rng(0).integers(0, 256, (count, side, side, 1), dtype=np.uint8)
        self.hashes = [str(number) for number in range(count)]

    def __len__(self) -> int:
        return len(self.images)

    def batch(self, ids: NDArray[np.int64]) -> NDArray[np.uint8]:
        return self.images[ids]


def identity() -> Encoder:
    """Features are the mean of each channel."""
    return Encoder("identity", 3, [nn.Sequential(nn.Conv2d(3, 3, 1, bias=False))], [3], 1)


def task(encoder: Encoder | None = None, **config: Any) -> SVDDTask:
    encoder = encoder or identity()
    if encoder.name == "identity":
        with torch.no_grad():
            encoder.blocks[0][0].weight.copy_(torch.eye(3)[:, :, None, None])
    return SVDDTask(encoder, SVDDConfig.parse(config, "test"), "fixed")


CORNER = torch.tensor([-2.0, -2.0, -2.0])  # what black becomes when standardised as "fixed"


def at_distances(*distances: float) -> Tensor:
    """Flat images whose features are so far from CORNER; multiples of 0.8 are whole grey levels."""
    images = torch.zeros(len(distances), 3, 8, 8)
    images[:, 0] = torch.tensor(distances).view(-1, 1, 1) * 63.75
    return images.round().to(torch.uint8)


# --- by hand ------------------------------------------------------------------


def test_losses_by_hand() -> None:
    distance = torch.tensor([1.0, 4.0, 9.0, 16.0])
    assert svdd_loss(distance, torch.tensor(0.0), 0.1, "one-class").item() == 7.5
    # R² = 4: excess 0, 0, 5, 12; mean 4.25; over nu = 0.1.
    assert svdd_loss(distance, torch.tensor(2.0), 0.1, "soft-boundary").item() == pytest.approx(4 + 42.5)


def test_the_guard_keeps_every_coordinate_away_from_zero() -> None:
    center = torch.tensor([0.0, 0.05, -0.05, 0.1, -0.1, 3.0, -3.0])
    expected = torch.tensor([0.1, 0.1, -0.1, 0.1, -0.1, 3.0, -3.0])
    torch.testing.assert_close(guarded(center), expected)


def test_the_loss_is_the_mean_squared_distance_of_the_views() -> None:
    svdd = task()
    svdd.center.copy_(CORNER)
    output = svdd(at_distances(0.8, 1.6), torch.arange(2), torch.Generator())
    assert output.loss.item() == pytest.approx((0.64 + 2.56) / 2, abs=1e-5)
    assert output.metrics["distance"].item() == pytest.approx(1.6, abs=1e-5)


def test_the_center_is_the_mean_feature_once() -> None:
    svdd = task()
    svdd.start_epoch(0, lambda: torch.tensor([[1.0, 0.0, -2.0], [3.0, 0.0, -4.0]]))
    expected = torch.tensor([2.0, 0.1, -3.0])
    torch.testing.assert_close(svdd.center, expected)
    svdd.start_epoch(1, lambda: torch.ones(2, 3))
    torch.testing.assert_close(svdd.center, expected)
    restored = task()
    restored.load_state_dict(svdd.state_dict())
    restored.start_epoch(1, lambda: torch.ones(2, 3))
    torch.testing.assert_close(restored.center, expected)


def test_the_radius_is_the_quantile_of_distances_after_the_warm_up() -> None:
    """Distances 0, 1.6, 3.2 from the center, nu = 0.25: the quantile 0.75 of these is 2.4."""
    svdd = task(objective="soft-boundary", nu=0.25, warmup=0.5)
    svdd.center.copy_(CORNER)
    images, rng = at_distances(0, 1.6, 3.2), torch.Generator()
    svdd.after_step(0.4)
    before = svdd(images, torch.arange(3), rng).loss
    assert svdd.radius == 0
    assert before.item() == pytest.approx((0 + 2.56 + 10.24) / 3 / 0.25, rel=1e-5)
    svdd.after_step(0.5)
    after = svdd(images, torch.arange(3), rng).loss
    assert svdd.radius.item() == pytest.approx(2.4, abs=1e-5)
    assert after.item() == pytest.approx(5.76 + (10.24 - 5.76) / 3 / 0.25, rel=1e-5)


def test_one_class_has_no_radius() -> None:
    svdd = task(warmup=0.0)
    svdd(at_distances(3.2), torch.arange(1), torch.Generator())
    assert svdd.radius == 0


def test_embedding_sees_crops_where_training_does() -> None:
    """One fixed crop of each image; a crop the size of the image is the image."""
    images = torch.randint(0, 256, (3, 3, 16, 16), dtype=torch.uint8, generator=torch.Generator())
    cropped, whole, full = task(views={"crop": 8}), task(), task(views={"crop": 16})
    with torch.no_grad():
        assert torch.equal(cropped.embed(images), cropped.embed(images))
        assert not torch.allclose(cropped.embed(images), whole.embed(images))
        torch.testing.assert_close(full.embed(images), whole.embed(images))


# --- in training --------------------------------------------------------------


def fit(svdd: SVDDTask, out: Path, **values: Any) -> TrainResult:
    settings = {"steps": 12, "batch_size": 12, "precision": "fp32", "threads": 1, "log_every": 1}
    return train(svdd, Store(), TrainConfig.parse(settings | values, "test"), out, progress=False)


def test_the_head_scores_by_the_center_that_was_trained(tmp_path: Path) -> None:
    svdd = task(create_encoder("lenet", 1))
    fit(svdd, tmp_path, steps=2, lr=1e-5)
    images = torch.from_numpy(Store().images).permute(0, 3, 1, 2)
    with torch.no_grad():
        features = svdd.embed(images)
        head = create_head(HeadConfig(names=["centre"]), 128, svdd).fit(Outputs(torch.zeros(2, 1, 1, 128)))
        scores = head(Outputs(features[:, None, None]))[:, 0]
    torch.testing.assert_close(scores, (features - svdd.center).square().sum(dim=1))
    assert svdd.centered


def test_a_bias_lets_everything_collapse_and_the_result_says_so(tmp_path: Path) -> None:
    """One bias vector is enough: it becomes the center, and the images no longer matter."""
    body = nn.Sequential(nn.Conv2d(1, 8, 3, 2, 1), nn.ReLU(), nn.Conv2d(8, 8, 3, 2, 1))
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        for layer in (body[0], body[2]):
            layer.reset_parameters()
    collapsed = task(Encoder("biased", 1, [body], [8], 4))
    result = fit(collapsed, tmp_path / "biased", steps=150, lr=0.1, weight_decay=0.05)
    assert any("the features have collapsed" in warning for warning in result.warnings)

    healthy = task(create_encoder("lenet", 1))
    assert fit(healthy, tmp_path / "lenet", lr=1e-5).warnings == []
