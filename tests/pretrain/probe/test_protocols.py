"""The protocols against hand-computed numbers, and against encoders whose answer is known."""

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from onlygood.pretrain.data.labels import LabeledPart, LabeledSet
from onlygood.pretrain.networks.base import Encoder
from onlygood.pretrain.probe.few_shot import FewShotConfig, episode_accuracies, episodes, few_shot
from onlygood.pretrain.probe.finetune import FinetuneConfig, finetune, random_shift
from onlygood.pretrain.probe.knn import KnnConfig, knn, knn_votes
from onlygood.pretrain.probe.linear import LinearConfig, linear
from onlygood.pretrain.probe.logistic import LogisticConfig, choose, logistic
from onlygood.pretrain.probe.protocols import protocol_config
from onlygood.pretrain.probe.retention import RetentionConfig, place, retention
from onlygood.runtime.errors import OnlygoodError

CHANCE = pytest.approx(1 / 3, abs=1e-9)


def relabeled(data: LabeledSet, train: bool, seed: int = 5) -> LabeledSet:
    """The labels of one part in another order."""
    part: LabeledPart = data.train if train else data.test
    labels = np.random.default_rng(seed).permutation(part.labels)
    return dataclasses.replace(
        data, **{"train" if train else "test": dataclasses.replace(part, labels=labels)}
    )


# --- linear


def test_the_learning_rate_of_the_survey() -> None:
    config = LinearConfig()
    rates = [config.lr_at(epoch) for epoch in (0, 9, 10, 19, 20, 29)]
    assert rates == pytest.approx([0.01, 0.01, 0.001, 0.001, 0.0001, 0.0001])
    assert (config.batch_size, config.momentum, config.weight_decay, config.epochs) == (192, 0.9, 5e-4, 30)


def test_linear_tells_the_stage_that_shows_the_classes(setup_of: Any) -> None:
    shows, hides = linear(setup_of(), LinearConfig(batch_size=16))
    assert (shows.stage, shows.value) == (1, 1)
    assert hides.value == CHANCE
    assert hides.details["train_loss"] == pytest.approx(np.log(3), abs=0.02)
    assert hides.low < 1 / 3 < hides.high


def test_linear_learns_nothing_from_labels_at_random(setup_of: Any, dataset: Any) -> None:
    data = relabeled(relabeled(dataset(20, 60), train=True), train=False)
    row = linear(setup_of(data, stages=[1]), LinearConfig(pool="mean"))[0]
    assert row.value == pytest.approx(1 / 3, abs=0.1)


def test_stages_do_not_touch_each_other(setup_of: Any) -> None:
    config = LinearConfig(epochs=3, batch_size=16)
    both, alone = linear(setup_of(), config), linear(setup_of(stages=[1]), config)
    assert both[0] == alone[0]


def test_features_kept_or_encoded_anew_give_the_same(setup_of: Any) -> None:
    kept = linear(setup_of(), LinearConfig(epochs=3, batch_size=16))
    anew = linear(setup_of(), LinearConfig(epochs=3, batch_size=16, cache_gb=0))
    for one, other in zip(kept, anew, strict=True):
        assert one.details["train_loss"] == pytest.approx(other.details["train_loss"], rel=1e-5)
    assert linear(setup_of(seed=1), LinearConfig(epochs=3, batch_size=16)) != kept


def test_one_step_of_linear_by_hand(setup_of: Any, dataset: Any) -> None:
    """From zero weights the first loss is log 3, and the second that of one step of SGD."""
    data = dataset(5, 5)
    config = LinearConfig(epochs=2, batchnorm=False, weight_decay=0, pool="mean", lr=0.5)
    loss = linear(setup_of(data, stages=[1]), config)[0].details["train_loss"]
    x = torch.from_numpy(data.store.images[:15]).float().mean(dim=(1, 2)).double() / 63.75 - 2
    y = torch.nn.functional.one_hot(torch.from_numpy(data.train.labels), 3).double()
    error = (1 / 3 - y) / 15
    logits = x @ (-0.5 * error.T @ x).T - 0.5 * error.sum(dim=0)
    expected = torch.nn.functional.cross_entropy(logits, torch.from_numpy(data.train.labels))
    assert loss == pytest.approx(float(expected), rel=1e-5)


# --- knn


