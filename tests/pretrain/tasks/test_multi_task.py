"""Several tasks over one encoder: the sum is that of the parts, and nothing is counted twice."""

import pytest
import torch
from torch import Tensor

from onlygood.pretrain.networks.registry import create_encoder
from onlygood.pretrain.tasks.multi_task import MultiTask
from onlygood.pretrain.tasks.registry import create_task
from onlygood.runtime.errors import OnlygoodError

PARTS = [{"name": "rotation", "weight": 2.0}, {"name": "cutpaste"}, {"name": "simclr", "weight": 0.5}]


def make(channels: int = 3, **options: object) -> MultiTask:
    encoder = create_encoder("small", channels, seed=0)
    task = create_task("multi-task", encoder, {"parts": PARTS} | options, images=8, seed=0)
    assert isinstance(task, MultiTask)
    return task


def images() -> Tensor:
    return torch.randint(
        0, 256, (8, 3, 24, 24), dtype=torch.uint8, generator=torch.Generator().manual_seed(1)
    )


def test_the_loss_is_the_weighted_sum_of_the_parts() -> None:
    task, rng = make(), torch.Generator().manual_seed(5)
    total = task(images(), torch.arange(8), rng)
    alone, rng = make(), torch.Generator().manual_seed(5)
    losses = [part.loss(images(), torch.arange(8), rng).loss for part in alone.parts]
    torch.testing.assert_close(total.loss, 2 * losses[0] + losses[1] + 0.5 * losses[2])
    assert total.metrics.keys() == {"1_rotation", "2_cutpaste", "3_simclr"}


def test_every_parameter_is_in_one_group_and_the_encoder_is_shared() -> None:
    task = make()
    grouped = [id(p) for group in task.param_groups() for p in group["params"]]
    assert sorted(grouped) == sorted(id(p) for p in task.parameters())
    assert all(part.encoder is task.encoder for part in task.parts)


def test_features_are_computed_once_an_epoch() -> None:
    task, calls = make(parts=[{"name": "rotation"}, {"name": "simclr"}]), []
    for part in task.parts:
        part.start_epoch = lambda epoch, embed: embed()
    task.start_epoch(0, lambda: calls.append(1) or torch.zeros(8, 4))
    assert calls == [1]


def test_harmonized_tasks_see_no_color() -> None:
    seen: list[Tensor] = []
    task = make(harmonise=True)
    task.encoder.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].clone()))
    task(images(), torch.arange(8), torch.Generator())
    for x in seen[:2]:  # SimCLR's views shift the channels of what they get
        assert torch.equal(x[:, 0], x[:, 1])
        assert torch.equal(x[:, 0], x[:, 2])


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ([{"name": "rotation"}], "at least 2"),
        ([{"name": "rotation"}, {"name": "simcrl"}], "did you mean 'simclr'"),
        ([{"name": "rotation"}, {"name": "simclr", "weigth": 1}], "weigth"),
        (
            [{"name": "rotation"}, {"name": "simclr", "options": {"temprature": 1}}],
            "did you mean 'temperature'",
        ),
    ],
)
def test_mistakes_are_named(parts: list[dict[str, object]], message: str) -> None:
    with pytest.raises(OnlygoodError, match=message):
        make(parts=parts)
