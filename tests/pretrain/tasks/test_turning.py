"""The trait of telling turns is held to what the encoder is shown."""

import pytest
import torch
from tiny import FACTS, SIDE, batch, make, pictures
from torch import Tensor, nn

from onlygood.pretrain.tasks.registry import TASKS
from onlygood.pretrain.tasks.turning import tells_turns
from onlygood.runtime.errors import OnlygoodError


def shown_turned(name: str) -> bool:
    """Whether the encoder sees images, lit from above, whose light comes from a side."""
    task, seen = make(name).train(), []

    def note(_: nn.Module, given: tuple[Tensor, ...]) -> None:
        seen.append(given[0].detach())

    task.encoder.blocks[0].register_forward_pre_hook(note)
    images = batch(pictures(name, 8))
    light = torch.linspace(220, 30, SIDE)[:, None].expand(SIDE, images.shape[3])
    light = light * torch.tensor([1.0, 0.8, 0.6])[:, None, None]  # colored, for colorization
    task(light.byte().expand_as(images).contiguous(), torch.arange(8), torch.Generator().manual_seed(0))
    views = [view for each in seen for view in each if view.ndim == 3 and min(view.shape[1:]) > 2]
    down = torch.stack([view.diff(dim=1).mean().abs() for view in views])
    across = torch.stack([view.diff(dim=2).mean().abs() for view in views])
    return bool((across > 4 * down).float().mean() > 0.15)


@pytest.mark.parametrize("name", [name for name, facts in FACTS.items() if facts.encoder == "small"])
def test_tasks_that_show_turned_images_say_so(name: str) -> None:
    assert shown_turned(name) == tells_turns(name, FACTS[name].options)


def test_every_other_task_shows_none() -> None:
    """Those of other encoders: tokens of patches, split channels, no biases."""
    assert {name for name in TASKS if TASKS[name].turns} <= {
        name for name, facts in FACTS.items() if facts.encoder == "small"
    }


def test_options_and_parts_decide() -> None:
    assert not tells_turns("geometric", {"turns": False})
    assert not tells_turns("contrastive-da", {"turns": False})
    assert tells_turns("multi-task", {})
    assert not tells_turns("multi-task", {"parts": [{"name": "simclr"}, {"name": "jigsaw"}]})
    with pytest.raises(OnlygoodError, match="turn"):
        tells_turns("geometric", {"turn": False})
