"""NSA: labels say what shows; where nothing shows there is nothing to learn."""

from functools import partial

import pytest
import torch
from tiny import descend, generator, make, noise
from torch import Tensor

from onlygood.pretrain.tasks import nsa
from onlygood.pretrain.tasks.nsa import NSATask
from onlygood.pretrain.views.views import to_float
from onlygood.runtime.errors import OnlygoodError

BATCH = 16


def seen(task: NSATask, images: Tensor) -> tuple[Tensor, Tensor]:
    """What the encoder is shown, and the labels, of one step."""
    shown: list[Tensor] = []
    hook = task.encoder.blocks[0].register_forward_pre_hook(lambda _, inputs: shown.append(inputs[0].clone()))
    labels: list[Tensor] = []
    whole = nsa.shown
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(nsa, "shown", lambda *a: labels.append(whole(*a)) or labels[-1])  # type: ignore[func-returns-value]
        task(images, torch.arange(len(images)), generator())
    hook.remove()
    return shown[0], labels[0]


@pytest.mark.parametrize("standardize", ["fixed", "image"])
def test_labels_are_where_gray_levels_change(standardize: str) -> None:
    """A cell whose pixels all change by far more than the middle is a defect; where none does, none is."""
    task = make("nsa", mixed=False)
    task.standardize = standardize  # type: ignore[assignment]
    images = noise(BATCH, 0, 12, 10).repeat_interleave(4, 2).repeat_interleave(4, 3)
    x = to_float(images, task.standardize)
    out, labels = seen(task.train(), images)
    deviation = images.float().std(dim=(1, 2, 3), correction=0) + 8
    levels = torch.full_like(deviation, 63.75) if standardize == "fixed" else deviation
    change = (out - x).abs().mean(dim=1) * levels.view(-1, 1, 1)
    cells = change.unfold(1, 5, 4).unfold(2, 5, 4).flatten(3)
    inner = labels[:, : cells.shape[1], : cells.shape[2]]
    assert labels.shape == (BATCH, 12, 10)
    assert (inner[cells.amin(dim=3) > 25] > 0.99).all()
    assert (cells.amin(dim=3) > 25).any()
    assert (inner[cells.amax(dim=3) < 1] < 0.05).all()
    assert not inner[cells.amax(dim=3) == 0].any()


def test_flat_images_of_any_brightness_have_no_defects() -> None:
    """Blending hides what differs by brightness alone, so all labels are 0 and so are the answers."""
    flat = (torch.arange(BATCH, dtype=torch.uint8) * 10 + 40).view(-1, 1, 1, 1).expand(-1, 3, 24, 24)
    task = make("nsa").train()
    rows = descend(task, flat, 8, lr=0.1)
    assert max(row["shown"] for row in rows) < 1e-4
    with torch.no_grad():
        assert task.eval().locate(to_float(flat, "image")).max() < -1


def test_a_piece_is_located() -> None:
    """In images that were not seen, logits are higher where more shows."""
    task = make("nsa", mixed=False, sizes=[0.2, 0.4]).train()
    descend(task, partial(noisy_or_flat, BATCH), 25, lr=0.1)
    task.eval()
    with torch.no_grad():
        out, labels = seen(task, noisy_or_flat(BATCH, 1000))
        logits = task.locate(out)[:, 0]
    assert (logits[labels > 0.5][:, None] > logits[labels < 0.1]).float().mean() > 0.7


def noisy_or_flat(count: int, seed: int) -> Tensor:
    """Half of the images are white noise, half are flat: a piece of the one shows in the other."""
    images = noise(count, seed, 32, 32)
    images[::2] = images[::2, :, :1, :1]
    return images


@pytest.mark.parametrize(("name", "values"), [("sizes", [0.2, 0.1]), ("resize", [0, 1]), ("resize", [-1, 1])])
def test_ranges_that_are_none(name: str, values: list[float]) -> None:
    with pytest.raises(OnlygoodError, match=f"{name} goes from"):
        make("nsa", **{name: values})
