"""S4L: its losses, whose labels are used, and that neither turns nor labels are given away."""

import math
from pathlib import Path

import pytest
import torch
from tiny import descend, end, fit, seeded
from torch import Tensor

from onlygood.pretrain.networks.registry import create_encoder
from onlygood.pretrain.tasks.s4l import S4LConfig, S4LTask
from onlygood.runtime.errors import OnlygoodError

KINDS = 4
DIM = 256


def make(images: Tensor, labels: Tensor, **options: object) -> S4LTask:
    with seeded():
        config = S4LConfig.parse(options, "test")
        return S4LTask(create_encoder("small"), config, labelled=(images, labels)).train()


def flat(count: int, height: int = 24, width: int = 24) -> tuple[Tensor, Tensor]:
    """Images that look the same at every angle, each of its own gray; the classes are dark to bright."""
    levels = torch.arange(count) * 240 // count
    return levels.byte().view(-1, 1, 1, 1).expand(-1, 3, height, width), levels * KINDS // 240


def noise(count: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    rng = torch.Generator().manual_seed(seed)
    images = torch.randint(0, 256, (count, 3, 24, 24), generator=rng).byte()
    return images, torch.randint(0, KINDS, (count,), generator=rng)


def plain() -> dict[str, object]:
    return {"flip": False, "brightness": 0, "contrast": 0}


def run(task: S4LTask, images: Tensor, seed: int = 0) -> dict[str, Tensor]:
    output = task(images, torch.arange(len(images)), torch.Generator().manual_seed(seed))
    return {"loss": output.loss, **output.metrics}


def spy(task: S4LTask) -> list[Tensor]:
    """Where what the encoder sees will be."""
    seen: list[Tensor] = []
    task.encoder.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].clone()))
    return seen


def levels(x: Tensor) -> list[int]:
    """The grays of flat images, as the encoder sees them."""
    return ((x[:, 0, 0, 0] + 2) * 63.75).round().int().tolist()


def test_the_loss_recomputed() -> None:
    """Row ``9 k + i`` is image i turned k times: five without labels, then the four that were drawn."""
    pictures, kinds = flat(12)
    label_of = {int(image[0, 0, 0]): int(kind) for image, kind in zip(pictures, kinds, strict=True)}
    task = make(pictures, kinds, labelled_batch=4, views=plain())
    seen = spy(task)
    features = torch.randn(36, DIM, generator=torch.Generator().manual_seed(1))
    task.encoder.register_forward_hook(lambda *_: features)
    found = run(task, noise(5)[0])

    drawn = levels(seen[0][5:9])
    without = labelled = supervised = 0.0
    for k in range(4):
        for i in range(9):
            row = features[9 * k + i]
            cost = -task.view_classifier(row).log_softmax(0)[k].item()
            if i < 5:
                without += cost / 20
            else:
                labelled += cost / 16
                kind = label_of[drawn[i - 5]]
                supervised -= task.label_classifier(row).log_softmax(0)[kind].item() / 16
    rotation = (without + labelled) / 2
    assert found["rotation"].item() == pytest.approx(rotation, rel=1e-4)
    assert found["supervised"].item() == pytest.approx(supervised, rel=1e-4)
    assert found["loss"].item() == pytest.approx(rotation + supervised, rel=1e-4)


def test_the_turns_are_the_labels_of_turns() -> None:
    task = make(*noise(8), labelled_batch=2)
    seen = spy(task)
    run(task, noise(3, 1)[0])
    upright, *turned = seen[0].chunk(4)
    for k, images in enumerate(turned, 1):
        assert torch.equal(images.rot90(-k, dims=(2, 3)), upright)


def test_images_without_labels_are_classed_by_turn_alone() -> None:
    """Their features do not reach the label classifier, and their numbers mean nothing."""
    task = make(*flat(8), labelled_batch=4)
    features = torch.randn(4, 7, DIM, generator=torch.Generator().manual_seed(1))
    task.encoder.register_forward_hook(lambda *_: features.flatten(0, 1))
    images = noise(3)[0]
    expected = run(task, images)
    renumbered = task(images, torch.tensor([7, 0, 3]), torch.Generator().manual_seed(0))
    assert torch.equal(renumbered.loss, expected["loss"])
    features[:, :3] = float("nan")
    found = run(task, images)
    assert torch.equal(found["supervised"], expected["supervised"])
    assert found["rotation"].isnan()


