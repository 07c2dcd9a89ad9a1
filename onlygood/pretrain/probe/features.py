"""Features of a frozen encoder: every stage's map in one pass, pooled, and the encoder left as it was."""

import hashlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Literal, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from onlygood.pretrain.data.labels import LabeledSet
from onlygood.pretrain.data.store import Store
from onlygood.pretrain.networks.base import Encoder
from onlygood.pretrain.views.views import Standardize, to_float
from onlygood.runtime.errors import OnlygoodError

Pool = Literal["max", "mean"]


def state_digest(encoder: Encoder) -> str:
    """SHA-256 over names and bytes of all weights and statistics."""
    digest = hashlib.sha256()
    for name, value in sorted(encoder.state_dict().items()):
        digest.update(name.encode())
        digest.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def pooled(maps: Tensor, pool: Pool, dimensions: int) -> Tensor:
    """A map ``(N, C, H, W)`` as features ``(N, D)``.

    "max" pools to the square grid that comes nearest to ``dimensions`` values, never finer than the map; 9000
    gives the survey's 64 × 12², 192 × 7², 384 × 5² and 256 × 6². "mean" averages over space.
    """
    if pool == "mean":
        return maps.mean(dim=(2, 3))
    side = max(1, round(math.sqrt(dimensions / maps.shape[1])))
    grid = (min(side, maps.shape[2]), min(side, maps.shape[3]))
    return functional.adaptive_max_pool2d(maps, grid).flatten(1)


class FrozenEncoder:
    """An encoder that is read, not changed: in a ``with`` block it is in evaluation mode without gradients.

    On leaving, modes and flags are put back. A weight or a batch-norm statistic that changed is an
    AssertionError: the numbers would not be those of the encoder that was asked about.
    """

    def __init__(
        self,
        encoder: Encoder,
        standardize: Standardize,
        stages: Sequence[int] | None = None,
        device: torch.device | None = None,
        batch_size: int = 256,
    ) -> None:
        """Read the ``stages`` given (from 1; default: all) on ``device`` (default: a GPU if there is one)."""
        count = len(encoder.stage_dims)
        self.stages = tuple(sorted(set(stages or range(1, count + 1))))
        if self.stages[0] < 1 or self.stages[-1] > count:
            raise OnlygoodError(f"encoder {encoder.name!r} has stages 1 to {count}, not {list(self.stages)}")
        self.encoder = encoder
        self.standardize = standardize
        self.device = device or torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.batch_size = batch_size
        self._before = ""
        self._modes: dict[str, bool] = {}
        self._flags: dict[str, bool] = {}

    def __enter__(self) -> Self:
        self._before = state_digest(self.encoder)
        self._modes = {name: module.training for name, module in self.encoder.named_modules()}
        self._flags = {name: value.requires_grad for name, value in self.encoder.named_parameters()}
        self.encoder.eval().requires_grad_(False).to(self.device)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for name, module in self.encoder.named_modules():
            module.training = self._modes[name]
        for name, value in self.encoder.named_parameters():
            value.requires_grad_(self._flags[name])
        if kind is None and state_digest(self.encoder) != self._before:
            raise AssertionError(
                "the frozen encoder was changed by a probe: weights or batch-norm statistics"
            )

    @torch.no_grad()
    def maps(self, images: Tensor) -> list[Tensor]:
        """uint8 ``(N, C, H, W)`` to the maps ``(N, D_i, H_i, W_i)`` of the chosen stages, in one pass."""
        if self.encoder.training:
            raise AssertionError("a frozen encoder must be in evaluation mode")
        maps = self.encoder.stages(to_float(images.to(self.device), self.standardize))
        return [maps[stage - 1].float() for stage in self.stages]

    def pooled(self, images: Tensor, pool: Pool, dimensions: int) -> list[Tensor]:
        """uint8 ``(N, C, H, W)`` to features ``(N, D_i)`` of the chosen stages, on the device."""
        return [pooled(found, pool, dimensions) for found in self.maps(images)]

    def features(
        self,
        store: Store,
        ids: NDArray[np.int64],
        pool: Pool = "mean",
        dimensions: int = 9000,
        change: Callable[[Tensor], Tensor] | None = None,
    ) -> list[Tensor]:
        """Features ``(N, D_i)`` of the images ``ids``, on the CPU; ``change`` maps uint8 images to such."""
        parts = []
        for start in range(0, len(ids), self.batch_size):
            images = read(store, ids[start : start + self.batch_size])
            images = images if change is None else change(images)
            parts.append([found.cpu() for found in self.pooled(images, pool, dimensions)])
        return [torch.cat(found) for found in zip(*parts, strict=True)]


def read(store: Store, ids: NDArray[np.int64]) -> Tensor:
    """Images of a store as uint8 ``(N, C, H, W)``."""
    return torch.from_numpy(store.batch(ids)).permute(0, 3, 1, 2).contiguous()


def scaled(train: Tensor, *others: Tensor) -> list[Tensor]:
    """Features ``(N, D)`` centered and divided by the deviations of ``train``; constant ones become 0."""
    mean, deviation = train.mean(dim=0), train.std(dim=0, correction=0)
    deviation = torch.where(deviation > 1e-6 * (mean.abs() + 1e-6), deviation, torch.inf)
    return [(features - mean) / deviation for features in (train, *others)]


def minibatches(count: int, size: int, rng: torch.Generator) -> tuple[Tensor, ...]:
    """A random order of ``count`` images in parts of nearly equal size, at most ``size``.

    They are nearly equal because a remainder of a single image has no batch statistics.
    """
    return torch.randperm(count, generator=rng).tensor_split(math.ceil(count / size))


@dataclass(frozen=True)
class Setup:
    """What every protocol gets: the encoder, the images, the seed, and where to report progress."""

    encoder: FrozenEncoder
    data: LabeledSet
    seed: int
    say: Callable[[str], None] = lambda words: None

    def both(self, pool: Pool, dimensions: int) -> tuple[list[Tensor], list[Tensor]]:
        """Features of the training and of the test images, each a list over the stages."""
        data, names = self.data, ", ".join(map(str, self.encoder.stages))
        self.say(f"features of {len(data.train) + len(data.test)} images, stages {names}")
        train = self.encoder.features(data.store, data.train.ids, pool, dimensions)
        return train, self.encoder.features(data.store, data.test.ids, pool, dimensions)
