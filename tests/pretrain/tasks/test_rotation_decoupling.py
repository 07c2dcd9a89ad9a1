"""Rotation decoupling: its losses, when the weights begin and whom they spare, and what each half knows."""

import math

import pytest
import torch
from tiny import descend, end, noise, seeded
from torch import Tensor
from torch.nn import functional

from onlygood.pretrain.networks.registry import create_encoder
from onlygood.pretrain.tasks.rotation_decoupling import RotationDecouplingConfig, RotationDecouplingTask

COUNT = 16
HALF = 128


def make(**options: object) -> RotationDecouplingTask:
    with seeded():
        config = RotationDecouplingConfig.parse({"temperature": 0.5} | options, "test")
        return RotationDecouplingTask(create_encoder("small"), config, images=COUNT).train()


def flat(height: int = 24, width: int = 24) -> Tensor:
    levels = torch.arange(20, 20 + 8 * COUNT, 8, dtype=torch.uint8)
    return levels.view(-1, 1, 1, 1).expand(-1, 3, height, width)


def lit() -> Tensor:
    """Bright at the bottom: what is up can be told."""
    return flat() + torch.arange(0, 72, 3, dtype=torch.uint8)[:, None]


def run(task: RotationDecouplingTask, images: Tensor, seed: int = 0) -> dict[str, float]:
    """The loss and all metrics of one step, of which gradients stay."""
    output = task(images, torch.arange(len(images)), torch.Generator().manual_seed(seed))
    task.zero_grad()
    torch.autograd.backward(output.loss)
    return {"loss": output.loss.item()} | {name: value.item() for name, value in output.metrics.items()}


def pretend(task: RotationDecouplingTask, features: Tensor) -> None:
    """Let the encoder say these features."""
    task.encoder.register_forward_hook(lambda *_: features)


