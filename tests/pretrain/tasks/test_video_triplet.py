"""Video triplets: which negatives are taken when, and no way to win without looking."""

from typing import Any

import numpy as np
import pytest
import torch
from tiny import descend, end, seeded, settle
from torch import Tensor

from onlygood.pretrain.losses.measures import cosines
from onlygood.pretrain.losses.triplet import triplet_terms
from onlygood.pretrain.networks.registry import create_encoder
from onlygood.pretrain.tasks.base import TaskOutput
from onlygood.pretrain.tasks.video_triplet import VideoTripletConfig, VideoTripletTask
from onlygood.runtime.errors import OnlygoodError

BATCH, SIDE, MARGIN = 16, 24, 0.5
PLAIN: dict[str, Any] = {"views": {"flip": False}}  # views that change nothing


def make(**options: Any) -> VideoTripletTask:
    with seeded():
        config = VideoTripletConfig(**({"projection": 32} | options))
        return VideoTripletTask(create_encoder("small"), config).train()


def noise(seed: int, count: int = BATCH, width: int = 2 * SIDE) -> Tensor:
    """Tracks whose two patches have nothing in common."""
    rng = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (count, 3, SIDE, width), dtype=torch.uint8, generator=rng)


def tracks(seed: int, count: int = BATCH) -> Tensor:
    """A colored texture a track; the last patch is the first, 2 px on and noisy."""
    rng = torch.Generator().manual_seed(seed)
    color = torch.randint(40, 216, (count, 3, 1, 1), generator=rng)
    coarse = torch.randint(-40, 40, (count, 3, SIDE // 4, SIDE // 4), generator=rng)
    patch = (color + coarse.repeat_interleave(4, 2).repeat_interleave(4, 3)).roll(0, 3)
    last = patch.roll(2, 3) + torch.randint(-4, 5, patch.shape, generator=rng)
    return torch.cat([patch, last], dim=3).clamp(0, 255).byte()


def step(task: VideoTripletTask, images: Tensor, seed: int = 0) -> TaskOutput:
    output = task(images, torch.arange(len(images)), torch.Generator().manual_seed(seed))
    assert isinstance(output, TaskOutput)
    return output


def test_a_track_twice_in_the_batch_is_not_its_own_negative() -> None:
    task = make(**PLAIN, switch=0.0)
    images = tracks(0, 8)
    ids = torch.arange(8).repeat(2)
    twice = task(images.repeat(2, 1, 1, 1), ids, torch.Generator().manual_seed(0))
    once = step(make(**PLAIN, switch=0.0, negatives=2), images)
    torch.testing.assert_close(twice.loss, once.loss, rtol=1e-4, atol=1e-5)  # top 4 of two of each
    torch.testing.assert_close(twice.metrics["triplets"], once.metrics["triplets"], rtol=1e-4, atol=1e-5)


def embeddings(task: VideoTripletTask, images: Tensor) -> tuple[TaskOutput, list[list[float]]]:
    """A step, and all costs recomputed from what the projector said."""
    seen: list[Tensor] = []
    hook = task.projector.register_forward_hook(lambda *args: seen.append(args[2].detach()))
    output = step(task, images)
    hook.remove()
    terms = triplet_terms(1 - cosines(*seen[0].chunk(2)), MARGIN)
    return output, terms[~torch.eye(len(terms), dtype=torch.bool)].view(len(terms), -1).tolist()


def test_random_negatives_until_the_switch_and_the_hardest_after() -> None:
    task = make()
    images = tracks(0)
    for progress, hardest in ((0.0, False), (0.39, False), (0.41, True), (1.0, True)):
        task.after_step(progress)
        output, costs = embeddings(task, images)
        top = np.mean([sorted(row)[-4:] for row in costs])
        if hardest:
            assert output.loss.item() == pytest.approx(top, rel=1e-4)
        else:
            assert output.loss.item() < 0.97 * top
            assert output.loss.item() == pytest.approx(np.mean(costs), rel=0.15)
        assert output.metrics["triplets"].item() == pytest.approx(np.mean(costs), rel=1e-4)
    assert "progress" in task.state_dict()


@pytest.mark.parametrize("switch", [0.0, 1.0])
def test_the_same_patch_in_all_tracks_costs_the_margin_for_ever(switch: float) -> None:
    task = make(**PLAIN, switch=switch)
    images = noise(0, 1, SIDE).repeat(BATCH, 1, 1, 2)
    rows = descend(task, images, 5, lr=0.1, momentum=0)
    assert [row["loss"] for row in rows] == pytest.approx([MARGIN] * 5, abs=1e-4)
    assert rows[-1]["embedding_spread"] < 1e-3  # a collapse is seen


def test_place_in_the_batch_is_no_cue() -> None:
    """The order of tracks changes nothing; and where the patches of a track share nothing, nothing is won."""
    images = tracks(0)
    order = torch.randperm(BATCH, generator=torch.Generator().manual_seed(1))
    one, other = (step(make(**PLAIN, switch=0.0), some).loss for some in (images, images[order]))
    torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)
    assert settle(make(), noise, 24, "triplets") > 0.97 * MARGIN


def test_tracks_are_learned() -> None:
    task = make()
    rows = descend(task, tracks, 24)
    assert end(rows, "triplets", 1 / 6) < 0.5 * end(rows[:2], "triplets", 1)
    assert step(task, tracks(99)).metrics["embedding_spread"] > 0.4


def test_each_patch_is_shown_alone() -> None:
    """The encoder sees squares: first patches, then last ones, in the tracks' order."""
    task = make(**PLAIN)
    seen: list[Tensor] = []
    task.encoder.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].clone()))
    images = noise(0, 4)
    step(task, images)
    first, last = seen[0].chunk(2)
    torch.testing.assert_close(first, images[..., :SIDE] / 63.75 - 2, rtol=0, atol=1e-5)
    torch.testing.assert_close(last, images[..., SIDE:] / 63.75 - 2, rtol=0, atol=1e-5)


@pytest.mark.parametrize("width", [SIDE, 2 * SIDE - 1, 3 * SIDE])
def test_images_that_are_no_tracks_are_refused(width: int) -> None:
    with pytest.raises(OnlygoodError, match=rf"twice as wide as high, not {width} × {SIDE} px"):
        step(make(), noise(0, 4, width))


def test_features_are_those_of_first_patches_and_of_plain_images() -> None:
    task = make().eval()
    images = noise(0, 4)
    with torch.no_grad():
        whole, left, right = (task.embed(x) for x in (images, images[..., :SIDE], images[..., SIDE:]))
    assert torch.equal(whole, left)
    assert not torch.allclose(whole, right)
