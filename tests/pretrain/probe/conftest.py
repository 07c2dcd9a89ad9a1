"""Images made by hand, whose classes one stage of a hand-made encoder shows and the other hides."""

import hashlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from tiny import Store
from torch import Tensor, nn

from onlygood.pretrain.data.labels import LabeledPart, LabeledSet
from onlygood.pretrain.networks.base import Encoder
from onlygood.pretrain.probe.features import FrozenEncoder, Setup

CLASSES = 3


class Flatten(nn.Module):
    """Loses everything: the mean over channels and space, everywhere."""

    def forward(self, x: Tensor) -> Tensor:
        return x.mean(dim=(1, 2, 3), keepdim=True).expand(-1, 2, 4, 4) * 0


def by_hand(stages: list[nn.Module], dims: list[int]) -> Encoder:
    return Encoder("by-hand", 3, stages, dims, 1)


def part(ids: NDArray[np.int64], labels: NDArray[np.int64]) -> LabeledPart:
    return LabeledPart(ids, labels, [hashlib.sha256(str(i).encode()).hexdigest() for i in ids])


def colored(train: int, test: int, seed: int = 0) -> LabeledSet:
    """Classes 0, 1, 2 are red, green, blue noise of 8×8 px; ``train`` and ``test`` images of each."""
    rng = np.random.default_rng(seed)
    labels = np.tile(np.arange(CLASSES), train + test)
    images = rng.integers(60, 120, (len(labels), 8, 8, 3), dtype=np.uint8)
    images[np.arange(len(labels)), :, :, labels] += 60
    ids = np.arange(len(labels))
    cut = train * CLASSES
    names = ("red", "green", "blue")
    first, second = part(ids[:cut], labels[:cut]), part(ids[cut:], labels[cut:])
    return LabeledSet(Store(images), first, second, names, "by hand", "by hand")


Make = Callable[..., Setup]


@pytest.fixture
def setup_of() -> Iterator[Make]:
    """A setup over colored images: stage 1 shows the colors, stage 2 hides them."""
    opened = ExitStack()

    def make(
        data: LabeledSet | None = None,
        encoder: Encoder | None = None,
        stages: list[int] | None = None,
        seed: int = 0,
    ) -> Setup:
        seen = encoder or by_hand([nn.Identity(), Flatten()], [3, 2])
        eye = FrozenEncoder(seen, "fixed", stages, torch.device("cpu"), batch_size=7)
        return Setup(opened.enter_context(eye), data or colored(20, 10), seed)

    with opened:  # and at the end, every encoder must be as it was
        yield make


@pytest.fixture
def dataset() -> Callable[..., LabeledSet]:
    return colored
