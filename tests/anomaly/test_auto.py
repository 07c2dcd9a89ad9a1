"""Which recipe suits which images: by their size, and by whether turns can be told."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from onlygood.anomaly.auto import SMALL, choose_recipe
from onlygood.anomaly.looks import turns_are_told
from onlygood.anomaly.recipe import load_recipe
from onlygood.runtime.errors import OnlygoodError

Draw = Callable[[np.random.Generator, int], NDArray[np.floating]]


def upright(rng: np.random.Generator, side: int) -> NDArray[np.floating]:
    """Light above, dark left below: each turn looks different."""
    pixels = rng.normal(100, 10, (side, side))
    pixels[: side // 3] += 80
    pixels[side // 2 :, : side // 4] -= 60
    return pixels


def grain(rng: np.random.Generator, side: int) -> NDArray[np.floating]:
    """Without any direction."""
    return rng.normal(120, 30, (side, side))


def images(folder: Path, draw: Draw, side: int, count: int = 40) -> list[Path]:
    rng = np.random.default_rng(0)
    paths = [folder / f"{index:02}.png" for index in range(count)]
    for path in paths:
        Image.fromarray(draw(rng, side).clip(0, 255).astype(np.uint8)).save(path)
    return paths


@pytest.mark.parametrize(
    ("draw", "side", "recipe", "why"),
    [
        (upright, SMALL, "small-images", "show whole objects, and their quarter turns are told 100% right"),
        (upright, SMALL + 1, "maps", "65×65 px at the median have room for local defects"),
        (grain, SMALL, "maps", "are small, but their quarter turns are told"),
    ],
)
def test_size_and_turns_decide(tmp_path: Path, draw: Draw, side: int, recipe: str, why: str) -> None:
    choice = choose_recipe(images(tmp_path, draw, side))
    assert choice.recipe == recipe
    assert why in choice.why
    assert load_recipe(choice.recipe).name == recipe


def test_lying_told_from_standing_is_not_enough() -> None:
    """A part that looks the same upside down: half of its quarter turns are told right."""
    told = {(0.5, 0.5): False, (0.9, 0.64): False, (0.39, 0.9): False, (0.4, 0.65): True}
    assert {accuracies: turns_are_told(*accuracies) for accuracies in told} == told


def test_files_that_cannot_be_read_are_left_out_here(tmp_path: Path) -> None:
    paths = images(tmp_path, upright, 32)
    paths[3].write_bytes(b"no image")
    data = paths[4].read_bytes()
    paths[4].write_bytes(data[: len(data) // 2])  # its header can be read
    assert choose_recipe(paths).recipe == "small-images"
    for path in paths:
        path.write_bytes(b"no image")
    with pytest.raises(OnlygoodError):
        choose_recipe(paths)


def test_a_folder_of_few_images_is_judged_by_size_alone_where_turns_need_more(tmp_path: Path) -> None:
    """Two-fold cross-validation needs several images a side."""
    assert choose_recipe(images(tmp_path, upright, 32, count=1)).recipe == "maps"
