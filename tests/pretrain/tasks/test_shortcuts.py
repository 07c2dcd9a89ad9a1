"""What must not be learnable is not learned, and what collapsed is called so.

The shortcuts of most tasks are tested in the task's own file; here are those of the first ones.
"""

import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from tiny import BATCH, SIDE, Store, batch, fit, make, rows, structured
from torch import Tensor, nn

from onlygood.pretrain.training.feed import Feed

# --- collapse -----------------------------------------------------------------


@pytest.mark.parametrize("broken", [False, True])
@pytest.mark.parametrize("name", ["byol", "simsiam"])
def test_a_training_that_collapsed_ends_with_a_warning(
    name: str, broken: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """BYOL without its predictor, SimSiam without its stop-gradient, on images whose views share nothing."""
    task = make(name)
    if name == "simsiam":
        task.projector[-1] = nn.Identity()  # a norm, which would hold 32 embeddings apart for a while
        if broken:
            monkeypatch.setattr("onlygood.pretrain.tasks.simsiam.simsiam", leaky)
    elif broken:
        task.predictor = nn.Identity()
    noise = np.random.default_rng(0).integers(0, 256, (BATCH, SIDE, SIDE, 3), dtype=np.uint8)
    warnings = fit(task, tmp_path, noise, steps=40, lr=0.5).warnings
    assert any("embeddings have collapsed" in words for words in warnings) == broken


def leaky(p1: Tensor, p2: Tensor, z1: Tensor, z2: Tensor) -> Tensor:
    """SimSiam's loss without the stop-gradient."""
    cosine = nn.functional.cosine_similarity
    return -(cosine(p1, z2).mean() + cosine(p2, z1).mean()) / 2


# --- no shortcuts -------------------------------------------------------------


def settled(name: str, images: NDArray[np.uint8], out: Path, *, steps: int = 12, **options: Any) -> Any:
    """Loss and accuracy over the second half of a training."""
    tail = rows(fit(make(name, **options), out, images, steps=steps))[steps // 2 :]
    return SimpleNamespace(
        loss=float(np.mean([row.get("cross_entropy", row["loss"]) for row in tail])),
        accuracies=[row["accuracy"] for row in tail],
    )


@pytest.mark.parametrize("shape", [(SIDE, SIDE), (16, 24)])
def test_rotation_of_flat_images_stays_at_chance(tmp_path: Path, shape: tuple[int, int]) -> None:
    """A flat image looks the same at every angle; borders, padding or an oblong shape must not tell it."""
    flat = np.broadcast_to(np.arange(0, 192, 6, np.uint8)[:, None, None, None], (BATCH, *shape, 3))
    end = settled("rotation", flat, tmp_path)
    assert end.accuracies == pytest.approx([1 / 4] * len(end.accuracies))
    assert end.loss > math.log(4) - 1e-3


def test_rotation_shows_the_encoder_squares_only() -> None:
    task = make("rotation").train()
    shapes: list[tuple[int, ...]] = []
    task.encoder.register_forward_pre_hook(lambda _, inputs: shapes.append(tuple(inputs[0].shape)))
    task(batch(structured(3, 16, 24)), torch.arange(3), torch.Generator())
    assert shapes == [(12, 3, 16, 16)]


def test_rotation_labels_are_the_turns() -> None:
    """The encoder sees each view four times; turned back by its label it is one and the same."""
    task = make("rotation").train()
    seen: list[Tensor] = []
    task.encoder.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].clone()))
    task(batch(structured(3)), torch.arange(3), torch.Generator())
    upright, *turned = seen[0].chunk(4)
    for k, images in enumerate(turned, 1):
        assert torch.equal(images.rot90(-k, dims=(2, 3)), upright)


def test_cutpaste_without_the_paste_is_chance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The three versions of an image differ by the paste alone: without it, exactly a third are right."""
    monkeypatch.setattr("onlygood.pretrain.tasks.cutpaste.cut_paste", lambda x, rng, scar: x)
    end = settled("cutpaste", structured(), tmp_path)
    assert end.accuracies == pytest.approx([1 / 3] * len(end.accuracies))
    assert end.loss > math.log(3) - 1e-3


def test_defects_without_a_defect_are_chance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Clean and defective halves differ by the defect alone, not by views, order or place in the batch."""
    name = "onlygood.pretrain.tasks.defects.paste_defects"
    monkeypatch.setattr(name, lambda x, rng: (x, torch.zeros_like(x[:, 0])))
    end = settled("defects", structured(), tmp_path, steps=60)
    seen = BATCH * len(end.accuracies)
    assert np.mean(end.accuracies) == pytest.approx(1 / 2, abs=4 * math.sqrt(0.25 / seen))
    assert end.loss > math.log(2) - 0.05


def test_no_image_is_always_the_clean_one() -> None:
    """`defects` splits a batch in halves: the trainer's order puts every image into both, in turn."""
    feed = Feed(Store(structured(20)), np.arange(20), 10, 0, torch.device("cpu"))
    first = [set(feed.positions(step)[:5]) for step in range(60)]
    share = np.mean([[image in half for image in range(20)] for half in first], axis=0) * 2
    assert (np.abs(share - 0.5) < 0.35).all()


def test_simclr_pairs_are_views_of_one_image() -> None:
    """With views that change nothing and images that differ, partners are told at once."""
    options = {"views": {"flip": False}, "temperature": 0.05}
    task = make("simclr", **options).train()
    images = batch(structured(8))
    easy = task(images, torch.arange(8), torch.Generator()).loss
    hard = task(images[:1].expand(8, -1, -1, -1), torch.arange(8), torch.Generator()).loss
    assert easy < 0.5 * hard
    torch.testing.assert_close(hard, torch.tensor(math.log(15)), atol=1e-3, rtol=0)


@pytest.mark.parametrize("layers", [2, 3])
def test_the_head_of_simclr_is_as_deep_as_asked_for(layers: int) -> None:
    shapes = [p.shape for p in make("simclr", layers=layers).projector.parameters() if p.ndim == 2]
    assert shapes == [(256, 256)] * (layers - 1) + [(128, 256)]
