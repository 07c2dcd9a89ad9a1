"""SeLa: its labels are shared equally and the likeliest such ones, chosen on the paper's schedule."""

import itertools
import math

import pytest
import torch
from tiny import colored_noise, seeded, settle
from torch import Tensor
from torch.nn import functional

from onlygood.pretrain.networks.registry import create_encoder
from onlygood.pretrain.tasks.sela import SeLaConfig, SeLaTask


def make(images: int = 16, **options: object) -> SeLaTask:
    with seeded():
        config = SeLaConfig.parse({"clusters": 4, "heads": 2} | options, "test")
        return SeLaTask(create_encoder("small", 3, seed=0), config, images=images).train()


def features(count: int, common: float = 0.0) -> Tensor:
    """Random ones; ``common`` is what all of them share."""
    return torch.randn(count, 256, generator=torch.Generator().manual_seed(0)) + common


def test_labels_are_the_likeliest_equal_shares() -> None:
    """Against every way to give two labels to three of six images each."""
    task = make(6, clusters=2, heads=3)
    with torch.no_grad():
        task.cluster_classifier.bias.copy_(torch.tensor([2.0, 0.0] * 3))  # all prefer label 0
    task.start_epoch(0, lambda: features(6))
    with torch.no_grad():
        log_p = task.cluster_classifier(features(6)).view(6, 3, 2).log_softmax(dim=2)
    ways = [way for way in itertools.product([0, 1], repeat=6) if sum(way) == 3]
    for head in range(3):
        assert (log_p[:, head].argmax(dim=1) == 0).all()
        best = max(ways, key=lambda way: sum(float(log_p[n, head, k]) for n, k in enumerate(way)))
        assert tuple(task.labels[head].tolist()) == best


@pytest.mark.parametrize("scale", [0.01, 1.0, 100.0])
def test_labels_are_shared_about_equally_however_flat_or_sharp_the_guesses(scale: float) -> None:
    """Also where what all images have in common outweighs their differences."""
    task = make(400, clusters=20)
    task.start_epoch(0, lambda: scale * features(400, common=30.0))
    for labels in task.labels:
        sizes = torch.bincount(labels, minlength=20)
        assert sizes.min() >= 12
        assert sizes.max() <= 28


def test_heads_have_labels_of_their_own() -> None:
    task = make(400)
    task.start_epoch(0, lambda: features(400))
    assert (task.labels[0] != task.labels[1]).float().mean() > 0.5


def test_loss_recomputed() -> None:
    task = make()
    task.start_epoch(0, lambda: features(16))
    outputs: list[Tensor] = []
    task.cluster_classifier.register_forward_hook(lambda *values: outputs.append(values[2].detach()))
    ids = torch.tensor([5, 2, 9])
    output = task(colored_noise(16)[ids], ids, torch.Generator().manual_seed(0))
    terms = [
        functional.cross_entropy(outputs[0][:, 4 * head : 4 * head + 4], task.labels[head, ids]).item()
        for head in range(2)
    ]
    assert output.loss.item() == pytest.approx(sum(terms) / 2, rel=1e-5)
    assert output.loss.item() == pytest.approx(math.log(4), rel=0.05)


def test_schedule_is_quadratic() -> None:
    """Five labellings at 0, 1/16, 4/16, 9/16 and 1 of training; late ones are made up for, once."""
    task = make(labellings=5)
    done = []
    for epoch in range(33):
        calls: list[int] = []
        task.start_epoch(epoch, lambda calls=calls: calls.append(1) or features(16))  # type: ignore[misc]
        done += [epoch] * len(calls)
        task.after_step((epoch + 1) / 32)
    assert done == [0, 2, 8, 18, 32]
    late = make(labellings=5)
    late.after_step(0.5)
    late.start_epoch(1, lambda: features(16))
    late.start_epoch(1, lambda: pytest.fail("one labelling makes up for all that were due"))


def test_labels_follow_what_the_classifier_says_and_keep_their_names() -> None:
    """The second labelling, of unchanged features and classifier, changes nothing."""
    task = make(labellings=2)
    task.start_epoch(0, lambda: features(16))
    first, weight = task.labels.clone(), task.cluster_classifier.weight.clone()
    task.after_step(1.0)
    task.start_epoch(1, lambda: features(16))
    assert torch.equal(task.labels, first)
    assert torch.equal(task.cluster_classifier.weight, weight)
    assert task.nmi == pytest.approx(1)


def test_identical_images_stay_at_chance() -> None:
    """Features that are all the same get all labels, not one that would be learned at once."""
    task = make(heads=1)
    same = torch.full((16, 3, 24, 24), 100, dtype=torch.uint8)
    optimizer = torch.optim.SGD(task.parameters(), 0.05)
    for step in range(15):
        task.start_epoch(step, lambda: torch.ones(16, 256))
        output = task(same, torch.arange(16), torch.Generator().manual_seed(step))
        optimizer.zero_grad()
        output.loss.backward()
        optimizer.step()
        task.after_step((step + 1) / 15)
        assert torch.bincount(task.labels[0], minlength=4).tolist() == [4, 4, 4, 4]
    assert output.loss > 0.9 * math.log(4)


def test_what_can_be_learned_is_learned() -> None:
    task, x = make(), colored_noise(16)
    task.start_epoch(0, lambda: task.embed(x).detach())
    assert settle(task, x, 30, last=1 / 6) < 0.8 * math.log(4)


def test_fewer_images_than_labels_or_than_expected() -> None:
    task = make(clusters=100)
    assert task.classes == 16
    task.start_epoch(0, lambda: features(10))
    assert all(len(labels[:10].unique()) == 10 for labels in task.labels)
