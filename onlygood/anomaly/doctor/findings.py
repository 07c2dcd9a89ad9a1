"""What an examination finds, and what it looks at."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from onlygood.anomaly.data.samples import Dataset
from onlygood.anomaly.looks import spread, thumbnails
from onlygood.anomaly.recipe import Recipe
from onlygood.pretrain.data.store import ImageStore
from onlygood.runtime.images.files import display
from onlygood.runtime.images.reader import Header

Level = Literal["problem", "warning", "note"]
LEVELS: tuple[Level, ...] = ("problem", "warning", "note")  # the gravest first

_NAMED = 20  # files that a finding names


@dataclass(frozen=True)
class Finding:
    """One thing that a person should know before, or instead of, training.

    A ``problem`` makes a wrong detector or none; a ``warning`` may; a ``note`` is a trait of the images that
    a choice of recipe depends on. ``files`` are the first of ``count``.
    """

    check: str  # a short name, the same in every run
    level: Level
    seen: str
    why: str
    remedy: str
    files: tuple[str, ...] = ()
    count: int = 0

    def as_dict(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self) | {"files": list(self.files)}


@dataclass(frozen=True)
class Material:
    """The images of one examination, as files and as the network sees them."""

    good: Dataset
    recipe: Recipe
    headers: dict[Path, Header]  # of the files whose header can be read
    store: ImageStore  # what `fit` would train on
    words: str  # on how the model's input was chosen

    @cached_property
    def unique(self) -> NDArray[np.int64]:
        """One image of each content ``(n,)``, in the store's order."""
        return np.sort(np.unique(self.store.hashes, return_index=True)[1])

    @cached_property
    def looked_at(self) -> NDArray[np.int64]:
        """Those of ``unique`` that are compared with each other: all, or many spread over them."""
        return spread(self.unique)

    @cached_property
    def thumbs(self) -> NDArray[np.float32]:
        """Small gray pictures of ``looked_at``: see `thumbnails`."""
        return thumbnails(self.store, self.looked_at)

    def names(self, ids: Sequence[int] | NDArray[np.int64]) -> tuple[str, ...]:
        """The names of the first few images ``ids`` of the store."""
        return listed([self.store.paths[int(i)] for i in ids])


def listed(paths: Sequence[Path]) -> tuple[str, ...]:
    """The first few of ``paths``, as they are shown."""
    return tuple(display(path) for path in paths[:_NAMED])


def worst(findings: Sequence[Finding]) -> Level | None:
    """The gravest level among ``findings``."""
    return next((level for level in LEVELS if any(f.level == level for f in findings)), None)
