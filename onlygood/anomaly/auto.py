"""The recipe `auto`: which of the others suits a folder, told by its images alone; no label is needed."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from onlygood.anomaly.data.samples import Dataset
from onlygood.anomaly.looks import THUMB, Thumbs, spread, tell_turns, turns_are_told
from onlygood.anomaly.recipe import Recipe, load_recipe
from onlygood.pretrain.data.store import survey_images
from onlygood.runtime.errors import ImageError
from onlygood.runtime.images.reader import load_image
from onlygood.runtime.images.spec import InputSpec

AUTO = "auto"
LOCAL, WHOLE = "maps", "small-images"
SMALL = 64  # px, the shorter side at most of images that hold nothing but one object at a glance
_FEWEST = 20  # images by which turns can be told or not
_LOOKED_AT = 400  # images, spread over the folder


@dataclass(frozen=True)
class Choice:
    """A recipe's name, and what was seen that speaks for it."""

    recipe: str
    why: str


def resolve_recipe(name: str | None, good: Dataset, changes: dict[str, Any]) -> tuple[Recipe, str]:
    """The recipe of this name or file, or the one that suits the images, and words on it.

    Raises:
        OnlygoodError: no such recipe, a key or value of ``changes`` that it does not have, or none to choose
            by since no header is readable.
    """
    if name not in (None, AUTO):
        recipe = load_recipe(name, changes)
        return recipe, f"recipe {recipe.name}: {recipe.description}"
    choice = choose_recipe([sample.path for sample in good.samples])
    recipe = load_recipe(choice.recipe, changes)
    return (
        recipe,
        f"recipe {recipe.name}: {recipe.description} (chosen: {choice.why}; --recipe names another)",
    )


def choose_recipe(paths: Sequence[Path]) -> Choice:
    """Look at some of the images, and choose.

    In images of a few thousand pixels there is no room for local defects: what is out of place there is
    another object, and telling how an object was turned teaches what it is, if turns can be told at all. In
    larger images the pretext with painted defects did best on unlike products (docs/benchmarks.md).

    Raises:
        OnlygoodError: no header is readable.
    """
    some = [paths[i] for i in spread(np.arange(len(paths)), _LOOKED_AT)]
    survey = survey_images(some, progress=False)
    size = f"images of {survey.median_width}×{survey.median_height} px at the median"
    if min(survey.median_width, survey.median_height) > SMALL:
        return Choice(LOCAL, f"{size} have room for local defects")
    thumbs = _thumbs(some)
    if len(thumbs) < _FEWEST:
        return Choice(LOCAL, f"{size}, too few to see whether turns can be told")
    told, half = tell_turns(thumbs)
    seen = f"their quarter turns are told {told:.0%} right, half turns {half:.0%}"
    if turns_are_told(told, half):
        return Choice(WHOLE, f"{size} show whole objects, and {seen}")
    return Choice(LOCAL, f"{size} are small, but {seen}: too rarely to learn from turns")


def _thumbs(paths: Sequence[Path]) -> Thumbs:
    """Small gray pictures ``(n, THUMB, THUMB)`` of the files that can be read."""
    spec, pictures = InputSpec(height=THUMB, width=THUMB, channels=1), []
    for path in paths:
        with suppress(ImageError):  # `fit` says so
            pictures.append(load_image(path, spec).pixels[..., 0])
    return np.array(pictures, np.float32).reshape(-1, THUMB, THUMB)
