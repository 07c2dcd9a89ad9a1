"""Exemplar with triplets: the semi-hard loss, and that only what images show tells them apart."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from tiny import clouds, descend, end, generator, seeded, settle
from torch import Tensor

from onlygood.pretrain.losses.triplet import semi_hard_triplet
from onlygood.pretrain.networks.registry import create_encoder
from onlygood.pretrain.tasks.exemplar_triplet import ExemplarTripletConfig, ExemplarTripletTask
from onlygood.pretrain.training.health import EMBEDDINGS_COLLAPSED
from onlygood.pretrain.views.views import Standardize, to_float

COUNT = 16
CHANCE = 0.44  # about: margin less the gap to the next of 48 views, whose order tells nothing
MILD: dict[str, Any] = {"crops": 3, "views": {"scale": (0.6, 1.0), "brightness": 0.3}}


def make(standardize: Standardize = "image", **options: Any) -> ExemplarTripletTask:
    with seeded():
        config = ExemplarTripletConfig.parse(options, "test")
        return ExemplarTripletTask(create_encoder("small"), config, standardize).train()


def embeddings(count: int, dim: int = 4, seed: int = 0) -> Tensor:
    return torch.randn(count, dim, generator=generator(seed))


def naive(x: Tensor, labels: list[int], margin: float) -> float:
    z = (x / x.norm(dim=1, keepdim=True)).double()
    terms = []
    for a, p in np.ndindex(len(z), len(z)):
        if a == p or labels[a] != labels[p]:
            continue
        near = float((z[a] - z[p]).square().sum())
        far = [float((z[a] - z[n]).square().sum()) for n in range(len(z)) if labels[n] != labels[a]]
        beyond = [d for d in far if d > near]
        terms.append(max(0.0, near + margin - (min(beyond) if beyond else max(far))))
    return sum(terms) / len(terms)


@pytest.mark.parametrize("labels", [[0, 0, 1, 1, 2, 2, 3, 3], [5, 1, 1, 5, 5, 2, 1, 7]])
@pytest.mark.parametrize("margin", [0.1, 0.5, 2.0])
def test_the_loss_recomputed(labels: list[int], margin: float) -> None:
    """Classes of any size, in any order; a class of one is a negative only."""
    for seed in range(5):
        x = embeddings(8, seed=seed)
        actual = semi_hard_triplet(x, torch.tensor(labels), margin).item()
        assert actual == pytest.approx(naive(x, labels, margin), rel=1e-5)


def test_the_gradient_is_that_of_the_triplets() -> None:
    """By differences of the loss recomputed."""
    x, labels, step = embeddings(8, 3), [0, 0, 0, 1, 1, 2, 2, 2], 1e-4
    leaf = x.clone().requires_grad_()
    torch.autograd.backward(semi_hard_triplet(leaf, torch.tensor(labels), 0.5))
    assert leaf.grad is not None
    for i, j in np.ndindex(8, 3):
        moved = torch.zeros(8, 3, dtype=torch.float64)
        moved[i, j] = step
        up, down = (naive(x.double() + sign * moved, labels, 0.5) for sign in (1, -1))
        assert leaf.grad[i, j].item() == pytest.approx((up - down) / (2 * step), abs=1e-4)


def on_the_circle(*degrees: float) -> Tensor:
    return torch.tensor([[math.cos(math.radians(d)), math.sin(math.radians(d))] for d in degrees])


def squared(degrees: float) -> float:
    return 2 - 2 * math.cos(math.radians(degrees))


def test_the_negative_is_just_beyond_the_positive() -> None:
    """Of 20°, 40° and 170° around a pair at 0° and 30°: 40° seen from 0°, where 20° is too near."""
    x, labels = on_the_circle(0, 30, 20, 40, 170), torch.tensor([0, 0, 1, 2, 3])
    # From 30°, both 20° and 40° are nearer than the positive; 170° is the one beyond, over 1 farther.
    expected = (squared(30) + 0.5 - squared(40) + 0) / 2
    assert semi_hard_triplet(x, labels, 0.5).item() == pytest.approx(expected, rel=1e-5)


def test_the_farthest_negative_where_all_are_nearer() -> None:
    x, labels = on_the_circle(0, 120, 20, 70), torch.tensor([0, 0, 1, 2])
    expected = (squared(120) + 0.5 - squared(70) + squared(120) + 0.5 - squared(100)) / 2
    assert semi_hard_triplet(x, labels, 0.5).item() == pytest.approx(expected, rel=1e-5)


def test_each_embedding_is_normalized_by_itself() -> None:
    """Its length does not count. (The paper's code divides each dimension by its norm over the batch.)"""
    x, labels = embeddings(8), torch.arange(8) // 2
    lengths = torch.logspace(-2, 2, 8)[:, None]
    torch.testing.assert_close(semi_hard_triplet(x * lengths, labels, 0.5), semi_hard_triplet(x, labels, 0.5))


def test_place_and_number_of_a_class_do_not_count() -> None:
    x, labels, order = embeddings(12), torch.arange(12) % 4, torch.randperm(12, generator=generator())
    expected = semi_hard_triplet(x, labels, 0.5)
    torch.testing.assert_close(semi_hard_triplet(x[order], 9 - 2 * labels[order], 0.5), expected)


def test_equal_embeddings_cost_the_margin_and_spread_nothing() -> None:
    assert semi_hard_triplet(torch.ones(8, 4), torch.arange(8) // 2, 0.3).item() == pytest.approx(0.3)
    task = make(crops=2)
    with torch.no_grad():
        task.projector.weight.zero_()
    output = task(clouds(COUNT), torch.arange(COUNT), generator())
    assert output.loss.item() == pytest.approx(0.5)
    assert output.metrics["embedding_spread"] < EMBEDDINGS_COLLAPSED
    assert make(crops=2)(clouds(COUNT), torch.arange(COUNT), generator()).metrics["embedding_spread"] > 0.3


def test_tight_classes_far_apart_cost_nothing() -> None:
    x = torch.eye(4).repeat_interleave(3, dim=0)
    assert semi_hard_triplet(x, torch.arange(12) // 3, 1.9) == 0


def test_a_batch_of_one_class_has_no_triplets() -> None:
    x = embeddings(5).requires_grad_()
    loss = semi_hard_triplet(x, torch.zeros(5), 0.5)
    torch.autograd.backward(loss)
    assert loss == 0
    assert x.grad is not None
    assert not x.grad.any()


def test_float32_under_autocast() -> None:
    x, labels = embeddings(16), torch.arange(16) // 2
    with torch.autocast("cpu", torch.bfloat16):
        inside = semi_hard_triplet(x, labels, 0.5)
    assert torch.equal(inside, semi_hard_triplet(x, labels, 0.5))


def test_views_of_one_image_are_one_class() -> None:
    """Views that change nothing: pairs at distance 0, and the loss by hand from the images' embeddings."""
    task, pictures = make(crops=3, views={"flip": False}), clouds(COUNT)
    with torch.no_grad():
        z = task.projector(task.encoder(to_float(pictures, "image")))
    labels = torch.arange(COUNT)
    actual = task(pictures, labels, generator()).loss.item()
    assert actual == pytest.approx(naive(z.repeat(3, 1), labels.repeat(3).tolist(), 0.5), abs=1e-4)


def seen_by_encoder(task: ExemplarTripletTask, pictures: Tensor) -> Tensor:
    seen: list[Tensor] = []
    task.encoder.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].clone()))
    task(pictures, torch.arange(len(pictures)), generator())
    return seen[0]


