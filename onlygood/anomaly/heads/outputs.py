"""Outputs of a trained task for images: the seam between detector and heads."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Literal

import torch
from torch import Tensor

from onlygood.runtime.errors import OnlygoodError

Kind = Literal["features", "logits", "pixels", "restored", "dense"]


@dataclass
class Outputs:
    """N images, each seen as R regions; features and logits of each region under K views.

    Only what a head reads is there:

    - ``features`` ``(N, R, K, D)``; K is 1 where the head asks for the plain image alone.
    - ``logits`` ``(N, R, K, C)`` of the task's classifier of its views.
    - ``pixels`` ``(N, R, C, h, w)``, each region's standardized pixels, and ``restored``, of the same shape,
      as the task reconstructs them.
    - ``dense`` ``(N, R, h, w)``, logits of a defect at each place of a region.

    Regions are numbered row by row over ``grid`` ``(rows, columns)``; where some do not count, ``kept`` says
    which are there.
    """

    features: Tensor | None = None
    logits: Tensor | None = None
    pixels: Tensor | None = None
    restored: Tensor | None = None
    dense: Tensor | None = None
    grid: tuple[int, int] = (1, 1)
    kept: tuple[int, ...] | None = None

    def places(self) -> Tensor:
        """The number in the grid of each region that is there, ``(R,)``."""
        return torch.tensor(self.kept or range(self.grid[0] * self.grid[1]))

    def tensors(self) -> dict[Kind, Tensor]:
        """Those that are there."""
        names = [field.name for field in fields(self) if field.name not in ("grid", "kept")]
        named = {name: getattr(self, name) for name in names}
        return {name: value for name, value in named.items() if value is not None}  # type: ignore[misc]

    def __len__(self) -> int:
        return len(next(iter(self.tensors().values())))

    def take(self, which: slice | Tensor) -> "Outputs":
        """Some of the images."""
        return self.like({name: value[which] for name, value in self.tensors().items()})

    def like(self, tensors: Mapping[Kind, Tensor]) -> "Outputs":
        """Others of the same regions."""
        named: dict[str, Tensor] = dict(tensors.items())
        return Outputs(**named, grid=self.grid, kept=self.kept)

    def get(self, kind: Kind) -> Tensor:
        """One of them, as float32.

        Raises:
            OnlygoodError: it is not there.
        """
        value: Tensor | None = getattr(self, kind)
        if value is None:
            raise OnlygoodError(f"a head needs {kind}, and the outputs hold none: its `reads` must name them")
        return value.float()

    def plain(self) -> Tensor:
        """Features of the first view, float32 ``(N, R, D)``."""
        return self.get("features")[:, :, 0]

    def rows(self) -> Tensor:
        """The same of all images and regions, ``(N · R, D)``."""
        return self.plain().flatten(0, 1)


def joined(parts: list[Outputs]) -> Outputs:
    """Outputs of several batches as one."""
    names = parts[0].tensors()
    return parts[0].like({name: torch.cat([part.tensors()[name] for part in parts]) for name in names})
