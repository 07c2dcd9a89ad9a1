"""A recipe: everything that decides how a detector is made. Importing this imports no torch."""

import math
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, Literal, Self

import yaml
from pydantic import Field, model_validator

from onlygood.anomaly.heads.joins import Join
from onlygood.anomaly.heads.registry import HeadConfig
from onlygood.pretrain.data.plan import InputConfig
from onlygood.pretrain.overrides import set_key
from onlygood.pretrain.training.config import TrainConfig
from onlygood.runtime.errors import OnlygoodError
from onlygood.runtime.limits import SMALLEST_RATE
from onlygood.runtime.nearest import nearest
from onlygood.runtime.registry import Entry, Registry
from onlygood.runtime.strict import Strict


class TaskConfig(Strict):
    """The name of the pretext task, and its options."""

    name: str = "defects"
    options: dict[str, Any] = Field(default_factory=dict)


class RegionsConfig(Strict):
    """The whole image, or squares of ``size`` px every ``stride`` px.

    ``tiles`` are cut out and go through the encoder one by one. ``cells`` are windows of the encoder's last
    feature map, at a fraction of the cost.
    """

    kind: Literal["whole", "tiles", "cells"] = "whole"
    size: int = Field(default=64, ge=4)
    stride: int = Field(default=16, ge=1)

    @property
    def grid(self) -> tuple[int, int]:
        """A side of the input must be the first plus a multiple of the second."""
        return (32, 32) if self.kind == "whole" else (self.size, self.stride)

    @model_validator(mode="after")
    def _even(self) -> Self:
        if self.size % self.stride:
            raise ValueError(f"size {self.size} must be a multiple of stride {self.stride}")
        return self


class FeaturesConfig(Strict):
    """What a head reads of the encoder.

    ``stages`` are numbered from 1, or -1 for the last; several are joined. ``average`` is the side of a
    window, in values of a map, over which each value is averaged first. ``projected``: the embeddings of the
    task's projector in place of the encoder's features. ``untrained``: a new encoder of the same kind in
    place of the trained one. Its filters are random, and yet see any change of brightness, color and texture
    alike, also such as training taught the other to overlook.
    """

    stages: list[int] = Field(default=[-1], min_length=1)
    average: int = Field(default=1, ge=1)
    projected: bool = False
    untrained: bool = False

    @model_validator(mode="after")
    def _fit(self) -> Self:
        if self.average % 2 == 0:
            raise ValueError(f"average {self.average} must be odd, so that windows have a middle")
        if self.projected and self.stages != [-1]:
            raise ValueError("a projector reads the last stage: projected goes with stages [-1]")
        if self.projected and self.untrained:
            raise ValueError("a projector reads what it was trained with: projected or untrained, not both")
        return self


class PoolConfig(Strict):
    """The image's score: the mean of its ``top`` highest regions."""

    top: int = Field(default=1, ge=1)


class BranchConfig(Strict):
    """One way to look at an image and to score what is seen; ``shrink`` halves, thirds … its sides first.

    What tells defective images best does not always show best where they are: ``use`` says whether a branch
    speaks for the image's score, for the heatmap, or for both.
    """

    use: Literal["both", "score", "heatmap"] = "both"
    shrink: int = Field(default=1, ge=1)
    regions: RegionsConfig = Field(default_factory=RegionsConfig)
    features: FeaturesConfig = Field(default_factory=FeaturesConfig)
    head: HeadConfig = Field(default_factory=HeadConfig)
    pool: PoolConfig = Field(default_factory=PoolConfig)


class ChooseConfig(Strict):
    """Drop branches that are blind: see `onlygood.anomaly.choosing`.

    ``share`` of the training images judges and is not trained on. A branch is dropped if its area under the
    ROC curve is more than ``margin`` smaller than the best one's.
    """

    share: float = Field(default=0.2, gt=0, le=0.5)
    margin: float = Field(default=0.15, gt=0, lt=0.5)


class CalibrationConfig(Strict):
    """Good images that are used only to set the threshold."""

    fraction: float = Field(default=0.2, gt=0, lt=1)
    # None: 0.01, or the smallest possible
    max_false_alarms: float | None = Field(default=None, gt=SMALLEST_RATE, lt=1)


class PassesConfig(Strict):
    """How often each image of a batch goes through the encoder in a step, and the side of it then, in px."""

    per_image: int = Field(ge=0)
    side: int = Field(ge=8)