def test_every_view_is_standardized_by_itself() -> None:
    """And a view that is the image itself is what the detector sees."""
    views = seen_by_encoder(make(), clouds(COUNT) // 2 + 100)
    assert len(views) == 8 * COUNT
    torch.testing.assert_close(views.mean(dim=(1, 2, 3)), torch.zeros(8 * COUNT), atol=1e-5, rtol=0)
    assert views.flatten(1).std(dim=1).median() > 0.5
    plain = seen_by_encoder(make(crops=2, views={"flip": False}), clouds(COUNT))
    torch.testing.assert_close(plain, to_float(clouds(COUNT), "image").repeat(2, 1, 1, 1))
    fixed = seen_by_encoder(make("fixed", crops=2, views={"flip": False}), clouds(COUNT))
    torch.testing.assert_close(fixed, to_float(clouds(COUNT), "fixed").repeat(2, 1, 1, 1))


def test_two_views_of_three_are_gray_whatever_the_image() -> None:
    views = seen_by_encoder(make(), clouds(64)).view(8, 64, 3, 24, 24)
    gray = (views.amax(dim=2) - views.amin(dim=2)).amax(dim=(2, 3)) < 1e-4
    assert gray.float().mean() == pytest.approx(0.66, abs=0.06)
    assert gray.all(dim=0).sum() < 10  # all 8 views of one image: .66^8 of 64 are 2.3
    assert (~gray).all(dim=0).sum() < 3


def test_images_are_told_apart_without_collapse() -> None:
    task = make(**MILD)
    rows = descend(task, clouds(COUNT), 10, lr=0.1)
    assert end(rows) < 0.3 * rows[0]["loss"]
    assert task(clouds(COUNT), torch.arange(COUNT), generator()).metrics["embedding_spread"] > 0.4


def test_equal_images_stay_at_chance() -> None:
    """The place in the batch is no cue."""
    same = clouds(1).expand(COUNT, -1, -1, -1)
    assert settle(make(**MILD), same, 14, last=0.6, lr=0.1) > CHANCE - 0.04


@pytest.mark.parametrize("standardize", ["image", "fixed"])
def test_exposure_does_not_solve_it(standardize: Standardize) -> None:
    """Images that differ by their brightness only are told apart where views are not standardized."""
    base = clouds(1) // 3
    pictures = base + torch.arange(0, 160, 10, dtype=torch.uint8).view(-1, 1, 1, 1)
    options = {**MILD, "views": {"scale": (0.6, 1.0)}}
    loss = settle(make(standardize, **options), pictures, 17, last=1 / 4, lr=0.1)
    assert (loss > CHANCE - 0.04) if standardize == "image" else (loss < 0.25)


def test_gray_images_reach_the_encoder_as_weights_of_imagenet_expect_them() -> None:
    seen: list[Tensor] = []

    class Watching(ExemplarTripletTask):
        def __init__(self) -> None:
            super().__init__(create_encoder("small", 3), ExemplarTripletConfig(crops=2), "imagenet")
            self.encoder.register_forward_pre_hook(lambda _, given: seen.append(given[0]))

    images = torch.full((4, 1, 24, 24), 124, dtype=torch.uint8)
    with seeded():
        Watching().loss(images, torch.arange(4), generator())
    assert seen[0].shape[1] == 3
