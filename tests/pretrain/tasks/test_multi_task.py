"""Several tasks over one encoder: the sum is that of the parts, and nothing is counted twice."""

import pytest
import torch
from torch import Tensor

from onlygood.pretrain.networks.registry import create_encoder
from onlygood.pretrain.tasks.multi_task import MultiTask
from onlygood.pretrain.tasks.registry import Takes, create_task, material
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


FILMED = [{"name": "rotation"}, {"name": "motion-segmentation"}, {"name": "exemplar", "options": {}}]


def test_parts_of_a_video_are_seen_by_those_that_take_them() -> None:
    """A frame and its mask, side by side: the others see the frame, and so does the detector."""
    task, seen = make(parts=FILMED), []
    mask = torch.tensor([0, 128, 255], dtype=torch.uint8).repeat_interleave(8).expand(8, 3, 24, 24)
    for part in task.parts:
        part.loss = lambda x, ids, rng, loss=part.loss: seen.append(x) or loss(x, ids, rng)
    frames = images()
    task(torch.cat([frames, mask], dim=3), torch.arange(8), torch.Generator())
    assert [x.shape[3] for x in seen] == [24, 48, 24]
    assert all(torch.equal(x[..., :24], frames) for x in seen)
    assert torch.equal(seen[1][..., 24:], mask)
    task.eval()
    torch.testing.assert_close(task.embed(torch.cat([frames, mask], dim=3)), task.embed(frames))


def test_what_it_learns_from_is_what_its_parts_learn_from() -> None:
    assert material("multi-task", {}) is Takes.COUNT
    assert material("multi-task", {"parts": PARTS}) is Takes.COUNT
    assert material("multi-task", {"parts": FILMED}) is Takes.MOTION
    nested = [{"name": "multi-task", "options": {"parts": FILMED}}, {"name": "simclr"}]
    assert material("multi-task", {"parts": nested}) is Takes.MOTION
    assert material("video-triplet", {}) is Takes.TRACKS


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
        ([{"name": "rotation"}, {"name": "s4l"}], "cannot join 's4l': it learns from labels"),
        (
            [{"name": "video-triplet"}, {"name": "motion-segmentation"}],
            "cannot join 'video-triplet' and 'motion-segmentation': they take different parts of a video",
        ),
    ],
)
def test_mistakes_are_named(parts: list[dict[str, object]], message: str) -> None:
    with pytest.raises(OnlygoodError, match=message):
        make(parts=parts)
