"""Motion segmentation: frames and masks stay in step, masks are not seen, and still frames tell nothing."""

import math
from typing import Any

import pytest
import torch
from tiny import descend, end, generator, seeded
from torch import Tensor, nn

from onlygood.pretrain.networks.base import Encoder
from onlygood.pretrain.networks.registry import create_encoder
from onlygood.pretrain.tasks.motion_segmentation import MotionSegmentationConfig, MotionSegmentationTask
from onlygood.runtime.errors import OnlygoodError

BATCH, SIDE = 24, 32


def make(encoder: Encoder | None = None, **options: Any) -> MotionSegmentationTask:
    with seeded():
        config = MotionSegmentationConfig(**options)
        return MotionSegmentationTask(encoder or create_encoder("small"), config).train()


def filmed(seed: int, *, told: bool = True) -> Tensor:
    """Noise with a red quarter; it moves, or where it does not tell, another one of the quarters."""
    rng = generator(seed)
    half = SIDE // 2
    frame = torch.randint(60, 200, (BATCH, 3, SIDE, SIDE), generator=rng)
    mask = torch.zeros(BATCH, 3, SIDE, SIDE, dtype=torch.long)
    places = torch.randint(0, 2, (BATCH, 4), generator=rng) * half
    for i, (y, x, v, u) in enumerate(places.tolist()):
        frame[i, 0, y : y + half, x : x + half] += 55
        frame[i, 1:, y : y + half, x : x + half] -= 60
        y, x = (y, x) if told else (v, u)  # noqa: PLW2901
        mask[i, :, y : y + half, x : x + half] = 255
    return torch.cat([frame, mask], dim=3).byte()


def test_the_encoder_sees_frames_alone() -> None:
    seen: list[Tensor] = []
    task = make(views={"flip": False})
    task.encoder.blocks[0].register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].clone()))
    task(filmed(0), torch.arange(BATCH), generator())
    torch.testing.assert_close(seen[0], filmed(0)[..., :SIDE] / 63.75 - 2, rtol=0, atol=1e-5)


def test_masks_go_along_with_their_frames() -> None:
    """Frames that show their own masks, through crops and flips: what is lighter than gray moves."""
    coarse = torch.randint(0, 3, (BATCH, 1, 4, 4), generator=generator()) * 255 // 2
    mask = coarse.repeat_interleave(8, 2).repeat_interleave(8, 3).expand(-1, 3, -1, -1).byte()
    task = make(views={"scale": [0.3, 1.0], "flip_vertical": True})
    x, moves, known = task._views(torch.cat([mask, mask], dim=3), generator())
    assert torch.equal(moves, x[:, 0] > 1)
    assert torch.equal(known, x[:, 0].abs() > 1)
    assert 0.2 < moves.float().mean() < 0.45
    assert 0.5 < known.float().mean() < 0.8


def test_colors_change_frames_and_not_masks() -> None:
    task = make(views={"brightness": 0.5, "contrast": 0.5, "saturation": 0.5, "hue": 0.3, "blur": 1.0})
    plain = make(views={})
    (x, *masks), (y, *others) = (each._views(filmed(0), generator()) for each in (task, plain))
    assert (x - y).abs().mean() > 0.1
    assert all(torch.equal(a, b) for a, b in zip(masks, others, strict=True))


def test_the_loss_by_hand() -> None:
    """An encoder whose map is the frame in cells of 16 px, and a layer that says what is red."""

    class Cells(Encoder):
        def __init__(self) -> None:
            super().__init__("cells", 3, [nn.AvgPool2d(16)], [3], 16)

    task = make(Cells(), views={})
    images = torch.zeros(2, 3, SIDE, 2 * SIDE, dtype=torch.uint8)
    images[..., :SIDE] = 127
    images[:, 0, :16, :16] = 255  # of the frame
    images[:, :, :16, SIDE : SIDE + 8] = 255  # half of the first cell moves
    images[:, :, :16, SIDE + 8 : SIDE + 12] = 128  # a quarter is in doubt
    with torch.no_grad():
        task.mask_head.weight.copy_(torch.tensor([1.0, 0, 0]).view(1, 3, 1, 1))
        task.mask_head.bias.fill_(0)
    output = task(images, torch.arange(2), generator())
    red, gray = (255 - 127.5) / 63.75, (127 - 127.5) / 63.75

    def cost(logit: float, share: float) -> float:
        return math.log1p(math.exp(logit)) - share * logit

    expected = (0.75 * cost(red, 2 / 3) + 3 * cost(gray, 0)) / 3.75
    assert output.loss.item() == pytest.approx(expected, rel=1e-4)
    assert output.metrics["iou"].item() == pytest.approx(1, rel=1e-4)


def test_what_moves_is_learned() -> None:
    rows = descend(make(), filmed, 24)
    assert end(rows, "iou") > 0.6


def test_frames_that_do_not_tell_what_moves_teach_nothing() -> None:
    """A quarter moves, whichever: saying so costs the entropy of a quarter."""
    entropy = -0.25 * math.log(0.25) - 0.75 * math.log(0.75)
    rows = descend(make(), lambda step: filmed(step, told=False), 24)
    assert end(rows) > entropy - 0.05
    assert end(rows, "iou") < 0.3


def test_images_of_another_shape_and_encoders_without_a_map_are_refused() -> None:
    with pytest.raises(
        OnlygoodError, match="takes frames and their masks side by side: images twice as wide"
    ):
        make()(filmed(0)[..., :SIDE], torch.arange(BATCH), generator())
    with pytest.raises(OnlygoodError, match="'lenet' keeps no map of places"):
        make(create_encoder("lenet"))


def test_features_are_those_of_frames_and_of_plain_images() -> None:
    task = make().eval()
    images = filmed(0)
    with torch.no_grad():
        assert torch.equal(task.embed(images), task.embed(images[..., :SIDE]))