def test_votes_against_a_loop() -> None:
    rng = torch.Generator().manual_seed(0)
    bank = torch.nn.functional.normalize(torch.randn(30, 5, generator=rng), dim=1)
    queries = torch.nn.functional.normalize(torch.randn(4, 5, generator=rng), dim=1)
    labels = torch.randint(0, 3, (30,), generator=rng)
    votes = knn_votes(bank, labels, queries, 4, k=7, temperature=0.1)
    for query, found in zip(queries, votes, strict=True):
        similar = sorted(
            ((float(query @ b), int(y)) for b, y in zip(bank, labels, strict=True)), reverse=True
        )
        expected = [sum(np.exp(s / 0.1) for s, y in similar[:7] if y == label) for label in range(4)]
        assert (found / found.sum()).tolist() == pytest.approx(np.array(expected) / sum(expected), rel=1e-4)


def test_near_neighbors_outvote_many_far_ones() -> None:
    bank = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 1.0], [0.0, 1.0]])
    query = torch.tensor([[0.8, 0.6]])
    labels = torch.tensor([0, 1, 1, 1])
    assert knn_votes(bank, labels, query, 2, k=200, temperature=0.1).argmax() == 0
    assert knn_votes(bank, labels, query, 2, k=200, temperature=10.0).argmax() == 1


def test_knn_over_stages_and_in_chunks(setup_of: Any, dataset: Any) -> None:
    data = dataset(20, 10)
    shows, hides = knn(setup_of(data), KnnConfig(k=5))
    assert (shows.value, hides.value) == (1, CHANCE)
    assert knn(setup_of(data), KnnConfig(k=5, chunk=4))[0] == shows
    assert knn(setup_of(data), KnnConfig())[0].details["neighbours"] == 60


# --- logistic


def test_logistic_over_stages(setup_of: Any) -> None:
    shows, hides = logistic(setup_of(), LogisticConfig(candidates=5))
    assert (shows.value, hides.value) == (1, CHANCE)
    assert len(shows.details["validation"]) == 5
    assert hides.details["C"] == pytest.approx(1e-6)  # the smallest of equals


def test_the_45_candidates() -> None:
    x = np.array([[-1.0], [1.0]] * 4, np.float32)
    y = np.array([0, 1] * 4)
    best, tried = choose(LogisticConfig(), x, y, x, y)
    strengths = [strength for strength, _ in tried]
    assert len(strengths) == 45
    assert (strengths[0], strengths[-1]) == pytest.approx((1e-6, 1e5))
    assert strengths[1] / strengths[0] == pytest.approx(strengths[44] / strengths[43])
    assert best == strengths[0]


def test_choices_do_not_see_test_labels(setup_of: Any, dataset: Any) -> None:
    """Noisy training labels make the validation accuracies differ; those of the test must not move them."""
    data = relabeled(dataset(12, 10), train=True)
    other = relabeled(data, train=False)
    config = LogisticConfig(candidates=4)
    one, two = (logistic(setup_of(d, stages=[1]), config)[0] for d in (data, other))
    assert one.value != two.value
    for key in ("C", "validation"):
        assert one.details[key] == two.details[key]
    tuned = FinetuneConfig(lr=[0.01, 1.0], epochs=2)
    one, two = (finetune(setup_of(d, flat()), tuned)[0] for d in (data, other))
    assert one.value != two.value
    assert {**one.details, "correct": 0} == {**two.details, "correct": 0}


# --- few-shot


def test_prototypes_by_hand() -> None:
    support = torch.tensor([[[[0.0], [2.0]], [[4.0], [6.0]]]])  # prototypes 1 and 5
    query = torch.tensor([[[[2.9], [3.1], [-9.0], [0.0]], [[3.1], [9.0], [2.9], [2.0]]]])
    assert episode_accuracies(support, query) == [pytest.approx(5 / 8)]


def test_episodes_take_examples_from_train_and_questions_from_test(dataset: Any) -> None:
    data = dataset(8, 6)
    config = FewShotConfig(ways=2, episodes=45, queries=4)
    seen = 0
    for support, query in episodes(data, np.arange(3), 5, config, 0):
        seen += len(support)
        assert support.shape[1:] == (2, 5)
        assert query.shape[1:] == (2, 4)
        for examples, questions in zip(support, query, strict=True):
            for mine, theirs in zip(examples, questions, strict=True):
                assert len(set(mine.tolist())) == 5
                assert len(set(theirs.tolist())) == 4
                assert len({*data.train.labels[mine], *data.test.labels[theirs]}) == 1
            assert len({*data.train.labels[examples[:, 0]]}) == 2
    assert seen == 45


