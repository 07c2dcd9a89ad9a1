"""Branches: what is shown, read and refused, what is kept of their outputs, and several on one footing."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from onlygood.anomaly.branch import Branch
from onlygood.anomaly.detector import Detector, create_detector
from onlygood.anomaly.fit import fit_head
from onlygood.anomaly.gather import gather
from onlygood.anomaly.recipe import BranchConfig, PoolConfig, Recipe
from onlygood.pretrain.networks.registry import create_encoder
from onlygood.pretrain.tasks.base import Task
from onlygood.pretrain.tasks.registry import create_task
from onlygood.runtime.errors import OnlygoodError

HEIGHT, WIDTH = 32, 48


def task(name: str, **options: Any) -> Task:
    return create_task(name, create_encoder("small", 1), options, "image", images=8, seed=0).eval()


def config(head: str, **changes: Any) -> BranchConfig:
    values = {"regions": {"kind": "cells", "size": 32, "stride": 16}, "head": {"names": [head]}}
    return BranchConfig.parse(values | changes, "test")


def pictures(count: int, seed: int = 0) -> Tensor:
    rng = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (count, HEIGHT, WIDTH, 1), dtype=torch.uint8, generator=rng)


def store(images: Tensor) -> Any:
    spec = SimpleNamespace(height=HEIGHT, width=WIDTH)
    return SimpleNamespace(spec=spec, inside=None, batch=lambda ids: images.numpy()[ids])


def kinds(branch: Branch, count: int = 2) -> dict[str, tuple[int, ...]]:
    x = torch.randn(count, 1, HEIGHT, WIDTH)
    return {name: tuple(value.shape) for name, value in branch.outputs(x).tensors().items()}


# --- what is shown and read ---------------------------------------------------


def test_a_branch_gives_a_head_what_it_reads_and_no_more() -> None:
    rotation = task("rotation")
    assert kinds(Branch(rotation, config("gaussian"), HEIGHT, WIDTH)) == {"features": (2, 2, 1, 256)}
    assert kinds(Branch(rotation, config("logprob"), HEIGHT, WIDTH)) == {"logits": (2, 2, 4, 4)}
    assert kinds(Branch(rotation, config("goad"), HEIGHT, WIDTH)) == {"features": (2, 2, 4, 256)}
    both = BranchConfig.parse({"head": {"names": ["logprob", "gaussian"]}}, "test")
    found = kinds(Branch(rotation, both, HEIGHT, WIDTH))
    assert found == {"features": (2, 1, 1, 256), "logits": (2, 1, 4, 4)}
    assert kinds(Branch(task("denoising"), config("reconstruction"), HEIGHT, WIDTH)) == {
        "pixels": (2, 2, 1, 32, 32),
        "restored": (2, 2, 1, 32, 32),
    }
    assert kinds(Branch(task("defects"), config("dense"), HEIGHT, WIDTH)) == {"dense": (2, 2, 2, 2)}
    projected = config("gaussian", features={"projected": True})
    assert kinds(Branch(task("simclr"), projected, HEIGHT, WIDTH)) == {"features": (2, 2, 1, 128)}


def test_logits_are_of_the_last_stage_whatever_features_are_read() -> None:
    both = {"names": ["logprob", "gaussian"]}
    joined = BranchConfig.parse({"head": both, "features": {"stages": [2, 3]}}, "test")
    plain = BranchConfig.parse({"head": both}, "test")
    rotation, x = task("rotation"), torch.randn(3, 1, HEIGHT, WIDTH)
    ours, usual = (Branch(rotation, each, HEIGHT, WIDTH).outputs(x) for each in (joined, plain))
    assert ours.get("features").shape[3] == 64 + 128
    torch.testing.assert_close(ours.get("logits"), usual.get("logits"))


def test_untrained_features_are_those_of_a_new_encoder_whatever_was_learned() -> None:
    rotation, x = task("rotation"), torch.randn(2, 1, HEIGHT, WIDTH)
    new = create_encoder("small", 1).eval()
    for parameter in rotation.encoder.parameters():
        parameter.data.mul_(3)  # it learned
    whole = {"regions": {"kind": "whole"}}
    untrained = Branch(rotation, config("gaussian", features={"untrained": True}, **whole), HEIGHT, WIDTH)
    trained = Branch(rotation, config("gaussian", **whole), HEIGHT, WIDTH)
    untrained.eval()
    torch.testing.assert_close(untrained.outputs(x).plain()[:, 0], new(x))
    assert not torch.allclose(trained.outputs(x).plain()[:, 0], new(x))
    values = {"head": {"names": ["logprob", "gaussian"]}, "features": {"untrained": True}, **whole}
    found = Branch(rotation, BranchConfig.parse(values, "test"), HEIGHT, WIDTH).eval().outputs(x)
    torch.testing.assert_close(found.plain()[:, 0], new(x))
    expected = rotation.view_classifier(rotation.encoder(x))  # logits are the task's all the same
    torch.testing.assert_close(found.get("logits")[:, 0, 0], expected)


def test_shrinking_is_the_mean_of_blocks() -> None:
    half = config("gaussian", shrink=2, regions={"kind": "whole"})
    x = torch.randn(2, 1, HEIGHT, WIDTH)
    small = task("rotation")
    (outputs,) = Detector(small, [half], HEIGHT, WIDTH).outputs(x)
    features = outputs.plain()
    torch.testing.assert_close(features[:, 0], small.encoder(x.view(2, 1, 16, 2, 24, 2).mean(dim=(3, 5))))


def test_branches_share_the_maps_of_the_encoder(monkeypatch: pytest.MonkeyPatch) -> None:
    small, seen = task("defects"), []
    compute = type(small.encoder).stages
    monkeypatch.setattr(
        type(small.encoder), "stages", lambda self, x: seen.append(x.shape[2]) or compute(self, x)
    )
    half = config("dense", shrink=2, regions={"size": 16, "stride": 16})
    detector = Detector(small, [config("gaussian"), config("dense"), half], HEIGHT, WIDTH)
    before = len(seen)
    detector.outputs(torch.randn(2, 1, HEIGHT, WIDTH))
    assert seen[before:] == [HEIGHT, HEIGHT // 2]


@pytest.mark.parametrize(
    ("name", "branch", "message"),
    [
        ("simclr", config("logprob"), "'logprob' needs a pretext task with a classifier"),
        ("simclr", config("dense"), "'dense' needs .* a map of defects"),
        ("simclr", config("reconstruction"), "'reconstruction' needs .* a reconstruction"),
        ("defects", config("goad"), "'goad' needs .* several test views"),
        (
            "rotation",
            config("gaussian", features={"projected": True}),
            "needs a pretext task with a projector",
        ),
        ("geometric", config("dirichlet"), "cells cannot follow views that shift"),
        ("rotation", config("gaussian", shrink=5), "cannot be shrunk 5 times"),
        ("rotation", config("gaussian", features={"stages": [9]}), "no stage 9"),
    ],
)
def test_what_does_not_go_together_is_refused(name: str, branch: BranchConfig, message: str) -> None:
    with pytest.raises(OnlygoodError, match=message):
        create_detector(Recipe(branches=[branch]), task(name), HEIGHT, WIDTH)


def test_the_input_suits_every_branch() -> None:
    """64-px windows at half size and 32-px ones every 8: sides are multiples of 32 from 128 on."""
    halves = config("gaussian", shrink=2, regions={"kind": "cells", "size": 64, "stride": 16})
    fine = config("gaussian", regions={"kind": "tiles", "size": 32, "stride": 8})
    recipe = Recipe(branches=[halves, fine])
    assert recipe.grid() == (128, 32)
    create_detector(recipe, task("rotation"), 128, 160)
    assert Recipe(branches=[fine]).grid() == (32, 8)


# --- what is kept -------------------------------------------------------------


def gathered(head: str, images: int, **options: Any) -> tuple[np.ndarray, Any]:
    detector = Detector(task("rotation"), [config(head)], HEIGHT, WIDTH).eval()
    ((ids, outputs),) = gather(detector, store(pictures(images)), np.arange(images), **options)
    return ids, outputs


def test_all_is_kept_where_it_fits_and_equals_what_a_branch_says() -> None:
    ids, outputs = gathered("gaussian", 20)
    assert ids.tolist() == list(range(20))
    assert outputs.grid == (1, 2)
    torch.manual_seed(0)
    detector = Detector(task("rotation"), [config("gaussian")], HEIGHT, WIDTH).eval()
    with torch.no_grad():
        x = detector.prepared(pictures(20)[7:8].permute(0, 3, 1, 2))
        expected = detector.every_branch()[0].outputs(x).get("features")
    torch.testing.assert_close(outputs.get("features")[7:8], expected, rtol=1e-4, atol=1e-5)


def test_regions_are_drawn_where_all_do_not_fit() -> None:
    """Two regions of 256 floats are 2 KB an image: 1 KB for each of twenty images keeps one of the two."""
    budget = 20 * 1024
    ids, outputs = gathered("gaussian", 20, budget=budget)
    assert len(ids) == 20
    assert outputs.get("features").shape == (20, 1, 1, 256)
    assert sum(value.nbytes for value in outputs.tensors().values()) <= budget
    full = gathered("gaussian", 20)[1].get("features")
    which = (outputs.get("features") == full).all(dim=3)[:, :, 0]
    assert which.any(dim=1).all()  # each is one of the image's own regions
    assert len(which.float().argmax(dim=1).unique()) == 2  # not always the same place


def test_images_are_left_out_where_places_matter() -> None:
    for head, options in (("padim", {}), ("gaussian", {"whole": True})):
        ids, outputs = gathered(head, 20, budget=20 * 1024, **options)
        assert ids.tolist() == np.linspace(0, 19, 10).astype(int).tolist()
        assert outputs.get("features").shape[:2] == (10, 2)


# --- several branches ---------------------------------------------------------


def test_the_footing_is_measured_on_images_that_the_head_has_not_seen() -> None:
    """A bank that keeps every region gives the images that it was fitted on a distance of nearly 0."""
    knn = config("knn", regions={"kind": "whole"})
    detector = fit_head(
        Recipe(branches=[knn, config("gaussian")]), task("rotation"), store(pictures(40)), np.arange(40)
    )
    branch = detector.every_branch()[0]
    with torch.no_grad():
        own = branch(detector.prepared(pictures(40).permute(0, 3, 1, 2)))
        new = branch(detector.prepared(pictures(40, seed=1).permute(0, 3, 1, 2)))
    assert branch.footing.units(own).max() < -1
    assert branch.footing.units(branch.pool(new)).median().abs() < 1


@pytest.mark.parametrize("how", ["mean", "max", "fisher"])
def test_scores_of_branches_are_joined_and_heatmaps_at_the_finest_grid(how: Any) -> None:
    branches = [
        config("gaussian", regions={"kind": "whole"}),
        config("gaussian", regions={"kind": "tiles", "size": 16, "stride": 8}),
    ]
    images = pictures(24)
    detector = fit_head(Recipe(branches=branches, join=how), task("rotation"), store(images), np.arange(24))
    scores, heatmaps = detector(images[:3])
    assert heatmaps.shape == (3, 4, 6)
    with torch.no_grad():
        x = detector.prepared(images[:3].permute(0, 3, 1, 2))
        parts = [branch.footing(branch.pool(branch(x)), how) for branch in detector.every_branch()]
    expected = {"mean": sum(parts) / 2, "max": torch.maximum(*parts), "fisher": sum(parts)}
    torch.testing.assert_close(scores, expected[how])


@pytest.mark.parametrize("how", ["mean", "max", "fisher"])
def test_maps_are_joined_before_they_are_pooled(how: Any) -> None:
    """Two grids, one of which only scores and one of which only shows, beside one that does both."""
    fine = {"kind": "tiles", "size": 16, "stride": 8}
    branches = [
        config("gaussian", regions={"kind": "whole"}, use="score"),
        config("gaussian", regions=fine),
        config("knn", regions=fine, use="heatmap"),
    ]
    recipe = Recipe(branches=branches, join=how, pool_joined=PoolConfig(top=3))
    images = pictures(24)
    detector = fit_head(recipe, task("rotation"), store(images), np.arange(24))
    scores, heatmaps = detector(images[:3])
    with torch.no_grad():
        x = detector.prepared(images[:3].permute(0, 3, 1, 2))
        whole, both, shown = (
            branch.footing(branch.heatmap(branch(x)), how) for branch in detector.every_branch()
        )
    spread = whole.expand(3, 4, 6)
    of_two = {"mean": lambda a, b: (a + b) / 2, "max": torch.maximum, "fisher": torch.add}[how]
    torch.testing.assert_close(heatmaps, of_two(both, shown))
    expected = of_two(spread, both).flatten(1).sort(dim=1, descending=True).values[:, :3].mean(dim=1)
    torch.testing.assert_close(scores, expected)


def test_more_places_than_there_are_are_all_of_them() -> None:
    branches = [config("gaussian"), config("knn")]
    recipe = Recipe(branches=branches, pool_joined=PoolConfig(top=100))
    detector = fit_head(recipe, task("rotation"), store(pictures(24)), np.arange(24))
    scores, heatmaps = detector(pictures(3, seed=1))
    torch.testing.assert_close(scores, heatmaps.flatten(1).mean(dim=1))


def test_each_place_learns_from_all_images_that_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    """So many regions are enough for a head that takes all together, not for one that tells places apart."""
    monkeypatch.setattr("onlygood.anomaly.gather._REGIONS", 4)
    assert len(gathered("padim", 20)[0]) == 20
    assert len(gathered("gaussian", 20, whole=True)[0]) == 2


def test_a_branch_speaks_for_what_it_is_used_for() -> None:
    images = pictures(24)
    small, heads = task("defects"), ("gaussian", "knn")

    def judged(*use: str) -> tuple[Tensor, Tensor]:
        branches = [config(head, use=each) for head, each in zip(heads, use, strict=True)]
        detector = fit_head(Recipe(branches=branches), small, store(images), np.arange(24))
        found: tuple[Tensor, Tensor] = detector(pictures(3, seed=1))
        return found

    with torch.no_grad():
        both, maps = judged("both", "both")
        first, second_shows = judged("score", "heatmap")
        second, first_shows = judged("heatmap", "score")
    torch.testing.assert_close(both, (first + second) / 2)
    torch.testing.assert_close(maps, (first_shows + second_shows) / 2)


def test_somebody_speaks_for_the_score_and_for_the_heatmap() -> None:
    with pytest.raises(OnlygoodError, match="used for the score alone"):
        Recipe.parse({"branches": [{"use": "score"}, {"use": "score"}]}, "test")


def test_one_branch_has_no_joined_map() -> None:
    with pytest.raises(OnlygoodError, match="pool_joined needs several branches"):
        Recipe.parse({"pool_joined": {"top": 5}, "pool": {"top": 5}}, "test")
