"""Batches in an order that depends on (seed, epoch) alone, read ahead of the training."""

import math
import time
from collections.abc import Generator
from contextlib import closing
from itertools import count

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from onlygood.pretrain.data.store import Store
from onlygood.runtime.ahead import map_ahead

RESIDENT_BYTES = 1_000_000_000  # image sets below this stay on the accelerator
_AHEAD = 2  # batches


class Feed:
    """Images of a store by training position: position i is the store's image ``ids[i]``.

    Every epoch is a permutation of all positions, continued from its start until the last batch is full: all
    batches have the same size, also where there are fewer images than that.
    """

    def __init__(
        self,
        store: Store,
        ids: NDArray[np.int64],
        batch_size: int,
        seed: int,
        device: torch.device,
    ) -> None:
        self.store, self.ids, self.seed, self.device = store, ids, seed, device
        self.batch_size = batch_size
        self.steps_per_epoch = math.ceil(len(ids) / batch_size)
        self.waited = 0.0  # seconds in which the training waited for images
        self._order: tuple[int, NDArray[np.int64]] = (-1, ids)
        size = store.batch(ids[:1]).nbytes * len(ids)
        fits = self.device.type != "cpu" and size < RESIDENT_BYTES
        self._resident = self._read(np.arange(len(ids))).to(self.device) if fits else None

    def __len__(self) -> int:
        return len(self.ids)

    def positions(self, step: int) -> NDArray[np.int64]:
        """The training positions of ``step``."""
        epoch, within = divmod(step, self.steps_per_epoch)
        if self._order[0] != epoch:
            order = np.random.default_rng([self.seed, epoch]).permutation(len(self.ids))
            self._order = (epoch, np.resize(order, self.steps_per_epoch * self.batch_size))
        return self._order[1][within * self.batch_size : (within + 1) * self.batch_size]

    def images(self, positions: NDArray[np.int64]) -> Tensor:
        """The images at ``positions``, uint8 ``(B, C, H, W)``, on the device."""
        return self._to_device(self._fetch(positions))

    def batches(self, start: int) -> Generator[tuple[Tensor, Tensor], None, None]:
        """(images, positions) of every step from ``start`` on, without end; closing it ends its thread."""

        def fetch(step: int) -> tuple[Tensor, Tensor]:
            positions = self.positions(step)
            return self._fetch(positions), torch.from_numpy(positions)

        with closing(map_ahead(fetch, count(start), workers=1, ahead=_AHEAD)) as ahead:
            while True:
                asked = time.perf_counter()
                images, positions = next(ahead)
                self.waited += time.perf_counter() - asked
                yield self._to_device(images), self._to_device(positions)

    def _fetch(self, positions: NDArray[np.int64]) -> Tensor:
        """Images where they lie: on the device, or in (pinned) memory."""
        if self._resident is not None:
            return self._resident[torch.from_numpy(positions).to(self.device)]
        images = self._read(positions)
        return images.pin_memory() if self.device.type == "cuda" else images

    def _read(self, positions: NDArray[np.int64]) -> Tensor:
        """Channels first, by numpy: torch would start a second team of threads in the reader."""
        pixels = self.store.batch(self.ids[positions])
        return torch.from_numpy(np.ascontiguousarray(pixels.transpose(0, 3, 1, 2)))

    def _to_device(self, tensor: Tensor) -> Tensor:
        return tensor.to(self.device, non_blocking=True)
