"""Defect maps: what counts as a defect, at which scales, and where it is found."""

import pytest
import torch
from tiny import batch, descend, generator, make, structured
from torch import Tensor

from onlygood.pretrain.tasks import defect_maps
from onlygood.pretrain.tasks.defect_maps import DefectMapsTask
from onlygood.pretrain.views.defects import Mixture, spoil
from onlygood.pretrain.views.views import to_float
from onlygood.runtime.errors import OnlygoodError

PLAIN = {"flip": False, "flip_vertical": False}


def task(crop: int = 32, **options: object) -> DefectMapsTask:
    made = make("defect-maps", views={"crop": crop, **PLAIN}, **options)
    assert isinstance(made, DefectMapsTask)
    return made


def bright_corner(x: Tensor, mixture: Mixture, rng: torch.Generator) -> Tensor:
    """A bright square at the top right."""
    changed = x.clone()
    changed[:, :, 2:14, 18:30] += 3
    return changed


def test_a_defect_is_located(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(defect_maps, "spoil", bright_corner)
    images = batch(structured(32, 32, 32))
    learner = task(half=0.0)
    descend(learner, images, 25)
    clean = to_float(images, "image")
    with torch.no_grad():
        found = learner.eval().locate(bright_corner(clean, Mixture(), generator()))[:, 0]
        assert learner.locate(clean).max() < found[:, 1:3, 5:7].min()
    assert found.shape == (32, 8, 8)  # every 4 px
    assert (found[:, 1:3, 5:7] > 0).all()
    assert found[:, 1:3, 5:7].amin(dim=(1, 2)).min() > found[:, 5:, :4].max()


def test_labels_say_how_much_shows() -> None:
    """A change of a quarter deviation is half a defect; of none at all, none."""
    change = torch.zeros(1, 2, 9, 9)
    change[:, :, :, 3:6], change[:, 0, :, 6:], change[:, 1, :, 6:] = 0.25, -2.0, 2.0
    labels = task()._labels(change)[0, 0, 4]
    assert labels[:2].tolist() == [0, 0]
    assert labels[4] == pytest.approx(0.5)
    assert labels[7] == pytest.approx(1, abs=1e-4)


def test_a_quarter_of_the_views_is_at_half_scale() -> None:
    """Of stripes two pixels apart nothing is left there but gray."""
    images = torch.zeros(16, 1, 80, 80, dtype=torch.uint8)
    images[..., ::2] = 200
    x = task(crop=40)._views(images, generator())
    assert x.shape == (16, 1, 40, 40)
    assert (x.flatten(1).std(dim=1) < 1e-3).sum() == 4


def test_small_images_are_seen_at_one_scale_only() -> None:
    images = torch.zeros(16, 1, 40, 40, dtype=torch.uint8)
    images[..., ::2] = 200
    x = task(crop=32)._views(images, generator())
    assert (x.flatten(1).std(dim=1) > 0.5).all()


@pytest.mark.parametrize(
    "mixture",
    [
        {"scars": 1.0, "bands": 0.0},
        {"scars": 0.0, "bands": 1.0},
        {"scars": 0.0, "bands": 0.0, "fine": 0.0},
        {"scars": 0.0, "bands": 0.0, "fine": 1.0, "painted": 1},
        {"scars": 0.5, "bands": 0.5},
    ],
)
def test_each_kind_changes_every_image_somewhere_and_not_everywhere(mixture: dict[str, float]) -> None:
    x = to_float(batch(structured(8, 64, 64)), "image")
    changed = (spoil(x, Mixture(**mixture), generator()) - x).abs().amax(dim=1) > 1e-3
    shares = changed.float().mean(dim=(1, 2))
    assert (shares > 0).all()
    assert (shares < 0.9).all()


def test_an_encoder_without_maps_is_refused() -> None:
    with pytest.raises(OnlygoodError, match="no maps"):
        DefectMapsTask(make("svdd").encoder, defect_maps.DefectMapsConfig())