@pytest.mark.parametrize(
    ("option", "batch", "expected"), [(None, 6, 6), (None, 20, 12), (5, 6, 5), (40, 6, 12)]
)
def test_as_many_labeled_images_join_as_asked(option: int | None, batch: int, expected: int) -> None:
    """Other ones each time, in the end all, and none twice at once."""
    task = make(*flat(12), labelled_batch=option, views=plain())
    task.encoder.register_forward_hook(lambda _, inputs, __: torch.zeros(len(inputs[0]), DIM))
    seen = spy(task)
    for seed in range(15):
        run(task, noise(batch)[0], seed)
    draws = [levels(x[batch : len(x) // 4]) for x in seen]
    assert all(len(drawn) == len(set(drawn)) == expected for drawn in draws)
    assert set().union(*draws) == set(levels(flat(12)[0].float() / 63.75 - 2))
    assert len({tuple(drawn) for drawn in draws}) > 1


def test_of_flat_images_the_class_is_learned_and_no_turn() -> None:
    """Not from the shape of a turned oblong either."""
    pictures, kinds = flat(16, 24, 32)
    rows = descend(make(pictures, kinds), pictures[::2], 14)
    for row in rows:
        assert row["rotation_accuracy"] == pytest.approx(1 / 4)
        assert row["rotation"] > math.log(4) - 1e-4
    assert rows[-1]["label_accuracy"] > 0.7
    assert rows[-1]["supervised"] < 0.5 * rows[0]["supervised"]


def test_labels_that_images_do_not_show_stay_at_chance() -> None:
    """Noise with random labels, too many to remember: places in the batch, for one, do not tell them."""
    pictures, kinds = noise(1000)
    rows = descend(make(pictures, kinds, labelled_batch=24), noise(4, 1)[0], 16)
    assert end(rows, "label_accuracy", 1 / 2) == pytest.approx(1 / KINDS, abs=0.1)
    assert end(rows, "supervised", 1 / 2) > math.log(KINDS) - 0.05


def test_the_start_is_chance() -> None:
    found = run(make(*noise(24)), noise(24, 1)[0])
    assert found["rotation"].item() == pytest.approx(math.log(4), rel=0.1)
    assert found["supervised"].item() == pytest.approx(math.log(KINDS), rel=0.1)


def test_labeled_images_are_in_the_checkpoint() -> None:
    pictures, kinds = noise(6)
    task = make(pictures, kinds)
    state = task.state_dict()
    assert torch.equal(state["labelled_images"], pictures)
    assert torch.equal(state["labels"], kinds)
    kinds.zero_()
    assert task.labels.any()


def test_a_resume_must_have_the_same_labels(tmp_path: Path) -> None:
    pictures, kinds = noise(6)
    images = noise(8, seed=1)[0].permute(0, 2, 3, 1).numpy()
    fit(make(pictures, kinds), tmp_path, images, steps=1)
    fit(make(pictures, kinds), tmp_path, images, steps=1, resume=True)
    for other in (make(pictures.flip(0), kinds), make(pictures, (kinds + 1) % KINDS)):
        with pytest.raises(OnlygoodError, match=r"label.*: not the same"):
            fit(other, tmp_path, images, steps=1, resume=True)


@pytest.mark.parametrize("labels", [[0, 1], [], [1, 1, 1], [0, -1, 1]])
def test_labels_that_do_not_fit_are_refused(labels: list[int]) -> None:
    with pytest.raises(OnlygoodError, match="a class number"):
        make(noise(3)[0], torch.tensor(labels, dtype=torch.int64))


def test_labeled_images_of_another_size_are_refused() -> None:
    with pytest.raises(OnlygoodError, match=r"\[3, 24, 24\].*\[3, 24, 32\]"):
        run(make(*noise(3)), flat(4, 24, 32)[0])
