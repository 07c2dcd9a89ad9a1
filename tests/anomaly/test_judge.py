"""Images that were learned from are judged by who has learned nothing of them."""

import numpy as np
import pytest
import torch
from PIL import Image

from onlygood.anomaly.fit import dropped, judge
from onlygood.anomaly.parts import Parts
from onlygood.anomaly.recipe import Recipe
from onlygood.anomaly.suspects import Judged
from onlygood.pretrain.data.store import ImageStore
from onlygood.runtime.images.spec import InputSpec
from onlygood.runtime.model.outliers import distances

SIDE, COUNT = 64, 40
NOISE = 17


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> ImageStore:
    """Striped pictures, one of them noise of the same mean and spread."""
    folder, rng = tmp_path_factory.mktemp("pictures"), np.random.default_rng(0)
    for index in range(COUNT):
        stripes = 40 * np.sin(np.arange(SIDE) / 3 + rng.uniform(0, 6)) + rng.normal(0, 6, (SIDE, SIDE))
        if index == NOISE:
            stripes = rng.normal(0, 28, (SIDE, SIDE))
        Image.fromarray((120 + stripes).clip(0, 255).astype(np.uint8)).save(folder / f"{index:02}.png")
    spec = InputSpec(height=SIDE, width=SIDE, channels=1)
    return ImageStore.build(sorted(folder.glob("*.png")), spec, folder / "cache", progress=False)


def judged(store: ImageStore, **changes: object) -> Judged:
    regions = {"kind": "cells", "size": 32, "stride": 16}
    recipe = Recipe.parse({"regions": regions, "encoder_weights": "nowhere.safetensors"} | changes, "test")
    ids, none = np.arange(len(store)), np.empty(0, dtype=np.int64)
    parts = Parts(ids, none, 0.1, dict(enumerate(store.hashes)))
    return judge(recipe, store, parts, torch.device("cpu"))


def test_noise_stands_out_whatever_was_trained_and_fitted(store: ImageStore) -> None:
    """Neither given weights nor the recipe's heads have a say: they have seen the image, or fit nothing."""
    found = judged(store)
    assert found.ids.tolist() == list(range(COUNT))
    assert np.flatnonzero(distances(found.scores) > 1).tolist() == [NOISE]
    for heads in (["logprob"], ["knn", "logprob"]):
        assert judged(store, head={"names": heads}).scores == pytest.approx(found.scores)


def test_what_stands_out_is_not_learned_from(store: ImageStore) -> None:
    words: list[str] = []
    left = dropped(np.arange(COUNT), judged(store), words.append)
    assert left.tolist() == [index for index in range(COUNT) if index != NOISE]
    assert words == ["1 suspicious images are not learned from"]


@pytest.mark.parametrize("kind", ["whole", "tiles"])
def test_in_every_kind_of_region(store: ImageStore, kind: str) -> None:
    found = judged(store, regions={"kind": kind, "size": 32, "stride": 16})
    assert int(np.argmax(found.scores)) == NOISE
