"""Another package brings a task, a head, an encoder and a recipe, and `fit` works with all of them."""

import importlib.metadata
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from onlygood.anomaly.heads.registry import HEADS, HeadConfig, create_head
from onlygood.anomaly.recipe import RECIPES, load_recipe
from onlygood.pretrain.networks.registry import ENCODERS, create_encoder
from onlygood.pretrain.tasks.registry import TASKS, TaskEntry, create_task
from onlygood.runtime.errors import OnlygoodError
from onlygood.runtime.registry import Registry

ENTRIES = """
from onlygood.anomaly.heads.registry import HeadEntry
from onlygood.anomaly.recipe import RecipeEntry
from onlygood.pretrain.networks.registry import EncoderEntry
from onlygood.pretrain.tasks.registry import TaskEntry

TASK = TaskEntry("extra.parts:Brightness", "Nobody 2026", "a test")
HEAD = HeadEntry("extra.parts:Norm", "Nobody 2026")
ENCODER = EncoderEntry("extra.parts:tiny", "two layers")
RECIPE = RecipeEntry("extra:extra.yaml")
"""

PARTS = """
import torch
from torch import nn

from onlygood.anomaly.heads.base import Head
from onlygood.pretrain.networks.base import Encoder
from onlygood.pretrain.tasks.base import TaskOutput, Task
from onlygood.pretrain.views.views import to_float
from onlygood.runtime.strict import Strict


class BrightnessConfig(Strict):
    scale: float = 1.0


class BrightnessTask(Task):
    config: BrightnessConfig

    def __init__(self, encoder, config, standardize="fixed"):
        super().__init__(encoder, config, standardize)
        self.guess = nn.Linear(encoder.dim, 1)

    def loss(self, images, ids, rng):
        x = to_float(images, self.standardize)
        features = self.encoder(x)
        error = self.guess(features)[:, 0] - self.config.scale * x.mean(dim=(1, 2, 3))
        return TaskOutput(error.square().mean(), {}, features.detach())


class NormConfig(Strict):
    power: int = 1


class Norm(Head):
    Config = NormConfig

    def fit(self, outputs):
        return self

    def forward(self, outputs):
        return outputs.plain().square().sum(dim=2) ** self.config.power


def tiny(channels):
    return Encoder("tiny", channels, [nn.Conv2d(channels, 4, 3, 2, 1), nn.Conv2d(4, 8, 3, 2, 1)], [4, 8], 4)
"""

POINTS = """
[onlygood.tasks]
brightness = extra.entries:TASK
rotation = extra.entries:TASK
broken = extra.nowhere:TASK
wrong = extra.entries:HEAD
[onlygood.heads]
norm = extra.entries:HEAD
[onlygood.encoders]
tiny = extra.entries:ENCODER
[onlygood.recipes]
extra = extra.entries:RECIPE
"""

RECIPE = """
encoder: tiny
task: {name: brightness, options: {scale: 2.0}}
head: {names: [norm], options: {norm: {power: 2}}}
training: {steps: 2}
"""


@pytest.fixture
def extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The package, as pip would have installed it."""
    package, about = tmp_path / "extra", tmp_path / "extra-1.0.dist-info"
    for folder in (package, about):
        folder.mkdir()
    (package / "__init__.py").touch()
    (package / "entries.py").write_text(ENTRIES)
    (package / "parts.py").write_text(PARTS)
    (package / "extra.yaml").write_text(RECIPE)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: extra\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text(POINTS)
    monkeypatch.syspath_prepend(tmp_path)
    registries: list[Registry] = [TASKS, HEADS, ENCODERS, RECIPES]
    for registry in registries:
        registry.__dict__.pop("_others", None)
    assert importlib.metadata.version("extra") == "1.0"
    with pytest.warns(UserWarning, match="'extra' brings a pretext task 'rotation', which is there already"):
        assert "brightness" in TASKS
    yield tmp_path
    for registry in registries:
        registry.__dict__.pop("_others", None)
    for name in [name for name in sys.modules if name.partition(".")[0] == "extra"]:
        del sys.modules[name]


def test_its_things_stand_beside_ours_and_are_imported_only_when_made(extra: Path) -> None:
    assert list(TASKS)[-3:] == ["brightness", "broken", "wrong"]
    assert TASKS["brightness"].good_for == "a test"
    assert "norm" in HEADS
    assert "extra.parts" not in sys.modules


def test_a_recipe_of_its_parts_makes_a_detector(extra: Path) -> None:
    recipe = load_recipe("extra", {"head.options": {"norm": {"power": 3}}})
    assert recipe.name == "extra"
    encoder = create_encoder(recipe.encoder, 1)
    assert encoder.dim == 8
    task = create_task(recipe.task.name, encoder, recipe.task.options, images=4, seed=0)
    assert (type(task).__name__, task.config.scale) == ("BrightnessTask", 2.0)  # type: ignore[attr-defined]
    head = create_head(recipe.head, encoder.dim, task)
    assert (type(head).__name__, head.config.power) == ("Norm", 3)  # type: ignore[attr-defined]


def test_its_options_are_checked_as_ours_are(extra: Path) -> None:
    with pytest.raises(OnlygoodError, match="unknown key 'scal'; did you mean 'scale'"):
        create_task("brightness", create_encoder("tiny"), {"scal": 1}, images=4, seed=0)
    with pytest.raises(OnlygoodError, match="head 'norm': unknown key 'powr'; did you mean 'power'"):
        create_head(HeadConfig(names=["norm"], options={"norm": {"powr": 2}}), 8)


def test_it_cannot_replace_what_is_ours(extra: Path) -> None:
    assert TASKS["rotation"].where.startswith("onlygood.")


def test_what_it_breaks_is_named_and_breaks_nothing_else(extra: Path) -> None:
    with pytest.raises(OnlygoodError, match=r"'broken' of package 'extra' cannot be loaded: ModuleNotFound"):
        TASKS.find("broken")
    with pytest.raises(OnlygoodError, match=rf"'wrong' of package 'extra': .* is no {TaskEntry.__name__}"):
        TASKS.find("wrong")
    with pytest.raises(OnlygoodError, match="no pretext task 'brightnes'; did you mean 'brightness'"):
        TASKS.find("brightnes")