def test_few_shot_over_stages(setup_of: Any) -> None:
    config = FewShotConfig(ways=3, shots=[1, 5, 50], episodes=30, labels=[1, 10], repeats=3)
    said: list[str] = []
    setup = dataclasses.replace(setup_of(), say=said.append)
    rows = {(row.stage, row.measure): row for row in few_shot(setup, config)}
    assert "[50] labels a class are left out" in said[0]
    assert {measure for stage, measure in rows if stage == 1} == {
        "3-way 1-shot",
        "3-way 5-shot",
        "1 label, centroid",
        "1 label, logistic",
        "10 labels, centroid",
        "10 labels, logistic",
    }
    assert rows[1, "3-way 5-shot"].value == 1
    assert rows[1, "10 labels, logistic"].value == 1
    for measure in ("3-way 5-shot", "10 labels, centroid", "10 labels, logistic"):
        assert rows[2, measure].value == CHANCE
        assert rows[2, measure].details["std"] == pytest.approx(0)


def test_more_ways_than_classes(setup_of: Any) -> None:
    with pytest.raises(OnlygoodError, match="set ways=3"):
        few_shot(setup_of(), FewShotConfig())


# --- fine-tuning


def flat() -> Encoder:
    """Trainable, and blind until trained: both convolutions begin at a constant."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        stage = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.ReLU())
    return Encoder("flat", 3, [stage], [8], 2)


def test_finetuning_moves_the_encoder_and_linear_does_not(setup_of: Any, dataset: Any) -> None:
    """Gray stripes along x or y have one mean: only a network that changes can tell them apart."""
    rng = np.random.default_rng(0)
    labels = np.arange(80) % 2
    images = rng.integers(0, 60, (80, 8, 8, 3), dtype=np.uint8)
    for image, label in zip(images, labels, strict=True):
        (image if label else image.transpose(1, 0, 2))[::2] += 150
    data = dataset(1, 1)
    data.store.images = images
    ids = np.arange(80)
    hashes = [str(i) for i in ids]
    data = dataclasses.replace(
        data,
        train=LabeledPart(ids[:60], labels[:60], hashes[:60]),
        test=LabeledPart(ids[60:], labels[60:], hashes[60:]),
        classes=("x", "y"),
    )
    encoder = flat()
    nn.init.constant_(encoder.blocks[0][0].weight, 0.1)  # a blur: both stripes look the same
    config = FinetuneConfig(lr=[0.0001, 0.3], backbone=1.0, epochs=12, batch_size=16, flip=False, shift=0)
    assert knn(setup_of(data, encoder), KnnConfig(k=5))[0].value < 0.8
    row = finetune(setup_of(data, encoder), config)[0]
    assert row.stage is None
    assert row.value > 0.9
    assert row.details["lr"] == 0.3
    frozen = finetune(setup_of(data, encoder), config.model_copy(update={"backbone": 0.0}))[0]
    assert frozen.value < row.value


def test_a_learning_rate_that_explodes_is_not_taken(setup_of: Any) -> None:
    row = finetune(setup_of(encoder=flat()), FinetuneConfig(lr=[1e6, 0.1], epochs=2, batch_size=16))[0]
    tried = dict(row.details["validation"])
    assert row.details["lr"] == 0.1
    assert tried[0.1] > tried[1e6]
    assert row.value == 1


def test_shifts_are_whole_pixels_and_mirrored() -> None:
    images = torch.arange(5, dtype=torch.uint8).view(1, 1, 1, 5).expand(64, 1, 3, 5)
    moved = random_shift(images, 2, torch.Generator().manual_seed(0))
    found = {tuple(row.tolist()) for row in moved[:, 0, 0]}
    assert found == {(0, 1, 2, 3, 4), (1, 0, 1, 2, 3), (2, 1, 0, 1, 2), (1, 2, 3, 4, 3), (2, 3, 4, 3, 2)}
    assert torch.equal(random_shift(images, 0, torch.Generator()), images)


# --- retention


class Coordinates(nn.Module):
    """Where the picture is busy: the mean row and column of its gradients, and how far they reach."""

    def forward(self, x: Tensor) -> Tensor:
        busy = (x[:, :1, 1:, 1:] - x[:, :1, :-1, :-1]).abs() + 1e-9
        busy = busy / busy.sum(dim=(2, 3), keepdim=True)
        rows = torch.linspace(-1, 1, busy.shape[2]).view(1, 1, -1, 1)
        columns = torch.linspace(-1, 1, busy.shape[3]).view(1, 1, 1, -1)
        y, down = (busy * rows).sum(dim=(2, 3)), (busy * rows**2).sum(dim=(2, 3))
        x0, across = (busy * columns).sum(dim=(2, 3)), (busy * columns**2).sum(dim=(2, 3))
        spread = (down - y**2 + across - x0**2).clamp(min=1e-9).log()
        return torch.cat([x0, y, spread], dim=1)[:, :, None, None]


def busy_images(count: int) -> Tensor:
    rng = np.random.default_rng(0)
    return torch.from_numpy(rng.integers(60, 190, (count, 3, 32, 32), dtype=np.uint8))


def test_images_are_put_where_it_says() -> None:
    config = RetentionConfig(tint=0)
    images = torch.full((40, 3, 33, 33), 100, dtype=torch.uint8)
    images[:, :, ::2] = 180  # stripes, mean 140.6: the canvas differs from both
    placed, known = place(images, config, torch.Generator().manual_seed(0))
    inside = ((placed.float() - 127.5).abs() > 3)[:, 0]
    for mask, center, scale in zip(inside, known["position"], known["scale"], strict=True):
        ys, xs = torch.nonzero(mask, as_tuple=True)
        box = (xs.min() + xs.max() + 1) / 33 - 1, (ys.min() + ys.max() + 1) / 33 - 1
        assert [float(v) for v in box] == pytest.approx(center.tolist(), abs=0.08)
        assert float(xs.max() - xs.min() + 1) / 33 == pytest.approx(float(scale.exp()), abs=0.08)
    assert 0.39 < float(known["scale"].exp().min()) < float(known["scale"].exp().max()) < 0.91


def test_color_is_that_of_the_pixels() -> None:
    config = RetentionConfig(scale=(0.5, 0.6), tint=40)
    placed, known = place(busy_images(6), config, torch.Generator().manual_seed(0))
    red, green, blue = placed.float().mean(dim=(2, 3)).unbind(dim=1)
    torch.testing.assert_close(known["brightness"][:, 0], 0.299 * red + 0.587 * green + 0.114 * blue)
    torch.testing.assert_close(known["colour"][:, 0], 0.5959 * red - 0.2746 * green - 0.3213 * blue)
    assert known["colour"].std(dim=0).min() > 5
    bluer = busy_images(6) + torch.tensor([0, 0, 50], dtype=torch.uint8).view(1, 3, 1, 1)
    again = place(bluer, config, torch.Generator().manual_seed(0))[1]
    torch.testing.assert_close(again["colour"], known["colour"], atol=0.6, rtol=0)  # the image's own is gone
    assert set(place(busy_images(4)[:, :1], config, torch.Generator())[1]) == {
        "position",
        "scale",
        "brightness",
    }


def test_what_an_encoder_keeps_is_found_and_nothing_else(setup_of: Any, dataset: Any) -> None:
    data = dataset(60, 40)
    data.store.images = busy_images(300).permute(0, 2, 3, 1).numpy()
    sees_color = Encoder("colour", 3, [nn.AdaptiveAvgPool2d(1)], [3], 0)
    sees_place = Encoder("place", 3, [Coordinates()], [3], 0)
    color, place_ = (
        {row.measure: row.value for row in retention(setup_of(data, encoder), RetentionConfig())}
        for encoder in (sees_color, sees_place)
    )
    assert color["colour R²"] > 0.99
    assert color["brightness R²"] > 0.99
    assert color["position R²"] < 0.1
    assert color["scale R²"] < 0.1
    assert place_["position R²"] > 0.9
    assert place_["scale R²"] > 0.8
    assert place_["colour R²"] < 0.1
    blind = retention(setup_of(data, stages=[2]), RetentionConfig())
    assert all(abs(row.value) < 0.1 for row in blind)


def test_an_unknown_protocol_or_key_names_the_nearest() -> None:
    with pytest.raises(OnlygoodError, match="did you mean 'linear'"):
        protocol_config("liner", {})
    with pytest.raises(OnlygoodError, match="did you mean 'epochs'"):
        protocol_config("linear", {"epoch": 3})
    with pytest.raises(OnlygoodError, match="smaller first"):
        protocol_config("retention", {"scale": [0.9, 0.4]})