def draw(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("progress", [0.5, 1.0])
def test_the_losses_recomputed(progress: float) -> None:
    """Row ``k B + i`` is image i turned k times; only the first half tells turns, only the second images."""
    task = make(prior=0.3, gamma=3.0, switch=0.8)
    features, rows = draw(12, 2 * HALF), task.bank.rows.clone()
    pretend(task, features)
    task.after_step(progress)
    found = run(task, noise(3))

    rotation = members = as_others = mixture = invariance = instance = 0.0
    turn, upright = task.view_classifier.linear, task.upright.linear
    for i in range(3):
        mean = sum(features[3 * k + i, HALF:] for k in range(4)) / 4
        z = functional.normalize(task.projector(mean), dim=0).detach()
        similar = [math.exp(float(z @ row) / 0.5) for row in rows]
        instance -= math.log(similar[i] / sum(similar)) / 3
        kept = functional.normalize((rows[i] + z) / 2, dim=0)
        torch.testing.assert_close(task.bank.rows[i], kept)
        for k in range(4):
            first, second = features[3 * k + i].view(2, HALF)
            p = float(upright(first).detach().sigmoid())
            weight = 1 - p**3 if k and progress == 1 else 1
            rotation -= weight * turn(first).log_softmax(0)[k].item() / 12
            invariance += float(((second - mean) ** 2).mean()) / 12
            if k:
                mixture += p**2 / 9
            else:
                members += (1 - p) ** 2 / 3
                as_others += p**2 / 3
    pu = 0.3 * members + max(0.0, mixture - 0.3 * as_others)
    expected = {"rotation": rotation, "invariance": invariance, "instance": instance, "upright": pu}
    assert {name: found[name] for name in expected} == pytest.approx(expected, rel=1e-4)
    assert found["loss"] == pytest.approx(sum(expected.values()), rel=1e-4)


def test_copies_that_surely_look_upright_count_from_the_switch_on_no_more() -> None:
    """All that is left then is the upright images' quarter."""
    task = make(switch=0.8)
    features = draw(12, 2 * HALF)
    pretend(task, features)
    with torch.no_grad():
        task.upright.linear.bias.fill_(100.0)
    each = -task.view_classifier(features).log_softmax(1).view(4, 3, 4).diagonal(0, 0, 2)  # (3, 4)
    for progress, expected in [(0.1, each.mean()), (0.79, each.mean()), (0.8, each[:, 0].mean() / 4)]:
        task.after_step(progress)
        assert run(task, noise(3))["rotation"] == pytest.approx(expected.item(), rel=1e-4)


def test_images_that_look_the_same_at_every_angle_teach_no_turn() -> None:
    """Not by the shape of a turned oblong either; and they look upright as often as the prior says."""
    task = make(prior=0.4, switch=1.0, views={"flip": False, "brightness": 0.15})
    rows = descend(task, flat(24, 32), 20)
    assert all(row["rotation"] > math.log(4) - 1e-3 for row in rows[-6:])
    assert all(row["rotation_accuracy"] == pytest.approx(1 / 4) for row in rows[-6:])
    assert end(rows, "looks_upright", 0.3) == pytest.approx(0.4, abs=0.1)


def test_copies_that_look_upright_are_found_among_those_that_do_not() -> None:
    """A quarter of the images is flat: their turned copies lose much more weight than those of the others."""
    task = make(prior=0.25, switch=1.0)
    images = torch.where(torch.arange(COUNT).view(-1, 1, 1, 1) < COUNT // 4, flat(), lit())
    rows = descend(task, images, 45)
    assert rows[-1]["rotation"] < math.log(4) / 4 + 0.1
    seen: list[Tensor] = []
    task.upright.register_forward_hook(lambda _, __, logits: seen.append(logits.detach()))
    run(task, images)
    p = seen[0].sigmoid().view(4, COUNT)[1:]
    assert p[:, : COUNT // 4].mean() > 0.4
    assert p[:, COUNT // 4 :].mean() < 0.15


def test_what_looks_upright_teaches_the_encoder_nothing() -> None:
    """Neither its own loss, which the prior changes, nor through the weights."""
    gradients = []
    for prior, switch in [(0.1, 1.0), (0.6, 1.0), (0.1, 0.0)]:
        task = make(prior=prior, switch=switch)
        run(task, noise(COUNT))
        gradients.append([p.grad for part in (task.encoder, task.upright) for p in part.parameters()])
    lists = zip(*gradients, strict=True)
    same = [(torch.equal(a, b), torch.equal(a, c)) for a, b, c in lists]
    encoder, upright = same[:-2], same[-2:]
    assert all(prior and not switch for prior, switch in encoder)
    assert all(switch and not prior for prior, switch in upright)


def test_features_that_no_turn_changes_have_no_invariance_loss() -> None:
    """Of the second half alone: the first may change."""
    task, features = make(), draw(12, 2 * HALF)
    features[:, HALF:] = features[:3, HALF:].repeat(4, 1)
    pretend(task, features)
    assert run(task, noise(3))["invariance"] == pytest.approx(0, abs=1e-12)
    features[0, HALF] += 4  # by 3, -1, -1 and -1 from its mean
    assert run(task, noise(3))["invariance"] == pytest.approx(12 / (12 * HALF), rel=1e-4)


@pytest.mark.parametrize(
    ("negatives", "chance"), [(16, math.log(COUNT)), (8, math.log(9) + 8 * math.log(9 / 8))]
)
def test_the_start_is_chance(negatives: int, chance: float) -> None:
    found = run(make(negatives=negatives, temperature=2.0), noise(COUNT))
    assert found["rotation"] == pytest.approx(math.log(4), rel=0.1)
    assert found["instance"] == pytest.approx(chance, rel=0.05)


def test_equal_images_stay_at_chance_and_one_embedding_for_all_shows() -> None:
    rows = descend(make(), noise(1).expand(COUNT, -1, -1, -1), 8)
    assert all(row["instance"] > math.log(COUNT) - 0.05 for row in rows[4:])
    task = make()
    pretend(task, draw(1, 2 * HALF).expand(12, -1))
    assert run(task, noise(3))["embedding_spread"] < 1e-3


def test_the_detectors_classifier_reads_turns_from_the_first_half() -> None:
    """Of features (N, R, K, D)."""
    task, features = make(), draw(2, 3, 4, 2 * HALF)
    logits = task.view_classifier(features)
    assert logits.shape == (2, 3, 4, 4)
    changed = features.clone()
    changed[..., HALF:] = 0
    assert torch.equal(task.view_classifier(changed), logits)
    changed[..., HALF - 1] += 1
    assert not torch.equal(task.view_classifier(changed), logits)


def test_the_projector_reads_images_from_the_second_half() -> None:
    """Of features of a detector, too: what tells turns does not reach it."""
    task, features = make(), draw(5, 2 * HALF)
    embeddings = task.projector(features)
    torch.testing.assert_close(embeddings, task.projector(features[:, HALF:]))
    features[:, :HALF] = 0
    assert torch.equal(task.projector(features), embeddings)