class Recipe(Strict):
    """From a folder of good images to a calibrated detector.

    A recipe after a paper names it and says in what it ``differs``. ``passes`` says what a step costs;
    nothing but the list of recipes reads these three.

    ``regions``, ``features``, ``head`` and ``pool`` are the only branch of the detector, unless ``branches``
    names others. ``join`` says how the scores of several become one: see `Footing`. With ``pool_joined``
    their maps are joined first and the joined map is pooled, so that what several see at one place counts for
    more; each branch's own ``pool`` then only sets its footing. With ``choose``, those of several that see
    little of painted defects are dropped.
    """

    name: str = "custom"
    description: str = ""
    paper: str = ""
    differs: str = ""
    passes: PassesConfig | None = None
    input: InputConfig = Field(default_factory=InputConfig)
    encoder: str = "small"
    encoder_weights: str | None = None  # a file to start from; "download": what timm has for its model
    task: TaskConfig = Field(default_factory=TaskConfig)
    training: TrainConfig = Field(default_factory=TrainConfig)
    regions: RegionsConfig = Field(default_factory=RegionsConfig)
    features: FeaturesConfig = Field(default_factory=FeaturesConfig)
    head: HeadConfig = Field(default_factory=HeadConfig)
    pool: PoolConfig = Field(default_factory=PoolConfig)
    branches: list[BranchConfig] = Field(default_factory=list)
    join: Join = "mean"
    pool_joined: PoolConfig | None = None
    choose: ChooseConfig | None = None
    calibration: CalibrationConfig = Field(default_factory=CalibrationConfig)

    @model_validator(mode="after")
    def _speak(self) -> Self:
        for silent in ("score", "heatmap"):
            if self.branches and all(branch.use == silent for branch in self.branches):
                raise ValueError(f"each of the branches is used for the {silent} alone")
        if self.pool_joined and len(self.branches) < 2:
            raise ValueError("pool_joined needs several branches: the pool of one alone is its own")
        return self

    def all_branches(self) -> list[BranchConfig]:
        """The branches of the detector, at least one."""
        alone = BranchConfig(regions=self.regions, features=self.features, head=self.head, pool=self.pool)
        return self.branches or [alone]

    def cost(self) -> int | None:
        """How many images go through the encoder while it is trained; None where nobody has said."""
        if self.passes is None or self.training.steps is None:
            return None
        return self.training.steps * self.training.batch_size * self.passes.per_image

    def grid(self) -> tuple[int, int]:
        """A side of the input must be the first plus a multiple of the second, to suit all branches."""
        grids = [(branch.shrink, *branch.regions.grid) for branch in self.all_branches()]
        if len(grids) == 1:
            ((shrink, size, stride),) = grids
            return shrink * size, shrink * stride
        step = math.lcm(*(shrink * stride for shrink, _, stride in grids))
        largest = max(shrink * size for shrink, size, _ in grids)
        return -(-largest // step) * step, step


@dataclass(frozen=True)
class RecipeEntry(Entry):
    """Where a recipe is, as ``package:file``; the file is a resource in the package or a folder of it."""

    def text(self) -> str:
        """The file's content."""
        package, _, file = self.where.partition(":")
        return (resources.files(package) / file).read_text(encoding="utf-8")


def _recipes(folder: str = "") -> dict[str, RecipeEntry]:
    """The recipes in a folder of `onlygood.configs`, by name."""
    files = [file.name for file in (resources.files("onlygood.configs") / folder).iterdir()]
    names = sorted(file.removesuffix(".yaml") for file in files if file.endswith(".yaml"))
    return {name: RecipeEntry(f"onlygood.configs:{folder}{name}.yaml") for name in names}


RECIPES: Registry[RecipeEntry] = Registry("onlygood.recipes", "recipe", _recipes() | _recipes("papers/"))


def load_recipe(name_or_file: str, overrides: dict[str, Any] | None = None) -> Recipe:
    """A recipe by name or from a YAML file; ``overrides`` (dotted keys) replace single values.

    Raises:
        OnlygoodError: an unknown recipe or key (the message names the nearest), or not readable as YAML.
    """
    path = Path(name_or_file)
    if path.suffix in {".yaml", ".yml"}:
        try:
            text = path.read_text(encoding="utf-8")
        except OSError as error:
            raise OnlygoodError(f"{path}: cannot read the recipe ({error.strerror})") from None
        except UnicodeDecodeError:
            raise OnlygoodError(f"{path}: not a text file") from None
    elif name_or_file in RECIPES:
        text = RECIPES[name_or_file].text()
    else:
        hint = nearest(name_or_file, RECIPES)
        raise OnlygoodError(f"no recipe {name_or_file!r}; {hint} (or give a .yaml file)")
    try:
        values = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise OnlygoodError(f"{name_or_file}: not valid YAML: {error}") from None
    if not isinstance(values, dict):
        raise OnlygoodError(f"{name_or_file}: a recipe is a mapping of keys to values")
    for key, value in (overrides or {}).items():
        set_key(values, key, value)
    return Recipe.parse({"name": path.stem, **values}, f"recipe {name_or_file}")
